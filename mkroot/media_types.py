"""Which media type a file is served as: decided at build, by its name first, then by its content.

Owns the shipped table (media_types.tsv), the operator's `--type` rules and the few questions a
suffix leaves open. Reads no file of the tree: the caller hands over names and first bytes.
"""

import codecs
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files

from mkroot.random_access import is_read_at_random
from mkroot.sniff import (
    Libmagic,
    looks_like_json,
    looks_like_text,
    maybe_binary_property_list,
    maybe_feed,
    maybe_lexicon,
    maybe_manifest,
    maybe_page,
    maybe_signed_exchange,
    maybe_transport_stream,
)

TABLE = files("mkroot").joinpath("media_types.tsv")
WELL_KNOWN = files("mkroot").joinpath("well_known.tsv")
# The directory of RFC 8615, at the root of a site alone.
_WELL_KNOWN_DIRECTORY = b".well-known/"

# ISO-2022-JP is made of ASCII bytes, hence valid UTF-8. Calling it that in the header would
# overrule the page's own <meta charset> and show line noise. This escape begins a run of Kanji.
_ISO_2022_JP = b"\x1b$"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type, whether bodies of it are worth compressing, and whether they may be."""

    essence: str
    charset: str | None
    compressible: bool
    verbatim: str | None = None
    """The field value as the operator wrote it, with parameters this class has no name for."""
    random_access: bool = False
    """Whether it is read at random places, so that there must be no coded copy of it."""

    def header(self) -> bytes:
        """The value of Content-Type (RFC 9110 section 8.3)."""
        charset = f"; charset={self.charset}" if self.charset else ""
        return (self.verbatim or self.essence + charset).encode("ascii")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One row of the table, made once: the type, and the type when the content is valid UTF-8.

    They are one object where `charset` has no meaning: JSON and WebAssembly define no such
    parameter (a browser even refuses `application/wasm` with one), and XML says it in the document.
    """

    bare: MediaType
    utf8: MediaType


class Utf8Check:
    """Tells whether a content fed in chunks is valid UTF-8 as a whole (RFC 3629).

    Keeps at most three bytes. A byte order mark is valid, so are NUL and an empty content.
    """

    def __init__(self) -> None:
        """Nothing fed yet: valid."""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._broken = False

    def feed(self, chunk: bytes) -> None:
        """Takes the next chunk; once the content is known to be invalid this costs nothing."""
        if self._broken:
            return
        try:
            self._decoder.decode(chunk)
        except UnicodeDecodeError:
            self._broken = True

    def valid(self) -> bool:
        """Whether everything fed so far is valid, with no character left unfinished."""
        return not self._broken and not self._decoder.getstate()[0]


