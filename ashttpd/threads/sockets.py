"""The sockets of one worker: sends what is queued, waits, receives and scans, once per turn.

The only file of this engine that touches the compiled turn (turn.c). `PlainSockets` does the same
in plain Python, where no compiler was at hand.
"""

import errno
import os
import select
import socket
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, Protocol

from ashttpd.http.errors import HTTPError
from ashttpd.http.plan import Plan
from ashttpd.http.scan import MAX_HEAD_BYTES, make_scan


class Mode(IntEnum):
    """What a socket is watched for; the numbers are turn.c's."""

    HEADS = 0  # bytes, with nothing of a request before them: scanned on the way
    RAW = 1  # bytes
    WRITE = 2  # room for more bytes
    WAKE = 3  # an eventfd, not a socket


class Kind(IntEnum):
    """What happened to a socket; the numbers are turn.c's."""

    HEAD = 0  # exactly one whole head came
    DATA = 1  # other bytes came
    END = 2  # the peer has shut its side down, or is gone
    WRITABLE = 3
    SHORT = 4  # of a queued plan not all left, or nothing
    WAKE = 5


KIND_SHIFT: Final = 24
DESCRIPTOR_MASK: Final = (1 << KIND_SHIFT) - 1
MAX_EVENTS: Final = 64

# Four numbers: the tag, which is the kind above and the descriptor below KIND_SHIFT; where the
# bytes that came start, and their length; the length of the key behind them. Of SHORT: the tag, the
# plan's number in the queue, and how many of its bytes left or a negative errno.
Event = tuple[int, int, int, int]


class Bytes(Protocol):
    """Bytes, or something that gives bytes when it is sliced."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return a copy of a part."""


class Sockets(Protocol):
    """The sockets of one worker.

    It is for one thread, but for `add` and `wake`.
    """

    def add(self, fd: int) -> None:
        """Own and watch a new socket, which must not block, for heads."""

    def watch(self, fd: int, mode: Mode) -> None:
        """Watch a socket for something else from now on."""

    @property
    def came(self) -> Bytes:
        """The bytes that came, and the keys of the heads among them, where the events say."""

    def queue(self, sends: list[int], plans: list[Plan]) -> None:
        """Send the heads of plans with the next turn.

        `sends` has three numbers for each plan: descriptor, id of its head, size. Lists of
        numbers, since making anything else of them costs more per request than the send.
        """

    def queued(self, number: int) -> Plan:
        """Return a plan that was queued for the last turn."""

    def turn(self, timeout: float) -> Iterable[Event]:
        """Send what is queued, wait for at most `timeout` seconds, and receive.

        What the events refer to is there until the next turn.
        """

    def send(self, fd: int, data: bytes, offset: int, *, more: bool) -> int:
        """Send from an offset on, now; `more` says that a body follows at once.

        Returns how many bytes left; raises BlockingIOError and OSError.
        """

    def shutdown(self, fd: int) -> None:
        """Shut our side down; raises OSError."""

    def peer(self, fd: int) -> str:
        """Return the address of the peer, or `-`."""

    def drop(self, fd: int) -> None:
        """Close a socket."""

    def wake(self) -> None:
        """End the wait of the turn under way, or of the next one."""

    def close(self) -> None:
        """Release everything but the clients' sockets."""


