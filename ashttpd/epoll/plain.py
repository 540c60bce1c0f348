"""The sockets of a worker in plain Python, for where no compiler was at hand."""

import errno
import fcntl
import os
import select
import socket
import sys
import termios
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from ashttpd.engine import OF_CONNECTION, address_of
from ashttpd.epoll.sockets import (
    DESCRIPTOR_MASK,
    KIND_SHIFT,
    LAST,
    MAX_EVENTS,
    WITH_FILE,
    Accept,
    Bytes,
    Event,
    Kind,
    Mode,
    Sockets,
)
from ashttpd.hot import Hot
from ashttpd.http.errors import HTTPError
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan
from ashttpd.http.scan import make_scan

# What a socket is watched for in each mode, in epoll's words.
_INTERESTS: Final = {
    Mode.HEADS: select.EPOLLIN,
    Mode.RAW: select.EPOLLIN,
    Mode.WRITE: select.EPOLLOUT,
    Mode.WAKE: select.EPOLLIN,
    Mode.PAUSED: 0,
}
# As turn.c has it.
_RECEIVE_BYTES: Final = 16_384


def unsent(fd: int) -> int:
    """Return how much the peer of a socket has not acknowledged, in bytes (tcp(7), SIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class PlainSockets:
    """Sockets in plain Python."""

    def __init__(self, limits: Limits) -> None:
        """Own no socket yet."""
        self._scan = make_scan(limits)
        # A whole head is received at once.
        self._receive_bytes = max(limits.head_bytes, _RECEIVE_BYTES)
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._modes: dict[int, Mode] = {}
        self.wake_by(self._wake)
        self._peers: dict[int, socket.socket] = {}
        self._sends: list[int] = []
        self._plans: list[Plan] = []
        self._sent_plans: list[Plan] = []
        # Numbers whose sockets went since something was queued; they may be other sockets' now.
        self._struck: set[int] = set()
        self.came: Bytes = b""
        self.hot_flag = 0
        self.last_answer = 0.0
        self.hot = Hot([0], defaultdict(int), lambda _epoch: None, limits.idle_seconds)

    def __len__(self) -> int:
        """See Sockets."""
        return len(self._peers)

    def add(self, fds: Sequence[int], mode: Mode) -> int:
        """See Sockets."""
        for count, fd in enumerate(fds):
            try:
                self._own(fd, mode)
            except OSError:
                if count:
                    return count
                raise
        return len(fds)

    def _own(self, fd: int, mode: Mode) -> None:
        """Own a socket, or raise OSError and leave it as it is."""
        peer = socket.socket(fileno=fd)
        try:
            peer.setblocking(False)
            # Known before its first event can come.
            self._modes[fd] = mode
            self._peers[fd] = peer
            self._epoll.register(fd, _INTERESTS[mode])
        except OSError:
            self._modes.pop(fd, None)
            self._peers.pop(fd, None)
            peer.detach()
            raise

    def wake_by(self, eventfd: int) -> None:
        """See Sockets."""
        self._modes[eventfd] = Mode.WAKE
        self._epoll.register(eventfd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """See Sockets."""
        self._strike(fd)
        self._peers.pop(fd).detach()
        with suppress(OSError):
            self._epoll.unregister(fd)

    def watch(self, fd: int, mode: Mode) -> None:
        """See Sockets."""
        self._modes[fd] = mode
        self._epoll.modify(fd, _INTERESTS[mode])

    def pour(self, fd: int, file: int, offset: int, length: int) -> None:
        """See Sockets; here is no faster way than to be told of room."""

    def poured(self, fd: int) -> int:
        """See Sockets."""
        return 0

    def queue(self, sends: list[int], plans: list[Plan]) -> None:
        """See Sockets."""
        self._sends, self._plans = sends, plans

    def queued(self, number: int) -> Plan:
        """See Sockets."""
        return self._sent_plans[number]

    def turn(self, timeout: float) -> Iterable[Event]:
        """See Sockets."""
        events = self._send_queued()
        if events:  # what fell short is dealt with first: its peer's next bytes have to wait
            return events
        came = bytearray()
        for fd, _mask in self._epoll.poll(timeout, MAX_EVENTS):
            events += self._event(fd, came)
        self.came = bytes(came)
        return events

    def _send_queued(self) -> list[Event]:
        """Send the heads; a body counts as fallen short, since here is no faster way for it."""
        events = []
        now = time.monotonic()
        numbers = iter(self._sends)
        for number, plan in enumerate(self._plans):
            fd, _id, _length = next(numbers), next(numbers), next(numbers)
            if fd & WITH_FILE:
                _file, _offset, _length = next(numbers), next(numbers), next(numbers)
            last = fd & LAST
            fd &= DESCRIPTOR_MASK
            if fd in self._struck:
                continue
            try:
                sent = self._peers[fd].send(plan.head)
            except OSError as error:
                sent = -(error.errno or errno.EIO)
            self.last_answer = now
            if sent != plan.size:
                events.append((Kind.SHORT << KIND_SHIFT | fd, number, sent, 0))
            elif last:
                self.drop(fd)
        self._sent_plans, self._plans, self._sends = self._plans, [], []
        self._struck.clear()
        return events

    def _event(self, fd: int, came: bytearray) -> list[Event]:
        """Return the event of a socket that is ready, if any; what it brings goes to `came`."""
        mode = self._modes[fd]
        if mode is Mode.WAKE:
            os.eventfd_read(fd)
            return [(Kind.WAKE << KIND_SHIFT | fd, 0, 0, 0)]
        if mode is Mode.PAUSED:  # nothing but EPOLLHUP and EPOLLERR
            return [(Kind.END << KIND_SHIFT | fd, 0, 0, 0)]
        if mode is Mode.WRITE:
            return [(Kind.WRITABLE << KIND_SHIFT | fd, 0, 0, 0)]
        try:
            data = self._peers[fd].recv(self._receive_bytes)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return [(Kind.END << KIND_SHIFT | fd, 0, 0, 0)]
        key = self._whole_head(data) if mode is Mode.HEADS else b""
        kind = Kind.HEAD if key else Kind.DATA
        start = len(came)
        came += data + key
        return [(kind << KIND_SHIFT | fd, start, len(data), len(key))]

    def _whole_head(self, data: bytes) -> bytes:
        """Return the key of data that is exactly one whole head, else nothing."""
        try:
            scanned = self._scan(data, 0)
        except HTTPError:
            return b""
        # With a body behind it a head is not the whole request, wherever it ends.
        if scanned is None or scanned[0] != len(data) or scanned[1][2:3] != b"-":
            return b""
        return scanned[1]

    def send(self, fd: int, data: bytes, offset: int) -> int:
        """See Sockets."""
        return self._peers[fd].send(memoryview(data)[offset:])

    def shutdown(self, fd: int) -> None:
        """See Sockets."""
        self._peers[fd].shutdown(socket.SHUT_WR)

    def unsent(self, fd: int) -> int:
        """See Sockets."""
        return unsent(fd)

    def peer(self, fd: int) -> str:
        """See Sockets."""
        return address_of(fd)

    def drop(self, fd: int) -> None:
        """See Sockets."""
        self._strike(fd)
        with suppress(OSError), self._peers.pop(fd):
            # Closing is not enough; turn.c says why.
            self._epoll.unregister(fd)

    def _strike(self, fd: int) -> None:
        """Let no answer that is queued reach another socket of this number."""
        del self._modes[fd]
        if self._sends:
            self._struck.add(fd)

    def wake(self) -> None:
        """See Sockets."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """See Sockets."""
        self._epoll.close()
        os.close(self._wake)


def accept(listener: socket.socket, most: int) -> Sequence[int]:
    """Accept; see Accept."""
    accepted: list[int] = []
    failure = None
    for _ in range(MAX_EVENTS):  # of tries; turn.c says why
        if len(accepted) == most:
            break
        try:
            peer, _address = listener.accept()
        except BlockingIOError:
            return accepted
        except OSError as error:
            failure = error
            if error.errno not in OF_CONNECTION:
                break
        else:
            peer.setblocking(False)
            accepted.append(peer.detach())
    if failure is not None and not accepted:
        raise failure
    return accepted


def make_sockets(limits: Limits) -> Sockets:
    """Return the sockets of a new worker."""
    return PlainSockets(limits)


def make_accept() -> Accept:
    """Return an accept, for one thread."""
    return accept
