"""Finds files that are coded copies of the file beside them: `X.gz` of `X`, if it unpacks to it."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

from mkroot.beneath import reason
from mkroot.content import Content
from mkroot.decode import DecodeError, decode
from mkroot.directory import Directory
from mkroot.encoded import GivenCopy
from mkroot.errors import BuildError, show

_SUFFIXES: Final = {b"gz": "gzip", b"br": "br", b"zst": "zstd"}


@dataclass(slots=True)
class Plain:
    """A file that has copies beside it, and these by their names."""

    content: Content
    copies: dict[bytes, GivenCopy] = field(default_factory=dict)


def find_copies(
    directory: Directory, take: Callable[[bytes], Content], warn: Callable[[str], None]
) -> dict[bytes, Plain]:
    """Return the files of a directory that have copies beside them, by name.

    `take` gives a file's content by its name. What is read at random places has no copies, so
    `a.tar.gz` beside `a.tar` stays what it is; so does a file with a coding of its own, and one of
    which a rule says that it is in none. `warn` is
    told of a file that is named like a copy and is none. Both files are read, up to where they
    differ. Raises BuildError.
    """
    found: dict[bytes, Plain] = {}
    copies: set[bytes] = set()
    # In ascending order, so that `a.gz` is known for a copy of `a` when `a.gz.br` comes.
    for name, _is_directory in directory.children():
        stem, _dot, suffix = name.rpartition(b".")
        coding = _SUFFIXES.get(suffix)
        if coding is None or stem in copies or not _is_served(directory, name):
            continue
        if not stem or not _is_served(directory, stem):
            continue
        content, copy = take(stem), take(name)
        if content.has_coding or copy.has_rule:
            continue
        try:
            if _is_copy(content, copy, coding):
                plain = found.setdefault(stem, Plain(content))
                plain.copies[name] = GivenCopy(coding, copy.raw_chunks)
                copies.add(name)
        except DecodeError as error:
            path = show(directory.path[1:] + name)
            warn(f"{path}: {error}, so it is no copy of {show(stem)} and has a URL of its own")
    return found


def leads_to_copy(
    directory: Directory, name: bytes, make: Callable[[Directory, bytes], Content]
) -> bool:
    """Whether a symlink to a file leads to one that is a copy beside another, and no URL.

    `make` gives a file's content by its directory and name. Raises BuildError.
    """
    link = directory.links.get(name)
    if link is None or not link.is_file:
        return False
    parent, _slash, last = link.path.rpartition(b"/")
    if last.rpartition(b".")[2] not in _SUFFIXES:
        return False
    try:
        with directory.root.opened(parent) as level:
            path = b"/" + parent + b"/" * bool(parent)
            place = Directory(directory.root, level, path, redirects=directory.redirects)
            place.keys = sorted(_regular_files(level.fd, last))
            found = find_copies(place, partial(make, place), lambda _warning: None)
    except OSError as error:
        raise BuildError(f"{show(link.path)}: {reason(error)}") from error
    return any(last in plain.copies for plain in found.values())


def _regular_files(fd: int, name: bytes) -> Iterator[bytes]:
    """Yield a name, and those that are left of it without its suffixes, which are of files."""
    suffix: bytes | None = b""
    while name and suffix is not None:
        with suppress(FileNotFoundError):
            if stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                yield name
        name, _dot, last = name.rpartition(b".")
        suffix = last if last in _SUFFIXES else None


def _is_served(directory: Directory, name: bytes) -> bool:
    """Whether a name is a file with a body, and no redirect to one."""
    return directory.has_file(name) and directory.maybe_destination(name) is None


def _is_copy(content: Content, copy: Content, coding: str) -> bool:
    """Whether `copy` is one; raises DecodeError where it should be and is not."""
    chunks = content.raw_chunks()
    first = next(chunks, b"")
    return not content.is_read_at_random(first) and _are_equal(
        chain([first], chunks), decode(copy.raw_chunks(), coding, bounded=False)
    )


def _are_equal(chunks: Iterator[bytes], pieces: Iterator[bytes]) -> bool:
    """True where both are the same bytes, else DecodeError.

    No piece is taken behind the first that is not in `chunks`, which bounds how much is unpacked.
    """
    ahead = b""
    for piece in pieces:
        while len(ahead) < len(piece) and (more := next(chunks, b"")):
            ahead += more
        if not ahead.startswith(piece):
            raise DecodeError("unpacks to something else")
        ahead = ahead[len(piece) :]
    if ahead or next(chunks, b""):
        raise DecodeError("unpacks to something else")
    return True
