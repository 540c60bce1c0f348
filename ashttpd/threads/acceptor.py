"""The acceptor: owns the listening sockets and hands each new socket to a worker."""

import logging
import os
import select
import socket
from collections.abc import Sequence
from typing import Final

from ashttpd.threads.sockets import MAX_EVENTS, Accept
from ashttpd.threads.worker import Worker

log = logging.getLogger(__name__)

# Out of descriptors or memory: connections wait in the backlog while others end.
PAUSE_SECONDS: Final = 0.1


class Acceptor:
    """Accepts in the thread that calls `run`, until `stop` is called by another."""

    def __init__(
        self, listeners: Sequence[socket.socket], accept: Accept, workers: Sequence[Worker]
    ) -> None:
        """Own the listeners, which must not block."""
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._workers = workers
        self._accept = accept
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False

    def stop(self) -> None:
        """Make `run` take what has connected already, close the listeners and return."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Accept until stopped."""
        with select.epoll() as epoll:
            for fd in (self._wake, *self._listeners):
                epoll.register(fd, select.EPOLLIN)
            while not self._stopping:
                for fd, _mask in epoll.poll():
                    if fd in self._listeners:
                        self._accept_from(self._listeners[fd])
        for listener in self._listeners.values():
            while self._accept_from(listener):
                pass
            listener.close()
        os.close(self._wake)

    def _accept_from(self, listener: socket.socket) -> bool:
        """Place who waits at a listener, some of them; returns whether there was anyone."""
        worker, room = self._place()
        try:
            fds = self._accept(listener, room)
        except OSError as error:
            self._pause(error)
            return False
        accepted = bool(fds)
        while fds:
            try:
                fds = fds[worker.adopt(fds) :]
            except OSError as error:
                for fd in fds:
                    os.close(fd)
                self._pause(error)
                break
        return accepted

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
        log.error(
            "cannot accept connections: %s; trying again in %s s. Raise the limit of open "
            "files, or of memory",
            error,
            PAUSE_SECONDS,
        )
        if not self._stopping:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            poll.poll(PAUSE_SECONDS * 1000)
