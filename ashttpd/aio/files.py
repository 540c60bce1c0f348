"""The files of this engine: how each of them can be read, and what of it is in memory."""

import errno
import logging
import mmap
import os
import weakref
from collections.abc import Callable
from enum import Enum
from itertools import count
from typing import Final

from ashttpd.aio.queue import BUFFER_BYTES, alignment, cached_pages
from ashttpd.engine import UnusableError
from ashttpd.http.plan import Extent, File

log = logging.getLogger(__name__)

# What a filesystem says that does no direct reads, and what one says that hides its files' names.
_NOT_DIRECT: Final = frozenset((errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT, errno.EACCES))

# What was missed is remembered for so long, up to twice as long: what is asked for again by then is
# worth memory. Going once through a site that is much larger than memory brings nothing in.
REMEMBER_SECONDS: Final = 30
# Some 10 MB of parts that were missed.
MAX_MISSED: Final = 1 << 16


class Io(Enum):
    """How large bodies are read."""

    AUTO = "auto"  # what is in memory is sent from there, the rest is read with O_DIRECT
    BUFFERED = "buffered"  # all of it through the kernel's memory
    DIRECT = "direct"  # all of it with O_DIRECT, past the kernel's memory


class Handle:
    """A descriptor to read a file with, open as long as this lives."""

    def __init__(self, path: str, fd: int, alignment: int) -> None:
        """Own the descriptor. Offsets and lengths of reads are multiples of the alignment."""
        self.path = path
        self.fd = fd
        self.alignment = alignment
        weakref.finalize(self, os.close, fd)


def open_direct(file: File) -> Handle:
    """Open a file once more, with O_DIRECT; raises UnusableError where it cannot be read so."""
    try:
        fd = os.open(f"/proc/self/fd/{file.fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError as error:
        if error.errno not in _NOT_DIRECT:
            raise
        raise UnusableError(_complaint(file.path, error.strerror)) from error
    handle = Handle(file.path, fd, 1)
    # What was written a moment ago would be written to the disk by the first reads, which wait.
    os.fdatasync(fd)
    handle.alignment = alignment(fd)
    if not 0 < handle.alignment <= BUFFER_BYTES // 2:
        raise UnusableError(_complaint(file.path, f"alignment {handle.alignment}"))
    return handle


def _complaint(path: str, reason: str | None) -> str:
    return f"{path}: its filesystem takes no O_DIRECT ({reason})"


class Files:
    """The handles of files, each of which is closed with its file; for all threads."""

    def __init__(self, io: Io) -> None:
        """Open none yet."""
        self.io = io
        self._handles: weakref.WeakKeyDictionary[File, Handle] = weakref.WeakKeyDictionary()

    def handle(self, file: File) -> Handle:
        """Return the handle to read a file with; raises OSError, and UnusableError for DIRECT."""
        handle = self._handles.get(file)
        if handle is None:
            self._handles[file] = handle = self._open(file)
        return handle

    def _open(self, file: File) -> Handle:
        if self.io is not Io.BUFFERED:
            try:
                return open_direct(file)
            except UnusableError as error:
                if self.io is Io.DIRECT:
                    raise
                log.warning("%s; what of it is not in memory may hold all connections up", error)
        return Handle(file.path, os.dup(file.fd), 1)


class Memory:
    """What of files the kernel has in memory; what was found there is believed for a second.

    Pages that are in use are the last to be taken away.
    """

    def __init__(self, bring_in: Callable[[File, int, int], None]) -> None:
        """Know nothing yet. What is missing again soon, by offset and length, `bring_in` gets."""
        self._bring_in = bring_in
        self._epoch = 0
        # Parts that are in memory, by number of their file, offset and length. The files are held,
        # since their numbers may be given to others.
        self._known: dict[tuple[int, int, int], File] = {}
        self._counted: weakref.WeakKeyDictionary[File, bool] = weakref.WeakKeyDictionary()
        # Files that are not held get numbers that are never given again.
        self._numbers: weakref.WeakKeyDictionary[File, int] = weakref.WeakKeyDictionary()
        self._next_number = count()
        # The second in which parts were missed, lately and before, by such a number.
        self._missed: dict[tuple[int, int, int], int] = {}
        self._missed_before: dict[tuple[int, int, int], int] = {}
        self._forgot = 0
        self._scratch = memoryview(bytearray(BUFFER_BYTES))

    def renew(self, epoch: int) -> None:
        """Forget everything if it is another second."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._known.clear()
        if epoch >= self._forgot + REMEMBER_SECONDS:
            self._forgot = epoch
            self._missed, self._missed_before = {}, self._missed

    def has(self, file: File, offset: int, length: int) -> bool:
        """Whether a part of a file can be sent without waiting for a disk; raises OSError."""
        known = self._known
        known_key = (id(file), offset, length)
        if known_key in known:
            return True
        key = (self._number(file), offset, length)
        missed = self._missed.get(key, self._missed_before.get(key))
        if self._has(file, offset, length, missed is not None):
            known[known_key] = file
            # It has been read once, so from now on counting is enough again.
            self._missed.pop(key, None)
            self._missed_before.pop(key, None)
            return True
        if missed not in (None, self._epoch):
            self._bring_in(file, offset, length)
        if len(self._missed) < MAX_MISSED:
            self._missed[key] = self._epoch
        return False

    def _number(self, file: File) -> int:
        number = self._numbers.get(file)
        if number is None:
            self._numbers[file] = number = next(self._next_number)
        return number

    def _has(self, file: File, offset: int, length: int, missed: bool) -> bool:
        # A read that does not wait tells for certain, but costs a copy, and has the kernel begin to
        # bring in what is missing: so ask first. The count has pages in it that are still on their
        # way, which is to be expected of what was missed a moment ago.
        if self._is_counted(file):
            pages = -(-(offset + length) // mmap.PAGESIZE) - offset // mmap.PAGESIZE
            enough = cached_pages(file.fd, offset, length) >= pages
            if not enough or not missed:
                return enough
        elif not self._can_read(file.fd, offset, 1):
            return False
        return all(
            self._can_read(file.fd, start, min(BUFFER_BYTES, offset + length - start))
            for start in range(offset, offset + length, BUFFER_BYTES)
        )

    def _is_counted(self, file: File) -> bool:
        """Whether cachestat(2) tells of a file; it is told only who may write to it, if at all."""
        counted = self._counted.get(file)
        if counted is None:
            os.pread(file.fd, 1, 0)
            try:
                counted = cached_pages(file.fd, 0, 1) == 1
            except OSError:
                counted = False
            self._counted[file] = counted
        return counted

    def _can_read(self, fd: int, offset: int, length: int) -> bool:
        """Whether reading does not wait: tries it, see RWF_NOWAIT of preadv2(2)."""
        try:
            return os.preadv(fd, [self._scratch[:length]], offset, os.RWF_NOWAIT) == length
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:  # a filesystem that cannot tell
                return True
            raise

    def run(self, extent: Extent, offset: int, most: int) -> int:
        """Return how many of `most` bytes of an extent can be sent without waiting; OSError."""
        first = (offset - extent.offset) // BUFFER_BYTES
        stop = extent.offset + extent.length
        for start in range(extent.offset + first * BUFFER_BYTES, offset + most, BUFFER_BYTES):
            if not self.has(extent.file, start, min(BUFFER_BYTES, stop - start)):
                return max(0, start - offset)
        return most
