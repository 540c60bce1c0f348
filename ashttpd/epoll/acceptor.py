"""The acceptor: owns the listening sockets and hands each new socket to a worker."""

import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Final

from ashttpd.admission import PATIENCE_SECONDS, Addresses, Refusals, choose_idle
from ashttpd.complaints import Complaints
from ashttpd.engine import PAUSE_SECONDS, complain_of_accept
from ashttpd.epoll.sockets import MAX_EVENTS, Accept
from ashttpd.epoll.worker import Worker
from ashttpd.http.limits import Limits

# Files that it has open itself: an epoll set and an eventfd.
ACCEPTOR_FILES: Final = 2
# Workers close what is idle within a turn.
_ROOM_SECONDS: Final = 0.01
# To find who is idle is to look at all; so one in so many of them makes room at once.
_ROOM_SHARE: Final = 16


class Acceptor:
    """Accepts in the thread that calls `run`, until `stop` is called by another."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        accept: Accept,
        workers: Sequence[Worker],
        limits: Limits,
        complaints: Complaints,
    ) -> None:
        """Own the listeners, which must not block."""
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._workers = workers
        self._accept = accept
        self._complaints = complaints
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False
        self._most = limits.max_connections
        # How many more there may be at least; counted anew only where it comes to nothing.
        self._room = self._most
        self._full_since: float | None = None
        self._refusals = Refusals()
        self._most_per_address = limits.max_connections_per_address
        self._addresses = Addresses(self._most_per_address, self._is_open)

    def stop(self) -> None:
        """Make `run` take what has connected already, close the listeners and return."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Accept until stopped; then, or when this fails, the listeners are closed."""
        try:
            self._run()
        finally:
            for listener in self._listeners.values():
                listener.close()
            self._refusals.close()

    def close(self) -> None:
        """Release what `stop` needs; only when `run` has ended."""
        os.close(self._wake)

    def _run(self) -> None:
        with select.epoll() as epoll:
            for fd in (self._wake, *self._listeners):
                epoll.register(fd, select.EPOLLIN)
            while not self._stopping:
                for fd, _mask in epoll.poll(self._refusals.seconds_to_tell(time.monotonic())):
                    if fd in self._listeners:
                        self._accept_from(self._listeners[fd])
                self._refusals.tell(time.monotonic())
        for listener in self._listeners.values():
            while self._accept_from(listener):
                pass

    def _accept_from(self, listener: socket.socket) -> bool:
        """Place who waits at a listener, some of them; returns whether there was anyone."""
        if self._room <= 0 and not self._count_room():
            self._hold(listener)
            return False
        worker, room = self._place()
        try:
            fds = self._accept(listener, min(room, self._room))
        except OSError as error:
            self._make_room()
            self._pause(error)
            return False
        self._room -= len(fds)
        accepted = bool(fds)
        if self._most_per_address:
            fds = self._admit(fds)
        while fds:
            try:
                fds = fds[worker.adopt(fds) :]
            except OSError as error:
                for fd in fds:
                    os.close(fd)
                self._pause(error)
                break
        return accepted

    def _count_room(self) -> bool:
        """Count how many more connections there may be; returns whether it is any."""
        self._room = self._most - sum(worker.held for worker in self._workers)
        if self._room > 0:
            self._full_since = None
        return self._room > 0

    def _make_room(self) -> bool:
        """Have some who have been idle for longest closed; returns whether anybody is."""
        connections = [c.connection for w in self._workers for c in list(w.clients.values())]
        count = max(1, len(connections) // _ROOM_SHARE)
        before = choose_idle(connections, count, time.monotonic())
        if before is None:
            return False
        for worker in self._workers:
            worker.close_idle(before)
        return True

    def _hold(self, listener: socket.socket) -> None:
        """Let new connections wait for room, and turn them away when there is none for long."""
        if self._make_room():
            self._wait(_ROOM_SECONDS)
            return
        now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < PATIENCE_SECONDS:
            self._wait(PAUSE_SECONDS)
            return
        try:
            fds = self._accept(listener, min(MAX_EVENTS, self._most))
        except OSError as error:
            self._pause(error)
            return
        for fd in fds:
            self._refusals.turn_away_without_room(fd, self._most)

    def _admit(self, fds: Sequence[int]) -> Sequence[int]:
        """Return the new sockets that their address may have; the others are turned away."""
        admitted = self._addresses.admit(fds)
        for fd in set(fds).difference(admitted):
            self._refusals.turn_away_from_address(fd, self._most_per_address)
        return admitted

    def _is_open(self, fd: int) -> bool:
        # Missed is who is between two workers just now; its address may have one more then.
        return any(fd in worker.clients for worker in self._workers)

    def _place(self) -> tuple[Worker, int]:
        """Return the worker for new sockets, and how many it should get.

        It is the first whose turns are not full yet: a turn is cheaper per request the more it
        serves, up to MAX_EVENTS, and threads that take turns with the interpreter's lock cost more
        than one that keeps it. Beyond that, the one with the fewest.
        """
        for worker in self._workers:
            room = MAX_EVENTS - len(worker.clients)
            if room > 0:
                return worker, room
        return min(self._workers, key=lambda worker: len(worker.clients)), 1

    def _pause(self, error: OSError) -> None:
        complain_of_accept(self._complaints, error)
        self._wait(PAUSE_SECONDS)

    def _wait(self, seconds: float) -> None:
        """Wait, unless it is time to stop."""
        if not self._stopping:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            poll.poll(seconds * 1000)
