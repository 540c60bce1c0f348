"""A directory of the tree that is being read: its names, what each is, and how to open it."""

import os
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from mkroot.beneath import FILE, LOOK, Level, Root, Target


@dataclass(slots=True, eq=False)
class Directory:
    """`path` is its canonical path, with the slash; names are bytes, without one.

    `keys` are the ends of its children's URLs: a name, and for a directory the name with a slash,
    too. `real` is its path without symlinks, for one that is reached through a symlink that
    becomes a redirect: all that it holds redirects to there.
    """

    root: Root
    level: Level
    path: bytes
    real: bytes | None = None
    redirects: bool = False
    keys: list[bytes] = field(default_factory=list)
    directories: set[bytes] = field(default_factory=set)
    links: dict[bytes, Target] = field(default_factory=dict)

    def in_its_own_place(self) -> "Directory":
        """Return it as it is without the symlinks that lead to it; names are shared."""
        return self if self.real is None else replace(self, path=self.real, real=None)

    def has_file(self, name: bytes) -> bool:
        """Whether it holds a regular file, or a symlink to one, of this name."""
        place = bisect_left(self.keys, name)
        found = place < len(self.keys) and self.keys[place] == name
        return found and name not in self.directories

    def leave_out(self, names: Collection[bytes]) -> None:
        """Forget these files, before the walk comes to them: they are no URLs of their own."""
        if names:
            self.keys[:] = [key for key in self.keys if key not in names]

    def children(self) -> Iterator[tuple[bytes, bool]]:
        """Yield each child's name and whether it is a directory."""
        for key in self.keys:
            if not key.endswith(b"/"):
                yield key, key in self.directories

    def maybe_destination(self, name: bytes) -> bytes | None:
        """Return the canonical path that a child redirects to, None for what is served here."""
        link = self.links.get(name) if self.redirects else None
        if link is not None:
            path = b"/" + link.path
        elif self.real is not None:
            path = self.real + name
        else:
            return None
        return path if name not in self.directories or path == b"/" else path + b"/"

    def open_file(self, name: bytes) -> int:
        """Open a file, which is no symlink any more; raises OSError."""
        return self._open(name, FILE)

    def status(self, name: bytes) -> os.stat_result:
        """Look at a child, or at what it is a symlink to; raises OSError."""
        fd = self._open(name, LOOK)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def _open(self, name: bytes, flags: int) -> int:
        link = self.links.get(name)
        if link is not None:
            return self.root.open(link.path, flags)
        return os.open(name, flags, dir_fd=self.level.fd)
