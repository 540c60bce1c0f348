"""Reads a file of the tree once: its bytes for the writer, what they are for the header."""

import os
import shlex
import stat
from collections.abc import Iterator
from itertools import chain
from typing import Final

from mkroot.beneath import reason
from mkroot.decode import DecodeError, decode
from mkroot.directory import Directory
from mkroot.encoded import EncodedRules, GivenCopy, exact_glob, inner_name
from mkroot.errors import BuildError, show
from mkroot.media_types import MediaType, MediaTypes, Utf8Check
from mkroot.remarks import Remarks
from mkroot.signatures import GZIP

CHUNK_BYTES: Final = 1 << 20
# What is looked at to tell a media type.
_HEAD_BYTES: Final = 1 << 16


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Content:
    """A regular file's bytes, to be taken once, and then its media type.

    Of a file in a coding the content is what its bytes stand for, and they are a copy of it.
    """

    def __init__(
        self,
        directory: Directory,
        name: bytes,
        types: MediaTypes,
        remarks: Remarks,
        encoded: EncodedRules,
    ) -> None:
        """Read nothing yet."""
        self._directory = directory
        self._name = name
        self._path = directory.path[1:] + name
        self._types = types
        self._remarks = remarks
        self._coding = encoded.maybe_coding(self._path)
        # Whether a rule says what the file is, be it in no coding.
        self.has_rule = encoded.maybe_rule(self._path) is not None
        # Whether the name speaks of a coding that the file is not in.
        self._is_plain = False
        # What tells the type: the operator's word on the name, else the name inside of a coded one.
        inside = self._coding is not None and not types.is_overridden(self._path)
        self._typed_path = inner_name(self._path) if inside else self._path
        self._head = b""
        self._utf8: Utf8Check | None = None
        self._media_type: MediaType | None = None
        self._state: tuple[int, int, int] | None = None
        # Seconds since the epoch; known once the first chunk was taken.
        self.modified = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the content.

        Raises BuildError where the file cannot be read, is not the same at the end as at the
        beginning, or not in its coding.
        """
        began = False
        for chunk in self._decoded():
            if not began:
                self._begin(chunk[:_HEAD_BYTES])
                began = True
            if self._utf8 is not None:
                self._utf8.feed(chunk)
            yield chunk
        if not began:
            self._begin(b"")

    def _decoded(self) -> Iterator[bytes]:
        chunks = self.raw_chunks()
        first = next(chunks, b"")
        coding = self._coding
        if coding and not (coding.is_certain or first.startswith(GZIP)):
            coding = self._coding = None
            self._is_plain = True
        if coding is None:
            yield from filter(None, chain([first], chunks))
            return
        try:
            yield from decode(chain([first], chunks), coding.name)
        except DecodeError as error:
            rule = shlex.quote(f"{show(exact_glob(self._path))}=identity")
            raise BuildError(
                f"{show(self._path)}: {error}; --encoded {rule} takes it as it is, if it stands "
                "behind the other --encoded"
            ) from error

    def given_copies(self) -> tuple[GivenCopy, ...]:
        """Return the copy that the file itself is, where it is in a coding; after all chunks."""
        return (GivenCopy(self._coding.name, self.raw_chunks),) if self._coding else ()

    @property
    def has_coding(self) -> bool:
        """Whether the file is, by its name, in a coding."""
        return self._coding is not None

    def is_read_at_random(self, start: bytes) -> bool:
        """Tell from the first bytes, before anything is taken, whether there may be no copies."""
        return self._types.classify(self._path, start[:_HEAD_BYTES], None).random_access

    def raw_chunks(self) -> Iterator[bytes]:
        """Yield the file's bytes as they are, as often as is asked; raises BuildError."""
        try:
            fd = self._directory.open_file(self._name)
            try:
                yield from self._read(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise BuildError(f"{show(self._path)}: {reason(error)}") from error

    def _read(self, fd: int) -> Iterator[bytes]:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise BuildError(f"{show(self._path)}: not a regular file any more")
        if self._state not in (None, _state(before)):
            raise BuildError(f"{show(self._path)}: changed while it was read")
        self._state = _state(before)
        self.modified = before.st_mtime_ns // 1_000_000_000
        length = 0
        while chunk := os.read(fd, CHUNK_BYTES):
            length += len(chunk)
            if length > before.st_size:
                # It may grow faster than it can be read.
                break
            yield chunk
        if _state(os.fstat(fd)) != _state(before) or length != before.st_size:
            raise BuildError(f"{show(self._path)}: changed while it was read")

    def _begin(self, head: bytes) -> None:
        self._head = head
        if self._types.needs_utf8_check(self._typed_path, head):
            self._utf8 = Utf8Check()

    def may_compress(self) -> bool:
        """Tell from the first chunk whether copies of the content are to be made.

        What is plain under the name of a coding has none: a copy in that coding stands for a file
        that was in it, also for a user who extracts it.
        """
        if self._is_plain:
            return False
        is_utf8 = None if self._utf8 is None else True
        return self._types.classify(self._typed_path, self._head, is_utf8).compressible

    def media_type(self) -> MediaType:
        """Return what the content is; only after all chunks were taken."""
        if self._media_type is None:
            self._media_type = self._classify()
        return self._media_type

    def _classify(self) -> MediaType:
        is_utf8 = None if self._utf8 is None else self._utf8.valid()
        media_type = self._types.classify(self._typed_path, self._head, is_utf8)
        self._remarks.look(self._path, self._head, media_type)
        return media_type
