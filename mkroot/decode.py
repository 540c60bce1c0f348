"""Unpacks what is in a coding already: strictly, in bounded memory, and never without end.

Strictly means: one gzip member, one brotli stream or one zstd frame, whole, with nothing behind it.
Of what has several, browsers decode the first.
"""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# A body that is larger was never meant to be unpacked by a client.
MAX_DECODED_BYTES: Final = 4 << 30
# The coded bytes may stand for so many times their number. Text reaches 20 and bitmaps 100; gzip's
# limit is 1,032, brotli and zstd have none that matters.
MAX_RATIO: Final = 200
# Up to here any ratio will do: an empty map tile, a file of zeros.
FREE_DECODED_BYTES: Final = 16 << 20
# What is unpacked at a time.
_PIECE_BYTES: Final = 1 << 20
# Decoders for the web need not take a larger window (RFC 9659 section 3).
_ZSTD_WINDOW_LOG: Final = 23


class DecodeError(Exception):
    """The bytes are not in the coding, or stand for more than is taken; the message says which."""


class _BehindError(Exception):
    """There are bytes behind the end."""


class _Decoder(Protocol):
    def feed(self, data: bytes) -> bytes:
        """Return about _PIECE_BYTES; no data asks for more of what came before."""

    def is_finished(self) -> bool:
        """Whether the end was seen. Data behind it has feed raise an error."""


class _Gzip:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def feed(self, data: bytes) -> bytes:
        piece = self._decoder.decompress(self._decoder.unconsumed_tail + data, _PIECE_BYTES)
        if self._decoder.unused_data:
            raise _BehindError
        return piece

    def is_finished(self) -> bool:
        return self._decoder.eof


class _Brotli:
    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()

    def feed(self, data: bytes) -> bytes:
        piece: bytes = self._decoder.process(data, output_buffer_limit=_PIECE_BYTES)
        return piece

    def is_finished(self) -> bool:
        return bool(self._decoder.is_finished())


class _Zstd:
    def __init__(self) -> None:
        options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
        self._decoder = zstd.ZstdDecompressor(options=options)

    def feed(self, data: bytes) -> bytes:
        piece = self._decoder.decompress(data, _PIECE_BYTES)
        if self._decoder.unused_data:
            raise _BehindError
        return piece

    def is_finished(self) -> bool:
        return self._decoder.eof


_DECODERS: Final[Mapping[str, Callable[[], _Decoder]]] = {
    "gzip": _Gzip,
    "br": _Brotli,
    "zstd": _Zstd,
}
# How each begins (RFC 1952 section 2.3.1, RFC 8878 section 3.1.1); brotli has no such bytes.
_MAGIC: Final[Mapping[str, bytes]] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_MAGIC_BYTES: Final = 4
_FAILURES: Final = (zlib.error, brotli.error, zstd.ZstdError)


def decode(chunks: Iterable[bytes], coding: str, *, bounded: bool = True) -> Iterator[bytes]:
    """Yield what chunks in `coding`, a name of mkroot.encode.CODINGS, stand for, in pieces.

    Raises DecodeError, also for more than MAX_DECODED_BYTES or MAX_RATIO times as many bytes;
    not so without `bounded`, where the caller knows how many there may be. About 300 MB of output
    a second.
    """
    decoder = _DECODERS[coding]()
    taken = given = 0
    start = b""
    for chunk in chunks:
        taken += len(chunk)
        start += chunk[: _MAGIC_BYTES - len(start)]
        try:
            for piece in _pieces(decoder, chunk):
                given += len(piece)
                if bounded:
                    _check_size(given, taken)
                yield piece
        except _BehindError as error:
            raise DecodeError(f"has bytes behind the end of its {coding}") from error
        except _FAILURES as error:
            # The words of the library say nothing to a user of ours.
            begins = start.startswith(_MAGIC.get(coding, b""))
            text = f"is damaged or no {coding}" if begins else f"does not begin as {coding}"
            raise DecodeError(text) from error
    if not decoder.is_finished():
        raise DecodeError(f"ends too early for {coding}, after {taken:,} bytes")


def _pieces(decoder: _Decoder, chunk: bytes) -> Iterator[bytes]:
    """Yield what a chunk adds: fed once, and then asked until there is nothing more."""
    while chunk or not decoder.is_finished():
        if decoder.is_finished():
            raise _BehindError
        piece = decoder.feed(chunk)
        chunk = b""
        if not piece:
            return
        yield piece


def _check_size(given: int, taken: int) -> None:
    if given > MAX_DECODED_BYTES:
        raise DecodeError(f"unpacks to more than {MAX_DECODED_BYTES:,} bytes")
    if given > max(FREE_DECODED_BYTES, MAX_RATIO * taken):
        raise DecodeError(
            f"{taken:,} bytes unpack to {given:,} and more, "
            f"which is more than {MAX_RATIO} times as much"
        )
