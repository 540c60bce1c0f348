"""Byte ranges: which part of a body, which not, and which fields are ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashttpd.http.ranges import UNSATISFIABLE, choose_range, content_range
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
    assert choose_range(field, 10) == part


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
    assert choose_range(field, length) is UNSATISFIABLE


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
        b"bytes=0-0,5-5",
        b"bytes=a-b",
        b"bytes=+1-2",
        b"bytes= 1 - 2",
        b"items=0-1",
        b"bytes=0-1\xa0",
    ],
)
def test_a_field_that_is_not_one_valid_byte_range_is_ignored(field: bytes) -> None:
    assert choose_range(field, 10) is None


def test_a_suffix_of_an_empty_body_is_ignored() -> None:
    assert choose_range(b"bytes=-5", 0) is None


@given(st.integers(0, 10**30), st.integers(0, 10**30), st.integers(0, 10**18 - 1))
def test_any_numbers_give_what_the_rfc_says(first: int, last: int, length: int) -> None:
    for field in (b"bytes=%d-%d" % (first, last), b"bytes=%d-" % first, b"bytes=-%d" % last):
        expected = slow.choose_range(field, length)
        if isinstance(expected, range):
            assert choose_range(field, length) == (expected.start, expected.stop)
        else:
            assert choose_range(field, length) is (UNSATISFIABLE if expected else None)


def test_content_range_counts_from_zero_and_includes_the_last() -> None:
    assert content_range(0, 1, 10) == b"Content-Range: bytes 0-0/10\r\n"
    assert content_range(3, 10, 10) == b"Content-Range: bytes 3-9/10\r\n"
