"""Walks a source directory in the order of its URLs, deciding what of it belongs to the site.

A child's place among its siblings is that of its URL: `a-b` before `a/`, and `a/` before `a0`. So
the walk gives paths in ascending order of their bytes without ever holding more than one
directory of each level. Directories are opened relative to their parents and never through a
symlink (`beneath`): no path is too long, and nothing outside of the source is ever read.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ashttpd.http.target import encode_path
from ashttpd.webroot.layout import parent_of
from mkroot.beneath import OutsideError, Root, Target, Trail, reason
from mkroot.directory import Directory
from mkroot.errors import BuildError, show
from mkroot.shortfalls import LeftOut

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
    LINK = "a symlink that becomes a redirect, or what lies below one"


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """What to leave out, and what to do with links."""

    symlinks: Symlinks = Symlinks.FOLLOW
    dotfiles: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One URL of the site; valid until the walk goes on. `location` is of links only.

    `name` is that of a child of `directory`, and empty where the node is `directory` itself.
    """

    kind: Kind
    path: bytes
    directory: Directory
    name: bytes
    location: bytes = b""


class Tree:
    """A source directory; `warn` is told what was left out that a user may miss."""

    def __init__(self, root: bytes, options: TreeOptions, warn: Callable[[str], None]) -> None:
        """Look at nothing yet."""
        self._root = root
        self._options = options
        self._warn = warn
        # Names that are left out on purpose; they are counted, and no warning.
        self.left_out = LeftOut()

    def walk(self) -> Iterator[Node]:
        """Yield the nodes in ascending order of their paths.

        Raises BuildError for what is refused and for what cannot be read.
        """
        try:
            root = Root(self._root)
        except OSError as error:
            raise BuildError(f"{show(self._root)}: {error.strerror}") from error
        with closing(root), closing(Trail(root)) as trail:
            redirects = self._options.symlinks is Symlinks.REDIRECT
            yield from _Walk(self, root, trail, redirects).nodes()

    def show(self, path: bytes) -> str:
        """Return a canonical path for messages: below the root, as globs have it."""
        return show(path.strip(b"/") or self._root)

    def read(self, directory: Directory) -> None:
        """Read a directory's names, and decide what becomes of each; raises OSError."""
        with os.scandir(directory.level.fd) as entries:
            for entry in entries:
                self._classify(directory, entry)
        directory.keys.sort()

    def _classify(self, directory: Directory, entry: os.DirEntry[str]) -> None:
        name = os.fsencode(entry.name)
        if self._is_left_out(name):
            # What redirects only is counted where it redirects to.
            if directory.real is None:
                self.left_out.add_dot_name(name)
        elif entry.is_symlink():
            self._classify_symlink(directory, name)
        elif entry.is_dir(follow_symlinks=False):
            _add_directory(directory, name)
        elif entry.is_file(follow_symlinks=False):
            directory.keys.append(name)
        else:
            self._say_of(
                directory, f"{self.show(directory.path + name)}: left out, no regular file"
            )

    def _say_of(self, directory: Directory, warning: str) -> None:
        """Warn of a child, once, and not again where its directory is behind a redirect."""
        if directory.real is None:
            self._warn(warning)

    def _is_left_out(self, name: bytes) -> bool:
        return name.startswith(b".") and name != WELL_KNOWN and not self._options.dotfiles

    def _classify_symlink(self, directory: Directory, name: bytes) -> None:
        shown = self.show(directory.path + name)
        if self._options.symlinks is Symlinks.SKIP:
            self.left_out.add_symlink()
            return
        target = self._find(directory, name, shown)
        if target.is_directory:
            _add_directory(directory, name)
        elif target.is_file:
            directory.keys.append(name)
        else:
            self._say_of(directory, f"{shown}: left out, no regular file")
            return
        directory.links[name] = target
        left_out = any(self._is_left_out(part) for part in target.path.split(b"/"))
        if directory.redirects and left_out:
            self._say_of(
                directory,
                f"{shown}: a redirect to {show(b'/' + target.path)}, which is left out; "
                "--dotfiles takes it",
            )

    def _find(self, directory: Directory, name: bytes, shown: str) -> Target:
        try:
            return directory.root.find(name, directory.level.fd)
        except OutsideError as error:
            raise BuildError(f"{shown}: a symlink out of the tree, to {show(error.path)}") from None
        except OSError as error:
            raise BuildError(f"{shown}: {_not_found(error)}") from error


