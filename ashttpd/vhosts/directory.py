"""The vhosts directory itself: its names, whichever directory has the path by then."""

import errno
import os
import weakref
from pathlib import Path
from typing import Final

from ashttpd.vhosts.names import Names, read_names

_NO_DESCRIPTOR: Final = frozenset((errno.EMFILE, errno.ENFILE))


class _Spare:
    """A descriptor of no use but to be given back; open as long as this lives."""

    def __init__(self) -> None:
        """Raises OSError."""
        fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, fd)


class Directory:
    """Reads the names of a directory.

    A descriptor is kept for that: where all others are taken, names that are removed are seen all
    the same, and give theirs back. The directory itself is not kept open, so that it can be
    unmounted.
    """

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.path = path
        self._identity: tuple[int, int] | None = None
        self._spare: _Spare | None = None

    def read(self, *, has_sites: bool) -> Names:
        """Return the names; raises OSError.

        That is raised, too, where it is another directory by now without hosts, and there were
        sites.
        """
        status = os.stat(self.path)
        identity = (status.st_dev, status.st_ino)
        names = read_names(self._list())
        # What an unmounted directory leaves, or a deploy of the whole directory that goes on.
        if self._identity not in (None, identity) and has_sites and not names.hosts:
            raise FileNotFoundError(f"{str(self.path)!r} was replaced by one without hosts")
        self._identity = identity
        return names

    def _list(self) -> list[str]:
        try:
            if self._spare is None:
                self._spare = _Spare()
            return os.listdir(self.path)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR or self._spare is None:
                raise
        # Kept again with the next call.
        self._spare = None
        return os.listdir(self.path)
