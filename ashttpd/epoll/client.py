"""A socket with its connection, as a worker keeps it."""

from dataclasses import dataclass

from ashttpd.epoll.sockets import Mode
from ashttpd.http.connection import Connection
from ashttpd.http.plan import Cursor


@dataclass(slots=True, eq=False)
class Client:
    """One accepted socket. `cursor` is there while a plan is being sent, and only then."""

    fd: int
    connection: Connection
    mode: Mode = Mode.HEADS
    cursor: Cursor | None = None
    # Whether it was given to this worker by another one, for a large body.
    handed_over: bool = False
    # The address for the access log, once it was needed.
    peer: str | None = None