def _check(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def _address(peer: socket.socket) -> str:
    try:
        return str(peer.getpeername()[0])
    except OSError:  # gone already
        return "-"


class CompiledSockets:
    """Sockets with the compiled turn. Raises ImportError where it was not built."""

    def __init__(self) -> None:
        """Own no socket yet."""
        from ashttpd.threads._turn import ffi, lib

        self._lib = lib
        self._unpack = ffi.unpack
        self._epoll = _check(lib.ashttpd_epoll())
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        _check(lib.ashttpd_watch(self._epoll, self._wake, Mode.WAKE, 1))
        self._buffer = ffi.new("char[]", lib.BUFFER_BYTES)
        self.came: Bytes = ffi.buffer(self._buffer)
        # Events of sockets, and one for each plan that may fall short.
        self._events = ffi.new("int32_t[]", 2 * MAX_EVENTS * 4)
        # The content of a bytes object lies at a fixed distance behind its id.
        probe = b"probe"
        lib.ashttpd_content = int(ffi.cast("intptr_t", ffi.from_buffer(probe))) - id(probe)
        self._sends: list[int] = []
        self._plans: list[Plan] = []
        self._sent_plans: list[Plan] = []

    def add(self, fd: int) -> None:
        """See Sockets."""
        _check(self._lib.ashttpd_watch(self._epoll, fd, Mode.HEADS, 1))

    def watch(self, fd: int, mode: Mode) -> None:
        """See Sockets."""
        _check(self._lib.ashttpd_watch(self._epoll, fd, mode, 0))

    def queue(self, sends: list[int], plans: list[Plan]) -> None:
        """See Sockets."""
        self._sends, self._plans = sends, plans

    def queued(self, number: int) -> Plan:
        """See Sockets."""
        return self._sent_plans[number]

    def turn(self, timeout: float) -> Iterable[Event]:
        """See Sockets."""
        plans, events = self._plans, self._events
        count = _check(
            self._lib.ashttpd_turn(
                self._epoll, self._sends, len(plans), int(timeout * 1000), self._buffer, events
            )
        )
        # The plans are kept: they had to live until here, and one may have fallen short.
        self._sent_plans, self._plans, self._sends = plans, [], []
        numbers = iter(self._unpack(events, count * 4))
        return zip(numbers, numbers, numbers, numbers, strict=True)

    def send(self, fd: int, data: bytes, offset: int, *, more: bool) -> int:
        """See Sockets."""
        return _check(self._lib.ashttpd_send(fd, data, offset, len(data), more))

    def shutdown(self, fd: int) -> None:
        """See Sockets."""
        _check(self._lib.ashttpd_shutdown(fd))

    def peer(self, fd: int) -> str:
        """See Sockets."""
        with socket.socket(fileno=os.dup(fd)) as peer:
            return _address(peer)

    def drop(self, fd: int) -> None:
        """See Sockets."""
        os.close(fd)

    def wake(self) -> None:
        """See Sockets."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """See Sockets."""
        os.close(self._epoll)
        os.close(self._wake)


class PlainSockets:
    """Sockets in plain Python."""

    def __init__(self) -> None:
        """Own no socket yet."""
        self._scan = make_scan()
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._modes: dict[int, Mode] = {self._wake: Mode.WAKE}
        self._peers: dict[int, socket.socket] = {}
        self._descriptors: list[int] = []
        self._plans: list[Plan] = []
        self._sent_plans: list[Plan] = []
        self.came: Bytes = b""

    def add(self, fd: int) -> None:
        """See Sockets."""
        self._peers[fd] = peer = socket.socket(fileno=fd)
        peer.setblocking(False)
        self._modes[fd] = Mode.HEADS
        self._epoll.register(fd, select.EPOLLIN)

    def watch(self, fd: int, mode: Mode) -> None:
        """See Sockets."""
        self._modes[fd] = mode
        self._epoll.modify(fd, select.EPOLLOUT if mode is Mode.WRITE else select.EPOLLIN)

    def queue(self, sends: list[int], plans: list[Plan]) -> None:
        """See Sockets."""
        self._descriptors, self._plans = sends[::3], plans

    def queued(self, number: int) -> Plan:
        """See Sockets."""
        return self._sent_plans[number]

    def turn(self, timeout: float) -> Iterable[Event]:
        """See Sockets."""
        self._sent_plans, self._plans = self._plans, []
        events = []
        for number, plan in enumerate(self._sent_plans):
            fd = self._descriptors[number]
            try:
                sent = self._peers[fd].send(plan.head)
            except OSError as error:
                sent = -(error.errno or errno.EIO)
            if sent != plan.size:
                events.append((Kind.SHORT << KIND_SHIFT | fd, number, sent, 0))
        if events:  # what fell short is dealt with first: its peer's next bytes have to wait
            return events
        came = bytearray()
        for fd, _mask in self._epoll.poll(timeout, MAX_EVENTS):
            events += self._event(fd, came)
        self.came = bytes(came)
        return events

    def _event(self, fd: int, came: bytearray) -> list[Event]:
        """Return the event of a socket that is ready, if any; what it brings goes to `came`."""
        mode = self._modes[fd]
        if mode is Mode.WAKE:
            os.eventfd_read(fd)
            return [(Kind.WAKE << KIND_SHIFT | fd, 0, 0, 0)]
        if mode is Mode.WRITE:
            return [(Kind.WRITABLE << KIND_SHIFT | fd, 0, 0, 0)]
        try:
            data = self._peers[fd].recv(MAX_HEAD_BYTES)
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
        return scanned[1] if scanned and scanned[0] == len(data) else b""

    def send(self, fd: int, data: bytes, offset: int, *, more: bool) -> int:
        """See Sockets."""
        flags = socket.MSG_MORE if more else 0
        return self._peers[fd].send(memoryview(data)[offset:], flags)

    def shutdown(self, fd: int) -> None:
        """See Sockets."""
        self._peers[fd].shutdown(socket.SHUT_WR)

    def peer(self, fd: int) -> str:
        """See Sockets."""
        return _address(self._peers[fd])

    def drop(self, fd: int) -> None:
        """See Sockets."""
        del self._modes[fd]
        self._peers.pop(fd).close()

    def wake(self) -> None:
        """See Sockets."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """See Sockets."""
        self._epoll.close()
        os.close(self._wake)


def make_sockets() -> Sockets:
    """Return the sockets of a new worker: compiled where possible."""
    try:
        return CompiledSockets()
    except ImportError:
        return PlainSockets()
