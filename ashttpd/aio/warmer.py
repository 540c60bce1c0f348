"""Brings parts of files into the kernel's memory, one at a time, in a thread that may wait."""

import os
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from ashttpd.aio.queue import BUFFER_BYTES
from ashttpd.http.plan import File

# What waits its turn; what comes then is left out, and asked for again if it is worth it.
MAX_WAITING: Final = 64


def bring_in(file: File, offset: int, length: int, scratch: bytearray) -> None:
    """Have the kernel read a part of a file, and wait for it; what fails tells who needs it."""
    try:
        # The exact part: a read alone would have more than that read ahead.
        os.posix_fadvise(file.fd, offset, length, os.POSIX_FADV_WILLNEED)
        for start in range(offset, offset + length, len(scratch)):
            part = memoryview(scratch)[: offset + length - start]
            os.preadv(file.fd, [part], start)
    except OSError:
        return


class Warmer:
    """Brings in what it is told, one part after the other, in the thread that calls `run`."""

    def __init__(self) -> None:
        """Start with nothing to bring in."""
        self._parts: SimpleQueue[tuple[File, int, int] | None] = SimpleQueue()

    def bring_in(self, file: File, offset: int, length: int) -> None:
        """Bring a part in soon, unless there is too much to do already."""
        if self._parts.qsize() < MAX_WAITING:
            self._parts.put((file, offset, length))

    def stop(self) -> None:
        """Have `run` end, once what was begun is done."""
        with suppress(Empty):
            while True:
                self._parts.get_nowait()
        self._parts.put(None)

    def run(self) -> None:
        """Bring in what comes, until stopped."""
        scratch = bytearray(BUFFER_BYTES)
        while (part := self._parts.get()) is not None:
            bring_in(*part, scratch)
            del part  # it holds the file
