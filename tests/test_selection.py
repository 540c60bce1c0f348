"""What a request selects: the copy that a range counts in, and whose tags a 304 may name."""

from dataclasses import replace
from typing import Final

import pytest

from ashttpd.http.ranges import Part, Unsatisfiable
from ashttpd.http.request import Request
from ashttpd.http.selection import select
from ashttpd.webroot.resource import Resource, Variant, entity_tag

# RFC 9110 section 5.6.7 has this time.
MODIFIED: Final = 784_111_777
DATE: Final = b"Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER: Final = b"Sun, 06 Nov 1994 08:49:36 GMT"
NOW: Final = 1_700_000_000
HTML, JSON = "text/html", "application/json"


def variant(number: int, coding: str, length: int, media_type: str = HTML) -> Variant:
    digest = bytes([number]) * 32
    return Variant(0, 0, length, 0, 0, 0, media_type, coding, digest, digest)


PLAIN, GZIP, BR = variant(1, "identity", 1000), variant(2, "gzip", 300), variant(3, "br", 200)
PAGE: Final = Resource(b"/", 200, False, b"", MODIFIED, (PLAIN, GZIP, BR))
ALONE: Final = replace(PAGE, variants=(PLAIN,))
GET: Final = Request(b"GET", b"/", 1, True, False, b"a")
BOTH: Final = replace(GET, accept_encoding=b"gzip, br")
PART: Final = replace(BOTH, range=b"bytes=0-9")


def tag(variant: Variant) -> bytes:
    return entity_tag(variant.sha256)


def selected(
    request: Request, resource: Resource = PAGE
) -> tuple[Variant, list[Part] | Unsatisfiable | None]:
    selection = select(request, resource, NOW)
    return selection.variant, selection.parts


def test_without_a_range_the_preferred_copy_is_selected_and_any_accepted_one_may_be_held() -> None:
    selection = select(BOTH, PAGE, NOW)
    assert (selection.variant, selection.parts) == (BR, None)
    assert list(selection.others) == [BR, GZIP, PLAIN]
    assert list(select(GET, PAGE, NOW).others) == [PLAIN]


@pytest.mark.parametrize("accepted", [None, b"gzip", b"gzip, br", b"*", b"identity;q=0, gzip"])
def test_a_range_counts_in_what_is_not_encoded(accepted: bytes | None) -> None:
    selection = select(replace(PART, accept_encoding=accepted), PAGE, NOW)
    assert (selection.variant, selection.parts) == (PLAIN, [(0, 10)])
    assert not selection.others


def test_a_range_counts_in_the_preferred_media_type() -> None:
    json = variant(4, "identity", 50, JSON)
    both = replace(PAGE, variants=(PLAIN, GZIP, json, variant(5, "gzip", 40, JSON)))
    assert selected(replace(PART, accept=b"application/json"), both) == (json, [(0, 10)])


def test_where_every_copy_is_encoded_a_range_counts_in_the_first() -> None:
    coded = replace(PAGE, variants=(GZIP, BR))
    for accepted in (None, b"br", b"gzip", b"br, gzip"):
        request = replace(PART, accept_encoding=accepted)
        assert selected(request, coded) == (GZIP, [(0, 10)])


@pytest.mark.parametrize("copy", [PLAIN, GZIP, BR])
@pytest.mark.parametrize("accepted", [b"gzip, br", b"*", b"x-gzip, br;q=0.001"])
def test_if_range_selects_the_copy_that_has_its_tag(copy: Variant, accepted: bytes) -> None:
    request = replace(PART, accept_encoding=accepted, if_range=tag(copy))
    assert selected(request) == (copy, [(0, 10)])
    beyond = selected(replace(request, range=b"bytes=%d-" % copy.body_length))
    assert beyond == (copy, Unsatisfiable())


@pytest.mark.parametrize(
    "field",
    [
        *(b"", b'"x"', b"W/" + tag(PLAIN), b"W/" + tag(GZIP), tag(PLAIN) + b", " + tag(GZIP)),
        *(b"*", DATE, EARLIER),
    ],
)
def test_any_other_if_range_selects_the_whole_of_the_preferred_copy(field: bytes) -> None:
    selection = select(replace(PART, if_range=field), PAGE, NOW)
    assert (selection.variant, selection.parts) == (BR, None)
    assert not selection.others


def test_if_range_with_a_tag_that_is_not_accepted_selects_the_whole() -> None:
    request = replace(PART, accept_encoding=b"br", if_range=tag(GZIP))
    assert selected(request) == (BR, None)
    assert selected(replace(request, accept_encoding=None)) == (PLAIN, None)


@pytest.mark.parametrize("date", [DATE, b"Sun Nov  6 08:49:37 1994"])
def test_a_date_in_if_range_selects_a_part_only_where_it_can_be_of_one_copy(date: bytes) -> None:
    request = replace(PART, if_range=date)
    assert selected(request) == (BR, None)
    assert selected(replace(request, accept_encoding=None)) == (PLAIN, [(0, 10)])
    assert selected(replace(request, accept_encoding=b"gzip;q=0")) == (PLAIN, [(0, 10)])
    assert selected(request, ALONE) == (PLAIN, [(0, 10)])


@pytest.mark.parametrize("modified", [None, NOW + 1, MODIFIED + 1])
def test_a_date_in_if_range_that_is_not_that_of_the_file_selects_the_whole(
    modified: int | None,
) -> None:
    undated = replace(ALONE, modified=modified)
    assert selected(replace(PART, if_range=DATE), undated) == (PLAIN, None)


def test_if_match_selects_the_copy_that_it_names_for_a_range() -> None:
    for field, copy in (
        (tag(GZIP), GZIP),
        (tag(GZIP) + b', "x", ' + tag(BR), BR),
        (tag(GZIP) + b", " + tag(PLAIN), PLAIN),
        (b"*", PLAIN),
        (b"W/" + tag(GZIP), PLAIN),
        (b'"x"', PLAIN),
    ):
        assert selected(replace(PART, if_match=field)) == (copy, [(0, 10)])
    # What If-Range says goes before.
    request = replace(PART, if_match=tag(GZIP), if_range=tag(BR))
    assert selected(request) == (BR, [(0, 10)])
    assert selected(replace(BOTH, if_match=tag(GZIP))) == (BR, None)


@pytest.mark.parametrize(
    "request_",
    [
        replace(PART, method=b"HEAD"),
        replace(PART, range=b""),
        replace(PART, range=b"bytes=9-0"),
        replace(PART, range=b"lines=0-9"),
        # Served as well by the whole.
        replace(PART, range=b"bytes=0-999, 0-999"),
        replace(PART, range=b"bytes=0-199, 0-199", if_range=tag(BR)),
        replace(PART, range=b"nonsense", if_range=b'"x"'),
        replace(BOTH, if_range=tag(GZIP)),
    ],
)
def test_a_range_that_does_not_count_is_as_if_it_were_not_there(request_: Request) -> None:
    assert select(request_, PAGE, NOW) == select(BOTH, PAGE, NOW)


@pytest.mark.parametrize("status", [203, 301, 404])
def test_a_range_counts_for_a_200_alone(status: int) -> None:
    assert selected(PART, replace(PAGE, status=status)) == (BR, None)
