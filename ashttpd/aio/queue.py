"""The kernel's queue of file reads: submitted in batches, completed into aligned buffers.

This is the only file that touches the compiled shim. What fails raises OSError. For one thread.
"""

import errno
import os
from collections.abc import Iterator
from typing import Final

from ashttpd.engine import UnusableError, checked

try:
    from ashttpd.aio._aio import ffi, lib
except ImportError as missing:
    BUILT = False
    NOT_BUILT: Final = str(missing)
else:
    BUILT = True

# What is read at a time. Measured: with half of it each byte costs a tenth more, and a quarter of
# that costs a tenth of a disk's throughput.
BUFFER_BYTES: Final = 512 << 10
# All memory for reads, 32 MiB: more than a disk is given at a time, so that there is room for what
# waits for its peer.
BUFFERS: Final = 64


def _explain(number: int) -> str:
    """Say why the kernel gives no queue, and what to do about it."""
    if number == errno.ENOSYS:
        return "the kernel has no io_setup(2), or a seccomp filter hides it"
    if number == errno.EPERM:
        return "a seccomp filter forbids io_setup(2)"
    if number == errno.EAGAIN:
        return (
            f"all requests of the sysctl fs.aio-max-nr are taken, and it takes {BUFFERS}; raise it "
            "(fs.aio-nr says how many are in use)"
        )
    return os.strerror(number)


class Queue:
    """Reads of files into `buffers` buffers of BUFFER_BYTES; at most one read for each."""

    def __init__(self, buffers: int = BUFFERS, depth: int = 0) -> None:
        """Set it up; raises UnusableError where it cannot be had.

        The kernel is asked for room for `depth` reads, or as many as there are buffers.
        """
        if not BUILT:
            raise UnusableError(f"not built ({NOT_BUILT}); install libaio-dev, then ashttpd again")
        out = ffi.new("ashttpd_queue **")
        result = lib.ashttpd_queue_open(out, buffers, BUFFER_BYTES, depth or buffers)
        if result < 0:
            raise UnusableError(_explain(-result))
        self._queue = out[0]
        self.buffers = buffers
        self.eventfd: int = lib.ashttpd_queue_eventfd(self._queue)
        memory = lib.ashttpd_queue_memory(self._queue)
        self.memory = memoryview(ffi.buffer(memory, buffers * BUFFER_BYTES))
        self._events = ffi.new("int64_t[]", 2 * lib.MAX_EVENTS)
        # What was noted and not submitted yet, five numbers for each.
        self._reads: list[int] = []
        # What ended without ever being under way.
        self._failed: list[tuple[int, int]] = []
        # How many reads are under way.
        self.in_flight = 0

    @property
    def waiting(self) -> bool:
        """Whether there is something to submit, or that was not taken for now."""
        return bool(self._reads or self._failed)

    def read(self, buffer: int, start: int, fd: int, offset: int, length: int) -> None:
        """Note a read of a file into a buffer from `start` on, for `submit`.

        The descriptor has to stay open until the read has ended.
        """
        self._reads += (buffer, start, fd, offset, length)

    def submit(self) -> None:
        """Submit what was noted; what the kernel has no room for stays for the next time."""
        while self._reads:
            done = lib.ashttpd_queue_submit(self._queue, self._reads, len(self._reads) // 5)
            if done in (-errno.EAGAIN, -errno.EINTR):
                return
            if done < 0:
                self._failed.append((self._reads[0], done))
            else:
                self.in_flight += done
            del self._reads[: 5 * max(1, done)]

    def reap(self) -> Iterator[tuple[int, int]]:
        """Yield the buffer of each read that has ended, and its bytes or a negative errno."""
        failed, self._failed = self._failed, []
        yield from failed
        while True:
            count = lib.ashttpd_queue_reap(self._queue, self._events)
            if count == -errno.EINTR:
                continue
            checked(count)
            self.in_flight -= count
            numbers = iter(ffi.unpack(self._events, 2 * count))
            yield from zip(numbers, numbers, strict=True)
            if count < lib.MAX_EVENTS:
                return

    def close(self) -> None:
        """Wait for what is under way, and release everything."""
        self._reads.clear()
        self.memory.release()
        lib.ashttpd_queue_close(self._queue)


def alignment(fd: int) -> int:
    """Return what O_DIRECT has to be aligned to for an open file, 0 if it takes none; OSError."""
    return checked(lib.ashttpd_alignment(fd))


def cached_pages(fd: int, offset: int, length: int) -> int:
    """Return how many pages of a part of a file are in memory; OSError where nobody may tell us."""
    return checked(lib.ashttpd_cached(fd, offset, length))
