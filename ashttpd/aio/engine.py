"""Starts and drains the threads of this engine."""

import time
from collections.abc import Sequence
from socket import socket

from ashttpd.accesslog import AccessLog
from ashttpd.aio.files import Files, Io
from ashttpd.aio.loop import Loop
from ashttpd.aio.queue import Queue
from ashttpd.aio.warmer import Warmer
from ashttpd.budget import FilesNeeded
from ashttpd.complaints import Complaints
from ashttpd.engine import EngineThread, HotSource
from ashttpd.epoll.acceptor import ACCEPTOR_FILES, Acceptor
from ashttpd.epoll.fastest import make_accept, make_sockets
from ashttpd.epoll.sockets import MAX_EVENTS, SOCKETS_FILES
from ashttpd.http.limits import Limits
from ashttpd.http.plan import File


class AioEngine:
    """An acceptor thread and one loop over listening sockets that must not block."""

    def __init__(
        self,
        listeners: Sequence[socket],
        source: HotSource,
        limits: Limits,
        access_log: AccessLog | None,
        io: Io,
    ) -> None:
        """Set the queue up; raises UnusableError where none can be had.

        Nothing runs before `start`.
        """
        self._files = Files(io)
        queue = Queue()
        complaints = Complaints()
        self._warmer = Warmer()
        self._loop = Loop(
            make_sockets(limits),
            source,
            limits,
            access_log,
            queue,
            self._files,
            self._warmer.bring_in,
            complaints,
        )
        self._acceptor = Acceptor(listeners, make_accept(), (self._loop,), limits, complaints)
        self._accepting = EngineThread("acceptor", self._acceptor.run)
        self._working = EngineThread("loop", self._loop.run)
        self._warming = EngineThread("warmer", self._warmer.run)

    def open(self, file: File) -> None:
        """Be ready to read a file, before anybody asks for it.

        Raises OSError, and UnusableError where it cannot be read as `io` says.
        """
        self._files.handle(file)

    def start(self) -> None:
        """Begin to serve; see Engine."""
        for thread in (self._warming, self._working, self._accepting):
            thread.start()

    @property
    def failed(self) -> bool:
        """Whether a thread has ended with an exception; see Engine."""
        return any(thread.failed for thread in (self._warming, self._working, self._accepting))

    def distrust(self) -> None:
        """Look at the sites again before anything else is answered; for any thread."""
        self._loop.distrust()

    def drain(self, seconds: float) -> bool:
        """Take no more connections, finish what is under way, and return when all has ended.

        What is not through after `seconds` is closed; returns whether all of it was through.
        """
        deadline = time.monotonic() + seconds
        self._acceptor.stop()
        self._accepting.finish()
        self._acceptor.close()
        self._loop.drain(deadline)
        self._working.finish()
        self._warmer.stop()
        self._warming.finish()
        self._loop.close()
        return time.monotonic() < deadline


def files_needed(_threads: int) -> FilesNeeded:
    """Return what this engine has open besides its connections."""
    # With the queue's eventfd. Each site's file is open twice, see Files. The acceptor turns new
    # sockets away by so many at a time.
    files = SOCKETS_FILES + ACCEPTOR_FILES + 1
    return FilesNeeded(engine=files, per_site=2, waiting=MAX_EVENTS)