def _add_directory(directory: Directory, name: bytes) -> None:
    directory.keys += (name, name + b"/")
    directory.directories.add(name)


def _not_found(error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return f"a symlink that is too deep: {error.strerror}"
    through_proc = ", or one of /proc to what a process has open" * (error.errno == errno.ELOOP)
    return f"a symlink that leads nowhere: {error.strerror}{through_proc}"


class _Walk:
    """One walk over a tree: the directories from its top to the one that is being read."""

    def __init__(self, tree: Tree, root: Root, trail: Trail, redirects: bool) -> None:
        self._tree = tree
        self._root = root
        self._trail = trail
        self._redirects = redirects
        self._stack: list[tuple[Directory, Iterator[bytes]]] = []
        # What no directory below may be, or the walk would not end.
        self._identities: set[tuple[int, int]] = set()
        # How many symlinks that become redirects lead to the directory that is being read. Below
        # the second one a directory is entered once until the first one is left: directories that
        # link to each other have as many ways through them as there are orders of them.
        self._links = 0
        self._entered: set[tuple[int, int]] = set()

    def nodes(self) -> Iterator[Node]:
        yield self._push(Directory(self._root, self._trail.last, b"/", None, self._redirects))
        while self._stack:
            directory, keys = self._stack[-1]
            key = next(keys, None)
            if key is None:
                self._pop()
            elif key.endswith(b"/"):
                yield self._descend(directory, key)
            else:
                yield _leaf(directory, key)

    def _descend(self, parent: Directory, key: bytes) -> Node:
        """Go into a directory, unless redirects lead to it once more."""
        name = key[:-1]
        path = parent.path + key
        link = parent.links.get(name)
        real = parent.maybe_destination(name)
        try:
            level = self._trail.enter(name, None if link is None else link.path)
        except OSError as error:
            raise BuildError(f"{self._tree.show(path)}: {reason(error)}") from error
        child = Directory(self._root, level, path, real, self._redirects)
        if not self._is_known(child):
            return self._push(child)
        if real is None:
            raise BuildError(f"{self._tree.show(path)}: a symlink to a directory that contains it")
        self._leave(parent)
        return Node(Kind.LINK, path, parent, b"", encode_path(real))

    def _push(self, directory: Directory) -> Node:
        try:
            self._tree.read(directory)
        except OSError as error:
            raise BuildError(f"{self._tree.show(directory.path)}: {error.strerror}") from error
        self._stack.append((directory, iter(directory.keys)))
        if self._holds(directory):
            self._identities.add(directory.level.identity)
        self._links += _is_redirected(directory)
        if self._links > 1:
            self._entered.add(directory.level.identity)
        if directory.real is not None:
            return Node(Kind.LINK, directory.path, directory, b"", encode_path(directory.real))
        return Node(Kind.DIRECTORY, directory.path, directory, b"")

    def _pop(self) -> None:
        directory, _keys = self._stack.pop()
        if self._holds(directory):
            self._identities.remove(directory.level.identity)
        self._links -= _is_redirected(directory)
        if self._links == 0:
            self._entered.clear()
        self._leave(directory)

    def _leave(self, directory: Directory) -> None:
        try:
            self._trail.leave()
        except OSError as error:
            path = self._tree.show(parent_of(directory.path))
            raise BuildError(f"{path}: {reason(error)}") from error

    def _is_known(self, directory: Directory) -> bool:
        """Whether the walk is in it, or was in it below two redirects that it is still below."""
        identity = directory.level.identity
        is_below_two = self._links + _is_redirected(directory) > 1
        return identity in self._identities or (is_below_two and identity in self._entered)

    def _holds(self, directory: Directory) -> bool:
        """Whether the walk may not enter it once more below itself.

        Where symlinks become redirects, a symlink to a directory around it is entered once.
        """
        return directory.real is not None or not self._redirects


def _is_redirected(directory: Directory) -> bool:
    """Whether it is entered by a symlink that becomes a redirect."""
    return directory.real is not None and directory.level.target is not None


def _leaf(directory: Directory, name: bytes) -> Node:
    path = directory.path + name
    destination = directory.maybe_destination(name)
    if destination is not None:
        return Node(Kind.LINK, path, directory, name, encode_path(destination))
    kind = Kind.SLASHLESS if name in directory.directories else Kind.FILE
    return Node(kind, path, directory, name)
