"""Reads a file of the tree once: its bytes for the writer, what they are for the header."""

import os
import stat
from collections.abc import Iterator
from typing import Final

from mkroot.beneath import reason
from mkroot.directory import Directory
from mkroot.errors import BuildError, show
from mkroot.media_types import MediaType, MediaTypes, Utf8Check
from mkroot.remarks import Remarks

CHUNK_BYTES: Final = 1 << 20
# What is looked at to tell a media type.
_HEAD_BYTES: Final = 1 << 16


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Content:
    """A regular file's bytes, to be taken once, and then its media type."""

    def __init__(
        self, directory: Directory, name: bytes, types: MediaTypes, remarks: Remarks
    ) -> None:
        """Read nothing yet."""
        self._directory = directory
        self._name = name
        self._path = directory.path[1:] + name
        self._types = types
        self._remarks = remarks
        self._head = b""
        self._utf8: Utf8Check | None = None
        self._media_type: MediaType | None = None
        # Seconds since the epoch; known once the first chunk was taken.
        self.modified = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the content.

        Raises BuildError where the file cannot be read, or is not the same at the end as at the
        beginning.
        """
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
        self.modified = before.st_mtime_ns // 1_000_000_000
        length = 0
        while chunk := os.read(fd, CHUNK_BYTES):
            if length == 0:
                self._begin(chunk[:_HEAD_BYTES])
            if self._utf8 is not None:
                self._utf8.feed(chunk)
            length += len(chunk)
            if length > before.st_size:
                # It may grow faster than it can be read.
                break
            yield chunk
        if length == 0:
            self._begin(b"")
        if _state(os.fstat(fd)) != _state(before) or length != before.st_size:
            raise BuildError(f"{show(self._path)}: changed while it was read")

    def _begin(self, head: bytes) -> None:
        self._head = head
        if self._types.needs_utf8_check(self._path, head):
            self._utf8 = Utf8Check()

    def may_compress(self) -> bool:
        """Tell from the first chunk whether the content is of a type that compresses."""
        is_utf8 = None if self._utf8 is None else True
        return self._types.classify(self._path, self._head, is_utf8).compressible

    def media_type(self) -> MediaType:
        """Return what the content is; only after all chunks were taken."""
        if self._media_type is None:
            self._media_type = self._classify()
        return self._media_type

    def _classify(self) -> MediaType:
        is_utf8 = None if self._utf8 is None else self._utf8.valid()
        media_type = self._types.classify(self._path, self._head, is_utf8)
        self._remarks.look(self._path, self._head, media_type)
        return media_type
