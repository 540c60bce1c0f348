"""Webroots that lie in one place each, with every checksum right.

What a field may say is in FORMAT.md. Of each mutant is known whether it has to be refused; one that
need not be may still say nothing but the truth about where its answers end.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mkroot.build import Options
from tests.trees import Tree, make, plant
from tests.webroots import (
    RECORD_FIELDS,
    SECTION_FIELDS,
    SUPERBLOCK_FIELDS,
    VARIANT_FIELDS,
    Draft,
    Fields,
)

PAGE: Final = b"some text, often enough to be compressed\n" * 20
TREE: Final[Tree] = {
    b"404.html": b"<!DOCTYPE html><title>not here</title>\n",
    b"a.txt": PAGE,
    b"dir": {b"x": b"x"},
}
A, REDIRECT, LISTING, MISSING = b"/a.txt", b"/dir", b"/dir/", b"/404.html"
PATHS: Final = (b"/", MISSING, A, REDIRECT, LISTING, b"/dir/x")
SECTIONS: Final = (b"INDX", b"RSRC", b"STRS", b"RULE", b"META")
# A variant of each kind: path, and its number.
VARIANTS: Final = ((A, 0), (A, 1), (REDIRECT, 0), (LISTING, 0), (MISSING, 0))
# What a careless sum or a signed number gets wrong, cut to the size of each field.
_NUMBERS: Final = (0, 1, 4095, 2**31, 2**32 - 8, 2**64 - 1)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A webroot, what is wrong with it, and what that has to spoil.

    `path` is a resource that may not be answered from it, or empty where nothing is said of one.
    """

    name: str
    packed: bytes
    path: bytes = b""
    variant: int = 0


def build_healthy(directory: Path) -> bytes:
    """Return the webroot that mutants are made of; `directory` is to work in."""
    make(plant(directory / "source", TREE), directory / "out", Options(listing=True))
    return (directory / "out").read_bytes()


def _lies(fields: Fields) -> Iterator[tuple[str, int | bytes]]:
    """Yield each field of a struct with each value that it is given."""
    for name, (_offset, form) in fields.items():
        if form.endswith("s"):
            size = int(form[:-1])
            yield from ((name, value * size) for value in (b"\0", b"A"))
        else:
            bits = {"B": 8, "H": 16, "I": 32, "Q": 64, "q": 64}[form[-1]]
            numbers = sorted({number % 2**bits for number in _NUMBERS})
            signed = form[-1] == "q"
            yield from ((name, n - 2**64 if signed and n >= 2**63 else n) for n in numbers)


def _superblocks(draft: Draft) -> Iterator[tuple[str, Draft]]:
    for name, value in _lies(SUPERBLOCK_FIELDS):
        copy = deepcopy(draft)
        copy.lies[name] = value
        yield f"superblock {name} {value!r}", copy


def _tables(draft: Draft) -> Iterator[tuple[str, Draft]]:
    for kind in SECTIONS:
        for name, value in _lies(SECTION_FIELDS):
            copy = deepcopy(draft)
            copy.part(kind).lies[name] = value
            yield f"table {kind!r} {name} {value!r}", copy


def _slots(draft: Draft) -> Iterator[tuple[str, Draft]]:
    for path in PATHS:
        start = draft.slot_of(path)
        for place, size in ((start, 16), (start + 16, 8)):
            for value in (0, 8, 2**64 - 8):
                copy = deepcopy(draft)
                copy.part(b"INDX").data[place : place + size] = value.to_bytes(size, "little")
                yield f"slot {path!r} {place - start} {value}", copy
    for other in PATHS[1:]:
        copy = deepcopy(draft)
        data = copy.part(b"INDX").data
        first, second = (draft.slot_of(path) + 16 for path in (A, other))
        data[first : first + 8], data[second : second + 8] = (
            data[second : second + 8],
            data[first : first + 8],
        )
        yield f"slots of {A!r} and {other!r} exchanged", copy


def _records(draft: Draft) -> Iterator[tuple[str, Draft]]:
    for path in PATHS:
        for name, value in _lies(RECORD_FIELDS):
            assert isinstance(value, int)
            copy = deepcopy(draft)
            copy.set_record(path, name, value)
            yield f"record {path!r} {name} {value}", copy
        for status in (100, 204, 301, 304, 401, 404):
            copy = deepcopy(draft)
            copy.set_record(path, "status", status)
            yield f"record {path!r} status {status}", copy


