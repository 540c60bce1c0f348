"""Where the body of a request ends: by its length, or in chunks that are strictly parsed."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import pytest

from ashttpd.http.errors import HTTPError
from ashttpd.http.framing import MAX_CHUNK_LINE_BYTES, MAX_FRAMING_BYTES, Body, body_of
from fuzz.fakes import bytewise

LIMIT: Final = 100_000
CHUNK: Final = b"64\r\n" + b"x" * 100 + b"\r\n"
BEHIND: Final = b"0\r\n\r\nGET"


def end_of(body: Body, pieces: list[bytes]) -> int | None:
    """Return how many bytes a body takes of a stream in pieces, or None if it wants more."""
    before = 0
    for piece in pieces:
        end = body.skip(piece, 0)
        if end is not None:
            return before + end
        before += len(piece)
    return None


splits = pytest.mark.parametrize(
    "split", [bytewise, lambda data: [data]], ids=["bytewise", "whole"]
)
Split = Callable[[bytes], list[bytes]]

GOOD: Final = [
    b"0\r\n\r\n",
    b"000\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    b"2\r\n\r\n\r\n0\r\n\r\n",
    b"0000000000000001\r\nx\r\n0\r\n\r\n",
    b'1;a;b=c ; d\t=\t"e;\\"f"\r\nx\r\n0;z\r\n\r\n',
    b"0\r\na: b\r\nEmpty:\r\n\r\n",
    b"0;" + b"x" * (MAX_CHUNK_LINE_BYTES - 4) + b"\r\n\r\n",
]
BAD: Final = [
    b"\r\n",
    b"x\r\n",
    b"0x1\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b" 1\r\n",
    b"1 \r\n",
    b"1;\r\n",
    b"1;a=\r\n",
    b'1;a="b\r\n',
    b"1,2\r\n",
    b"1\n",
    b"1\r\r\n",
    b"00000000000000001\r\n",
    b"1\r\nxy\r\n",
    b"1\r\nx\n",
    b"1\r\nx0\r\n",
    b"0\r\na\r\n",
    b"0\r\na : b\r\n",
    b"0\r\n a: b\r\n",
    b"0\r\na: \0\r\n",
    b"0\r\na: b\n",
    b"0;" + b"x" * (MAX_CHUNK_LINE_BYTES - 3) + b"\r\n",
    b"0" * (MAX_CHUNK_LINE_BYTES + 1),
]


@splits
@pytest.mark.parametrize("length", [1, 5, 99_999, LIMIT])
def test_a_body_with_a_length_ends_behind_it(length: int, split: Split) -> None:
    stream = b"x" * length
    assert end_of(body_of(b"%d" % length, LIMIT), split(stream)) == length
    assert end_of(body_of(b"%d" % length, LIMIT), split(stream + BEHIND)) == length
    assert end_of(body_of(b"%d" % length, LIMIT), split(stream[:-1])) is None


@splits
@pytest.mark.parametrize("stream", GOOD)
def test_a_body_in_chunks_ends_behind_its_last_line(stream: bytes, split: Split) -> None:
    assert end_of(body_of(b"chunked", LIMIT), split(stream)) == len(stream)
    assert end_of(body_of(b"chunked", LIMIT), split(stream + BEHIND)) == len(stream)
    assert end_of(body_of(b"chunked", LIMIT), split(stream[:-1])) is None


@splits
@pytest.mark.parametrize("stream", BAD)
def test_what_is_no_chunk_and_no_trailer_is_400(stream: bytes, split: Split) -> None:
    with pytest.raises(HTTPError) as caught:
        end_of(body_of(b"chunked", LIMIT), split(stream))
    assert caught.value.status == HTTPStatus.BAD_REQUEST


@splits
@pytest.mark.parametrize(
    ("start", "line", "count"),
    [
        # Five bytes for each byte of data, and for sixteen of them one more is allowed.
        (b"", b"1\r\nx\r\n", MAX_FRAMING_BYTES * 16 // (5 * 16 - 1)),
        (b"", b"50\r\n" + b"x" * 80 + b"\r\n", MAX_FRAMING_BYTES - 4),
        (b"", b"1;" + b"a" * 1000 + b"\r\nx\r\n", MAX_FRAMING_BYTES // 1006),
        (b"", b"1" + b";a=b" * 500 + b"\r\nx\r\n", MAX_FRAMING_BYTES // 2005),
        (b"0\r\n", b"a:\r\n", (MAX_FRAMING_BYTES - 5) // 4),
        (b"0\r\n", b"a: " + b"b" * 4_000 + b"\r\n", 2),
    ],
    ids=["one byte", "80 bytes", "an extension", "extensions", "trailers", "long trailers"],
)
def test_more_framing_than_data_allows_is_413(
    start: bytes, line: bytes, count: int, split: Split
) -> None:
    end = b"\r\n" if start else b"0\r\n\r\n"
    few = start + line * (count - 1)
    assert end_of(body_of(b"chunked", 1 << 20), split(few + end)) == len(few + end)
    with pytest.raises(HTTPError) as caught:
        end_of(body_of(b"chunked", 1 << 20), split(start + line * (count + 2)))
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_chunks_of_a_hundred_bytes_are_read_in_any_number() -> None:
    stream = CHUNK * ((1 << 20) // len(CHUNK) - 1) + b"0\r\n\r\n"
    assert end_of(body_of(b"chunked", 1 << 20), [stream]) == len(stream)


def test_a_length_beyond_the_limit_is_413_before_a_byte_of_it() -> None:
    body_of(b"%d" % LIMIT, LIMIT)
    with pytest.raises(HTTPError) as caught:
        body_of(b"%d" % (LIMIT + 1), LIMIT)
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@splits
@pytest.mark.parametrize(
    "stream",
    [
        b"%x\r\n" % LIMIT + b"x" * LIMIT,
        CHUNK * (LIMIT // len(CHUNK) + 1),
        b"%x\r\n" % (LIMIT - 20) + b"x" * (LIMIT - 20) + b"\r\n0\r\na: bcdefg\r\n",
    ],
)
def test_chunks_and_trailers_beyond_the_limit_are_413(stream: bytes, split: Split) -> None:
    with pytest.raises(HTTPError) as caught:
        end_of(body_of(b"chunked", LIMIT), split(stream))
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert end_of(body_of(b"chunked", len(stream)), split(stream)) is None
