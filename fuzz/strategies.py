"""Requests for properties: valid ones are built first, then broken in one named way."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hypothesis import assume
from hypothesis import strategies as st

from ashttpd.http.limits import Limits
from ashttpd.http.scan import MAX_METHOD_BYTES

LIMITS: Final = Limits()

TCHAR: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TARGET_BYTES: Final = bytes(b for b in [*range(0x21, 0x7F), *range(0x80, 0x100)] if b != ord("#"))
NAME_BYTES: Final = b"-._~!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VALUE_BYTES: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])


@dataclass(frozen=True)
class Head:
    """A request head before it is put into bytes."""

    method: bytes
    target: bytes
    version: bytes
    fields: tuple[tuple[bytes, bytes], ...]

    @property
    def wire(self) -> bytes:
        """The bytes of the head."""
        lines = [b"%b %b %b" % (self.method, self.target, self.version)]
        lines += [b"%b:%b" % field for field in self.fields]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def text_of(alphabet: bytes, min_size: int = 0, max_size: int = 20) -> st.SearchStrategy[bytes]:
    """Return a strategy for bytes of an alphabet."""
    letters = alphabet.decode("latin-1")
    text = st.text(letters, min_size=min_size, max_size=max_size)
    return text.map(lambda drawn: drawn.encode("latin-1"))


def in_any_case(word: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for the spellings of a word in upper and lower case."""
    return st.sampled_from([word, word.lower(), word.upper(), word.swapcase(), word.title()])


def _spell(groups: list[int], keep: tuple[int, int], *, dotted: bool, form: str) -> bytes:
    """Write an IPv6 address that has zeros between the groups that are kept, if there are any."""
    before, after = groups[: keep[0]], groups[8 - min(keep[1], 8 - keep[0]) :]
    words = [[form % group for group in part] for part in (before, after)]
    last = words[1] if len(words[1]) > 1 else words[0] if keep[0] == 8 else []
    if dotted and last:
        high, low = (int(word, 16) for word in last[-2:])
        last[-2:] = [f"{high >> 8}.{high & 255}.{low >> 8}.{low & 255}"]
    joined = [":".join(part) for part in words]
    whole = len(before) + len(after) == 8
    return ((":" if all(joined) else "") if whole else "::").join(joined).encode()


METHODS = st.sampled_from([b"GET", b"HEAD", b"OPTIONS", b"POST", b"CONNECT", b"BREW"]) | text_of(
    TCHAR, min_size=1
)
# The parts of RFC 3986 section 3.2.2: addresses in each spelling, those of the future, names.
ADDRESSES = st.builds(
    lambda groups, keep, dotted, form: _spell(groups, keep, dotted=dotted, form=form),
    st.lists(st.integers(0, 0xFFFF) | st.just(0), min_size=8, max_size=8),
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
    st.booleans(),
    st.sampled_from(["%x", "%04X"]),
)
IP_FUTURES = st.builds(
    lambda version, rest: version + b"." + rest,
    st.sampled_from([b"v1", b"VfF"]),
    text_of(NAME_BYTES + b":", min_size=1),
)
NAMES = st.lists(text_of(NAME_BYTES, min_size=1) | st.just(b"%aF"), min_size=1, max_size=3).map(
    b"".join
)
HOSTS = st.sampled_from([b"a.example", b"A.Example:80", b"[::1]:8080"]) | st.builds(
    lambda host, port: host + port,
    NAMES | (ADDRESSES | IP_FUTURES).map(lambda literal: b"[" + literal + b"]"),
    st.sampled_from([b"", b":", b":80", b":65536"]),
)


@st.composite
def near_hosts(draw: st.DrawFn) -> bytes:
    """Draw an authority with a part cut out or something put in, which may still be one."""
    host = draw(HOSTS)
    start = draw(st.integers(0, len(host)))
    stop = draw(st.integers(start, min(len(host), start + 3)))
    piece = draw(st.sampled_from([b"", b":", b"::", b"[", b"]", b"1:", b"256.", b"%2", b"v", b"@"]))
    return host[:start] + piece + host[stop:]


ORIGIN_FORM = text_of(TARGET_BYTES).map(lambda rest: b"/" + rest)
ABSOLUTE_FORM = st.builds(
    lambda scheme, host, rest: scheme + b"://" + host + rest,
    st.sampled_from([b"http", b"https", b"HTTP", b"Https"]),
    HOSTS,
    st.just(b"") | ORIGIN_FORM | text_of(TARGET_BYTES).map(lambda rest: b"?" + rest),
)
TARGETS = ORIGIN_FORM | ABSOLUTE_FORM | st.just(b"*")
WHITE = st.sampled_from([b"", b" ", b"\t", b" \t "])

