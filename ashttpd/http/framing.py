"""Framing: where the body of a request ends (RFC 9112 sections 6 and 7).

Nobody asks for what such a body says; it is read so that the next request behind it is found.
"""

from http import HTTPStatus
from typing import Final, Protocol

from ashttpd.http.errors import HTTPError
from ashttpd.http.grammar import CHUNK_EXTENSION, CHUNK_SIZE, TRAILER_LINE

# Chunk extensions are hardly used and trailers are few; a whole line waits in memory.
MAX_CHUNK_LINE_BYTES: Final = 4_096
# A line costs a microsecond or two, however short: a megabyte of one-byte chunks took 0.3 s. So
# what frames the data (sizes, extensions, line ends, trailers) may have so many bytes, which is
# 1,600 chunks of one byte or some trailers,
MAX_FRAMING_BYTES: Final = 8_192
# and one more for so many bytes of data. A chunk takes five bytes or six, so chunks of 96 bytes are
# read in any number, and of 80 bytes, a line of text each, 8,000. A megabyte takes 20 ms then.
DATA_BYTES_PER_FRAMING_BYTE: Final = 16


class Body(Protocol):
    """The body of one request, read and thrown away."""

    def skip(self, data: bytes, start: int) -> int | None:
        """Take `data` from `start` on; returns where the body ends in it, or None if it goes on.

        Raises HTTPError: 400 for what is malformed, 413 for more than is read. The work is linear.
        """


class LengthBody:
    """A body with a Content-Length."""

    def __init__(self, length: int, limit: int) -> None:
        """Raise HTTPError 413 for more than `limit` bytes."""
        if length > limit:
            raise HTTPError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body of {length} bytes, more than {limit}"
            )
        self._left = length

    def skip(self, data: bytes, start: int) -> int | None:
        """See Body."""
        here = len(data) - start
        if here < self._left:
            self._left -= here
            return None
        return start + self._left


def _chunk_size(line: bytes) -> int:
    """Return the size that a chunk's first line says; extensions are passed over."""
    size = match = CHUNK_SIZE.match(line)
    while match is not None and match.end() < len(line):
        match = CHUNK_EXTENSION.match(line, match.end())
    if size is None or match is None:
        raise HTTPError(HTTPStatus.BAD_REQUEST, "a malformed chunk size or extension")
    return int(size[0], 16)


class ChunkedBody:
    """A body in chunks, with extensions and trailers; of at most `limit` bytes as it comes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Bytes as they came, and of the data in them.
        self._size = self._data_size = 0
        self._line = bytearray()
        # Bytes of a chunk's data that are still to come; then its line end, an empty line.
        self._left = 0
        self._in_data = False
        self._in_trailers = False

    def skip(self, data: bytes, start: int) -> int | None:
        """See Body."""
        while True:
            here = min(self._left, len(data) - start)
            self._left -= here
            self._data_size += here
            position = self._take_line(data, start + here)
            self._size += (len(data) if position is None else position) - start
            if self._size > self._limit:
                raise HTTPError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body of more than {self._limit} bytes"
                )
            if position is None:
                return None
            self._check_framing()
            line = bytes(self._line[:-2])
            self._line.clear()
            if self._judge(line):
                return position
            start = position

    def _check_framing(self) -> None:
        """Raise HTTPError 413 where a body is framed by too much; at the end of each line."""
        framing = self._size - self._data_size
        if framing > MAX_FRAMING_BYTES + self._data_size // DATA_BYTES_PER_FRAMING_BYTE:
            raise HTTPError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{framing} bytes that frame {self._data_size} bytes of data in chunks",
            )

    def _take_line(self, data: bytes, start: int) -> int | None:
        """Take what is here of a line; returns where the next one starts, or None."""
        end = data.find(b"\n", start, start + MAX_CHUNK_LINE_BYTES)
        self._line += data[start : end + 1 or start + MAX_CHUNK_LINE_BYTES]
        if len(self._line) > MAX_CHUNK_LINE_BYTES or (
            end < 0 and len(data) - start >= MAX_CHUNK_LINE_BYTES
        ):
            raise HTTPError(
                HTTPStatus.BAD_REQUEST,
                f"a line of more than {MAX_CHUNK_LINE_BYTES} bytes in a chunked body",
            )
        if end < 0:
            return None
        if not self._line.endswith(b"\r\n"):
            raise HTTPError(HTTPStatus.BAD_REQUEST, "a line that ends in LF without CR")
        return end + 1

    def _judge(self, line: bytes) -> bool:
        """Act on a whole line; returns whether the body ends with it."""
        if self._in_data:
            if line:
                raise HTTPError(HTTPStatus.BAD_REQUEST, "a chunk longer than its size")
            self._in_data = False
            return False
        if self._in_trailers:
            if line and not TRAILER_LINE.fullmatch(line):
                raise HTTPError(HTTPStatus.BAD_REQUEST, "a malformed trailer field")
            return not line
        self._left = _chunk_size(line)
        self._in_data = self._left > 0
        self._in_trailers = self._left == 0
        return False


def body_of(framing: bytes, limit: int) -> Body:
    """Return the body that a key's framing line announces: a length in digits, or `chunked`."""
    return ChunkedBody(limit) if framing == b"chunked" else LengthBody(int(framing), limit)
