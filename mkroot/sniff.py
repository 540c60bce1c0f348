"""What bytes alone say about a file's type, and how little of it may be believed.

Knows no file names and no table. Every answer is an essence ("image/png") or "cannot tell".
"""

import codecs
import re
from collections.abc import Mapping

# WHATWG MIME Sniffing section 3: bytes that no text holds, whatever its encoding. ESC is not among
# them, ISO-2022 text and coloured logs have it; neither is a form feed.
_BINARY_BYTES = bytes({*range(0x20)} - set(b"\t\n\x0c\r\x1b"))
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# What libmagic may decide alone: formats that run nothing in a browser. HTML, XML, SVG and scripts
# are missing on purpose: content that merely looks like them must never become active.
_SAFE_PREFIXES = (
    *("audio/", "font/", "image/", "video/"),
    *("application/vnd.oasis.opendocument.", "application/vnd.openxmlformats-officedocument."),
)
_SAFE = frozenset(
    {
        *("application/epub+zip", "application/ogg", "application/pdf", "application/wasm"),
        *("application/gzip", "application/x-bzip2", "application/x-xz", "application/zstd"),
        *("application/vnd.rar", "application/x-7z-compressed", "application/x-tar"),
        *("application/vnd.sqlite3", "application/zip", "model/gltf-binary"),
    }
)

# libmagic's names where the table has another.
_RENAMED: Mapping[str, str] = {
    "application/vnd.ms-opentype": "font/otf",
    "application/x-gzip": "application/gzip",
    "application/x-rar": "application/vnd.rar",
    "application/x-sqlite3": "application/vnd.sqlite3",
    "application/x-zstd": "application/zstd",
    "audio/x-flac": "audio/flac",
    "audio/x-hx-aac-adts": "audio/aac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "font/sfnt": "font/ttf",
    "image/x-icon": "image/vnd.microsoft.icon",
    "image/x-ms-bmp": "image/bmp",
}


def looks_like_text(head: bytes) -> bool:
    """Whether nothing in `head` rules out text (WHATWG MIME Sniffing section 7.2).

    About 120 µs for 64 KiB.
    """
    return head.startswith(_UTF16_BOMS) or len(head.translate(None, _BINARY_BYTES)) == len(head)


# An MPEG transport stream has a 0x47 and two bytes of flags at the head of each 188-byte packet
# (ISO/IEC 13818-1 section 2.4.3.2), an HLS segment may be encrypted from its first byte on; either
# way control bytes are soon met, and TypeScript never has one.
_TS_PROBE_BYTES = 1024


def maybe_transport_stream(head: bytes) -> str | None:
    """video/mp2t when a `.ts` is no TypeScript."""
    return None if looks_like_text(head[:_TS_PROBE_BYTES]) else "video/mp2t"


# The root element's start tag of RSS 2.0 or Atom (RFC 4287 section 2) behind an XML prolog.
# Possessive quantifiers keep it linear on a prolog of a thousand comments.
_FEED_ROOT = re.compile(
    rb"(?:\xef\xbb\xbf)?"
    rb"(?:\s++|<\?(?>.*?\?>)|<!--(?>.*?-->)|<!DOCTYPE[^>\[]*+>)*"
    rb"<(?:(rss)\s|(?:\w++:)?feed\s[^>]*?http://www\.w3\.org/2005/Atom)",
    re.DOTALL,
)
_PROLOG_BYTES = 4096


def maybe_feed(head: bytes) -> str | None:
    """The type of a feed that calls itself `.xml`."""
    root = _FEED_ROOT.match(head, 0, _PROLOG_BYTES)
    if root is None:
        return None
    return "application/rss+xml" if root[1] else "application/atom+xml"


# A mark and what may stand before a document: HTML section 13.1 has it that a page is told by its
# doctype; what a wiki or a browser saved may begin with its root element instead.
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s++|<\?xml(?>.*?\?>)|<!--(?>.*?-->))*+<(?:!doctype\s++html[\s>]|html[\s>])",
    re.DOTALL | re.IGNORECASE,
)
# Of a program that makes a page, as opposed to the page that it made: PHP and its short tags, JSP
# and ASP, ColdFusion, ASP.NET.
_PROGRAM = re.compile(
    rb"<\?(?!xml)|<%|<cf[a-z]|<(?:jsp|asp):|language\s*+=\s*+[\"']?php|runat\s*+=\s*+[\"']?server",
    re.IGNORECASE,
)


def looks_like_page(head: bytes) -> bool:
    """Whether a whole HTML document begins here. It is for warnings and for names that are safe."""
    return _PAGE.match(head, 0, _PROLOG_BYTES) is not None


def maybe_page(head: bytes) -> str | None:
    """text/html for a page that a program has made, None where `head` shows the program."""
    return "text/html" if looks_like_page(head) and not _PROGRAM.search(head) else None


def looks_like_json(head: bytes) -> bool:
    """Whether text begins as a JSON object or array (RFC 8259): no more than that is looked at."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
    return start.startswith((b"{", b"[")) and looks_like_text(head)


def maybe_manifest(head: bytes) -> str | None:
    """The type of a `.manifest` that is of a web application or offline page, not of ClickOnce."""
    # HTML section 7.10.3.2 of 2014: its first line.
    start = head.removeprefix(codecs.BOM_UTF8)
    if start.startswith(b"CACHE MANIFEST"):
        return "text/cache-manifest"
    # ClickOnce's is XML.
    return "application/manifest+json" if looks_like_json(head) else None


def maybe_lexicon(head: bytes) -> str | None:
    """application/pls+xml when a `.pls` is a pronunciation lexicon, and no playlist."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return "application/pls+xml" if start.startswith(b"<") else None


def maybe_signed_exchange(head: bytes) -> str | None:
    """The type of a signed exchange when a `.sxg` is no text of OpenOffice (a ZIP)."""
    # The magic string of the draft on signed exchanges (version b3) section 5.3.
    return "application/signed-exchange;v=b3" if head.startswith(b"sxg1-b3\0") else None


def maybe_binary_property_list(head: bytes) -> str | None:
    """application/octet-stream when a `.plist` is not in XML."""
    return None if looks_like_text(head) else "application/octet-stream"


def _is_safe(essence: str) -> bool:
    """Whether content alone may claim this type."""
    return essence != "image/svg+xml" and (essence.startswith(_SAFE_PREFIXES) or essence in _SAFE)


class Libmagic:
    """A libmagic handle, believed only where a wrong answer does no harm. Not thread-safe."""

    def __init__(self) -> None:
        """Loads libmagic's database (below 1 ms); ImportError says what to install."""
        try:
            import magic
        except ImportError as exc:
            raise ImportError(
                f"mkroot needs libmagic ({exc}): install the library (Debian: libmagic1) and the"
                " Python package python-magic"
            ) from exc
        self._handle = magic.Magic(mime=True)
        self._gave_up = magic.MagicException
        major, minor = divmod(magic.version(), 100)  # type: ignore[no-untyped-call]  # stub lacks it
        self.version = f"{major}.{minor:02}"

    def maybe_essence(self, head: bytes) -> str | None:
        """The type of a binary format that is safe to believe, or None.

        0.02 to 1.3 ms, by size and content.
        """
        try:
            answer = self._handle.from_buffer(head)
        except self._gave_up:  # on some input, such as a line too long for its regexes
            return None
        essence = _RENAMED.get(answer, answer)
        return essence if _is_safe(essence) else None
