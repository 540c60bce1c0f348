"""Files whose errors say which file it is, where it lies and how much room there is."""

import errno
import io
import os
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BUFFER_BYTES: Final = 1 << 20


def explained(error: OSError, fd: int, name: str, folder: str) -> OSError:
    """Return an error of a write with all that an operator needs to make room.

    `name` says which file it is, `folder` where it lies; `fd` is of the file.
    """
    written = os.fstat(fd).st_blocks * 512
    system = os.fstatvfs(fd)
    free = system.f_bavail * system.f_frsize
    reason = (
        f"{error.strerror}: {written:,} bytes were written, and the file system of "
        f"{folder} has {free:,} bytes free"
    )
    return OSError(error.errno, reason, name)


def reason_of(error: OSError, system: os.statvfs_result) -> str:
    """Return why a file could not be made on a file system: it may have room and no inodes."""
    reason = error.strerror or str(error)
    # File systems that make inodes as they need them say that they have none at all.
    if error.errno == errno.ENOSPC and system.f_files and not system.f_favail:
        return f"{reason}: none of its {system.f_files:,} inodes is free"
    return reason


class _ExplainedIO(io.FileIO):
    """An open file that explains why a write failed."""

    def __init__(self, fd: int, name: str, folder: str) -> None:
        super().__init__(fd, "w+b")
        self._explanation = name, folder

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise explained(error, self.fileno(), *self._explanation) from error


def buffered(fd: int, name: str, folder: str) -> BinaryIO:
    """Return a file for reading and writing of a descriptor, which it owns; see `explained`."""
    return io.BufferedRandom(_ExplainedIO(fd, name, folder), _BUFFER_BYTES)
