"""Where a log goes: a file, a FIFO or a terminal, opened by its kind and given whole lines only.

A LogFile knows descriptors and where a line was left unfinished. It has no thread, queue or policy.
"""

import errno
import fcntl
import os
import select
from contextlib import suppress
from pathlib import Path
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK
from typing import Final

# What a pipe takes as a whole or not at all, in bytes (pipe(7), PIPE_BUF): lines of programs that
# share a pipe do not mix. A pipe for which poll(2) has reported room takes so much at once.
PIECE_BYTES: Final = select.PIPE_BUF
# Without O_NONBLOCK, opening a FIFO waits for a reader.
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_STANDARD: Final = {1: "the standard output", 2: "the standard error"}


class LogFileError(Exception):
    """A log cannot be opened; the message names it and the reason."""


class NoReaderError(LogFileError):
    """The log is a FIFO that no process has open for reading."""


def _unusable(mode: int) -> str:
    """Return why nothing of this kind can be a log, or nothing."""
    if S_ISREG(mode) or S_ISFIFO(mode) or S_ISCHR(mode):
        return ""
    if S_ISDIR(mode):
        return "it is a directory"
    if S_ISSOCK(mode):
        return "it is a socket; if it is the standard output, name it with -"
    return "it is a block device" if S_ISBLK(mode) else "it is no file"


def _open(path: Path) -> int:
    """Open for appending; raises LogFileError."""
    mode = 0
    try:
        with suppress(FileNotFoundError):
            mode = os.stat(path).st_mode
            # Before it is opened, which on a device is an action of its own.
            if reason := _unusable(mode):
                raise LogFileError(f"{path}: {reason}")
        return os.open(path, _FLAGS, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO and S_ISFIFO(mode):
            raise NoReaderError(f"{path}: no process reads this FIFO") from error
        raise LogFileError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # a NUL
        raise LogFileError(f"{str(path)!r}: {error}") from error


def _is_for_writing(fd: int) -> bool:
    try:
        return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False


def _check(fd: int | None) -> None:
    """Raise LogFileError for a descriptor that cannot be written to."""
    assert fd is not None
    if not _is_for_writing(fd):
        name = _STANDARD.get(fd, f"descriptor {fd}")
        raise LogFileError(f"{name} is closed, or not open for writing")


def _ends_within_a_line(fd: int) -> bool:
    """Whether a file ends without a newline, as after a full disk or a crash; no if unreadable."""
    try:
        size = os.fstat(fd).st_size
        if not size:
            return False
        reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(reader, 1, size - 1) not in (b"\n", b"")
        finally:
            os.close(reader)
    except OSError:
        return False


def _without_waiting(fd: int) -> int | None:
    """Return a descriptor of our own for a pipe or a terminal, which does not wait, or None.

    A terminal for which poll(2) reports room may take less than is written, and wait for the rest.

    O_NONBLOCK on the one that was given would hold for all programs that share it.
    """
    try:
        if not _is_for_writing(fd) or not (S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd)):
            return None
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:  # no reader, or the pipe or the terminal of another user
        return None


def _append(fd: int) -> None:
    """Have what is written to a regular file go to its end.

    The file may be open another time, for the other log (`2>log`, --access-log /dev/stderr), and
    what logrotate has truncated (copytruncate) would begin with a hole.
    """
    with suppress(OSError):
        if S_ISREG(os.fstat(fd).st_mode):
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)


def _has_room(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))


class LogFile:
    """A log under a path, or behind a descriptor that the program was started with; for one thread.

    `fd` is None until it was opened. A descriptor that was given is not opened anew.
    """

    def __init__(self, place: Path | int) -> None:
        """Open nothing yet."""
        self._path = place if isinstance(place, Path) else None
        self.fd: int | None = None
        # Whether writes may wait where poll(2) reports no room.
        self._waits = False
        # Whether the descriptor is not ours to close.
        self._is_borrowed = False
        if not isinstance(place, Path):
            _append(place)
            own = _without_waiting(place)
            self._waits = self._is_borrowed = own is None
            self.fd = place if own is None else own
        # Whether what was written last ends within a line, and whether a newline is due before more
        # is written.
        self.is_within_line = False
        self._owes_newline = False

    def open(self) -> None:
        """Open it, anew if it is open; raises LogFileError, and keeps the old file then.

        What was left of a line must be written from its start again. A descriptor that was given
        is looked at only.
        """
        if self._path is None:
            _check(self.fd)
            return
        opened = _open(self._path)
        is_regular = S_ISREG(os.fstat(opened).st_mode)
        self._owes_newline = _ends_within_a_line(opened) if is_regular else self.is_within_line
        self.close()
        self.fd = opened
        self.is_within_line = False

    def write(self, text: bytes) -> int:
        """Write what it takes at once of a text, which continues what was written before.

        Returns how much that was, in bytes. Raises OSError: BlockingIOError for nothing at the
        moment, BrokenPipeError for no reader, after which a line must be written from its start.
        """
        assert self.fd is not None, "not open"
        try:
            if self._waits and not _has_room(self.fd):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            if self._owes_newline:
                os.write(self.fd, b"\n")
                self._owes_newline = False
            count = os.write(self.fd, text)
        except BrokenPipeError:
            # What was written of the line is gone with the reader, or still there for the next one.
            self._owes_newline |= self.is_within_line
            self.is_within_line = False
            raise
        if count:
            self.is_within_line = text[count - 1 : count] != b"\n"
        return count

    def close(self) -> None:
        """Close it, unless the descriptor is not ours."""
        if self.fd is not None and not self._is_borrowed:
            os.close(self.fd)
            self.fd = None
