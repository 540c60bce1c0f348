"""Says when a file's first bytes contradict its media type; knows bytes, not files or suffixes.

A photo saved under another format's suffix, a Git LFS pointer committed for an image, an error
page downloaded as a font: the type follows the suffix all the same, and the builder warns.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from re import Match
from typing import Final

from mkroot.encoded import exact_glob
from mkroot.errors import show
from mkroot.media_types import MediaType
from mkroot.sniff import looks_like_page, looks_like_text

# ISO base media files (ISO/IEC 14496-12) all start with a box; QuickTime may lack `ftyp`.
_FTYP = rb".{4}ftyp"
_RIFF = rb"RIFF.{4}"

# Patterns match at the first byte. Formats without a reliable signature (raw audio, TGA) and those
# that are XML are missing on purpose: a warning that is wrong teaches people to ignore warnings.
_PATTERNS: Mapping[str, bytes] = {
    "application/gzip": rb"\x1f\x8b",
    "application/pdf": rb".{0,1020}?%PDF-",  # readers look for it in the first 1024 bytes
    "application/wasm": rb"\0asm",
    "application/zip": rb"PK(?:\x03\x04|\x05\x06|\x07\x08)",
    "audio/aac": rb"\xff[\xf0-\xf9]|ADIF|ID3",
    "audio/flac": rb"fLaC|ID3",
    "audio/mp4": _FTYP,
    "audio/mpeg": rb"\xff[\xe2-\xff]|ID3",
    "audio/ogg": rb"OggS",
    "audio/wav": rb"(?:RIFF|RF64).{4}WAVE",
    "audio/webm": rb"\x1a\x45\xdf\xa3",
    "font/collection": rb"ttcf",
    "font/otf": rb"OTTO|\0\x01\0\0",
    "font/ttf": rb"\0\x01\0\0|true|OTTO",
    "font/woff": rb"wOFF",
    "font/woff2": rb"wOF2",
    "image/apng": rb"\x89PNG\r\n\x1a\n",
    "image/avif": _FTYP,
    "image/bmp": rb"BM",
    "image/gif": rb"GIF8[79]a",
    "image/heic": _FTYP,
    "image/jp2": rb"\0\0\0\x0cjP  \r\n\x87\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/jxl": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/tiff": rb"II[*+]\0|MM\0[*+]",
    "image/vnd.microsoft.icon": rb"\0\0[\x01\x02]\0|\x89PNG\r\n\x1a\n",
    "image/webp": _RIFF + rb"WEBP",
    "video/mp4": _FTYP,
    "video/ogg": rb"OggS",
    "video/quicktime": rb".{4}(?:ftyp|moov|mdat|free|skip|wide|pnot)",
    "video/webm": rb"\x1a\x45\xdf\xa3",
    "video/x-matroska": rb"\x1a\x45\xdf\xa3",
    "video/x-msvideo": _RIFF + rb"AVI ",
}

_SIGNATURES: Mapping[str, Callable[[bytes], Match[bytes] | None]] = {
    essence: re.compile(pattern, re.DOTALL).match for essence, pattern in _PATTERNS.items()
}

# HTML section 13.2.3.2: a declaration counts when it ends within the first 1024 bytes.
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset", re.IGNORECASE)
_PRESCAN_BYTES = 1024
_SHOWN_BYTES = 8


GZIP: Final = b"\x1f\x8b\x08"  # RFC 1952 section 2.3.1, with the one method there is
# Types that clients of the web decode, and whose files are gzip inside all the same: worlds
# in VRML are written so by custom.
_GZIP_INSIDE = frozenset({"model/vrml"})
_DECODED = ("text/", "image/", "audio/", "video/", "font/")
_PAGES = frozenset({"text/html", "application/xhtml+xml"})


def is_unlabelled_gzip(head: bytes, media: MediaType) -> bool:
    """Whether a file begins as gzip and is served as a type that is of use unpacked only.

    That is what clients of the web decode: text and what compresses, images, fonts and media. Of
    others, many are gzip by definition (packages, documents, saved games), and their programs
    unpack them.
    """
    is_decoded = media.compressible or media.essence.startswith(_DECODED)
    return head.startswith(GZIP) and is_decoded and media.essence not in _GZIP_INSIDE


def is_hidden_page(head: bytes, media: MediaType) -> bool:
    """Whether a whole HTML page is served as something else, unless the operator said so."""
    return media.essence not in _PAGES and media.verbatim is None and looks_like_page(head)


def maybe_warning(path: bytes, head: bytes, media: MediaType) -> str | None:
    """A sentence about what does not fit in a file served as `media`, or None.

    `path` only names the file in the sentence; `head` is the first up to 64 KiB of the content.
    Two things are noticed: binary formats without their signature, and HTML that is not UTF-8 and
    does not say what it is. About 0.3 µs for a file that is what its suffix says.
    """
    matches = _SIGNATURES.get(media.essence)
    if matches is not None and not matches(head):
        return (
            f"{show(path)}: served as {media.essence}, but {_describe_head(head)}"
            f"{_way_out(path, 'TYPE', media)}"
        )
    if media.essence == "text/html" and media.charset is None and not _declares_charset(head):
        return (
            f"{show(path)}: HTML that is not UTF-8 and names no charset in its first"
            f" {_PRESCAN_BYTES} bytes; each browser will guess"
            f"{_way_out(path, 'text/html; charset=NAME', media)}"
        )
    return None


def _declares_charset(head: bytes) -> bool:
    """Whether a browser finds the encoding of HTML in the document itself (a BOM or a meta)."""
    return (
        head.startswith((b"\xff\xfe", b"\xfe\xff"))
        or _META_CHARSET.search(head, 0, _PRESCAN_BYTES) is not None
    )


def _describe_head(head: bytes) -> str:
    """What the first bytes are, in words that follow "but"."""
    if not head:
        return "is empty"
    for essence, matches in _SIGNATURES.items():
        if matches(head):
            return f"has the signature of {essence}"
    if looks_like_text(head):
        return "is text"
    return f"starts with the bytes {head[:_SHOWN_BYTES].hex(' ')}"


def _way_out(path: bytes, value: str, media: MediaType) -> str:
    """Name the option that changes the type, unless the operator has used it for this file."""
    if media.verbatim is not None:
        return ""
    rule = shlex.quote(f"{show(exact_glob(path))}={value}")
    return f" (--type {rule} says what it is)"
