"""Ranges, preconditions and paths agree with slow versions that read like the RFCs."""

from hypothesis import example, given
from hypothesis import strategies as st

from ashttpd.http.conditional import find_match
from ashttpd.http.grammar import ENTITY_TAG_LIST
from ashttpd.http.ranges import Unsatisfiable, choose_range
from ashttpd.http.target import encode_path, parse_path
from fuzz import slow
from fuzz.strategies import BYTE_RANGES, TAG_LISTS, text_of

HUGE = 10**18


@given(
    BYTE_RANGES | text_of(b"bytes=-0123456789 ,", max_size=20),
    st.integers(0, 30) | st.integers(0, HUGE - 1),
)
@example(b"bytes=0-0", 1)
@example(b"bytes=-0", 0)
@example(b"bytes=-1", 0)
@example(b"bytes=" + b"9" * 5_000 + b"-", 10)
@example(b"bytes=0-" + b"9" * 5_000, 10)
@example(b"bytes=-" + b"9" * 5_000, 10)
@example(b"bytes=" + b"0" * 5_000 + b"1-2", 10)
@example(b"bytes=%d-%d" % (HUGE * 10, HUGE), 10)  # found: 416 for what is no range at all
def test_ranges_agree_with_the_literal_version(field: bytes, length: int) -> None:
    chosen = choose_range(field, length)
    expected = slow.choose_range(field, length)
    if expected == "unsatisfiable":
        assert isinstance(chosen, Unsatisfiable)
    elif isinstance(expected, range):
        assert chosen == (expected.start, expected.stop)
    else:
        assert chosen is None


@given(TAG_LISTS | text_of(b'"W/a, \t', max_size=12))
@example(b'"a"' + b" ," * 5_000 + b" x")  # found: tried in 2**5000 ways
@example(b"," * 10_000)
def test_entity_tag_lists_agree_with_the_literal_version(field: bytes) -> None:
    accepted = ENTITY_TAG_LIST.fullmatch(field) is not None
    assert accepted == (slow.parse_entity_tags(field) is not None)


@given(
    TAG_LISTS | st.sampled_from([b"*", b"", b"**", b'*, "a"']) | text_of(b'"W/a, \t', max_size=12),
    st.lists(st.sampled_from([b'"a"', b'"b"', b'"W/"', b'","', b'""']), max_size=3),
)
def test_preconditions_agree_with_the_literal_version(field: bytes, tags: list[bytes]) -> None:
    assert find_match(field, tags) == slow.find_match(field, tags)


@given(st.lists(st.sampled_from([b"", b".", b"..", b"...", b"a", b".b", b"c d"]), max_size=8))
def test_dot_segments_go_as_rfc_3986_says(segments: list[bytes]) -> None:
    path = b"/" + b"/".join(segments)
    expected = slow.remove_dot_segments(path)
    assert parse_path(path) == expected
    assert parse_path(path.replace(b".", b"%2e")) == expected
    assert parse_path(encode_path(path)) == expected
