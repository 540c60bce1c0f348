"""The acceptor: owns the listening sockets and hands each new socket to a worker."""

import errno
import logging
import os
import selectors
import socket
from collections.abc import Sequence
from typing import Final

from ashttpd.threads.sockets import MAX_EVENTS
from ashttpd.threads.worker import Worker

log = logging.getLogger(__name__)

# Out of descriptors or memory: connections wait in the backlog while others end.
PAUSE_SECONDS: Final = 0.1
_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Acceptor:
    """Accepts in the thread that calls `run`, until `stop` is called by another."""

    def __init__(self, listeners: Sequence[socket.socket], workers: Sequence[Worker]) -> None:
        """Own the listeners, which must not block."""
        self._listeners = listeners
        self._workers = workers
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False

    def stop(self) -> None:
        """Make `run` take what has connected already, close the listeners and return."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Accept until stopped."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            for listener in self._listeners:
                selector.register(listener, selectors.EVENT_READ, listener)
            while not self._stopping:
                for key, _events in selector.select():
                    if key.data is not None:
                        self._accept_all(key.data)
        for listener in self._listeners:
            self._accept_all(listener)
            listener.close()
        os.close(self._wake)

    def _accept_all(self, listener: socket.socket) -> None:
        """Accept until nobody is waiting."""
        while True:
            try:
                peer, _address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                    return
                # The peer went away while it was waiting; accept(2) lists what may come here.
                continue
            peer.setblocking(False)
            self._place().adopt(peer.detach())

    def _place(self) -> Worker:
        """Return the worker for a new socket: the first whose turns are not full yet.

        A turn is cheaper per request the more it serves, up to MAX_EVENTS; and threads that take
        turns with the interpreter's lock cost more than one that keeps it. Beyond that, the one
        with the fewest.
        """
        for worker in self._workers:
            if len(worker.clients) < MAX_EVENTS:
                return worker
        return min(self._workers, key=lambda worker: len(worker.clients))

    def _pause(self, error: OSError) -> None:
        log.error(
            "cannot accept connections: %s; trying again in %s s. Raise the limit of open "
            "files, or of memory",
            error,
            PAUSE_SECONDS,
        )
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            selector.select(PAUSE_SECONDS)
