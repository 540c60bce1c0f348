"""Unpacking: what a coding stands for, whole or not at all, and within bounds."""

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkroot.decode import FREE_DECODED_BYTES, MAX_RATIO, DecodeError, decode
from mkroot.encode import CODINGS
from tests.decoders import DECODE

TEXT = b"".join(b"%d\n" % number**3 for number in range(20_000))


_REASONS = "has bytes behind the end of its|is damaged or no|does not begin as"


def cut(data: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def zeros_in(coding: str, megabytes: int) -> bytes:
    """So many zeros, packed without ever being there."""
    if coding == "br":
        packer = brotli.Compressor(quality=5)
        pieces = [packer.process(bytes(1 << 20)) for _ in range(megabytes)]
        return b"".join((*pieces, packer.finish()))
    if coding == "gzip":
        deflater = zlib.compressobj(9, wbits=31)
        packed = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(megabytes))
        return packed + deflater.flush()
    return CODINGS[coding](bytes(megabytes << 20))


@lru_cache(8)
def packed_in(coding: str, data: bytes) -> bytes:
    """Return data in a coding; brotli takes a tenth of a second for the text."""
    return CODINGS[coding](data)


@pytest.mark.parametrize("coding", CODINGS)
@given(data=st.binary(max_size=2000) | st.just(TEXT), size=st.integers(1, 3000))
def test_what_was_packed_comes_out_however_it_is_cut(coding: str, data: bytes, size: int) -> None:
    packed = packed_in(coding, data)
    assert b"".join(decode(cut(packed, size), coding)) == data == DECODE[coding](packed)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-1],
        lambda packed: packed[: len(packed) // 2],
        lambda packed: b"",
        lambda packed: packed + b"\0",
        lambda packed: packed * 2,
        lambda packed: b"plain text",
        lambda packed: b"\xff" + packed,
    ],
    ids=["short", "half", "empty", "long", "twice", "text", "shifted"],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_is_not_one_whole_stream_is_refused(
    coding: str, damage: Callable[[bytes], bytes], size: int
) -> None:
    packed = damage(CODINGS[coding](TEXT[:5000]))
    with pytest.raises(DecodeError, match=rf"^({_REASONS}) {coding}$|after [\d,]+ bytes$"):
        list(decode(cut(packed, size), coding))


@given(st.binary(max_size=300), st.sampled_from([*CODINGS]))
def test_any_bytes_are_unpacked_or_refused(data: bytes, coding: str) -> None:
    try:
        unpacked = b"".join(decode([data], coding))
    except DecodeError:
        return
    assert DECODE[coding](data) == unpacked


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_refused_with_its_numbers_and_never_held_in_memory(coding: str) -> None:
    packed = zeros_in(coding, 64)
    sizes: list[int] = []
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=f"{len(packed):,} bytes unpack to .* {MAX_RATIO} ti"):
            sizes.extend(map(len, decode([packed], coding)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert max(sizes) < 4 << 20
    assert FREE_DECODED_BYTES - (8 << 20) < sum(sizes) <= FREE_DECODED_BYTES
    assert peak < 12 << 20


@pytest.mark.parametrize("coding", CODINGS)
def test_a_small_file_may_unpack_to_any_number_of_times_its_size(coding: str) -> None:
    packed = zeros_in(coding, 16)
    assert len(packed) * MAX_RATIO < FREE_DECODED_BYTES
    assert sum(map(len, decode([packed], coding))) == FREE_DECODED_BYTES


def test_more_bytes_than_anybody_unpacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mkroot.decode.MAX_DECODED_BYTES", 100_000)
    data = random.Random(1).randbytes(200_000)
    with pytest.raises(DecodeError, match="unpacks to more than 100,000 bytes"):
        list(decode([gzip.compress(data)], "gzip"))
