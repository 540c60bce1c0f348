"""Walks a source directory in the order of its URLs, deciding what of it belongs to the site.

A child's place among its siblings is that of its URL: `a-b` before `a/`, and `a/` before `a0`. So
the walk gives paths in ascending order of their bytes without ever holding more than one
directory of each level. Directories are opened relative to their parents: no path is too
long, and nothing moves under the walk.
"""

import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ashttpd.http.target import encode_path
from mkroot.errors import BuildError

WELL_KNOWN: Final = b".well-known"  # RFC 8615


class Symlinks(Enum):
    """What becomes of symlinks that stay inside of the tree; others are always refused."""

    FOLLOW = "follow"
    REDIRECT = "redirect"
    SKIP = "skip"


class Kind(Enum):
    """What a node is."""

    FILE = "a regular file"
    DIRECTORY = "a directory, under its URL with a slash"
    SLASHLESS = "a directory's URL without the slash"
    LINK = "a symlink that becomes a redirect"


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """What to leave out, and what to do with links."""

    symlinks: Symlinks = Symlinks.FOLLOW
    dotfiles: bool = False


@dataclass(slots=True, eq=False)
class Directory:
    """An open directory: `path` is its canonical path, with the slash; names are bytes."""

    fd: int
    path: bytes
    identity: tuple[int, int]
    keys: list[bytes] = field(default_factory=list)
    directories: set[bytes] = field(default_factory=set)
    links: dict[bytes, bytes] = field(default_factory=dict)

    def has_file(self, name: bytes) -> bool:
        """Whether it holds a regular file, or what is served as one, of this name."""
        place = bisect_left(self.keys, name)
        found = place < len(self.keys) and self.keys[place] == name
        return found and name not in self.directories and name not in self.links

    def children(self) -> Iterator[tuple[bytes, bool]]:
        """Yield each child's name and whether it is a directory."""
        for key in self.keys:
            if not key.endswith(b"/"):
                yield key, key in self.directories


@dataclass(frozen=True, slots=True)
class Node:
    """One URL of the site; valid until the walk goes on. `location` is of links only."""

    kind: Kind
    path: bytes
    directory: Directory
    name: bytes
    location: bytes = b""


def show(path: bytes) -> str:
    """Return a path for a message: text where it is text, and on one line whatever its bytes."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


class Tree:
    """A source directory; `warn` is told what was left out that a user may miss."""

    def __init__(self, root: bytes, options: TreeOptions, warn: Callable[[str], None]) -> None:
        """Look at nothing yet."""
        self._root = root
        self._real_root = os.path.realpath(root)
        self._options = options
        self._warn = warn

    def walk(self) -> Iterator[Node]:
        """Yield the nodes in ascending order of their paths.

        Raises BuildError for what is refused, OSError for what cannot be read.
        """
        stack = [self._open(self._root, None, b"/")]
        iterators = [iter(stack[0].keys)]
        try:
            yield Node(Kind.DIRECTORY, b"/", stack[0], b"")
            while stack:
                directory = stack[-1]
                key = next(iterators[-1], None)
                if key is None:
                    os.close(stack.pop().fd)
                    iterators.pop()
                elif key.endswith(b"/"):
                    child = self._open(key[:-1], directory, directory.path + key)
                    self._refuse_loop(child, stack)
                    stack.append(child)
                    iterators.append(iter(child.keys))
                    yield Node(Kind.DIRECTORY, child.path, child, b"")
                else:
                    yield self._leaf(directory, key)
        finally:
            for directory in stack:
                os.close(directory.fd)

    def _leaf(self, directory: Directory, name: bytes) -> Node:
        path = directory.path + name
        if name in directory.links:
            return Node(Kind.LINK, path, directory, name, directory.links[name])
        kind = Kind.SLASHLESS if name in directory.directories else Kind.FILE
        return Node(kind, path, directory, name)

    def _refuse_loop(self, child: Directory, ancestors: list[Directory]) -> None:
        if any(child.identity == ancestor.identity for ancestor in ancestors):
            os.close(child.fd)
            raise BuildError(f"{self._show(child.path)}: a symlink to a directory that contains it")

    def _show(self, path: bytes) -> str:
        """The path in the file system, for messages."""
        return show(self._root.rstrip(b"/") + path.rstrip(b"/"))

    def _open(self, name: bytes, parent: Directory | None, path: bytes) -> Directory:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, dir_fd=None if parent is None else parent.fd)
        except OSError as error:
            raise BuildError(f"{self._show(path)}: {error.strerror}") from error
        try:
            status = os.fstat(fd)
            directory = Directory(fd, path, (status.st_dev, status.st_ino))
            with os.scandir(fd) as entries:
                for entry in entries:
                    self._classify(directory, entry)
            directory.keys.sort()
        except BaseException:
            os.close(fd)
            raise
        return directory

    def _classify(self, directory: Directory, entry: os.DirEntry[str]) -> None:
        name = os.fsencode(entry.name)
        if name.startswith(b".") and name != WELL_KNOWN and not self._options.dotfiles:
            return
        if entry.is_symlink():
            self._classify_symlink(directory, name)
        elif entry.is_dir(follow_symlinks=False):
            self._add_directory(directory, name)
        elif entry.is_file(follow_symlinks=False):
            directory.keys.append(name)
        else:
            self._warn(f"{self._show(directory.path + name)}: left out, no regular file")

    def _add_directory(self, directory: Directory, name: bytes) -> None:
        directory.keys += (name, name + b"/")
        directory.directories.add(name)

    def _classify_symlink(self, directory: Directory, name: bytes) -> None:
        shown = self._show(directory.path + name)
        if self._options.symlinks is Symlinks.SKIP:
            return
        try:
            # First, because it gives up on long chains of links, which realpath recurses into.
            status = os.stat(name, dir_fd=directory.fd)
        except OSError as error:
            raise BuildError(f"{shown}: a symlink that leads nowhere: {error.strerror}") from error
        try:
            real = os.path.realpath(b"/proc/self/fd/%d/%b" % (directory.fd, name))
        except OSError as error:
            # The kernel does not tell where a directory is whose path is longer than PATH_MAX.
            raise BuildError(f"{shown}: a symlink that is too deep: {error.strerror}") from error
        inside = real == self._real_root or real.startswith(self._real_root.rstrip(b"/") + b"/")
        if not inside:
            raise BuildError(f"{shown}: a symlink out of the tree, to {show(real)}")
        is_directory = stat.S_ISDIR(status.st_mode)
        if self._options.symlinks is Symlinks.REDIRECT:
            target = real[len(self._real_root.rstrip(b"/")) :] + (b"/" if is_directory else b"")
            directory.keys.append(name)
            directory.links[name] = encode_path(target)
        elif is_directory:
            self._add_directory(directory, name)
        elif stat.S_ISREG(status.st_mode):
            directory.keys.append(name)
        else:
            self._warn(f"{shown}: left out, no regular file")
