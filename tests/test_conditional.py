"""Preconditions: the comparisons, their order, and that what is malformed matches nothing."""

from dataclasses import replace
from http import HTTPStatus
from typing import Final

import pytest

from ashttpd.http.conditional import Validators, check, find_match
from ashttpd.http.grammar import MAX_ELEMENTS
from ashttpd.http.lists import tags_of
from ashttpd.http.request import Request

TAGS: Final = Validators(b'"a"', (b'"b"',))
# RFC 9110 section 5.6.7 has this time in its three forms.
MODIFIED: Final = 784_111_777
DATE: Final = b"Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER: Final = b"Sun, 06 Nov 1994 08:49:36 GMT"
LATER: Final = b"Sun, 06 Nov 1994 08:49:38 GMT"
NOW: Final = 1_700_000_000
DATED: Final = replace(TAGS, modified=MODIFIED)
GET: Final = Request(b"GET", b"/", 1, True, False, b"a")
OK, NOT_MODIFIED, FAILED = (
    HTTPStatus.OK,
    HTTPStatus.NOT_MODIFIED,
    HTTPStatus.PRECONDITION_FAILED,
)


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
    assert find_match(tags_of(field, weak=True), TAGS) == tag


@pytest.mark.parametrize(
    "field",
    [b"", b'"c"', b'"A"', b"a", b'"a', b'a"', b'"a" "b"', b'"a", b', b'w/"a"', b'*, "a"', b'"a,b"'],
)
def test_if_none_match_finds_nothing_where_it_names_none_or_is_malformed(field: bytes) -> None:
    assert find_match(tags_of(field, weak=True), TAGS) is None


def test_a_list_of_nothing_but_commas_and_spaces_is_refused_in_linear_work() -> None:
    # Once this took 2**8000 steps; the timeout of the test is what would notice.
    assert find_match(tags_of(b'"a"' + b" ," * 8_000 + b" x", weak=True), TAGS) is None


@pytest.mark.parametrize("field", [b'"a"', b'"x", "a"', b"*"])
def test_if_match_holds_for_the_strong_tag_of_what_would_be_sent(field: bytes) -> None:
    assert check(replace(GET, if_match=field), TAGS, NOW) == (OK, b'"a"')


@pytest.mark.parametrize("field", [b'W/"a"', b'"b"', b'"x"', b"", b"a", b'"a" x', b'*, "a"'])
def test_if_match_fails_for_a_weak_tag_another_one_and_what_is_malformed(field: bytes) -> None:
    assert check(replace(GET, if_match=field), TAGS, NOW)[0] == FAILED


def test_a_list_of_more_tags_than_caches_send_matches_nothing() -> None:
    most = b'"x",' * (MAX_ELEMENTS - 1) + b'"a"'
    for field, if_match, if_none_match in ((most, OK, NOT_MODIFIED), (most + b',"y"', FAILED, OK)):
        assert check(replace(GET, if_match=field), TAGS, NOW)[0] == if_match
        assert check(replace(GET, if_none_match=field), TAGS, NOW)[0] == if_none_match


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (replace(GET, if_modified_since=EARLIER), OK),
        (replace(GET, if_modified_since=DATE), NOT_MODIFIED),
        (replace(GET, if_modified_since=LATER), NOT_MODIFIED),
        (replace(GET, if_unmodified_since=EARLIER), FAILED),
        (replace(GET, if_unmodified_since=DATE), OK),
        (replace(GET, if_unmodified_since=LATER), OK),
        # Each goes before what stands in the columns to its right, which is then ignored.
        (replace(GET, if_match=b'"a"', if_unmodified_since=EARLIER), OK),
        (replace(GET, if_match=b'"x"', if_none_match=b'"a"'), FAILED),
        (replace(GET, if_match=b'"a"', if_none_match=b'"a"'), NOT_MODIFIED),
        (replace(GET, if_unmodified_since=EARLIER, if_none_match=b'"a"'), FAILED),
        (replace(GET, if_unmodified_since=DATE, if_none_match=b'"a"'), NOT_MODIFIED),
        (replace(GET, if_none_match=b'"x"', if_modified_since=LATER), OK),
        (replace(GET, if_none_match=b"", if_modified_since=LATER), OK),
        # What is no date is ignored, and so is a list of two.
        (replace(GET, if_modified_since=b"soon"), OK),
        (replace(GET, if_modified_since=LATER + b", " + LATER), OK),
        (replace(GET, if_unmodified_since=b""), OK),
    ],
)
def test_preconditions_are_asked_in_their_order(request_: Request, status: HTTPStatus) -> None:
    assert check(request_, DATED, NOW)[0] == status


@pytest.mark.parametrize(
    "request_", [replace(GET, if_modified_since=LATER), replace(GET, if_unmodified_since=EARLIER)]
)
def test_dates_are_ignored_where_none_is_known(request_: Request) -> None:
    assert check(request_, TAGS, NOW)[0] == OK
