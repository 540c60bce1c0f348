"""Finds files that are coded copies of the file beside them: `X.gz` of `X`, if it unpacks to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from mkroot.content import Content
from mkroot.decode import DecodeError, decode
from mkroot.directory import Directory
from mkroot.encoded import GivenCopy
from mkroot.errors import show

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
    `a.tar.gz` beside `a.tar` stays what it is; so does a file with a coding of its own. `warn` is
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
        if content.has_coding or copy.has_coding:
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


def _is_served(directory: Directory, name: bytes) -> bool:
    """Whether a name is a file with a body, and no redirect to one."""
    return directory.has_file(name) and directory.maybe_destination(name) is None


def _is_copy(content: Content, copy: Content, coding: str) -> bool:
    """Whether `copy` is one; raises DecodeError where it should be and is not."""
    chunks = content.raw_chunks()
    first = next(chunks, b"")
    return not content.is_read_at_random(first) and _are_equal(
        chain([first], chunks), decode(copy.raw_chunks(), coding)
    )


def _are_equal(chunks: Iterator[bytes], pieces: Iterator[bytes]) -> bool:
    """True where both are the same bytes, else DecodeError."""
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
