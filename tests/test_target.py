"""Paths: one canonical form, found from every spelling, never above the root."""

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashttpd.http.errors import HTTPError
from ashttpd.http.target import encode_path, encode_query, parse_path, split_target
from fuzz.slow import remove_dot_segments

SEGMENTS = st.binary(max_size=12).filter(
    lambda segment: segment not in (b".", b"..") and not {0, ord("/")} & set(segment)
)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=6).map(lambda segments: b"/" + b"/".join(segments))


@given(PATHS)
def test_an_encoded_path_parses_to_what_it_was(path: bytes) -> None:
    assert parse_path(encode_path(path)) == path


@given(PATHS)
def test_a_path_with_every_byte_escaped_parses_to_the_same(path: bytes) -> None:
    segments = [b"".join(b"%%%02x" % byte for byte in s) for s in path[1:].split(b"/")]
    assert parse_path(b"/" + b"/".join(segments)) == path


@given(st.binary(max_size=50))
def test_an_encoded_path_holds_only_what_a_path_may(path: bytes) -> None:
    assert re.fullmatch(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-F]{2})*", encode_path(path))


@given(st.binary(max_size=50) | st.text('%aF0g?/"\\', max_size=30).map(str.encode))
def test_an_encoded_query_is_one_of_rfc_3986_and_decodes_to_what_it_was(query: bytes) -> None:
    encoded = encode_query(query)
    assert re.fullmatch(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*", encoded)
    assert unquote_to_bytes(encoded) == unquote_to_bytes(query)
    assert encode_query(encoded) == encoded


@pytest.mark.parametrize(
    ("query", "encoded"),
    [
        (b"", b""),
        (b"?", b"?"),
        (b"?a=%e9&b=/?:@!$'()*+,;~", b"?a=%e9&b=/?:@!$'()*+,;~"),
        (b'?\xff"x\\', b"?%FF%22x%5C"),
        (b"?<>^`{|}[]#", b"?%3C%3E%5E%60%7B%7C%7D%5B%5D%23"),
        (b"?%zz%4%", b"?%25zz%254%25"),
        (b"?%%41", b"?%25%41"),
    ],
)
def test_a_query_keeps_its_escapes_and_gets_those_that_it_lacks(
    query: bytes, encoded: bytes
) -> None:
    assert encode_query(query) == encoded


@given(st.text("ab./%2eE", max_size=30).map(lambda rest: b"/" + rest.encode()))
def test_a_parsed_path_starts_with_a_slash_and_has_no_dot_segment(path: bytes) -> None:
    try:
        parsed = parse_path(path)
    except HTTPError:
        return
    if parsed is not None:
        assert parsed[:1] == b"/"
        assert not {b".", b".."} & set(parsed.split(b"/"))


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        (b"/", b"/"),
        (b"/a/b", b"/a/b"),
        (b"/a/b/", b"/a/b/"),
        (b"//", b"//"),
        (b"//a", b"//a"),
        (b"/a//b", b"/a//b"),
        (b"/.", b"/"),
        (b"/./", b"/"),
        (b"/..", b"/"),
        (b"/../..", b"/"),
        (b"/../../etc/passwd", b"/etc/passwd"),
        (b"/a/.", b"/a/"),
        (b"/a/..", b"/"),
        (b"/a/b/..", b"/a/"),
        (b"/a/b/../c", b"/a/c"),
        (b"/a/b/c/./../../g", b"/a/g"),
        (b"/a//../b", b"/a/b"),
        (b"/...", b"/..."),
        (b"/.a", b"/.a"),
        (b"/..a", b"/..a"),
        (b"/a.", b"/a."),
        (b"/a../b", b"/a../b"),
    ],
)
def test_dot_segments_go_and_nothing_else_does(path: bytes, parsed: bytes) -> None:
    assert parse_path(path) == parsed == remove_dot_segments(path)


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        (b"/%2e", b"/"),
        (b"/%2E%2e", b"/"),
        (b"/.%2e/x", b"/x"),
        (b"/%2e./%2e%2E/x", b"/x"),
        (b"/a/%2e%2e", b"/"),
        (b"/a/%2e%2e/%2e%2e/b", b"/b"),
        (b"/%2e%2e%2e", b"/..."),
        (b"/%2ea", b"/.a"),
    ],
)
def test_encoded_dots_are_dot_segments_too(path: bytes, parsed: bytes) -> None:
    assert parse_path(path) == parsed


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        (b"/%41", b"/A"),
        (b"/%c3%A4", b"/\xc3\xa4"),
        (b"/%ff", b"/\xff"),
        (b"/%20", b"/ "),
        (b"/%3f%23", b"/?#"),
        (b"/%5c..", b"/\\.."),
        (b"/%2541", b"/%41"),
        (b"/%252e%252e/x", b"/%2e%2e/x"),
        (b"/%252F", b"/%2F"),
    ],
)
def test_a_path_is_decoded_once(path: bytes, parsed: bytes) -> None:
    assert parse_path(path) == parsed


@pytest.mark.parametrize("path", [b"/%2F", b"/a%2fb", b"/%2F..", b"/..%2F", b"/x/%2F%2e%2e"])
def test_an_encoded_slash_names_nothing(path: bytes) -> None:
    assert parse_path(path) is None


@pytest.mark.parametrize(
    "path",
    [b"/%", b"/%4", b"/%4g", b"/%g4", b"/%%41", b"/%u0041", b"/%+1", b"/% 1", b"/a/%/b", b"/%2F/%"],
)
def test_a_broken_escape_is_400(path: bytes) -> None:
    with pytest.raises(HTTPError) as caught:
        parse_path(path)
    assert caught.value.status == 400


@pytest.mark.parametrize("path", [b"/%00", b"/a%00.html", b"/a/%00/..", b"/%00%2F"])
def test_an_encoded_nul_is_400(path: bytes) -> None:
    with pytest.raises(HTTPError) as caught:
        parse_path(path)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"/", (b"/", b"")),
        (b"/a?b", (b"/a", b"?b")),
        (b"/a?", (b"/a", b"?")),
        (b"/?a?b/c", (b"/", b"?a?b/c")),
        (b"/%3f?x", (b"/%3f", b"?x")),
    ],
)
def test_a_target_divides_at_its_first_question_mark(
    target: bytes, parts: tuple[bytes, bytes]
) -> None:
    assert split_target(target) == parts
