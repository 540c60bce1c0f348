"""Makes the compressed copies of a body: on all processors, and only what is worth its place.

Content codings are those of RFC 9110 section 8.4.1 and RFC 8878 section 7.2. The same body gives
the same bytes as long as the libraries have the same versions: `versions` tells them.
"""

import os
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from typing import Final

import brotli
import deflate

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Below, a copy saves less than a header field costs.
MIN_BYTES: Final = 256
# A copy stays when it saves this much and this part of the body; a client pays for decoding it.
MIN_SAVED_BYTES: Final = 64
MIN_SAVED_PERCENT: Final = 5
# What is compressed waits in memory as a whole. What is larger is a download, and seldom text.
MAX_BYTES: Final = 64 << 20

_GZIP_LEVEL: Final = 9  # of libdeflate's 12: the last three cost ten times the time for 3 %
_BROTLI_QUALITY: Final = 11
# Quality 11 makes less than a megabyte a second; 9 ten times as much, for 10 % more bytes.
_BROTLI_FAST_QUALITY: Final = 9
_BROTLI_SLOW_BYTES: Final = 1 << 20
# Who takes zstd takes brotli, which is shorter; 19 would take eight times as long for 5 % less.
# From 20 on windows are larger than the 8 MiB that decoders have to take (RFC 9659 section 3).
_ZSTD_LEVEL: Final = 12


def _gzip(content: bytes) -> bytes:
    return bytes(deflate.gzip_compress(content, _GZIP_LEVEL))


def _br(content: bytes) -> bytes:
    quality = _BROTLI_QUALITY if len(content) <= _BROTLI_SLOW_BYTES else _BROTLI_FAST_QUALITY
    return bytes(brotli.compress(content, quality=quality))


def _zstd(content: bytes) -> bytes:
    return zstd.compress(content, _ZSTD_LEVEL)


# All of them release the interpreter's lock while they work.
CODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {"gzip": _gzip, "br": _br, "zstd": _zstd}


def versions() -> dict[str, str]:
    """Return the versions of what decides the bytes of copies, for a webroot's metadata."""
    return {"brotli": brotli.__version__, "deflate": version("deflate"), "zstd": zstd.zstd_version}


def is_worth_it(length: int, encoded_length: int) -> bool:
    """Tell whether a copy of a body of `length` bytes is kept."""
    saved = length - encoded_length
    return saved >= MIN_SAVED_BYTES and saved * 100 >= length * MIN_SAVED_PERCENT


class Encoder:
    """Encodes in as many threads as there are processors for us; to be closed."""

    def __init__(self, codings: Sequence[str]) -> None:
        """Make copies in these codings, names of CODINGS."""
        self._codings = codings
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "encoder")

    def submit(self, content: bytes, without: Container[str] = ()) -> dict[str, Future[bytes]]:
        """Begin to encode a body of at most MAX_BYTES; returns the copies to come by coding.

        None is made in a coding of `without`.
        """
        if len(content) < MIN_BYTES:
            return {}
        wanted = [name for name in self._codings if name not in without]
        return {name: self._pool.submit(CODINGS[name], content) for name in wanted}

    def close(self) -> None:
        """Begin nothing more, and wait for what has begun."""
        self._pool.shutdown(cancel_futures=True)
