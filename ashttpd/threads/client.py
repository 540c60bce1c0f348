"""A socket with its connection, as a worker keeps it."""

import socket
from dataclasses import dataclass

from ashttpd.http.connection import Connection
from ashttpd.http.plan import Cursor


@dataclass(slots=True, eq=False)
class Client:
    """One accepted socket. `cursor` is there while a plan is being sent, and only then."""

    socket: socket.socket
    fd: int
    peer: str
    connection: Connection
    cursor: Cursor | None = None
    # Whether the worker waits for the socket to take more, instead of for bytes to read.
    waits_to_send: bool = False