class MediaTypes:
    """Names and first bytes to media types. Not thread-safe: libmagic is not, so make one each."""

    def __init__(self, overrides: Sequence[tuple[str, str]] = ()) -> None:
        """Reads the shipped table (about 5 ms) and compiles `overrides`, pairs of GLOB and TYPE.

        A GLOB with a slash is matched against the whole path inside the tree (`docs/*.txt`,
        `/*.txt` for the top level only), one without against the last segment at any depth
        (`*.foo`). `*` and `?` stop at a slash, `**` does not and `**/` may match nothing;
        everything else stands for itself, brackets too, and case matters. TYPE is sent as written.
        The last match wins. Raises ValueError for an empty GLOB or a TYPE that is no media type.
        """
        self._kinds, self._by_essence = _read_table()
        self._well_known, self._root_names = _read_well_known(self._by_essence)
        self._overrides = [
            (compile_glob(glob, value), _parse_type(glob, value, self._by_essence))
            for glob, value in reversed(overrides)
        ]
        self._libmagic: Libmagic | None = None

    def needs_utf8_check(self, path: bytes, head: bytes) -> bool:
        """Whether `classify` can use the answer of a Utf8Check over the whole content."""
        if self._override(path) is not None:
            return False
        kind = self._well_known_kind(path) or self._by_name(path, head)
        return looks_like_text(head) if kind is None else kind.utf8 is not kind.bare

    def classify(self, path: bytes, head: bytes, is_utf8: bool | None) -> MediaType:
        """The media type to serve a file as; total: whatever the bytes, the answer is a type.

        `path` is relative to the tree's root, `/` between segments. `head` is the first up to
        64 KiB of the content. `is_utf8` says whether all of the content is valid UTF-8, None when
        nobody looked; only True earns a charset. UTF-16 gets none: browsers heed its byte order
        mark before the header. Raises ImportError when libmagic is needed and missing.

        About 1 µs by suffix and 3 µs for 64 KiB of text; 2 µs per KiB for UTF-8 without a known
        suffix; 0.02 to 1.3 ms where libmagic is asked, for the rest.
        """
        media = self._override(path) or self._decide(path, head, is_utf8)
        if not media.random_access and is_read_at_random(head):
            return replace(media, compressible=False, random_access=True)
        return media

    def _decide(self, path: bytes, head: bytes, is_utf8: bool | None) -> MediaType:
        """The type where the operator has none."""
        kind = self._well_known_kind(path) or self._by_name(path, head)
        if kind is None and path.startswith(_WELL_KNOWN_DIRECTORY) and looks_like_json(head):
            kind = self._by_essence["application/json"]
        kind = kind or self._by_content(head, is_utf8)
        return kind.utf8 if is_utf8 and not _is_iso_2022_jp(head) else kind.bare

    def describe(self) -> dict[str, str]:
        """What the decisions depend on, for a webroot's metadata: `libmagic` and `media-types`.

        Raises ImportError when libmagic is missing.
        """
        table = TABLE.read_bytes()
        release = " ".join(table.decode("ascii").split(maxsplit=3)[1:3])
        return {
            "libmagic": self._loaded_libmagic().version,
            "media-types": f"{release}, sha256 {sha256(table).hexdigest()}",
        }

    def _loaded_libmagic(self) -> Libmagic:
        """The one handle, loaded when first needed: most trees never need it."""
        if self._libmagic is None:
            self._libmagic = Libmagic()
        return self._libmagic

    def is_overridden(self, path: bytes) -> bool:
        """Whether the operator has a type for a path."""
        return self._override(path) is not None

    def _override(self, path: bytes) -> MediaType | None:
        """The operator's word on `path`."""
        for matches, media in self._overrides:
            if matches(path):
                return media
        return None

    def _well_known_kind(self, path: bytes) -> _Kind | None:
        """What a name at a fixed place of the site says (RFC 8615)."""
        if b"/" not in path:
            return self._root_names.get(path)
        if path.startswith(_WELL_KNOWN_DIRECTORY):
            for matches, kind in self._well_known:
                if matches(path):
                    return kind
        return None

    def _by_name(self, path: bytes, head: bytes) -> _Kind | None:
        """What the last suffix says; None when there is none, or none that the table knows.

        Only the last one counts, so `a.tar.gz` is gzip, `a.js.map` a source map, and
        `page.html.bak` not HTML. A leading dot starts a name, not a suffix.
        """
        name = path[path.rfind(b"/") + 1 :]
        dot = name.rfind(b".")
        suffix = name[dot + 1 :].lower() if dot > 0 else b""
        look_inside = _AMBIGUOUS.get(suffix)
        essence = look_inside(head) if look_inside else None
        return _kind_of(essence, self._by_essence) if essence else self._kinds.get(suffix)

    def _by_content(self, head: bytes, is_utf8: bool | None) -> _Kind:
        """What content without a telling name is: text, a safe binary format, or just bytes.

        UTF-8 text, the empty file included, is not shown to libmagic: it is text/plain whatever
        it looks like, and most files without a suffix are such.
        """
        is_text = looks_like_text(head)
        if not (is_text and is_utf8) or head.startswith(b"%PDF-"):
            essence = self._loaded_libmagic().maybe_essence(head)
            if essence is not None and essence in self._by_essence:
                return self._by_essence[essence]
        return self._by_essence["text/plain" if is_text else "application/octet-stream"]


def _is_iso_2022_jp(head: bytes) -> bool:
    """Whether text of ASCII bytes is Japanese; ESC alone is asked first, at 1 µs instead of 65."""
    return b"\x1b" in head and _ISO_2022_JP in head


def compresses(essence: str) -> bool:
    """Whether a type is of a family that compresses, for types nobody has said more about."""
    return essence.startswith(("text/", "message/", "model/", "chemical/")) or essence.endswith(
        ("+xml", "+json", "/xml", "/json", "+yaml", "/yaml", "jsonl", "ndjson")
    )


# Suffixes of programs, most of them such as make pages. Every upload form refuses them, so a whole
# page under such a name was saved from a site (`index.php`, `Amazon.com`). Under any other name it
# may be an upload, which must not become active: it keeps its type, and the builder warns.
_PAGE_SUFFIXES = (b"asp", b"aspx", b"cfm", b"cgi", b"com", b"jsp", b"jspx", b"php", b"phtml")

