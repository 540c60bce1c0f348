"""A socket with its connection, as the loop keeps it."""

import fcntl
import socket
import struct
import termios
from dataclasses import dataclass, field
from typing import Final

from ashttpd.cold import Late
from ashttpd.engine import borrowed
from ashttpd.http.connection import Connection
from ashttpd.http.plan import Cursor
from ashttpd.uring.ring import Mode

# Where struct tcp_info of linux/tcp.h has tcpi_bytes_acked, and where that ends.
_ACKED = struct.Struct("=120xQ")
# What SIOCOUTQ fills in (tcp(7)).
_QUEUED = struct.Struct("=i")
_FAR_OFF: Final = 1 << 63


@dataclass(slots=True, eq=False)
class Client:
    """One accepted socket. `cursor` is there while a plan is being sent, and only then."""

    fd: int
    connection: Connection
    mode: Mode = Mode.HEADS
    cursor: Cursor | None = None
    # While the answer waits for a disk.
    late: Late | None = None
    # What came while a plan was being sent, for behind it: one buffer, whatever its pieces were.
    waiting: bytearray = field(default_factory=bytearray)
    # Whether it is not listened to, since it asks for more than it takes.
    deaf: bool = False
    # Whether the peer has shut its side down.
    ended: bool = False
    # The address for the access log, once it was needed.
    peer: str | None = None


def untaken(client: Client) -> int:
    """Return how much of its answers a peer has not acknowledged, as Connection.expired wants it.

    While a plan is being sent that is not known: much of it is in the hands of the kernel, and has
    not been reported yet. Only differences count then, so it is told from a number that is far off.
    """
    if client.cursor is None:
        queued = fcntl.ioctl(client.fd, termios.TIOCOUTQ, bytes(_QUEUED.size))
        return int(_QUEUED.unpack(queued)[0])
    with borrowed(client.fd) as peer:
        info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.size)
    return _FAR_OFF - int(_ACKED.unpack(info)[0])
