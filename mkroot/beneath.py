"""Opens what lies below a directory: one name at a time, and never through a symlink.

What is opened so lies below the directory, whatever is exchanged for a symlink between the look
and the open. A symlink is followed by finding the path that it means, and by opening that path
in the same way: a path that was found is a hint, and what it opens is below the directory.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

# With O_NONBLOCK, for the open of a FIFO would wait for a writer.
FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

# A tree has more levels than a process may have descriptors (1,024 by default). The last levels
# are open, since a walk goes back to them at once; the others are opened again when needed.
MAX_OPEN_LEVELS: Final = 64

# openat2(2). The number is the same on every architecture that Python runs on.
_SYS_OPENAT2: Final = 437
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_AT_FDCWD: Final = -100


class _OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class OutsideError(Exception):
    """A symlink leads out of the directory; `path` is what it leads to."""

    def __init__(self, path: bytes) -> None:
        """Keep the path."""
        super().__init__(path)
        self.path = path


def _openat2(path: bytes, dir_fd: int, flags: int, resolve: int) -> int:
    how = _OpenHow(flags, 0, resolve)
    system_call = ctypes.CDLL(None, use_errno=True).syscall
    system_call.restype = ctypes.c_long
    fd = system_call(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(dir_fd),
        ctypes.c_char_p(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(fd)


def look(path: bytes, dir_fd: int | None = None) -> int:
    """Return a descriptor (O_PATH) of what a path leads to, through symlinks; raises OSError.

    Magic links (proc(5)), which lead to what a process has open, are refused with ELOOP where the
    kernel has openat2 (Linux 5.6).
    """
    flags = os.O_PATH | os.O_CLOEXEC
    try:
        where = _AT_FDCWD if dir_fd is None else dir_fd
        return _openat2(path, where, flags, _RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        # The filters of older containers say EPERM for system calls that they do not know.
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    return os.open(path, flags, dir_fd=dir_fd)


def real_path(fd: int) -> bytes:
    """Return the path of what is open; raises OSError where it is longer than PATH_MAX."""
    return os.readlink(b"/proc/self/fd/%d" % fd)


def reason(error: OSError) -> str:
    """Return why an open without symlinks failed, for a message."""
    if error.errno in (errno.ELOOP, errno.ENXIO):
        return "not a regular file any more"
    if error.errno == errno.ENOTDIR:
        return "not a directory any more"
    return error.strerror or str(error)


@dataclass(frozen=True, slots=True)
class Target:
    """What a symlink means: a path below the root, without a slash at its ends, and its kind."""

    path: bytes
    mode: int

    @property
    def is_directory(self) -> bool:
        """Whether it was a directory when it was found."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it was a regular file when it was found."""
        return stat.S_ISREG(self.mode)


class Root:
    """The directory that everything is opened below."""

    def __init__(self, path: bytes, *, follow: bool = True) -> None:
        """Open it; raises OSError. With `follow` it may be named by a symlink itself."""
        self.fd = os.open(path, DIRECTORY & ~os.O_NOFOLLOW if follow else DIRECTORY)

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)

    def find(self, name: bytes, dir_fd: int) -> Target:
        """Return what a symlink means; raises OutsideError, and OSError for one to nothing."""
        fd = look(name, dir_fd)
        try:
            mode = os.fstat(fd).st_mode
            path = real_path(fd)
        finally:
            os.close(fd)
        top = real_path(self.fd)
        if path == top:
            return Target(b"", mode)
        above = top.rstrip(b"/") + b"/"
        if not path.startswith(above):
            raise OutsideError(path)
        return Target(path[len(above) :], mode)

    def open(self, path: bytes, flags: int) -> int:
        """Open a path below the root, name by name; raises OSError, also for a symlink in it.

        `flags` are FILE, DIRECTORY or LOOK; an empty path is the root.
        """
        *parents, last = path.split(b"/") if path else [b"."]
        fd = self.fd
        try:
            for name in parents:
                child = os.open(name, DIRECTORY, dir_fd=fd)
                if fd != self.fd:
                    os.close(fd)
                fd = child
            return os.open(last, flags, dir_fd=fd)
        finally:
            if fd != self.fd:
                os.close(fd)

    @contextmanager
    def opened(self, path: bytes) -> Iterator["Level"]:
        """Open a directory below the root for a while; raises OSError."""
        fd = self.open(path, DIRECTORY)
        try:
            status = os.fstat(fd)
            yield Level(b"", path, fd, (status.st_dev, status.st_ino))
        finally:
            os.close(fd)


@dataclass(slots=True, eq=False)
class Level:
    """A directory of a trail. `fd` is open in the last one, and -1 where it was closed meanwhile.

    `target` is its path below the root where it was not entered by its name.
    """

    name: bytes
    target: bytes | None
    fd: int
    identity: tuple[int, int]


class Trail:
    """The directories from the root to the one that is in work, with bounded descriptors."""

    def __init__(self, root: Root) -> None:
        """Begin with the root alone."""
        self._root = root
        self._levels: list[Level] = []
        self.enter(b"", b"")

    @property
    def last(self) -> Level:
        """The directory that is in work."""
        return self._levels[-1]

    def __len__(self) -> int:
        return len(self._levels)

    def enter(self, name: bytes, target: bytes | None = None) -> Level:
        """Go to a directory of the last one, or to `target` below the root; raises OSError."""
        fd = self._open(name, target, len(self._levels))
        status = os.fstat(fd)
        self._levels.append(Level(name, target, fd, (status.st_dev, status.st_ino)))
        self._shut(len(self._levels) - 1 - MAX_OPEN_LEVELS)
        return self._levels[-1]

    def leave(self) -> None:
        """Go back to the directory before; raises OSError where it is not the same any more."""
        os.close(self._levels.pop().fd)
        if self._levels and self._levels[-1].fd < 0:
            self._open_again()

    def close(self) -> None:
        """Close all that is open."""
        for place in range(len(self._levels)):
            self._shut(place)
        self._levels.clear()

    def _open_again(self) -> None:
        """Open the last levels, from the nearest one that can be opened."""
        last = len(self._levels) - 1
        first = last
        while self._levels[first].target is None and self._levels[first - 1].fd < 0:
            first -= 1
        for place in range(first, last + 1):
            level = self._levels[place]
            level.fd = self._open(level.name, level.target, place)
            status = os.fstat(level.fd)
            if (status.st_dev, status.st_ino) != level.identity:
                raise OSError(errno.ESTALE, "another directory has taken its place")
            self._shut(place - MAX_OPEN_LEVELS)

    def _open(self, name: bytes, target: bytes | None, place: int) -> int:
        if target is not None:
            return self._root.open(target, DIRECTORY)
        return os.open(name, DIRECTORY, dir_fd=self._levels[place - 1].fd)

    def _shut(self, place: int) -> None:
        if place >= 0 and self._levels[place].fd >= 0:
            os.close(self._levels[place].fd)
            self._levels[place].fd = -1
