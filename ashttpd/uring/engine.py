"""Starts and drains the thread of this engine."""

import time
from collections.abc import Sequence
from socket import socket

from ashttpd.accesslog import AccessLog
from ashttpd.budget import FilesNeeded
from ashttpd.engine import EngineThread, HotSource
from ashttpd.http.limits import Limits
from ashttpd.uring.lobby import MAX_WAITING
from ashttpd.uring.loop import Loop
from ashttpd.uring.ring import RING_FILES, Ring


class UringEngine:
    """One loop over listening sockets."""

    def __init__(
        self,
        listeners: Sequence[socket],
        source: HotSource,
        limits: Limits,
        access_log: AccessLog | None,
    ) -> None:
        """Set the ring up; raises UnusableError where none can be had. Nothing runs before `start`.

        The listeners are made to block: their operations wait in the kernel, not here.
        """
        ring = Ring(limits)
        for listener in listeners:
            listener.setblocking(True)
        self.loop = Loop(ring, listeners, source, limits, access_log)
        self._thread = EngineThread("loop", self.loop.run)

    def start(self) -> None:
        """Begin to serve; see Engine."""
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether the thread has ended with an exception; see Engine."""
        return self._thread.failed

    def distrust(self) -> None:
        """Look at the sites again before anything else is answered; for any thread."""
        self.loop.distrust()

    def drain(self, seconds: float) -> bool:
        """Take no more connections, finish what is under way, and return when all has ended.

        What is not through after `seconds` is closed; returns whether all of it was through.
        """
        deadline = time.monotonic() + seconds
        self.loop.drain(deadline)
        self._thread.finish()
        return time.monotonic() < deadline


def files_needed(_threads: int) -> FilesNeeded:
    """Return what this engine has open besides its connections."""
    return FilesNeeded(engine=RING_FILES, per_site=1, waiting=MAX_WAITING)