ENTITY_TAGS = st.builds(
    lambda weak, opaque: weak + b'"' + opaque + b'"',
    st.sampled_from([b"", b"W/"]),
    st.sampled_from([b"", b"a", b"b", b",", b"a b"[:1], b"W/"]) | text_of(b"ab,!#/W~\x80\xff"),
)
TAG_LISTS = st.lists(
    st.tuples(WHITE, ENTITY_TAGS | st.just(b""), WHITE).map(b"".join), min_size=1, max_size=6
).map(b",".join)
# Elements of Accept: media ranges with parameters and weights, and what is nearly one.
MEDIA_RANGES = st.builds(
    lambda before, name, parameter, weight, after: before + name + parameter + weight + after,
    WHITE,
    st.sampled_from([b"*/*", b"text/*", b"text/html", b"Application/JSON", b"a/b", b"a/*", b"a"]),
    st.sampled_from([b"", b";v=1", b" ; v"]),
    st.sampled_from([b"", b";q=0", b" ;\tQ=0.5", b";q=0.123", b";q=1.000", b";q=0.1;e", b";q=2"]),
    WHITE,
)
ACCEPTS = st.lists(MEDIA_RANGES | st.just(b""), max_size=6).map(b",".join) | text_of(
    b"a/b*,;q=01. \t"
)
NUMBERS = st.integers(0, 30).map(b"%d".__mod__) | text_of(b"0123456789", 1, 30)
BYTE_RANGES = st.builds(
    lambda unit, before, first, last, after: unit + b"=" + before + first + b"-" + last + after,
    in_any_case(b"bytes"),
    WHITE,
    NUMBERS | st.just(b""),
    NUMBERS | st.just(b""),
    WHITE,
)
# Times of clients that are about now, in each form of HTTP-date (RFC 9110 section 5.6.7).
NOW: Final = 1_700_000_000
TIMES = st.integers(NOW - 2, NOW + 2) | st.integers(0, 2 * NOW)
DATE_FORMS: Final = (
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
)
DATES = st.builds(
    lambda epoch, form: datetime.fromtimestamp(epoch, UTC).strftime(form).encode("ascii"),
    TIMES,
    st.sampled_from(DATE_FORMS),
)
VALUES = text_of(VALUE_BYTES)
FIELDS = st.one_of(
    st.tuples(in_any_case(b"range"), BYTE_RANGES),
    st.tuples(in_any_case(b"if-range"), ENTITY_TAGS),
    st.tuples(in_any_case(b"if-none-match") | in_any_case(b"if-match"), TAG_LISTS | st.just(b"*")),
    st.tuples(in_any_case(b"if-modified-since") | in_any_case(b"if-unmodified-since"), DATES),
    st.tuples(
        in_any_case(b"accept"),
        st.sampled_from(
            [
                *(b"*/*", b"application/json", b"text/html, APPLICATION/*;q=0.5", b"jso"),
                *(b"Text/Plain", b"x,text/plain;q=0", b"text/plai", b"text/*"),
            ]
        ),
    ),
    st.tuples(
        in_any_case(b"connection"),
        st.sampled_from([b"close", b"Keep-Alive", b"upgrade, CLOSE", b"closed", b"x;close", b""]),
    ),
    st.tuples(
        in_any_case(b"accept-encoding"),
        st.sampled_from([b"gzip, deflate, br, zstd", b"identity;q=0, *", b"br;q=0.5,gzip", b""]),
    ),
    st.tuples(in_any_case(b"want-repr-digest"), st.sampled_from([b"sha-256=1", b"sha-512=3"])),
    st.tuples(in_any_case(b"expect"), st.sampled_from([b"100-continue", b"100-Continue", b"x"])),
    st.tuples(in_any_case(b"upgrade"), st.sampled_from([b"websocket", b"h2c"])),
    st.tuples(text_of(TCHAR, min_size=1), VALUES),
)
FRAMING = st.sampled_from(
    [
        (),
        ((b"Content-Length", b"0"),),
        ((b"content-length", b"17"),),
        ((b"Transfer-Encoding", b"chunked"),),
    ]
)


