"""Byte ranges: which part of a body, which not, and which fields are ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashttpd.http.ranges import (
    MAX_GAP,
    MAX_RANGES,
    UNSATISFIABLE,
    Part,
    choose_ranges,
    content_range,
)
from fuzz import slow

HUGE = b"9" * 5_000


@pytest.mark.parametrize(
    ("field", "part"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=0-9", (0, 10)),
        (b"bytes=0-10", (0, 10)),
        (b"bytes=0-", (0, 10)),
        (b"bytes=9-", (9, 10)),
        (b"bytes=9-9", (9, 10)),
        (b"bytes=3-5", (3, 6)),
        (b"bytes=-1", (9, 10)),
        (b"bytes=-10", (0, 10)),
        (b"bytes=-11", (0, 10)),
        (b"BYTES=\t0-0 ", (0, 1)),
        (b"bytes=0003-0005", (3, 6)),
        (b"bytes=0-" + HUGE, (0, 10)),
        (b"bytes=-" + HUGE, (0, 10)),
        (b"bytes=" + b"0" * 5_000 + b"3-", (3, 10)),
    ],
)
def test_a_range_is_cut_to_what_there_is(field: bytes, part: tuple[int, int]) -> None:
    assert choose_ranges(field, 10) == [part]


@pytest.mark.parametrize(
    ("field", "length"),
    [
        (b"bytes=10-", 10),
        (b"bytes=10-11", 10),
        (b"bytes=-0", 10),
        (b"bytes=-000", 10),
        (b"bytes=%b-" % HUGE, 10),
        (b"bytes=%b-%b" % (HUGE, HUGE), 10),
        (b"bytes=0-", 0),
        (b"bytes=0-0", 0),
        (b"bytes=-0", 0),
    ],
)
def test_a_range_behind_the_end_is_unsatisfiable(field: bytes, length: int) -> None:
    assert choose_ranges(field, length) is UNSATISFIABLE


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=-",
        b"bytes=5",
        b"bytes=5-4",
        b"bytes=%b-8" % HUGE,
        b"bytes=%b1-%b0" % (HUGE, HUGE),
        b"bytes=,",
        b"bytes=0-0 5-5",
        b"bytes=0-0,5-4",
        b"bytes=0-0;5-5",
        b"bytes=0-0,x",
        b"bytes=a-b",
        b"bytes=+1-2",
        b"bytes= 1 - 2",
        b"items=0-1",
        b"bytes=0-1\xa0",
    ],
)
def test_a_field_that_is_not_all_valid_byte_ranges_is_ignored(field: bytes) -> None:
    assert choose_ranges(field, 10) is None


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        (b"bytes=0-9,500-509", [(0, 10), (500, 510)]),
        (b"bytes=500-509,0-9", [(500, 510), (0, 10)]),
        (b"bytes=,0-0 ,\t, 900-,", [(0, 1), (900, 1000)]),
        (b"bytes=-10,0-0", [(990, 1000), (0, 1)]),
        (b"bytes=2000-,0-0,-0", [(0, 1)]),
        (b"bytes=0-9,5-19", [(0, 20)]),
        (b"bytes=800-899,0-9,10-19", [(0, 20), (800, 900)]),
        (b"bytes=0-0,%d-%d" % (MAX_GAP + 1, MAX_GAP + 1), [(0, MAX_GAP + 2)]),
        (b"bytes=0-0,%d-%d" % (MAX_GAP + 2, MAX_GAP + 2), [(0, 1), (MAX_GAP + 2, MAX_GAP + 3)]),
        (b"bytes=0-499,500-999", [(0, 1000)]),
    ],
)
def test_several_ranges_are_joined_where_they_touch_and_else_keep_their_order(
    field: bytes, parts: list[Part]
) -> None:
    assert choose_ranges(field, 1000) == parts


def test_ranges_that_cost_more_than_the_whole_are_ignored() -> None:
    many = [b"%d-%d" % (i * 1000, i * 1000) for i in range(MAX_RANGES + 1)]
    assert choose_ranges(b"bytes=" + b",".join(many), 10**6) is None
    parts = choose_ranges(b"bytes=" + b",".join(many[:-1]), 10**6)
    assert isinstance(parts, list)
    assert len(parts) == MAX_RANGES
    assert choose_ranges(b"bytes=0-499,0-500", 1000) is None
    assert choose_ranges(b"bytes=0-,0-", 1000) is None
    assert choose_ranges(b"bytes=0-0," * 1_000 + b"0-0", 10**6) is None


def test_a_suffix_of_an_empty_body_is_ignored() -> None:
    assert choose_ranges(b"bytes=-5", 0) is None
    assert choose_ranges(b"bytes=0-0,-5", 0) is None


@given(st.integers(0, 10**30), st.integers(0, 10**30), st.integers(0, 10**18 - 1))
def test_any_numbers_give_what_the_rfc_says(first: int, last: int, length: int) -> None:
    for field in (b"bytes=%d-%d" % (first, last), b"bytes=%d-" % first, b"bytes=-%d" % last):
        expected = slow.choose_range(field, length)
        if isinstance(expected, range):
            assert choose_ranges(field, length) == [(expected.start, expected.stop)]
        else:
            assert choose_ranges(field, length) is (UNSATISFIABLE if expected else None)


def test_content_range_counts_from_zero_and_includes_the_last() -> None:
    assert content_range((0, 1), 10) == b"Content-Range: bytes 0-0/10\r\n"
    assert content_range((3, 10), 10) == b"Content-Range: bytes 3-9/10\r\n"
