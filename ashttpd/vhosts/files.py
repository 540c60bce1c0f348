"""One webroot file from outside: opening it, what tells its states apart, what was written to it.

All of this may wait for a disk or a network for as long as those like. It keeps nothing and logs
nothing.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR
from typing import Final

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.sections import parse_superblock

# The coarsest clock that a file system has for its times (FAT; NFS and HFS have 1 s, ext4 and XFS
# some milliseconds). What is written within one tick may leave size and times as they were, so what
# was read of a file is final only when it is read after a tick has passed.
TICK_SECONDS: Final = 2.0
# A file is opened again at once when it was written to or renamed over meanwhile. More than that is
# no deploy, but something that writes all the time.
OPEN_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one state of a file from another; cheap, and true across symlinks and mounts.

    Equal identities are one state of one file, but for what is written within a tick of its clock.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    def is_same_file(self, other: "Identity") -> bool:
        """Whether both are states of one inode."""
        return (self.device, self.inode) == (other.device, other.inode)

    def has_same_times(self, other: "Identity") -> bool:
        """Whether size and time of modification are the same.

        That is not the same content: whoever writes may put both back (utimensat(2); `cp -p` and
        `rsync --inplace --times` do). Nobody can put the time of change back, but chmod(2) and
        link(2) renew it, too.
        """
        return (self.size, self.modified_ns) == (other.size, other.modified_ns)


def identify(status: os.stat_result) -> Identity:
    """Return the identity in a status."""
    return Identity(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


class WrittenError(Exception):
    """An open webroot file was written to in place."""


@dataclass(frozen=True, slots=True)
class Held:
    """An open webroot, and the state in which its file was found right."""

    webroot: Webroot
    identity: Identity
    # When this identity was first seen (seconds of the monotonic clock), and whether the content
    # was compared a tick after that.
    since: float
    is_settled: bool = False


def recheck(held: Held) -> Held:
    """Return an open webroot with the state of its file now, whatever its name leads to by now.

    Where only the time of change differs, the site id is compared: equal ones stand for equal bytes
    (FORMAT.md), damage aside. Raises WrittenError where the file is another one now, and OSError.
    """
    webroot = held.webroot
    identity = identify(os.fstat(webroot.fd))
    now = time.monotonic()
    if not identity.has_same_times(held.identity):
        raise WrittenError
    is_same = identity == held.identity
    if is_same and held.is_settled:
        return held
    if _read_site_id(webroot.fd, identity.size) != webroot.superblock.site_id:
        raise WrittenError
    if is_same:
        return replace(held, is_settled=now - held.since >= TICK_SECONDS)
    return Held(webroot, identity, now)


def _read_site_id(fd: int, size: int) -> bytes | None:
    """Return the site id of a file as it is now, or None where it is no webroot; raises OSError."""
    try:
        superblock = parse_superblock(os.pread(fd, layout.SUPERBLOCK_SIZE, 0), size)
    except WebrootError:
        return None
    table = os.pread(fd, size - superblock.table_offset, superblock.table_offset)
    return superblock.site_id if sha256(table).digest() == superblock.site_id else None


class OpenError(Exception):
    """A file could not be opened; `identity` is its state then, and the cause is `__cause__`."""

    def __init__(self, identity: Identity | None) -> None:
        """Know the state."""
        super().__init__()
        self.identity = identity


def open_webroot(path: Path, check: Callable[[Webroot], None]) -> Held:
    """Open and verify a webroot, in a state in which it was from before until after that.

    `check` raises WebrootError for one that is not to be served. Raises OpenError for whatever
    happens.
    """
    identity = None
    try:
        for _ in range(OPEN_ATTEMPTS):
            status = path.stat()
            since = time.monotonic()
            identity = identify(status)
            if S_ISDIR(status.st_mode):
                raise WebrootError("a directory; build it with mkroot and link the result here")
            webroot = Webroot(str(path))
            check(webroot)
            if identify(os.fstat(webroot.fd)) == identity:
                return Held(webroot, identity, since)
            # It is closed before the next is opened: only one of them is counted.
            del webroot
        raise BlockingIOError(f"changed {OPEN_ATTEMPTS} times while it was opened")
    except (WebrootError, OSError, MemoryError) as error:
        # It is remembered, and its traceback would keep the file open.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        raise OpenError(identity) from error
    except Exception as error:
        raise OpenError(identity) from error
