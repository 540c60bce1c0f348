"""Every limit of a connection, and of all of them: its name, its default, and why it is that."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a peer may take, in the units that the names say."""

    # Browsers stay under 2 KiB, big cookies under 8; nginx allows 32, h2o 64.
    head_bytes: int = 16_384
    # RFC 9110 section 4.1 asks for 8,000 at least.
    target_bytes: int = 8_192
    # Browsers send about 20, and proxies add some.
    head_fields: int = 100
    # A head comes in one segment or a few; what takes longer is broken or an attack.
    head_seconds: float = 10.0
    # Nobody asks for a request's body here; a small one is read so that the connection persists.
    body_bytes: int = 1 << 20
    # The slowest that a body of the full size may come is then 35 kB/s.
    body_seconds: float = 30.0
    # Browsers reuse connections for a minute or two; an idle one costs about a kilobyte.
    idle_seconds: float = 60.0
    # So that a client that never goes away moves to another worker some day; at 100,000 a new
    # connection costs less than a thousandth of what its requests do. 0 is no limit.
    max_requests: int = 100_000
    # Without a byte taken for so long, a reader is gone.
    stall_seconds: float = 60.0
    # What a reader has to take per second, on average over `stall_seconds`. The slowest network in
    # use (GPRS, 2 kB/s) shared by six connections gives each 340. 0 is no limit.
    min_send_rate: int = 256
    # How long, and for how much, a peer that still sends is listened to after the last answer.
    linger_seconds: float = 5.0
    linger_bytes: int = 1 << 20
    # Connections in all; 0 is as many as the limit of open files leaves. An idle one is closed to
    # make room before anybody has to wait.
    max_connections: int = 0
    # From one IPv4 address, or one /64 of IPv6. None by default: behind a proxy all have the same,
    # and behind an address of a mobile network there may be thousands. 0 is no limit.
    max_connections_per_address: int = 0