# Suffixes with two meanings; the table holds the one to use where these answer None.
_AMBIGUOUS: Mapping[bytes, Callable[[bytes], str | None]] = {
    b"manifest": maybe_manifest,
    b"mts": maybe_transport_stream,
    b"plist": maybe_binary_property_list,
    b"pls": maybe_lexicon,
    b"sxg": maybe_signed_exchange,
    b"ts": maybe_transport_stream,
    b"xml": maybe_feed,
    **dict.fromkeys(_PAGE_SUFFIXES, maybe_page),
}


def _read_table() -> tuple[dict[bytes, _Kind], dict[str, _Kind]]:
    """The shipped table, by suffix (lower case, no dot) and by essence."""
    kinds: dict[bytes, _Kind] = {}
    by_essence: dict[str, _Kind] = {}
    for line in TABLE.read_text("ascii").splitlines():
        if line.startswith("#"):
            continue
        suffix, essence, copies = line.split("\t")[:3]
        bare = MediaType(essence, None, copies == "yes", random_access=copies == "never")
        text = replace(bare, charset="utf-8")
        kind = _Kind(bare, text if essence.startswith("text/") else bare)
        kinds[suffix.encode()] = by_essence.setdefault(essence, kind)
    return kinds, by_essence


def _read_well_known(
    known: Mapping[str, _Kind],
) -> tuple[list[tuple[Callable[[bytes], object], _Kind]], dict[bytes, _Kind]]:
    """The shipped types of well-known names: predicates over paths, and names at the root."""
    rows = []
    names = {}
    for line in WELL_KNOWN.read_text("ascii").splitlines():
        if line.startswith("#"):
            continue
        glob, essence, _source = line.split("\t")
        kind = _kind_of(essence, known)
        if glob.startswith("/"):
            names[glob[1:].encode()] = kind
        else:
            rows.append((compile_glob(glob, essence), kind))
    return rows, names


def _kind_of(essence: str, known: Mapping[str, _Kind]) -> _Kind:
    """The row of a type, made for one that no suffix of the table has."""
    if essence in known:
        return known[essence]
    media = MediaType(essence, None, compresses(essence))
    return _Kind(media, media)


# RFC 9110 sections 5.6.2 (token), 5.6.4 (quoted-string, here without obs-text), 5.6.6 (parameters).
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~]|\\[\t -~])*"'
_ESSENCE = re.compile(f"{_TOKEN}/{_TOKEN}")
_PARAMETERS = re.compile(rf"(?:[ \t]*;[ \t]*(?:{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))?)*")
_CHARSET = re.compile(rf';[ \t]*charset="?({_TOKEN})', re.IGNORECASE)


def _parse_type(glob: str, value: str, known: Mapping[str, _Kind]) -> MediaType:
    """The TYPE of an override as RFC 9110 section 8.3.1 has it, or ValueError."""
    essence, semicolon, rest = value.partition(";")
    if not _ESSENCE.fullmatch(essence.rstrip(" \t") if semicolon else essence):
        rule = "must begin with type/subtype, two tokens (RFC 9110 section 8.3.1)"
        raise ValueError(f"type for {glob!r}: {value!r} {rule}")
    if not _PARAMETERS.fullmatch(semicolon + rest):
        rule = "may go on with ;name=value only, name a token (RFC 9110 section 5.6.6)"
        raise ValueError(f"type for {glob!r}: {value!r} {rule}")
    essence = essence.rstrip(" \t").lower()
    charset = _CHARSET.search(value)
    name = charset[1].lower() if charset else None
    if essence in known:
        return replace(known[essence].bare, charset=name, verbatim=value)
    return MediaType(essence, name, compresses(essence), value)


_GLOB_PARTS = re.compile(rb"\*\*/|\*\*|\*|\?|[^*?]+")
_WILDCARDS = {b"**/": rb"(?:.*/)?", b"**": rb".*", b"*": rb"[^/]*", b"?": rb"[^/]"}


def compile_glob(glob: str, value: str) -> Callable[[bytes], object]:
    """A predicate over paths; see MediaTypes for the language. ValueError when `glob` is empty.

    `value` is what the glob stands for, for the message.
    """
    if not glob:
        raise ValueError(f"type for {glob!r}: {value!r} has an empty pattern, nothing would match")
    anchored = b"/" in (pattern := os.fsencode(glob))
    parts = _GLOB_PARTS.findall(pattern.removeprefix(b"/"))
    regex = b"".join(_WILDCARDS.get(part) or re.escape(part) for part in parts)
    return re.compile(regex if anchored else rb"(?:.*/)?" + regex, re.DOTALL).fullmatch
