"""Stand-ins for what a connection works with: a source of plans, files, clocks."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ashttpd.http.connection import Connection, Now, Want
from ashttpd.http.dates import Second, second_of
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan
from ashttpd.http.request import parse_key
from ashttpd.http.scan import Scan

EPOCH = 1_000_000_000


def at(monotonic: float) -> Now:
    """Return the clocks at this many seconds."""
    return Now(monotonic, second_of(EPOCH))


NOW = at(0.0)


@dataclass
class FakeFile:
    """A file that nobody reads."""

    path: str = "fake.webroot"
    fd: int = -1
    revoked: bool = False


def echo(key: bytes) -> Plan:
    """Return a plan whose bytes are the key, so that one tells which request was answered."""
    request = parse_key(key)
    close = request.has_unread_body or not request.persistent
    return Plan(key, (), len(key), len(key), 200, close, request.has_unread_body)


@dataclass
class FakeSource:
    """Answers every key with its echo, and remembers the keys."""

    keys: list[bytes] = field(default_factory=list)

    def _find(self, key: bytes, second: Second) -> Plan:
        assert second.epoch == EPOCH
        self.keys.append(key)
        return echo(key)

    @property
    def find(self) -> Callable[[bytes, Second], Plan]:
        """As ashttpd.http.connection.Source has it."""
        return self._find


def connect(scan: Scan, limits: Limits | None = None) -> tuple[Connection, FakeSource]:
    """Return a connection that opened at NOW, and its source."""
    source = FakeSource()
    return Connection(scan, source, limits or Limits(), NOW.monotonic), source


def talk(connection: Connection, pieces: list[bytes]) -> tuple[list[bytes], Want]:
    """Feed pieces to a connection and send what it plans; returns the heads sent and what it wants.

    As an engine does: it stops where the connection closes, and shuts down when told to.
    """
    sent = []
    want = Want.READ
    for piece in pieces:
        step = connection.feed(piece, NOW)
        while isinstance(step, Plan):
            sent.append(step.head)
            step = connection.sent(NOW)
        if step is Want.CLOSE:
            return sent, step
        # Once shut down, a connection reads until the peer ends.
        want = step if want is Want.READ else want
    return sent, want


def bytewise(data: bytes) -> list[bytes]:
    """Return the bytes one by one."""
    return [data[i : i + 1] for i in range(len(data))]
