"""Ranges, preconditions and paths agree with slow versions that read like the RFCs."""

from functools import partial

from hypothesis import example, given
from hypothesis import strategies as st

from ashttpd.http.authority import AUTHORITY
from ashttpd.http.conditional import Validators, check, find_match
from ashttpd.http.dates import parse_date
from ashttpd.http.grammar import ENTITY_TAG, MAX_ELEMENTS, elements_of
from ashttpd.http.lists import media_weights, tags_of
from ashttpd.http.negotiate import media_weight
from ashttpd.http.ranges import MAX_GAP, MAX_RANGES, Unsatisfiable, choose_ranges
from ashttpd.http.request import Request
from ashttpd.http.target import encode_path, parse_path
from fuzz import slow
from fuzz.strategies import (
    ACCEPTS,
    BYTE_RANGES,
    DATES,
    HOSTS,
    NOW,
    TAG_LISTS,
    TIMES,
    near_hosts,
    text_of,
)

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
    chosen = choose_ranges(field, length)
    expected = slow.choose_range(field, length)
    if expected == "unsatisfiable":
        assert isinstance(chosen, Unsatisfiable)
    elif isinstance(expected, range):
        assert chosen == [(expected.start, expected.stop)]
    elif b"," not in field:
        assert chosen is None


@given(
    st.lists(BYTE_RANGES.map(lambda field: field[6:]), min_size=1, max_size=MAX_RANGES + 2),
    st.integers(0, 2_000),
)
def test_several_ranges_agree_with_each_alone(specs: list[bytes], length: int) -> None:
    chosen = choose_ranges(b"bytes=" + b",".join(specs), length)
    each = [slow.choose_range(b"bytes=" + spec, length) for spec in specs]
    wanted = [part for part in each if isinstance(part, range)]
    if None in each or len(specs) > MAX_RANGES or sum(map(len, wanted)) > length:
        assert chosen is None
    elif not wanted:
        assert isinstance(chosen, Unsatisfiable)
    else:
        assert isinstance(chosen, list)
        sent = [position for start, stop in chosen for position in range(start, stop)]
        assert len(sent) == len(set(sent))
        asked = {position for part in wanted for position in part}
        assert asked <= set(sent)
        assert len(set(sent) - asked) <= MAX_GAP * len(wanted)


@given(TAG_LISTS | text_of(b'"W/a, \t', max_size=12))
@example(b'"a"' + b" ," * 5_000 + b" x")  # found: tried in 2**5000 ways
@example(b"," * 10_000)
def test_entity_tag_lists_agree_with_the_literal_version(field: bytes) -> None:
    accepted = elements_of(field, ENTITY_TAG) != []
    assert accepted == (slow.parse_entity_tags(field) is not None)


LISTS = (
    TAG_LISTS | st.sampled_from([b"*", b"", b"**", b'*, "a"']) | text_of(b'"W/a, \t', max_size=12)
)
TAGS = st.lists(st.sampled_from([b'"a"', b'"b"', b'"W/"', b'","', b'""']), min_size=1, max_size=3)


@given(LISTS, TAGS)
def test_if_none_match_agrees_with_the_literal_version(field: bytes, tags: list[bytes]) -> None:
    named = tags_of(field, weak=True)
    assert find_match(named, Validators(tags[0], tags[1:])) == slow.find_match(field, tags)


@given(ACCEPTS, st.sampled_from(["text/html; charset=utf-8", "application/json", "a/b"]))
@example(b"a/b;q=0.3, A/B;q=0.7, */*", "a/b")
@example(b"a/b;q=0.5, , ," * MAX_ELEMENTS, "a/b")
@example(b"a/b;q=0.5," * (MAX_ELEMENTS + 1), "a/b")
def test_the_weight_of_a_media_type_agrees_with_the_literal_version(
    field: bytes, media_type: str
) -> None:
    assert media_weight(media_weights(field), media_type) == slow.media_weight(field, media_type)


@given(DATES, st.integers(0, 2 * NOW))
@example(b"Tuesday, 14-Nov-73 22:13:20 GMT", NOW)
@example(b"Tuesday, 14-Nov-74 22:13:20 GMT", NOW)
def test_dates_agree_with_the_literal_version(date: bytes, now: int) -> None:
    assert parse_date(date, now) == slow.parse_date(date, now)


@given(
    st.builds(
        partial(Request, b"GET", b"/", 1, True, False, b"a"),
        if_match=st.none() | LISTS,
        if_unmodified_since=st.none() | DATES,
        if_none_match=st.none() | LISTS,
        if_modified_since=st.none() | DATES,
    ),
    TAGS,
    st.none() | TIMES,
)
def test_preconditions_agree_with_the_literal_version(
    request: Request, tags: list[bytes], modified: int | None
) -> None:
    status, _tag = check(request, Validators(tags[0], tags[1:], modified), NOW)
    assert status == slow.check(request, tags, modified, NOW)


@given(HOSTS)
def test_an_authority_of_the_grammars_parts_is_one(host: bytes) -> None:
    assert AUTHORITY.fullmatch(host)
    assert slow.is_authority(host)


@given(near_hosts() | text_of(b"[]:.%v0123456789aF", max_size=24))
@example(b"[::]")
@example(b"[1:2:3:4:5:6:7::]")
@example(b"[::2:3:4:5:6:7:8]")
@example(b"[::1:2:3:4:5:6:7:8]")
@example(b"[1:2:3:4:5:6:1.2.3.4]")
@example(b"[1:2:3:4:5:6:7:1.2.3.4]")
@example(b"[1:2:3:4:5:1.2.3.4]")
@example(b"[::01.2.3.4]")
@example(b"[::1.2.3.4:5]")
@example(b"[fe80::1%25eth0]")
@example(b"[" * 8_000)
@example(b"[" + b"1:" * 8_000 + b"]")
def test_authorities_agree_with_the_literal_version(text: bytes) -> None:
    assert (AUTHORITY.fullmatch(text) is not None) == slow.is_authority(text)


@given(st.lists(st.sampled_from([b"", b".", b"..", b"...", b"a", b".b", b"c d"]), max_size=8))
def test_dot_segments_go_as_rfc_3986_says(segments: list[bytes]) -> None:
    path = b"/" + b"/".join(segments)
    expected = slow.remove_dot_segments(path)
    assert parse_path(path) == expected
    assert parse_path(path.replace(b".", b"%2e")) == expected
    assert parse_path(encode_path(path)) == expected
