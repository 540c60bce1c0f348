"""Each pattern accepts its rule and nothing else, in linear work."""

import re
import re._constants as sre  # type: ignore[import-not-found]  # has no stub
import re._parser as parser  # type: ignore[import-not-found]  # has no stub
from typing import Any

import pytest

from ashttpd.http import authority, grammar, scan, target
from ashttpd.webroot import grammar as stored

ACCEPTED = [
    (grammar.ENTITY_TAG, [b'""', b'"a"', b'W/"a"', b'"!#~\x80\xff"', b'","', b'"W/"']),
    (
        grammar.MEDIA_RANGE,
        [b"a/b", b"*/*", b" a/* ", b"a/b;q=1", b"a/b ; c=d;q=0.5", b"!#$/x+y"],
    ),
    (grammar.BYTE_RANGE, [b"0-0", b"0-", b"-1"]),
    (grammar.CODING_PREFERENCE, [b"gzip", b"*", b"br;q=1", b"x-a ;\tQ=0.125", b"a;q=1.", b"a;q=0"]),
    (grammar.IMF_FIXDATE, [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Mon, 99 Dec 0000 99:99:99 GMT"]),
    (grammar.RFC850_DATE, [b"Sunday, 06-Nov-94 08:49:37 GMT", b"Thursday, 00-Jan-00 00:00:00 GMT"]),
    (grammar.DIGEST_PREFERENCE, [b"sha-256=1", b"*=-9", b"a_.*-9=999999999999999"]),
    (grammar.ASCTIME_DATE, [b"Sun Nov  6 08:49:37 1994", b"Sat Feb 28 23:59:60 2026"]),
    (grammar.CHUNK_SIZE, [b"0", b"fF", b"0" * 16]),
    (grammar.CHUNK_EXTENSION, [b";a", b" ;\ta = b", b';a="b;\\""', b';a=""']),
    (grammar._SEPARATOR, [b"", b" ", b",", b"\t,, ,"]),
    (grammar.TRAILER_LINE, [b"a:", b"a: b", b"a:\xff\t"]),
    (scan._METHOD, [b"", b"GET", b"!#$%&'*+-.^_`|~09azAZ"]),
    (scan._METHOD_START, [b"G", b"!", b"~"]),
    (scan._TARGET, [b"", b"/", b'!"$%~', b"\x80\xff"]),
    (scan._VERSION, [b"HTTP/1.1", b"HTTP/0.9", b"HTTP/9.9"]),
    (scan._ABSOLUTE, [b"http://a", b"HTTPS://a:1/b?c", b"http://?", b"http://"]),
    (scan._FIELD, [b"a:", b"a: b", b"a:b:c\n", b"~!: \xff"]),
    (scan._VALUE, [b"", b" \t~!", b"\x80\xff"]),
    (stored.FIELD_LINE, [b"a:\r\n", b"A-9: b\r\n", b"a:b:\tc \r\n", b"a: \t~\r\n"]),
    (stored.VARY, [b"*", b"a", b"Accept-Encoding", b"a9"]),
    (stored.ESSENCE, [b"a/b", b"image/svg+xml", b"!#/~ "]),
    (stored.PARAMETER, [b";", b"; ", b";a=b", b"; charset=utf-8 ", b';a="b\\";"', b';a=""']),
    (stored.CODING, [b"a", b"x-gzip", b"aes128gcm", b"0"]),
    (
        authority.AUTHORITY,
        [
            *(
                b"a",
                b"A.b:80",
                b"a:",
                b"a:99999",
                b"%41",
                b"~!$&'()*+,;=",
                b"1.2.3.4",
                b"999.9.9.9",
            ),
            *(b"[::]", b"[::1]", b"[::1]:", b"[::1]:80", b"[1:2:3:4:5:6:7:8]", b"[ABCD:ef01::]"),
            *(b"[1:2:3:4:5:6:7::]", b"[::2:3:4:5:6:7:8]", b"[1::3:4:5:6:7:8]", b"[::1.2.3.4]"),
            *(b"[1:2:3:4:5:6:255.249.199.99]", b"[1::0.0.0.0]", b"[v1.a]:1", b"[Vf.:~!]"),
        ],
    ),
    (stored.BROKEN_ESCAPE, [b"%"]),
    (scan._LENGTH, [b"0", b"9" * 18]),
    (scan._CONNECTION_OPTION, [b"close", b"keep-alive"]),
    (scan._ACCEPT_MATTERS, [b"json", b"JSON", b"tion/*"]),
    (target._NO_QUERY, [b"\x80", b"\xff", b'"', b"\\", b"<", b"^", b"`", b"{", b"#", b"[", b"%"]),
    (target._NO_ESCAPE, [b"%"]),
    (target._ENCODED_SLASH, [b"%2f", b"%2F"]),
    (target._UNSAFE, [b"%", b"?", b"#", b" ", b"\0", b"\n", b"\xff", b'"', b"["]),
]
LISTS = [
    (grammar.ENTITY_TAG, b'"a"', 1),
    (grammar.ENTITY_TAG, b'"a","b"', 2),
    (grammar.ENTITY_TAG, b' , "a" ,\t, W/"b" , ', 2),
    (grammar.ENTITY_TAG, b'"a",,,', 1),
    (grammar.ENTITY_TAG, b',,"a"', 1),
    (grammar.ENTITY_TAG, b'"a,b" ,"c"', 2),
    (grammar.BYTE_RANGE, b",-1 ,\t2-,,", 2),
    (grammar.BYTE_RANGE, b"\t0-9 ", 1),
    (grammar.CODING_PREFERENCE, b"gzip, br;q=0.5 , *;q=0", 3),
]
NO_LISTS = [
    *(
        (grammar.ENTITY_TAG, field)
        for field in (
            *(b"", b" ", b",", b",,", b'"a" "b"', b'"a""b"', b'"a",b', b'"a";', b"*", b'"a"\n'),
            *(b'"a",*', b'"a",W/', b'"a",W', b'"a","'),
        )
    ),
    *(
        (grammar.BYTE_RANGE, field)
        for field in (
            b"0-1 2-3",
            b"0-1;2-3",
            b"0-1,2",
            b"0-1,-",
            b"0 -1",
            b"0- 1",
            b"0-1\n",
            b"\xb2-",
        )
    ),
]
REJECTED = [
    (
        grammar.ENTITY_TAG,
        [b"", b"a", b'"', b'"a', b'a"', b'w/"a"', b'W"a"', b'"a b"', b'"\x7f"', b'"""', b'"a"\n'],
    ),
    (
        grammar.CODING_PREFERENCE,
        [
            b"",
            b" gzip",
            b"gzip;",
            b"gzip;q",
            b"gzip;q=2",
            b"a;q=0.1234",
            b"a;q=1.1",
            b"a;b=1",
            b"\xff",
        ],
    ),
    (
        grammar.IMF_FIXDATE,
        [
            b"",
            b"Sun, 6 Nov 1994 08:49:37 GMT",
            b"Sunday, 06 Nov 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        ],
    ),
    (
        grammar.RFC850_DATE,
        [b"", b"Sun, 06-Nov-94 08:49:37 GMT", b"Sunday, 06-Nov-1994 08:49:37 GMT"],
    ),
    (grammar.DIGEST_PREFERENCE, [b"", b"a", b"a=", b"A=1", b"9=1", b"a= 1", b"a=1.5", b"a=--1"]),
    (grammar.ASCTIME_DATE, [b"", b"Sun Nov 6 08:49:37 1994", b"Sun Nov 006 08:49:37 1994"]),
    (grammar.CHUNK_SIZE, [b"", b"g", b"0x1", b"+1", b" 1", b"0" * 17, b"1\n"]),
    (grammar.CHUNK_EXTENSION, [b"", b"a", b";", b";a=", b';a="', b';a="\\"', b";a b", b";a;"]),
    (grammar._SEPARATOR, [b"a", b", a", b";", b"\n"]),
    (grammar.TRAILER_LINE, [b"", b":", b"a", b"a :b", b"a:\0", b"a:\r", b"a:\n"]),
    (grammar.BYTE_RANGE, [b"", b"-", b"0", b"0-1-2", b"a-b", b"+1-2", b"0 -1", b"0-1\n"]),
    (
        grammar.MEDIA_RANGE,
        [b"", b"a", b"a/", b"/b", b"a /b", b"a/b c", b"a/b,c/d", b"a/b/c"],
    ),
    (scan._METHOD, [b" ", b"G T", b"(", b"\xe4", b"G\n"]),
    (scan._METHOD_START, [b"", b"\x16", b" ", b"\0", b"\r"]),
    (scan._TARGET, [b"#", b" ", b"\x7f", b"\x1f", b"\0", b"/\n"]),
    (scan._VERSION, [b"", b"http/1.1", b"HTTP/1", b"HTTP/11", b"HTTP/1.1\n", b"HTTP/1.\xb2"]),
    (scan._ABSOLUTE, [b"", b"/", b"http:/a", b"ftp://a", b"xhttp://a", b"httpss://a"]),
    (scan._FIELD, [b"", b":", b"a", b"a :", b" a:", b"\xe4:", b"a\n:"]),
    (scan._VALUE, [b"\0", b"\r", b"\n", b"\x7f", b"\x1f", b"a\n"]),
    (
        stored.FIELD_LINE,
        [
            b"",
            b":",
            b"a\r\n",
            b"a :b\r\n",
            b" a:b\r\n",
            b"a_b: c\r\n",
            b"9: c\r\n",
            b"a: b",
            b"a: b\n",
        ],
    ),
    (
        stored.FIELD_LINE,
        [
            b"a: b\r",
            b"a: b\rc\r\n",
            b"a: b\nc\r\n",
            b"a: b\r\n c\r\n",
            b"a: \0\r\n",
            b"a: \xff\r\n",
        ],
    ),
    (stored.VARY, [b"", b"**", b"a_b", b"a b", b"-", b"9", b"a\n", b"a,b"]),
    (stored.ESSENCE, [b"", b"a", b"a/", b"/b", b"a /b", b"a/b/c", b"a/b;", b"a/b\n", b"a/\xff"]),
    (
        stored.PARAMETER,
        [b"", b"a=b", b";a", b";=b", b';a="', b";a=b;", b";a=b\n", b";a=\t", b';a="\t"'],
    ),
    (stored.CODING, [b"", b"A", b"-", b"a/b", b"a b", b"a\n", b"*", b"gzip, br"]),
    (
        authority.AUTHORITY,
        [
            *(
                b"",
                b"a b",
                b"a/b",
                b"u@a",
                b"u:p@a",
                b"a?",
                b"a#",
                b"\xe4",
                b"a\n",
                b"<",
                b"\\",
                b'"',
            ),
            *(
                b":",
                b":80",
                b"a:b",
                b"a:80:80",
                b"a::",
                b"a:+1",
                b"a:-1",
                b"a: 1",
                b"a:80\n",
                b"a,b:c",
            ),
            *(b"%", b"%4", b"a%zz", b"%4g", b"a%", b"::1", b"[", b"]", b"[]", b"[::1", b"::1]"),
            *(b"a]", b"[a]", b"[[::1]]", b"[::1]a", b"a[::1]", b"[::1]80", b"[::1]:a", b"[::zz]"),
            *(b"[:]", b"[:::]", b"[1]", b"[1:2]", b"[1:2:3:4:5:6:7]", b"[1:2:3:4:5:6:7:8:9]"),
            *(b"[1:2:3:4:5:6:7:8::]", b"[::1:2:3:4:5:6:7:8]", b"[1:2:3:4::5:6:7:8]", b"[1::2::3]"),
            *(b"[:1:2:3:4:5:6:7]", b"[1:2:3:4:5:6:7:]", b"[12345::]", b"[::12345]", b"[::1.2.3]"),
            *(b"[1.2.3.4]", b"[::1.2.3.256]", b"[::01.2.3.4]", b"[::1.2.3.4.5]", b"[::1.2.3.4:5]"),
            *(
                b"[1:2:3:4:5:6:7:1.2.3.4]",
                b"[::2:3:4:5:6:7:1.2.3.4]",
                b"[1.2.3.4::]",
                b"[::.2.3.4]",
            ),
            *(b"[fe80::1%eth0]", b"[fe80::1%25eth0]", b"[::1 ]", b"[v.a]", b"[v1.]", b"[v1a]"),
            *(b"[vg.a]", b"[v1.a%41]", b"[v1.[]", b"[1v.a]"),
        ],
    ),
    (stored.BROKEN_ESCAPE, [b"", b"a", b"%4", b"%41", b"%zz"]),
    (scan._LENGTH, [b"", b"+1", b"-1", b"1,1", b" 1", b"0x1", b"9" * 19, b"1\n", b"\xb2"]),
    (scan._CONNECTION_OPTION, [b"", b",", b"a b"]),
    (scan._ACCEPT_MATTERS, [b"", b"jso", b"*/*", b"tion/", b"text/html"]),
    (target._NO_QUERY, [b"", b"a", b"%41", b"?", b"/", b"%%", b"\x80\x80"]),
    (target._NO_ESCAPE, [b"", b"%0", b"%00", b"a", b"%%"]),
    (target._ENCODED_SLASH, [b"", b"/", b"%2", b"%25", b"%2G", b"%3f"]),
    (target._UNSAFE, [b"", b"a", b"Z", b"0", b"/", b":", b"@", b"-", b"~", b"$", b"'", b"aa"]),
]
PATTERNS = [pattern for pattern, _texts in ACCEPTED]


@pytest.mark.parametrize(
    ("pattern", "text"), [(pattern, text) for pattern, texts in ACCEPTED for text in texts]
)
def test_a_pattern_accepts_its_rule(pattern: re.Pattern[bytes], text: bytes) -> None:
    assert pattern.fullmatch(text)


@pytest.mark.parametrize(
    ("pattern", "text"), [(pattern, text) for pattern, texts in REJECTED for text in texts]
)
def test_a_pattern_rejects_what_its_rule_does_not_say(
    pattern: re.Pattern[bytes], text: bytes
) -> None:
    assert not pattern.fullmatch(text)


@pytest.mark.parametrize(
    ("parameters", "weight"),
    [
        (b";q=0", b"0"),
        (b";q=0.", b"0."),
        (b"; Q=0.123", b"0.123"),
        (b";q=1.000 ", b"1.000"),
        (b";level=1;q=0.5", b"0.5"),
        (b";q=0.5;ext", b"0.5"),
    ],
)
def test_a_weight_is_found_among_parameters(parameters: bytes, weight: bytes) -> None:
    match = grammar.WEIGHT.search(parameters)
    assert match is not None
    assert match[1] == weight


@pytest.mark.parametrize(
    "parameters", [b"", b";q=", b";q=2", b";q=1.001", b";q=0.1234", b";q=-1", b";xq=1", b";q =1"]
)
def test_what_is_no_weight_is_not_found(parameters: bytes) -> None:
    assert grammar.WEIGHT.search(parameters) is None


def test_every_pattern_of_the_modules_has_cases() -> None:
    named = {
        value
        for module in (authority, grammar, scan, target, stored)
        for value in vars(module).values()
        if isinstance(value, re.Pattern)
    }
    assert named == {*PATTERNS, grammar.WEIGHT}
    assert {pattern for pattern, _texts in REJECTED} == set(PATTERNS)


def ambiguous_loops(pattern: Any, *, inside: bool = False) -> list[str]:
    """Return the loops of a parsed pattern that stand within another and may give bytes back.

    Those are what exponential work is made of; a possessive loop never gives back.
    """
    found = []
    for op, argument in pattern:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            _low, high, body = argument
            loops = high > 1
            if loops and inside:
                found.append(str(body))
            found += ambiguous_loops(body, inside=inside or loops)
        elif op is sre.POSSESSIVE_REPEAT:
            _low, high, body = argument
            found += ambiguous_loops(body, inside=inside or high > 1)
        elif op is sre.SUBPATTERN:
            found += ambiguous_loops(argument[3], inside=inside)
        elif op is sre.BRANCH:
            for branch in argument[1]:
                found += ambiguous_loops(branch, inside=inside)
    return found


def test_the_check_for_ambiguous_loops_finds_the_list_that_took_exponential_time() -> None:
    assert ambiguous_loops(parser.parse(rb'"a"(?:[ \t]*,[ \t]*(?:"a")?)*'))
    assert not ambiguous_loops(parser.parse(rb'"a"(?:[ \t]*+,[ \t]*+(?:"a")?+)*+'))


@pytest.mark.parametrize("pattern", [*PATTERNS, grammar.WEIGHT])
def test_no_pattern_has_a_loop_within_a_loop_that_gives_bytes_back(
    pattern: re.Pattern[bytes],
) -> None:
    assert ambiguous_loops(parser.parse(pattern.pattern)) == []


@pytest.mark.parametrize(("element", "field", "count"), LISTS)
def test_the_elements_of_a_list_are_found(
    element: re.Pattern[bytes], field: bytes, count: int
) -> None:
    assert len(grammar.elements_of(field, element)) == count


def test_a_list_of_more_elements_than_a_head_has_use_for_is_none() -> None:
    most = grammar.MAX_ELEMENTS
    assert len(grammar.elements_of(b'"a",' * most, grammar.ENTITY_TAG)) == most
    assert grammar.elements_of(b'"a",' * (most + 1), grammar.ENTITY_TAG) == []
    assert len(grammar.elements_of(b"0-0,1-1,,", grammar.BYTE_RANGE, 2)) == 2
    assert grammar.elements_of(b"0-0,1-1,2-2", grammar.BYTE_RANGE, 2) == []


@pytest.mark.parametrize(("element", "field"), NO_LISTS)
def test_what_is_no_list_has_no_elements(element: re.Pattern[bytes], field: bytes) -> None:
    assert grammar.elements_of(field, element) == []


def possessive_groups(parsed: Any) -> list[str]:
    """Return the possessive loops of more than one character each, wherever in a pattern."""
    found = []
    for operation, argument in parsed:
        parts = argument if isinstance(argument, tuple) else (argument,)
        inner = [part for part in parts if isinstance(part, parser.SubPattern)]
        if operation is sre.BRANCH:
            inner = argument[1]
        if operation is sre.POSSESSIVE_REPEAT and (
            len(argument[2]) > 1 or argument[2][0][0] not in (sre.IN, sre.LITERAL, sre.NOT_LITERAL)
        ):
            found.append(str(argument[2]))
        for part in inner:
            found += possessive_groups(part)
    return found


def test_a_possessive_loop_of_groups_is_seen() -> None:
    assert possessive_groups(parser.parse(rb"(a|b(?:c[d]*+(?:ef)?+))"))
    assert not possessive_groups(parser.parse(rb"(?:a[b]*+|c++)*d?+"))


@pytest.mark.parametrize("pattern", [*PATTERNS, grammar.WEIGHT])
def test_no_pattern_has_a_possessive_loop_of_groups(pattern: re.Pattern[bytes]) -> None:
    # Python 3.11.2 lets such a loop keep what its last, failed round has taken.
    assert possessive_groups(parser.parse(pattern.pattern)) == []


@pytest.mark.parametrize(
    "text", [b"", b"/a%20b/", b"./x:y/", b"//[::1]:80/?a=b#c", b"%aF~!$&'()*+,;=@"]
)
def test_a_uri_reference_has_its_characters_and_whole_escapes(text: bytes) -> None:
    assert stored.is_uri_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        *(b" ", b"/\0", b"/\r", b"/\n", b"/\t", b"\x7f", b"\xff", b'"', b"<"),
        *(b"\\", b"^", b"`", b"{", b"|", b"%", b"/%4", b"%4g", b"%%41", b"a%"),
    ],
)
def test_what_is_no_uri_reference_is_told(text: bytes) -> None:
    assert not stored.is_uri_reference(text)


@pytest.mark.parametrize(
    "text",
    [b"text/html", b"text/html; charset=utf-8", b"a/b;c=d ;;", b'a/b; c="d;\\"e"; f=g', b"a/b; "],
)
def test_a_media_type_has_any_parameters(text: bytes) -> None:
    assert stored.is_media_type(text)


@pytest.mark.parametrize(
    "text",
    [b"", b"text", b"a/b c", b"a/b; c d", b"a/b;\tc=d", b"a/b; c=d e", b'a/b; c="d', b"a/b\r\n"],
)
def test_what_is_no_media_type_is_told(text: bytes) -> None:
    assert not stored.is_media_type(text)
