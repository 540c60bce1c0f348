"""Where the body of a request ends: by its length, or in chunks that are strictly parsed."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import pytest

from ashttpd.http.errors import HTTPError
from ashttpd.http.framing import MAX_CHUNK_LINE_BYTES, Body, body_of
from fuzz.fakes import bytewise

LIMIT: Final = 100_000
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
        b"1\r\nx\r\n" * (LIMIT // 6 + 1),
        b"0\r\n" + b"a: bcdefg\r\n" * (LIMIT // 11 + 1),
    ],
)
def test_chunks_and_trailers_beyond_the_limit_are_413(stream: bytes, split: Split) -> None:
    with pytest.raises(HTTPError) as caught:
        end_of(body_of(b"chunked", LIMIT), split(stream))
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert end_of(body_of(b"chunked", len(stream)), split(stream)) is None
