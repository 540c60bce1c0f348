"""If-None-Match compares weakly, If-Range strongly, and what is malformed matches nothing."""

import pytest

from ashttpd.http.conditional import allows_range, find_match

TAGS = (b'"a"', b'"b"')


@pytest.mark.parametrize(
    ("field", "tag"),
    [
        (b'"a"', b'"a"'),
        (b'"b"', b'"b"'),
        (b'W/"b"', b'"b"'),
        (b'"x", W/"b" ,"y"', b'"b"'),
        (b'"b", "a"', b'"a"'),
        (b',, "b",', b'"b"'),
        (b"*", b'"a"'),
    ],
)
def test_if_none_match_finds_the_first_tag_that_it_names(field: bytes, tag: bytes) -> None:
    assert find_match(field, TAGS) == tag


@pytest.mark.parametrize(
    "field",
    [b"", b'"c"', b'"A"', b"a", b'"a', b'a"', b'"a" "b"', b'"a", b', b'w/"a"', b'*, "a"', b'"a,b"'],
)
def test_if_none_match_finds_nothing_where_it_names_none_or_is_malformed(field: bytes) -> None:
    assert find_match(field, TAGS) is None


def test_a_star_matches_nothing_where_there_is_nothing() -> None:
    assert find_match(b"*", ()) is None


def test_a_list_of_nothing_but_commas_and_spaces_is_refused_in_linear_work() -> None:
    # Once this took 2**8000 steps; the timeout of the test is what would notice.
    assert find_match(b'"a"' + b" ," * 8_000 + b" x", TAGS) is None


@pytest.mark.parametrize("field", [None, b'"a"'])
def test_a_range_is_allowed_without_if_range_and_with_the_same_strong_tag(
    field: bytes | None,
) -> None:
    assert allows_range(field, b'"a"')


@pytest.mark.parametrize(
    "field", [b"", b'W/"a"', b'"b"', b'"a", "a"', b"*", b"Sun, 06 Nov 1994 08:49:37 GMT"]
)
def test_a_range_is_not_allowed_beside_any_other_if_range(field: bytes) -> None:
    assert not allows_range(field, b'"a"')