def _variants(draft: Draft) -> Iterator[tuple[str, Draft]]:
    for path, number in VARIANTS:
        for name, value in _lies(VARIANT_FIELDS):
            copy = deepcopy(draft)
            copy.set_variant(path, number, name, value)
            yield f"variant {path!r} {number} {name} {value!r}", copy
        for name in ("head_length", "body_length", "validators_length", "fields_length"):
            offset, form = VARIANT_FIELDS[name]
            for step in (-1, 1):
                copy = deepcopy(draft)
                data, place = copy.part(b"RSRC").data, draft.record_of(path) + number * 128 + offset
                size = 8 if form == "<Q" else 4
                value = int.from_bytes(data[place : place + size], "little") + step
                data[place : place + size] = value.to_bytes(size, "little", signed=value < 0)
                yield f"variant {path!r} {number} {name} {step:+}", copy


_STRINGS: Final = (
    *(b"", b"text", b"text/", b"/html", b"text/html\r", b"text/html\n", b"text/html\r\nX: y"),
    *(b"text/html\0", b"text/\xff", b"text /html", b"text/html; =", b"text/html; a=\x7f", b"a/b/c"),
    *(b"GZIP", b"gzip, br", b"gzip\r\nX: y", b"a/" + b"b" * 3000),
)


def _strings(draft: Draft) -> Iterator[tuple[str, Draft]]:
    old = draft.part(b"STRS").data
    for string in _STRINGS:
        for number in (0, 1):
            copy = deepcopy(draft)
            strings = _split_strings(bytes(old))
            strings[number] = string
            copy.part(b"STRS").data = bytearray(
                len(strings).to_bytes(4, "little")
                + b"".join(len(text).to_bytes(2, "little") + text for text in strings)
            )
            yield f"string {number} {string[:30]!r}", copy


def _split_strings(data: bytes) -> list[bytes]:
    strings, offset = [], 4
    while offset < len(data):
        stop = offset + 2 + int.from_bytes(data[offset : offset + 2], "little")
        strings.append(data[offset + 2 : stop])
        offset = stop
    return strings


def _rules(draft: Draft) -> Iterator[tuple[str, Draft]]:
    for status in (0, 200, 404, 600):
        for path in (b"", b"/", b"/\0", b"/none", A, REDIRECT, b"/" * 500):
            copy = deepcopy(draft)
            rule = status.to_bytes(2, "little") + path
            packed = b"\1\0\0\0" + b"\1\0" + len(rule).to_bytes(4, "little") + rule
            copy.part(b"RULE").data = bytearray(packed)
            yield f"rule {status} {path[:10]!r}", copy


def _locations(draft: Draft) -> Iterator[Mutant]:
    """Yield redirects to what is no URI reference."""
    size = draft.get_record(REDIRECT, "location_length")
    for bad in (
        b"\r\nA:",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b"\x7f",
        b"\xff",
        b"\\",
        b"<",
        b'"',
        b"%",
        b"%4",
    ):
        copy = deepcopy(draft)
        copy.set_location(REDIRECT, bad.rjust(size, b"/"))
        yield Mutant(f"location {bad!r}", copy.packed(), REDIRECT)
    copy = deepcopy(draft)
    copy.set_location(REDIRECT, b"#".rjust(size, b"/"))
    copy.set_record(REDIRECT, "flags", 1)
    yield Mutant("location with a fragment, and the query behind it", copy.packed(), REDIRECT)