@st.composite
def heads(
    draw: st.DrawFn,
    methods: st.SearchStrategy[bytes] = METHODS,
    hosts: st.SearchStrategy[bytes] = HOSTS,
    targets: st.SearchStrategy[bytes] = TARGETS,
    other_fields: st.SearchStrategy[tuple[bytes, bytes]] = FIELDS,
) -> Head:
    """Draw a valid head: one Host, at most one framing field, in any order among others."""
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    framing = draw(FRAMING)
    if version == b"HTTP/1.0" and framing and framing[0][0] == b"Transfer-Encoding":
        framing = ()
    host = (draw(in_any_case(b"host")), draw(hosts))
    reserved = {b"host", b"content-length", b"transfer-encoding"}
    drawn = draw(st.lists(other_fields, max_size=6))
    others = [field for field in drawn if field[0].lower() not in reserved]
    fields = draw(st.permutations([host, *framing, *others]))
    spaced = tuple((name, draw(WHITE) + value + draw(WHITE)) for name, value in fields)
    return Head(draw(methods), draw(targets), version, spaced)


HEADS = heads()


def _insert(data: bytes, position: int, piece: bytes) -> bytes:
    return data[:position] + piece + data[position:]


def _with_field(line: bytes) -> Callable[[st.DrawFn, bytes], bytes]:
    return lambda _draw, wire: wire[:-2] + line + b"\r\n\r\n"


def _with_byte(piece: bytes) -> Callable[[st.DrawFn, bytes], bytes]:
    return lambda draw, wire: _insert(wire, draw(st.integers(0, len(wire))), piece)


def _flipped(draw: st.DrawFn, wire: bytes) -> bytes:
    position = draw(st.integers(0, len(wire) - 1))
    flipped = wire[position] ^ draw(st.integers(1, 255))
    return wire[:position] + bytes([flipped]) + wire[position + 1 :]


def _cut(draw: st.DrawFn, wire: bytes) -> bytes:
    start = draw(st.integers(0, len(wire) - 1))
    return wire[:start] + wire[draw(st.integers(start + 1, len(wire))) :]


def _near(draw: st.DrawFn, bound: int) -> int:
    return bound + draw(st.integers(-2, 2))


def _padded(draw: st.DrawFn, wire: bytes) -> bytes:
    missing = _near(draw, LIMITS.head_bytes) - len(wire) - len(b"Padding:\r\n")
    return wire[:-2] + b"Padding:" + b"p" * missing + b"\r\n\r\n"


def _crowded(draw: st.DrawFn, wire: bytes) -> bytes:
    present = wire.count(b"\r\n") - 2
    return wire[:-2] + b"x:\r\n" * max(0, _near(draw, LIMITS.head_fields) - present) + b"\r\n"


def _long_target(draw: st.DrawFn, wire: bytes) -> bytes:
    method, _, rest = wire.partition(b" ")
    target, _, rest = rest.partition(b" ")
    padding = b"t" * max(0, _near(draw, LIMITS.target_bytes) - len(target))
    return method + b" " + target + padding + b" " + rest


def _long_method(draw: st.DrawFn, wire: bytes) -> bytes:
    return b"M" * max(0, _near(draw, MAX_METHOD_BYTES) - wire.find(b" ")) + wire


# Each way of breaking a head, by its name. Some leave it valid, at a bound.
BREAKS: Final[dict[str, Callable[[st.DrawFn, bytes], bytes]]] = {
    "a line feed alone": _with_byte(b"\n"),
    "a carriage return alone": _with_byte(b"\r"),
    "a line end": _with_byte(b"\r\n"),
    "a line end and a space": _with_byte(b"\r\n "),
    "a folded field": _with_field(b"Folded: a\r\n b"),
    "a NUL": _with_byte(b"\0"),
    "a space": _with_byte(b" "),
    "a colon": _with_byte(b":"),
    "a flipped byte": _flipped,
    "a part cut out": _cut,
    "another authority": lambda draw, wire: re.sub(
        rb"(?i)(\r\nhost:)[^\r]*", rb"\g<1>" + draw(near_hosts()), wire, count=1
    ),
    "a second Host": _with_field(b"Host: b.example"),
    "an empty Host": _with_field(b"Host:"),
    "a Content-Length": _with_field(b"Content-Length: 5"),
    "a list of lengths": _with_field(b"Content-Length: 5, 5"),
    "a signed length": _with_field(b"Content-Length: +5"),
    "a length of 19 digits": _with_field(b"Content-Length: 1000000000000000000"),
    "a transfer coding": _with_field(b"Transfer-Encoding: chunked"),
    "an unknown transfer coding": _with_field(b"Transfer-Encoding: gzip, chunked"),
    "an empty authority": lambda _draw, wire: wire.replace(b" /", b" http:///", 1),
    "a scheme alone": lambda _draw, wire: wire.replace(b" /", b" http:// ", 1),
    "another version": lambda draw, wire: wire.replace(
        b"HTTP/1.", draw(st.sampled_from([b"HTTP/2.", b"http/1.", b"HTTP/1", b"HTTP/1.1."])), 1
    ),
    "a head of about the limit": _padded,
    "about as many fields as may be": _crowded,
    "a target of about the limit": _long_target,
    "a method of about the limit": _long_method,
}

