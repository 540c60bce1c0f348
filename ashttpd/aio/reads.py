"""Reads of files into a pool of buffers: who reads next, ahead of what is sent, and how much.

All memory is the pool's. Who wants a buffer gets one in the order of asking, one at a time, and who
has little to read before the others, so that a small answer does not wait for many large ones. How
far is read ahead depends on how much the peer has taken already. Where there is no buffer, those
whose peers do not take what was read for them give theirs back, and read again when they do.
"""

import os
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from ashttpd.aio.files import Handle
from ashttpd.aio.queue import BUFFER_BYTES, Queue
from ashttpd.webroot.errors import WebrootError

# How many buffers a stream fills at most ahead of what it sends, so that the disk works while a
# socket takes what was read: a MiB is about what a fast peer takes at once. A long one begins with
# one and has twice as many with each that its peer took: what is read for who takes nothing would
# be waste. A short one begins with all: measured, a disk gives a third more than where its second
# half was read only when the first had been taken.
AHEAD: Final = 2
# How many reads the disk is given at a time; the others can still be put in order. Measured: with
# reads of this size a virtual disk of 700 MB/s gives all it has to half as many.
MOST_READS: Final = 32
# Up to here a stream is short.
SHORT_BYTES: Final = 1 << 20
# One in so many reads is for a long one.
_LONG_SHARE: Final = 4
# A page's head and body lie side by side; reading them at once costs no more than one of them.
LEAST_BYTES: Final = 16 << 10
_NOTHING: Final = memoryview(b"")