# Each alone spoils a head block, whatever else it holds.
BAD_LINES: Final = (
    *(b"Transfer-Encoding: chunked", b"transfer-encoding:chunked", b"Transfer-Encoding: identity"),
    *(
        b"Transfer_Encoding: chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
    ),
    *(b"Content-Length: 0", b"Content-Length: 1", b"content-length: 820", b"Content-Length: 99999"),
    *(b"Content_Length: 1", b"Connection: close", b"connection: keep-alive", b"Connection: X-A"),
    *(b"Keep-Alive: timeout=1", b"Proxy-Connection: close", b"Proxy-Authenticate: Basic"),
    *(b"TE: trailers", b"Trailer: X-A", b"Upgrade: h2c", b"Date: Thu, 01 Jan 1970 00:00:00 GMT"),
    *(b"Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT", b"Location: /", b"Allow: GET"),
    *(b"Content-Range: bytes 0-0/1", b"Repr-Digest: sha-256=:AA==:", b"Content-Digest: x"),
    *(b"Server: x", b"Age: 1", b"Via: 1.1 x", b"X-Accel-Redirect: /x", b"x-accel-buffering: no"),
    *(b"X-Sendfile: /x", b"X-LIGHTTPD-send-file: /x", b"X-Reproxy-URL: http://x.example/"),
    *(b"no colon", b": no name", b"two words: x", b" folded", b"\tfolded", b"Link\xff: x", b"9: x"),
    *(
        b"Link: \xff",
        b"Link: \0",
        b"Link: \x7f",
        b"Link: \x1b[2J",
        b"Link: x\r",
        b"Link: x\n",
        b"Link: x\ry",
    ),
    *(b"Link: x\nTransfer-Encoding: chunked", b"Link: x\rTransfer-Encoding: chunked"),
    *(
        b"Link: x\r\n folded",
        b"",
        b"\r\nHTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK",
        b"Link: 1\r\nlink: 2",
    ),
    *(b"x-content-type-options: x", b"content-type: text/x", b"Content-Encoding: chunked"),
    *(b"Set-Cookie: a=b", b"Alt-Svc: h3", b"Status: 500", b"HTTP2-Settings: x", b"Content-MD5: x"),
    *(b"X-LiteSpeed-Location: /x", b"X-Archive-Files: zip", b"Surrogate-Control: x", b"X-Own: x"),
    *(b'ETag: W/"a"', b'ETag: "\xff"', b"Accept-Ranges: bytes, none", b"Vary: (", b"Vary: a b"),
    b"Content-Language: " + b"x" * 8192,
)
_ENDS: Final = (
    *(
        b"",
        b"\r\n",
        b"Content-Length: %d\r\n",
        b"Content-Length: %d\r\n\r",
        b"Content-Length: %d\n\n",
    ),
    *(b"Content-Length: %d\r\n\n", b"Content-Length: %d\r\r\n", b"Content-Length: %d\r\n\r\n\r\n"),
    *(
        b"Content-Length: +%d\r\n\r\n",
        b"Content-Length:  %d\r\n\r\n",
        b"Content-Length: 0%d\r\n\r\n",
    ),
    *(b"Content-Length: %d \r\n\r\n", b"content-length: %d\r\n\r\n", b"Content-Length:%d\r\n\r\n"),
    *(
        b"Content-Length: %d,%%d\r\n\r\n",
        b"Content-Length: 0x%x\r\n\r\n",
        b"Content-Length: -%d\r\n\r\n",
    ),
    b"Content-Length: %d\r\nContent-Length: %%d\r\n\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n",
)


def _heads(draft: Draft) -> Iterator[Mutant]:
    """Yield head blocks that may not be sent, of each kind of variant."""
    for path, number in VARIANTS:
        parts = draft.get_head(path, number)
        for what, bad in _bad_heads(parts):
            copy = deepcopy(draft)
            copy.set_head(path, number, *bad)
            yield Mutant(f"head of {path!r} {number}: {what}", copy.packed(), path, number)


Parts = tuple[bytes, bytes, bytes]


def _bad_heads(parts: Parts) -> Iterator[tuple[str, Parts]]:
    first, second, third = parts
    length = int(third.split()[1])
    for number, line in enumerate(BAD_LINES):
        if number % 2:
            yield f"{line!r} in front", (first, line + b"\r\n" + second, third)
        else:
            yield f"{line!r} behind", (first, second + line + b"\r\n", third)
    yield (
        "Transfer-Encoding in the first part",
        (first + b"Transfer-Encoding: chunked\r\n", second, third),
    )
    for end in _ENDS:
        yield f"ends with {end!r}", (first, second, _fill(end, length))
    for other in {0, 1, length - 1, length + 1, length + 100, 10**19} - {length}:
        yield f"Content-Length {other}", (first, second, b"Content-Length: %d\r\n\r\n" % other)
    for lines, where in ((first, 0), (second, 1)):
        for line in lines.splitlines(keepends=True):
            if line.startswith((b"Accept-Ranges", b"X-", b"Content-Security", b"Cache-Control")):
                continue
            rest = lines.replace(line, b"")
            without = (rest, second, third) if where == 0 else (first, rest, third)
            yield f"without {line!r}", without
    yield (
        "an LF for each CRLF",
        (first.replace(b"\r\n", b"\n"), second.replace(b"\r\n", b"\n"), third),
    )
    yield "the parts end within a line", ((first + second)[:5], (first + second)[5:], third)
    yield "an ETag of another body", (b'ETag: "AAAAAAAAAAAAAAAAAAAAAAAA"\r\n', second, third)


def _fill(end: bytes, length: int) -> bytes:
    filled = end % length if b"%" in end.replace(b"%%", b"") else end
    return filled % length if b"%" in filled else filled


def _named(
    maker: Callable[[Draft], Iterator[tuple[str, Draft]]],
) -> Callable[[Draft], Iterator[Mutant]]:
    return lambda draft: (Mutant(name, copy.packed()) for name, copy in maker(draft))


# Each yields its mutants of a draft, always the same.
MAKERS: Final[Mapping[str, Callable[[Draft], Iterator[Mutant]]]] = {
    "superblock": _named(_superblocks),
    "section table": _named(_tables),
    "slots": _named(_slots),
    "records": _named(_records),
    "variants": _named(_variants),
    "strings": _named(_strings),
    "rules": _named(_rules),
    "locations": _locations,
    "heads": _heads,
}
