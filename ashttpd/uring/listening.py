"""The listening sockets of a loop: who is accepted from, and who not for the moment."""

import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

from ashttpd.complaints import Complaints
from ashttpd.engine import OF_CONNECTION, PAUSE_SECONDS, complain_of_accept
from ashttpd.uring.ring import Ring

# Nothing is wrong: the kernel has ended it, or we have; or a connection failed while it waited.
_EXPECTED: Final = OF_CONNECTION | {0, errno.ECANCELED}


class Listening:
    """Has a ring accept from listeners, which have to block; for the thread of the ring."""

    def __init__(
        self, ring: Ring, listeners: Sequence[socket.socket], complaints: Complaints
    ) -> None:
        """Own the listeners."""
        self._ring = ring
        self._complaints = complaints
        self._listeners = {listener.fileno(): listener for listener in listeners}
        # Who is to be accepted from again, and when by the monotonic clock.
        self._paused: dict[int, float] = {}
        self._stopping = False
        # Whether no connection is to be accepted for the moment.
        self.held = False
        # Whether one at a time is to be accepted from each listener, since descriptors are scarce.
        self.scarce = False

    def start(self) -> None:
        """Accept from all."""
        for fd in self._listeners:
            self._ring.listen(fd, many=not self.scarce)

    def ended(self, fd: int, number: int, now: float) -> None:
        """Note that a listener is no longer accepted from, for 0 or an errno."""
        if number not in _EXPECTED and not self._stopping:
            complain_of_accept(self._complaints, OSError(number, os.strerror(number)))
        self._paused[fd] = now + (0 if number in (0, errno.ECANCELED) else PAUSE_SECONDS)

    def hold(self, wanted: bool) -> None:
        """Accept no connection while it is wanted."""
        if not wanted or self.held or self._end_all():
            self.held = wanted

    def spare(self, scarce: bool) -> None:
        """Accept one connection at a time while descriptors are scarce, else as many as come."""
        if not scarce or self.scarce or self._end_all():
            self.scarce = scarce

    @property
    def paused(self) -> bool:
        """Whether `resume` has to be called, every PAUSE_SECONDS."""
        return bool(self._paused)

    def resume(self, now: float) -> None:
        """Accept again from whose pause is over."""
        if self._stopping or self.held:
            return
        for fd, until in list(self._paused.items()):
            if until <= now:
                try:
                    self._ring.listen(fd, many=not self.scarce)
                except OSError as error:
                    complain_of_accept(self._complaints, error)
                    self._paused[fd] = now + PAUSE_SECONDS
                else:
                    del self._paused[fd]

    def _end_all(self) -> bool:
        """Have all accepting end; returns whether the ring had room for that."""
        try:
            for fd in self._listeners.keys() - self._paused.keys():
                self._ring.unlisten(fd)
        except OSError:
            return False
        return True

    def stop(self, turn: Callable[[float], None]) -> None:
        """Take what has connected already, with turns of so many seconds, and close all."""
        turn(0)
        self._stopping = True
        while self._listeners.keys() - self._paused.keys():
            self._end_all()
            turn(PAUSE_SECONDS)
        for listener in self._listeners.values():
            listener.close()
