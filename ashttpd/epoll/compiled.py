"""The sockets of a worker with the compiled turn, turn.c; ImportError where it was not built."""

import os
import socket
from collections.abc import Iterable, Sequence
from functools import partial

from ashttpd.engine import address_of, checked
from ashttpd.epoll._turn import ffi, lib
from ashttpd.epoll.plain import unsent
from ashttpd.epoll.sockets import HOT, MAX_EVENTS, Accept, Bytes, Event, Mode, Sockets
from ashttpd.hot import ACTIVITY_BYTES, Hot, count_sockets
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan


class CompiledSockets:
    """Sockets with the compiled turn."""

    def __init__(self, limits: Limits) -> None:
        """Own no socket yet."""
        numbers = (limits.head_bytes, limits.target_bytes, limits.head_fields)
        distrusted = ffi.new("int32_t[1]")
        most = count_sockets()
        out = ffi.new("ashttpd_sockets **")
        checked(
            lib.ashttpd_open(out, ffi.new("struct ashttpd_limits *", numbers), most, distrusted)
        )
        self._sockets = sockets = out[0]
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.wake_by(self._wake)
        self.came: Bytes = ffi.buffer(lib.ashttpd_came(sockets), lib.ashttpd_came_bytes(sockets))
        activities = ffi.buffer(lib.ashttpd_activities(sockets), most * ACTIVITY_BYTES)
        forget = partial(lib.ashttpd_forget_hot, sockets)
        self.hot = Hot(distrusted, memoryview(activities).cast("Q"), forget, limits.idle_seconds)
        self.hot_flag = HOT
        # Events of sockets, and one for each plan that may fall short.
        self._events = ffi.new("int32_t[]", 2 * MAX_EVENTS * 4)
        # The content of a bytes object lies at a fixed distance behind its id.
        probe = b"probe"
        lib.ashttpd_content = int(ffi.cast("intptr_t", ffi.from_buffer(probe))) - id(probe)
        self._sends: list[int] = []
        self._plans: list[Plan] = []
        self._sent_plans: list[Plan] = []

    def __len__(self) -> int:
        """See Sockets."""
        return int(lib.ashttpd_count(self._sockets))

    @property
    def last_answer(self) -> float:
        """See Sockets."""
        return float(lib.ashttpd_last_answer(self._sockets)) / 1e6

    def add(self, fds: Sequence[int], mode: Mode) -> int:
        """See Sockets."""
        return checked(lib.ashttpd_add(self._sockets, fds, len(fds), mode))

    def wake_by(self, eventfd: int) -> None:
        """See Sockets."""
        checked(lib.ashttpd_add(self._sockets, [eventfd], 1, Mode.WAKE))

    def forget(self, fd: int) -> None:
        """See Sockets."""
        lib.ashttpd_forget(self._sockets, fd, bool(self._sends))

    def watch(self, fd: int, mode: Mode) -> None:
        """See Sockets."""
        checked(lib.ashttpd_watch(self._sockets, fd, mode))

    def pour(self, fd: int, file: int, offset: int, length: int) -> None:
        """See Sockets."""
        lib.ashttpd_pour(self._sockets, fd, file, offset, length)

    def poured(self, fd: int) -> int:
        """See Sockets."""
        return int(lib.ashttpd_poured(self._sockets, fd))

    def queue(self, sends: list[int], plans: list[Plan]) -> None:
        """See Sockets."""
        self._sends, self._plans = sends, plans

    def queued(self, number: int) -> Plan:
        """See Sockets."""
        return self._sent_plans[number]

    def turn(self, timeout: float) -> Iterable[Event]:
        """See Sockets."""
        sends, events = self._sends, self._events
        # The plans are kept: they have to live until here, and one may fall short. None is sent
        # twice, whatever fails.
        self._sent_plans, self._plans, self._sends = self._plans, [], []
        count = checked(
            lib.ashttpd_turn(self._sockets, sends, len(sends), int(timeout * 1000), events)
        )
        numbers = iter(ffi.unpack(events, count * 4))
        return zip(numbers, numbers, numbers, numbers, strict=True)

    def send(self, fd: int, data: bytes, offset: int) -> int:
        """See Sockets."""
        return checked(lib.ashttpd_send(fd, data, offset, len(data)))

    def shutdown(self, fd: int) -> None:
        """See Sockets."""
        checked(lib.ashttpd_shutdown(fd))

    def unsent(self, fd: int) -> int:
        """See Sockets."""
        return unsent(fd)

    def peer(self, fd: int) -> str:
        """See Sockets."""
        return address_of(fd)

    def drop(self, fd: int) -> None:
        """See Sockets."""
        lib.ashttpd_drop(self._sockets, fd, bool(self._sends))

    def wake(self) -> None:
        """See Sockets."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """See Sockets."""
        lib.ashttpd_close(self._sockets)
        os.close(self._wake)


def make_sockets(limits: Limits) -> Sockets:
    """Return the sockets of a new worker."""
    return CompiledSockets(limits)


def make_accept() -> Accept:
    """Return an accept, for one thread."""
    fds = ffi.new("int32_t[]", MAX_EVENTS)

    def accept(listener: socket.socket, most: int) -> Sequence[int]:
        count = checked(lib.ashttpd_accept(listener.fileno(), fds, min(most, MAX_EVENTS)))
        accepted: list[int] = ffi.unpack(fds, count)
        return accepted

    return accept