# Of these, the ones that leave nothing to be read, unless they come behind the head.
FATAL: Final = frozenset(
    {
        "a line feed alone",
        "a carriage return alone",
        "a folded field",
        "a NUL",
        "a second Host",
        "an empty Host",
        "a list of lengths",
        "a signed length",
        "a length of 19 digits",
        "an unknown transfer coding",
        "another version",
    }
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a head, broken in one way."""
    wire = draw(heads()).wire
    return BREAKS[draw(st.sampled_from(sorted(BREAKS)))](draw, wire)


# Anything: whole heads, broken ones, both with something behind, and noise.
WIRES = st.one_of(
    broken(),
    st.builds(lambda head, rest: head.wire + rest, heads(), st.binary(max_size=20)),
    st.builds(lambda wire, head: wire + head.wire, broken(), heads()),
    st.binary(max_size=100),
    text_of(b"GET / HTP.1\r\n:x", max_size=60),
)


CHUNK_EXTENSIONS = st.sampled_from([b"", b";a", b" ; a=b", b';a="b;\\""', b"\t;\ta\t=\t1;c"])
CHUNKS = st.builds(
    lambda data, zeros, extension: (
        b"0" * zeros + b"%x" % len(data) + extension + b"\r\n" + data + b"\r\n"
    ),
    st.binary(min_size=1, max_size=20) | st.just(b"\r\n0\r\n\r\n"),
    st.integers(0, 3),
    CHUNK_EXTENSIONS,
)
TRAILERS = st.lists(st.sampled_from([b"a: b\r\n", b"~:\r\n", b"c:\t\xff\r\n"]), max_size=3)
CHUNKED_BODIES = st.builds(
    lambda chunks, extension, trailers: (
        b"".join(chunks) + b"0" + extension + b"\r\n" + b"".join(trailers) + b"\r\n"
    ),
    st.lists(CHUNKS, max_size=4),
    CHUNK_EXTENSIONS,
    TRAILERS,
)


@st.composite
def requests(draw: st.DrawFn, whose_heads: st.SearchStrategy[Head] = HEADS) -> tuple[bytes, bytes]:
    """Draw a valid head with the body that it announces."""
    head = draw(whose_heads)
    framing = {name.lower(): value.strip(b" \t") for name, value in head.fields}
    if b"transfer-encoding" in framing:
        return head.wire, draw(CHUNKED_BODIES)
    length = int(framing.get(b"content-length", b"0"))
    return head.wire, draw(st.binary(min_size=length, max_size=length))


def site_requests(
    host: bytes, targets: Sequence[bytes], tags: Sequence[bytes]
) -> st.SearchStrategy[bytes]:
    """Return a strategy for whole requests of a site with these targets and entity tags."""
    methods = st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"OPTIONS", b"POST", b"BREW"])
    tag_names = st.sampled_from([b"If-None-Match", b"If-Match", b"If-Range"])
    known_tags = st.lists(st.sampled_from(tags), min_size=1, max_size=9).map(b", ".join)
    spans = st.tuples(st.integers(0, 99_999), st.integers(0, 9_999)).map(
        lambda span: b"%d-%d" % (span[0], sum(span))
    )
    ranges = st.lists(spans | st.sampled_from([b"0-", b"-1", b"3-4"]), min_size=1, max_size=5)
    fields = st.one_of(
        FIELDS,
        st.tuples(tag_names, known_tags),
        st.tuples(st.just(b"Range"), ranges.map(lambda ranges: b"bytes=" + b",".join(ranges))),
    )
    of_site = heads(methods, st.just(host), st.sampled_from(targets), fields)
    return requests(of_site).map(b"".join)


@st.composite
def broken_requests(draw: st.DrawFn, names: Sequence[str]) -> bytes:
    """Draw a request with its body whose head is broken in one of these ways."""
    head, body = draw(requests())
    name = draw(st.sampled_from(names))
    broken = BREAKS[name](draw, head)
    # What is put in behind the head breaks nothing.
    assume(not broken.startswith(head))
    return broken + body


@st.composite
def broken_bodies(draw: st.DrawFn) -> bytes:
    """Draw a chunked body with a byte changed, put in, or some cut out."""
    body = draw(CHUNKED_BODIES)
    broken = draw(st.sampled_from([_flipped, _cut, *map(_with_byte, (b"\n", b"\r", b" ", b"1"))]))
    return broken(draw, body)


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Draw a division of bytes into pieces, none of them empty."""
    cuts = draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=12))
    stops = [cut for cut in sorted(cuts) if cut < len(data)] + [len(data)]
    return [data[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
