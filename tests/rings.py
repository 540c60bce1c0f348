"""What tests of the ring share: something that turns it, and files as plans have them."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

from ashttpd.http.dates import second_of
from ashttpd.uring.ring import DESCRIPTOR_MASK, KIND_SHIFT, Kind, Ring
from fuzz.fakes import EPOCH
from tests.servers import eventually


class Driver:
    """Turns a ring and writes down what happened, until a test has seen enough."""

    def __init__(self, ring: Ring, listener: socket.socket) -> None:
        self.ring = ring
        self.listener = listener
        self.accepted: list[int] = []
        self.owned: set[int] = set()
        self.came: dict[int, bytes] = {}
        self.keys: list[bytes] = []
        self.refused: list[int] = []
        self.told: list[tuple[Kind, int, int]] = []
        self.hot_pending: list[int] = []
        ring.enable()
        # The sites were looked at.
        ring.hot.begin(second_of(EPOCH), allowed=False)
        ring.listen(listener.fileno())

    def turn(self, sends: list[int] | None = None, timeout: float = 0.01) -> None:
        for tag, start, length, key_length in self.ring.turn(sends or [], timeout):
            kind, fd = Kind(tag >> KIND_SHIFT), tag & DESCRIPTOR_MASK
            stop = start + length
            if kind is Kind.ACCEPTED:
                self.accepted.append(fd)
                self.owned.add(fd)
                self.came[fd] = b""
            elif kind in (Kind.HEAD, Kind.DATA):
                self.came[fd] += self.ring.came[start:stop]
                if kind is Kind.HEAD:
                    self.keys.append(self.ring.came[stop : stop + key_length])
            elif kind is Kind.REFUSED:
                self.refused.append(length)
                if length != -errno.ECANCELED:
                    self.ring.listen(fd)
            else:
                self.told.append((kind, fd, start if kind is Kind.PENDING else length))
                self.hot_pending += [fd] * (kind is Kind.PENDING and key_length == 1)

    def until(self, condition: Callable[[], bool]) -> None:
        def turned() -> bool:
            self.turn()
            return condition()

        eventually(turned)

    def drop(self, fd: int) -> bool:
        self.owned.remove(fd)
        return self.ring.drop(fd)

    def close(self) -> None:
        for fd in list(self.owned):
            self.drop(fd)
        self.until(lambda: self.ring.in_flight == 0)
        self.ring.close()

    def connect(self, receive_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        client.settimeout(20)
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.connect(self.listener.getsockname())
        return client

    def accept(self, receive_bytes: int | None = None) -> tuple[socket.socket, int]:
        """Connect, and return both ends."""
        before = len(self.accepted)
        client = self.connect(receive_bytes)
        self.until(lambda: len(self.accepted) > before)
        return client, self.accepted[-1]

    def receive(self, client: socket.socket, count: int) -> bytes:
        """Read so many bytes that are sent while we turn."""
        received = bytearray()
        client.setblocking(False)

        def has_all() -> bool:
            try:
                received.extend(client.recv(count - len(received)))
            except BlockingIOError:
                return False
            return len(received) == count

        self.until(has_all)
        return bytes(received)

    def of(self, kind: Kind, fd: int) -> list[int]:
        """What was told of a kind for a socket."""
        return [value for known, number, value in self.told if (known, number) == (kind, fd)]


MakeRing = Callable[..., Driver]


class Backed:
    """A file as plans have them."""

    def __init__(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.path = str(path)
        self.fd = os.open(path, os.O_RDWR)
        self.revoked = False


MakeFile = Callable[[bytes], Backed]


def reset(client: socket.socket) -> None:
    """Close, and have the peer told that by a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def read_all(client: socket.socket, count: int) -> bytes:
    """Read so many bytes, or fewer where the connection ends."""
    data = bytearray()
    while len(data) < count and (more := client.recv(count - len(data))):
        data += more
    return bytes(data)
