"""Starts and drains the threads of this engine."""

import time
from collections.abc import Sequence
from socket import socket

from ashttpd.accesslog import AccessLog
from ashttpd.budget import FilesNeeded
from ashttpd.complaints import Complaints
from ashttpd.engine import EngineThread, HotSource
from ashttpd.epoll.acceptor import ACCEPTOR_FILES, Acceptor
from ashttpd.epoll.extents import SendBody
from ashttpd.epoll.fastest import make_accept, make_sockets
from ashttpd.epoll.sockets import MAX_EVENTS, SOCKETS_FILES
from ashttpd.epoll.worker import Worker
from ashttpd.http.limits import Limits


class ThreadsEngine:
    """An acceptor thread and `threads` workers over listening sockets that must not block."""

    def __init__(
        self,
        listeners: Sequence[socket],
        source: HotSource,
        limits: Limits,
        threads: int,
        send_body: SendBody,
        access_log: AccessLog | None,
    ) -> None:
        """Make the workers; nothing runs before `start`."""
        complaints = Complaints()
        self._workers = [
            Worker(make_sockets(limits), source, limits, send_body, access_log, complaints)
            for _ in range(threads)
        ]
        for worker in self._workers:
            worker.join(self._workers)
        self._acceptor = Acceptor(listeners, make_accept(), self._workers, limits, complaints)
        self._accepting = EngineThread("acceptor", self._acceptor.run)
        self._working = [
            EngineThread(f"worker-{number}", worker.run)
            for number, worker in enumerate(self._workers, 1)
        ]

    def start(self) -> None:
        """Begin to serve; see Engine."""
        for thread in (*self._working, self._accepting):
            thread.start()

    @property
    def failed(self) -> bool:
        """Whether a thread has ended with an exception; see Engine."""
        return any(thread.failed for thread in (*self._working, self._accepting))

    def distrust(self) -> None:
        """Look at the sites again before anything else is answered; for any thread."""
        for worker in self._workers:
            worker.distrust()

    def drain(self, seconds: float) -> bool:
        """Take no more connections, finish what is under way, and return when all has ended.

        What is not through after `seconds` is closed; returns whether all of it was through.
        """
        deadline = time.monotonic() + seconds
        self._acceptor.stop()
        self._accepting.finish()
        self._acceptor.close()
        for worker in self._workers:
            worker.join((worker,))
        for worker in self._workers:
            worker.drain(deadline)
        for thread in self._working:
            thread.finish()
        for worker in self._workers:
            worker.close()
        return time.monotonic() < deadline


def files_needed(threads: int) -> FilesNeeded:
    """Return what this engine has open besides its connections."""
    # The acceptor turns new sockets away by so many at a time.
    files = threads * SOCKETS_FILES + ACCEPTOR_FILES
    return FilesNeeded(engine=files, per_site=1, waiting=MAX_EVENTS)