class Chunk:
    """A part of a file that is being read, or was read, into a buffer.

    `start` and `stop` are offsets in the file of what is needed; what is read begins and ends at
    multiples of the handle's alignment. `more` is how many bytes behind it are welcome.
    """

    __slots__ = ("_filled", "_first", "_to", "buffer", "error", "handle", "reader", "start", "stop")

    def __init__(
        self, reader: "Reader", handle: Handle, buffer: int, start: int, stop: int, more: int = 0
    ) -> None:
        self.reader: Reader | None = reader  # None once nobody waits for it any more
        self.handle = handle
        self.buffer = buffer
        self.start = start
        self.stop = stop
        self.error: Exception | None = None
        self._first = start - start % handle.alignment
        self._to = -(-(stop + more) // handle.alignment) * handle.alignment
        # How much has been read, from `_first` on.
        self._filled = 0

    @property
    def done(self) -> bool:
        """Whether all that is needed is there, or will never be."""
        return self.error is not None or self._first + self._filled >= self.stop

    def read(self, queue: Queue) -> None:
        """Read what is not there yet."""
        offset = self._first + self._filled
        queue.read(self.buffer, self._filled, self.handle.fd, offset, self._to - offset)

    def add(self, result: int) -> None:
        """Note the end of a read: bytes, or a negative errno."""
        before = self._filled
        if result > 0:
            self._filled += result
        if self.done:
            return
        # A short read may go on where the alignment allows; one that gets nowhere never will.
        self._filled -= self._filled % self.handle.alignment
        if self._filled == before:
            what = f"{self.handle.path}: the bytes at {self._first + before}"
            reason = os.strerror(-result) if result < 0 else "the file ends before"
            self.error = WebrootError(f"{what} cannot be read: {reason}")

    def view(self, memory: memoryview, start: int) -> memoryview:
        """Return what is needed of it from an offset on; raises what went wrong."""
        if self.error is not None:
            raise self.error
        begin = self.buffer * BUFFER_BYTES - self._first
        return memory[begin + start : begin + self.stop]

    def all(self, memory: memoryview) -> bytes:
        """Return a copy of all that came, from `start` on; raises what went wrong."""
        if self.error is not None:
            raise self.error
        begin = self.buffer * BUFFER_BYTES - self._first
        return bytes(memory[begin + self.start : begin + self._first + self._filled])


class Reader(Protocol):
    """Who wants buffers to read into."""

    @property
    def closed(self) -> bool:
        """Whether it wants none any more."""

    def give(self, buffer: int) -> Chunk | None:
        """Take a buffer, and return what to read into it; None where nothing is left to read."""

    def came(self) -> None:
        """Hear that one of its chunks is done."""

    def yield_up(self) -> list[int]:
        """Give back the buffers that are filled and not needed at once."""


class Reads:
    """The pool: which buffers are free, who waits for one, and which chunk each belongs to."""

    def __init__(self, queue: Queue) -> None:
        """Own the buffers of a queue."""
        self.queue = queue
        self._free = list(range(queue.buffers))
        self._chunks: dict[int, Chunk] = {}
        # Those who have little to read, and the others.
        self._wanting: tuple[deque[Reader], deque[Reader]] = (deque(), deque())
        self._served = 0
        # Whose peers take nothing just now, the longest first.
        self._parked: dict[Reader, None] = {}
        self._serving = False

    def want(self, reader: Reader, *, is_long: bool) -> None:
        """Give a reader one buffer, now or when it is its turn."""
        self._wanting[is_long].append(reader)
        if not self._free:
            self._call_in()
        self._serve()

    def release(self, buffer: int) -> None:
        """Take a buffer back."""
        self._free.append(buffer)
        self._serve()

    def park(self, reader: Reader) -> None:
        """Note that the peer of a reader takes nothing for now."""
        self._parked[reader] = None
        if any(self._wanting) and not self._free:
            self._call_in()
            self._serve()

    def unpark(self, reader: Reader) -> None:
        """Note that it does again, or that there is no such reader any more."""
        self._parked.pop(reader, None)

    def _call_in(self) -> None:
        """Take back what was read for a peer that takes nothing."""
        for reader in list(self._parked):
            del self._parked[reader]
            self._free += reader.yield_up()
            if self._free:
                return

    def _serve(self) -> None:
        """Give the free buffers to who wants them; who then wants another one queues again."""
        if self._serving:
            return
        self._serving = True
        try:
            while self._free and any(self._wanting) and len(self._chunks) < MOST_READS:
                reader = self._next()
                if not reader.closed:
                    self._give(reader, self._free.pop())
        finally:
            self._serving = False

    def _give(self, reader: Reader, buffer: int) -> None:
        """Give a buffer, which is free again where nothing is read into it."""
        chunk = None
        try:
            chunk = reader.give(buffer)
        finally:
            if chunk is None:
                self._free.append(buffer)
        if chunk is not None:
            self._chunks[buffer] = chunk
            chunk.read(self.queue)

    def _next(self) -> Reader:
        """Take out whose turn it is."""
        self._served += 1
        is_long = not self._wanting[0] or (self._wanting[1] and self._served % _LONG_SHARE == 0)
        return self._wanting[bool(is_long)].popleft()

    def reap(self) -> list[Reader]:
        """Take in what was read; returns whose chunks are done."""
        ready: dict[Reader, None] = {}
        for buffer, result in self.queue.reap():
            chunk = self._chunks[buffer]
            chunk.add(result)
            if chunk.reader is None:
                del self._chunks[buffer]
                self._free.append(buffer)
            elif chunk.done:
                del self._chunks[buffer]
                ready[chunk.reader] = None
            else:
                chunk.read(self.queue)
        self._serve()
        return list(ready)


class Stream:
    """Reads a run of an extent ahead of what is sent of it."""

    def __init__(
        self,
        reads: Reads,
        handle: Handle,
        start: int,
        stop: int,
        is_cold: Callable[[int, int], bool],
        came: Callable[[], None],
    ) -> None:
        """Begin to read from `start`, up to `stop` at most.

        It ends where `is_cold` says so of a part, by start and stop. `came` is called when bytes
        are ready.
        """
        self._reads = reads
        self._handle = handle
        self._sent = self._read = start
        self._stop = stop
        self._is_cold = is_cold
        self._came = came
        self._chunks: deque[Chunk] = deque()
        self._is_long = stop - start > SHORT_BYTES
        self._ahead = 1 if self._is_long else AHEAD
        self._wants = False
        # Whether it was called in: its peer takes nothing, so it is to get no buffer.
        self._dormant = False
        self.closed = False
        self._go_on()

    def _go_on(self) -> None:
        """Want a buffer more, if there is something to read into it."""
        if not self._wants and self._read < self._stop and len(self._chunks) < self._ahead:
            self._wants = True
            self._reads.want(self, is_long=self._is_long)

    @property
    def over(self) -> bool:
        """Whether all that it was for has been sent."""
        return self._sent >= self._stop

    @property
    def ready(self) -> int:
        """How many bytes can be sent at once."""
        self._dormant = False
        if not self._chunks:
            self._go_on()
        if self._chunks and self._chunks[0].done:
            return self._chunks[0].stop - self._sent
        return 0

    def send(self, fd: int, count: int, before: memoryview = _NOTHING) -> int:
        """Send at most so many of the bytes before and those that are ready.

        Returns how many left. Raises BlockingIOError, OSError, and WebrootError where they could
        not be read.
        """
        chunk = self._chunks[0]
        content = chunk.view(self._reads.queue.memory, self._sent)
        result = os.writev(fd, (before[:count], content[: max(0, count - len(before))]))
        sent = max(0, result - len(before))
        self._sent += sent
        if self._sent == chunk.stop:
            self._chunks.popleft()
            self._ahead = min(AHEAD, 2 * self._ahead)
            self._reads.release(chunk.buffer)
            self._go_on()
        return result

    def give(self, buffer: int) -> Chunk | None:
        """See Reader."""
        self._wants = False
        if self._dormant:
            return None
        start = self._read
        size = BUFFER_BYTES - start % self._handle.alignment
        stop = min(self._stop, start + size)
        if start > self._sent and not self._is_cold(start, stop):
            self._stop = start
            return None
        chunk = Chunk(self, self._handle, buffer, start, stop)
        self._chunks.append(chunk)
        self._read = stop
        self._go_on()
        return chunk

    def came(self) -> None:
        """See Reader."""
        self._came()

    def yield_up(self) -> list[int]:
        """See Reader. All of it: it is read again from where the peer has taken it."""
        buffers = []
        for chunk in self._chunks:
            if chunk.done:
                buffers.append(chunk.buffer)
            else:
                chunk.reader = None
        self._chunks.clear()
        self._read = self._sent
        self._ahead = 1
        self._dormant = True
        return buffers

    def close(self) -> None:
        """Give everything back; what is being read comes back when it ends."""
        self.closed = True
        self._reads.unpark(self)
        for buffer in self.yield_up():
            self._reads.release(buffer)


class Fetch:
    """Reads one small part of a file, once."""

    def __init__(
        self, reads: Reads, handle: Handle, offset: int, length: int, came: Callable[[], None]
    ) -> None:
        """Begin to read at an offset; `came` is called at the end."""
        self._reads = reads
        self._handle = handle
        self._offset = offset
        self._length = length
        self._came = came
        self._chunk: Chunk | None = None
        self.closed = False
        reads.want(self, is_long=False)

    def give(self, buffer: int) -> Chunk | None:
        """See Reader."""
        more = max(0, LEAST_BYTES - self._length)
        stop = self._offset + self._length
        self._chunk = Chunk(self, self._handle, buffer, self._offset, stop, more)
        return self._chunk

    def take(self) -> bytes:
        """Return what came, from the offset on; raises WebrootError."""
        assert self._chunk is not None, "nothing was read"
        self.closed = True
        chunk, self._chunk = self._chunk, None
        try:
            return chunk.all(self._reads.queue.memory)
        finally:
            self._reads.release(chunk.buffer)

    def came(self) -> None:
        """See Reader."""
        self._came()

    def yield_up(self) -> list[int]:
        """See Reader."""
        return []

    def close(self) -> None:
        """Give the buffer back, when it has been read into."""
        self.closed = True
        chunk, self._chunk = self._chunk, None
        if chunk is not None and chunk.done:
            self._reads.release(chunk.buffer)
        elif chunk is not None:
            chunk.reader = None
