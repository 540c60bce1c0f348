"""Content codings from the reader's side."""

import gzip
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODE: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": zstd.decompress,
}
