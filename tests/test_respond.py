"""The status and the exact fields of every kind of response."""

from dataclasses import replace
from http import HTTPStatus
from typing import Final

import pytest

from ashttpd.http.answer import Answer
from ashttpd.http.dates import second_of
from ashttpd.http.digests import repr_digest
from ashttpd.http.errors import HTTPError
from ashttpd.http.lists import media_weights
from ashttpd.http.methods import OTHER_METHODS
from ashttpd.http.pages import choose_media_type, error_page
from ashttpd.http.plan import Extent
from ashttpd.http.request import Request
from ashttpd.http.respond import (
    Representation,
    refuse,
    respond_error,
    respond_without_site,
)
from ashttpd.http.respond import respond as respond_at
from ashttpd.http.scan import MAX_METHOD_BYTES
from ashttpd.http.selection import Selection, select
from ashttpd.webroot.resource import Resource, Variant, entity_tag
from fuzz.fakes import FakeFile

SECOND = second_of(784_111_777)
DATE: Final = b"Date: Sun, 06 Nov 1994 08:49:37 GMT"
FILE = FakeFile()
GET = Request(b"GET", b"/", 1, True, False, b"a")
DIGEST, OTHER_DIGEST = b"\1" * 32, b"\2" * 32
TAG, OTHER_TAG = entity_tag(DIGEST), entity_tag(OTHER_DIGEST)
ETAG: Final = b"ETag: " + TAG
VALIDATORS: Final = ETAG + b"\r\nVary: Accept\r\n"
FIELDS: Final = VALIDATORS + b"Content-Type: text/plain\r\nAccept-Ranges: bytes\r\n"
BLOCK: Final = FIELDS + b"Content-Length: 10\r\n\r\n"


def variant_of(
    digest: bytes, length: int = 10, media_type: str = "text/plain", coding: str = "identity"
) -> Variant:
    return Variant(
        head_offset=1000,
        body_offset=5000,
        body_length=length,
        head_length=len(BLOCK),
        validators_length=len(VALIDATORS),
        fields_length=len(FIELDS),
        media_type=media_type,
        coding=coding,
        sha256=digest,
        head_sha256=bytes(32),
    )


def found_of(*variants: Variant) -> Representation:
    """Return what a site has of these variants, the first of which is selected."""
    resource = Resource(b"/", 200, False, b"", None, variants)
    return Representation(resource, Selection(variants[0]), BLOCK, FILE)


FOUND = found_of(variant_of(DIGEST))
MOVED = replace(
    FOUND, resource=replace(FOUND.resource, status=301, keep_query=True, location=b"/x/")
)


def respond(request: Request, found: Representation) -> Answer:
    """Return the answer to a request with what it selects of the resource."""
    selected = replace(found, selection=select(request, found.resource, SECOND.epoch))
    try:
        return respond_at(request, selected, SECOND.epoch)
    except HTTPError as error:
        return respond_error(request, error)


def error_of(request: Request) -> Answer:
    """Return the answer to a request that is not even for the site to answer."""
    with pytest.raises(HTTPError) as raised:
        respond_without_site(request)
    return respond_error(request, raised.value)


def lines_of(answer: Answer) -> list[bytes]:
    """Return the lines of a head, and check that it ends with the empty line."""
    head, empty_line, _content = answer.at(SECOND).head.partition(b"\r\n\r\n")
    assert empty_line
    return head.split(b"\r\n")


def content_of(answer: Answer) -> bytes:
    return answer.at(SECOND).head.partition(b"\r\n\r\n")[2]


def page_lines(status: HTTPStatus) -> list[bytes]:
    return [
        b"Vary: Accept",
        b"Content-Type: text/html; charset=utf-8",
        b"X-Content-Type-Options: nosniff",
        b"Content-Length: %d" % len(error_page(status)),
    ]


def test_a_get_is_answered_with_200_and_the_head_block_as_it_is() -> None:
    answer = respond(GET, FOUND)
    assert answer.at(SECOND).head == b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n" + BLOCK
    assert answer.body == (Extent(FILE, 5000, 10),)
    assert (answer.status, answer.body_size) == (200, 10)
    assert (answer.close, answer.linger) == (False, False)


def test_an_empty_body_has_no_extent() -> None:
    found = found_of(variant_of(DIGEST, 0))
    assert respond(GET, found).body == ()


@pytest.mark.parametrize("match", [TAG, b"W/" + TAG, b'"x", ' + TAG, b"*"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_304_carries_date_and_validators_and_nothing_else(method: bytes, match: bytes) -> None:
    answer = respond(replace(GET, method=method, if_none_match=match), FOUND)
    assert lines_of(answer) == [b"HTTP/1.1 304 Not Modified", DATE, ETAG, b"Vary: Accept"]
    assert (answer.body, content_of(answer), answer.body_size) == ((), b"", 0)


# What is not encoded is preferred, and gzip accepted.
GZIP_TOO = replace(GET, accept_encoding=b"identity, gzip;q=0.5")
TWO_COPIES = found_of(variant_of(DIGEST), variant_of(OTHER_DIGEST, coding="gzip"))
DATED = replace(FOUND, resource=replace(FOUND.resource, modified=SECOND.epoch))
LAST_MODIFIED: Final = b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"


def test_a_date_of_the_file_is_told_with_200_and_206_and_not_with_304() -> None:
    assert lines_of(respond(GET, DATED))[2] == LAST_MODIFIED
    part = respond(replace(GET, range=b"bytes=0-0", if_range=DATE[6:]), DATED)
    assert (part.status, lines_of(part)[2]) == (206, LAST_MODIFIED)
    answer = respond(replace(GET, if_modified_since=DATE[6:]), DATED)
    assert lines_of(answer) == [b"HTTP/1.1 304 Not Modified", DATE, ETAG, b"Vary: Accept"]


def test_a_digest_is_told_to_who_wants_one_with_200_206_304_and_to_head() -> None:
    line = repr_digest(DIGEST).strip()
    want = replace(GET, want_repr_digest=b"sha-256=1")
    for request_, status in (
        (want, 200),
        (replace(want, method=b"HEAD"), 200),
        (replace(want, range=b"bytes=0-0"), 206),
        (replace(want, if_none_match=TAG), 304),
    ):
        answer = respond(request_, FOUND)
        assert answer.status == status
        assert lines_of(answer).count(line) == 1
    assert line not in lines_of(respond(replace(GET, want_repr_digest=b"sha-512=1"), FOUND))


def test_the_digest_of_a_304_is_that_of_the_variant_whose_tag_it_tells() -> None:
    request_ = replace(GZIP_TOO, if_none_match=OTHER_TAG, want_repr_digest=b"sha-256=1")
    lines = lines_of(respond(request_, TWO_COPIES))
    assert repr_digest(OTHER_DIGEST).strip() in lines
    assert b"ETag: " + OTHER_TAG in lines


def test_a_date_of_the_file_in_the_future_is_none() -> None:
    future = replace(FOUND, resource=replace(FOUND.resource, modified=SECOND.epoch + 1))
    assert respond(GET, future).at(SECOND) == respond(GET, FOUND).at(SECOND)
    late = replace(GET, if_modified_since=b"Sun, 06 Nov 2022 08:49:37 GMT")
    assert respond(late, future).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        replace(GET, if_match=b'"x"'),
        replace(GET, if_unmodified_since=b"Sat, 05 Nov 1994 08:49:37 GMT", range=b"bytes=0-0"),
    ],
)
def test_a_failed_precondition_is_answered_with_412(request_: Request) -> None:
    status = HTTPStatus.PRECONDITION_FAILED
    answer = respond(request_, DATED)
    assert lines_of(answer) == [b"HTTP/1.1 412 Precondition Failed", DATE, *page_lines(status)]
    assert content_of(answer) == error_page(status)
    assert not answer.close


def test_a_precondition_goes_before_a_range() -> None:
    request = replace(GET, if_none_match=TAG, range=b"bytes=0-0")
    assert respond(request, FOUND).status == 304


@pytest.mark.parametrize("field", [b'"x"', b"", b"nonsense", TAG.strip(b'"')])
def test_another_tag_is_answered_with_200(field: bytes) -> None:
    assert respond(replace(GET, if_none_match=field), FOUND).status == 200


def test_the_tag_of_another_coding_that_is_accepted_is_answered_with_304_and_that_tag() -> None:
    answer = respond(replace(GZIP_TOO, if_none_match=OTHER_TAG), TWO_COPIES)
    assert lines_of(answer)[1:] == [DATE, b"ETag: " + OTHER_TAG, b"Vary: Accept"]


def test_the_tag_of_another_media_type_is_answered_with_200() -> None:
    # A cache would take a 304 for leave to answer with the HTML that it has, not with JSON.
    json = variant_of(OTHER_DIGEST, media_type="application/json")
    found = found_of(json, variant_of(DIGEST))
    html = replace(GET, accept=b"text/plain", if_none_match=OTHER_TAG)
    assert respond(html, found).status == 200


@pytest.mark.parametrize("if_range", [None, TAG])
def test_a_206_carries_the_fields_of_a_200_and_its_part(if_range: bytes | None) -> None:
    answer = respond(replace(GET, range=b"bytes=2-4", if_range=if_range), FOUND)
    assert lines_of(answer) == [
        b"HTTP/1.1 206 Partial Content",
        DATE,
        ETAG,
        b"Vary: Accept",
        b"Content-Type: text/plain",
        b"Accept-Ranges: bytes",
        b"Content-Range: bytes 2-4/10",
        b"Content-Length: 3",
    ]
    assert answer.body == (Extent(FILE, 5002, 3),)
    assert answer.body_size == 3


@pytest.mark.parametrize(
    "request_",
    [
        replace(GET, range=b"bytes=2-4", if_range=b"W/" + TAG),
        replace(GET, range=b"bytes=2-4", if_range=b"Sun, 06 Nov 1994 08:49:37 GMT"),
        replace(GET, range=b"bytes=20-", if_range=b'"x"'),
        replace(GET, range=b"bytes=0-9, 2-2"),
        replace(GET, range=b"nonsense"),
        replace(GET, range=b""),
        replace(GET, if_range=TAG),
    ],
)
def test_a_range_that_does_not_count_is_answered_as_if_it_were_not_there(
    request_: Request,
) -> None:
    assert respond(request_, FOUND).at(SECOND) == respond(GET, FOUND).at(SECOND)


def test_several_parts_are_sent_each_under_its_own_head() -> None:
    found = found_of(variant_of(DIGEST, 1000))
    answer = respond(replace(GET, range=b"bytes=900-, 2-4"), found)
    boundary = DIGEST[:16].hex().encode()
    first = b"\r\n--%b\r\nContent-Type: text/plain\r\nContent-Range: bytes 900-999/1000\r\n\r\n"
    second = b"\r\n--%b\r\nContent-Type: text/plain\r\nContent-Range: bytes 2-4/1000\r\n\r\n"
    last = b"\r\n--%b--\r\n" % boundary
    heads = (first % boundary, second % boundary)
    assert answer.body == (
        *(heads[0], Extent(FILE, 5900, 100)),
        *(heads[1], Extent(FILE, 5002, 3)),
        last,
    )
    length = sum(map(len, heads)) + 103 + len(last)
    assert lines_of(answer) == [
        b"HTTP/1.1 206 Partial Content",
        DATE,
        ETAG,
        b"Vary: Accept",
        b"Accept-Ranges: bytes",
        b"Content-Type: multipart/byteranges; boundary=" + boundary,
        b"Content-Length: %d" % length,
    ]
    assert answer.body_size == length


def test_a_range_counts_for_get_only() -> None:
    head = replace(GET, method=b"HEAD")
    assert respond(replace(head, range=b"bytes=0-0"), FOUND).at(SECOND).status == 200
    assert respond(replace(head, range=b"bytes=99-"), FOUND).at(SECOND).status == 200


def test_a_416_names_the_length() -> None:
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    answer = respond(replace(GET, range=b"bytes=10-"), FOUND)
    assert lines_of(answer) == [
        b"HTTP/1.1 416 " + status.phrase.encode(),
        DATE,
        b"Content-Range: bytes */10",
        *page_lines(status),
    ]
    assert content_of(answer) == error_page(status)


@pytest.mark.parametrize(
    ("target", "keep_query", "location"),
    [
        (b"/x", True, b"/x/"),
        (b"/x?a=b?c", True, b"/x/?a=b?c"),
        # What came raw goes back as a URI.
        (b"/x?\xc3\xa9=\xff%20", True, b"/x/?%C3%A9=%FF%20"),
        (b'/x?\xff"x\\%zz', True, b"/x/?%FF%22x%5C%25zz"),
        (b"/x?", True, b"/x/?"),
        (b"/x?a", False, b"/x/"),
    ],
)
def test_a_301_leads_to_its_location_with_the_query_where_it_is_kept(
    target: bytes, keep_query: bool, location: bytes
) -> None:
    found = replace(MOVED, resource=replace(MOVED.resource, keep_query=keep_query))
    answer = respond(replace(GET, target=target), found)
    assert lines_of(answer) == [
        b"HTTP/1.1 301 Moved Permanently",
        DATE,
        b"Location: " + location,
        *BLOCK.split(b"\r\n")[:-2],
    ]
    assert answer.body == (Extent(FILE, 5000, 10),)


@pytest.mark.parametrize("status", [203, 301])
def test_preconditions_and_ranges_do_not_count_but_for_200(status: int) -> None:
    location = b"/x/" if status == 301 else b""
    found = replace(FOUND, resource=replace(FOUND.resource, status=status, location=location))
    conditional = replace(GET, if_none_match=b"*", range=b"bytes=0-0")
    assert respond(conditional, found).at(SECOND) == respond(GET, found).at(SECOND)
    assert respond(GET, found).status == status


def test_a_status_without_a_name_has_an_empty_phrase() -> None:
    found = replace(FOUND, resource=replace(FOUND.resource, status=299))
    assert lines_of(respond(GET, found))[0] == b"HTTP/1.1 299 "


@pytest.mark.parametrize(
    "method",
    [
        *(b"POST", b"PUT", b"DELETE", b"PATCH", b"CONNECT", b"TRACE", b"QUERY", b"LINK", b"ACL"),
        *(b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"REPORT"),
        *(b"SEARCH", b"VERSION-CONTROL", b"MKCALENDAR", b"ORDERPATCH", b"BIND"),
    ],
)
def test_a_method_that_no_file_has_a_use_for_is_405_with_allow(method: bytes) -> None:
    assert lines_of(error_of(replace(GET, method=method))) == [
        b"HTTP/1.1 405 Method Not Allowed",
        DATE,
        b"Allow: GET, HEAD, OPTIONS",
        *page_lines(HTTPStatus.METHOD_NOT_ALLOWED),
    ]


def test_every_known_method_may_be_sent_and_none_of_them_is_served() -> None:
    assert all(len(method) <= MAX_METHOD_BYTES for method in OTHER_METHODS)
    assert not OTHER_METHODS & {b"GET", b"HEAD", b"OPTIONS"}


@pytest.mark.parametrize("method", [b"BREW", b"get", b"propfind", b"PRI"])
def test_an_unknown_method_is_501(method: bytes) -> None:
    assert lines_of(error_of(replace(GET, method=method))) == [
        b"HTTP/1.1 501 Not Implemented",
        DATE,
        *page_lines(HTTPStatus.NOT_IMPLEMENTED),
    ]


@pytest.mark.parametrize("target", [b"*", b"/", b"/none"])
def test_options_is_204_with_allow_and_no_length(target: bytes) -> None:
    answer = respond_without_site(replace(GET, method=b"OPTIONS", target=target))
    assert answer is not None
    assert lines_of(answer) == [b"HTTP/1.1 204 No Content", DATE, b"Allow: GET, HEAD, OPTIONS"]
    assert (answer.body, content_of(answer)) == ((), b"")


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_target_without_a_path_is_400(method: bytes) -> None:
    assert error_of(replace(GET, method=method, target=b"*")).status == 400


def test_an_expectation_that_nobody_knows_is_417() -> None:
    assert error_of(replace(GET, expect=b"x")).status == 417


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_path_is_for_the_site_to_answer(method: bytes) -> None:
    assert respond_without_site(replace(GET, method=method)) is None


@pytest.mark.parametrize(
    "found",
    [
        FOUND,
        MOVED,
        replace(FOUND, resource=replace(FOUND.resource, status=203)),
        found_of(variant_of(DIGEST, 0)),
    ],
)
def test_head_equals_the_head_of_get_byte_for_byte(found: Representation) -> None:
    get = respond(GET, found).at(SECOND)
    head = respond(replace(GET, method=b"HEAD"), found).at(SECOND)
    assert head.head == get.head
    assert (head.body, head.body_size, head.size) == ((), 0, len(get.head))


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_head_equals_the_head_of_get_for_errors_too(status: int) -> None:
    error = HTTPError(status, "a reason")
    get = respond_error(GET, error).at(SECOND)
    head = respond_error(replace(GET, method=b"HEAD"), error).at(SECOND)
    page = error_page(HTTPStatus(status))
    assert get.head == head.head + page
    assert (get.body_size, head.body_size) == (len(page), 0)
    assert (get.size, head.size) == (len(get.head), len(head.head))


@pytest.mark.parametrize(
    ("minor", "persistent", "has_unread_body", "field", "close"),
    [
        (1, True, False, None, False),
        (1, False, False, b"Connection: close", True),
        (1, True, True, b"Connection: close", True),
        (0, True, False, b"Connection: keep-alive", False),
        (0, False, False, b"Connection: close", True),
        (0, True, True, b"Connection: close", True),
    ],
)
def test_the_connection_field_says_what_happens_to_the_connection(
    minor: int, persistent: bool, has_unread_body: bool, field: bytes | None, close: bool
) -> None:
    request = replace(GET, minor=minor, persistent=persistent, has_unread_body=has_unread_body)
    for answer in (respond(request, FOUND), respond_error(request, HTTPError(404, "a reason"))):
        said = [line for line in lines_of(answer) if line.startswith(b"Connection")]
        assert said == ([] if field is None else [field])
        assert (answer.close, answer.linger) == (close, has_unread_body)
        assert lines_of(answer)[0].startswith(b"HTTP/1.1 ")


ERROR: Final = HTTPError(404, "a reason", b"Allow: GET\r\n")


def test_a_page_of_the_site_is_sent_whole_with_the_status_of_the_error() -> None:
    answer = respond_error(GET, ERROR, DATED)
    assert lines_of(answer) == [
        b"HTTP/1.1 404 Not Found",
        DATE,
        b"Allow: GET",
        b"Vary: Accept",
        b"Content-Type: text/plain",
        b"Content-Length: 10",
    ]
    assert (answer.body, answer.body_size) == ((Extent(FILE, 5000, 10),), 10)


def test_of_a_page_of_the_site_nothing_is_told_that_a_cache_would_keep_it_by() -> None:
    validators = b"".join(
        (
            VALIDATORS,
            b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: immutable\r\n",
            b"Expires: Sun, 06 Nov 2094 08:49:37 GMT\r\nContent-Location: /404.html\r\n",
        )
    )
    fields = validators + b"Content-Encoding: br\r\nContent-Type: text/html\r\nX-A: b\r\n"
    variant = replace(
        FOUND.variant, validators_length=len(validators), fields_length=len(fields), coding="br"
    )
    block = fields + b"Content-Length: 10\r\n\r\n"
    page = replace(FOUND, selection=Selection(variant), head_block=block)
    assert lines_of(respond_error(GET, ERROR, page))[2:] == [
        b"Allow: GET",
        b"Vary: Accept",
        b"Content-Encoding: br",
        b"Content-Type: text/html",
        b"X-A: b",
        b"Content-Length: 10",
    ]


def test_a_page_of_the_site_is_sent_whatever_is_asked_of_it() -> None:
    asked = replace(
        GET,
        range=b"bytes=0-0",
        if_none_match=TAG,
        if_match=b'"x"',
        if_modified_since=DATE[6:],
        want_repr_digest=b"sha-256=1",
    )
    assert respond_error(asked, ERROR, DATED).at(SECOND) == respond_error(GET, ERROR, DATED).at(
        SECOND
    )
    head = respond_error(replace(asked, method=b"HEAD"), ERROR, DATED)
    assert lines_of(head) == lines_of(respond_error(GET, ERROR, DATED))
    assert (head.body, head.body_size) == ((), 0)


@pytest.mark.parametrize("accept", [None, b"application/json", b"text/plain", b"image/png"])
def test_the_built_in_page_comes_in_the_form_that_is_preferred(accept: bytes | None) -> None:
    answer = respond_error(replace(GET, accept=accept), ERROR)
    media_type = choose_media_type(media_weights(accept))
    page = error_page(404, media_type)
    assert lines_of(answer) == [
        b"HTTP/1.1 404 Not Found",
        DATE,
        b"Allow: GET",
        b"Vary: Accept",
        b"Content-Type: " + media_type.encode(),
        b"X-Content-Type-Options: nosniff",
        b"Content-Length: %d" % len(page),
    ]
    assert content_of(answer) == page


def test_what_is_no_request_is_refused_with_a_page_and_the_connection_ends() -> None:
    answer = refuse(HTTPStatus.REQUEST_TIMEOUT)
    assert lines_of(answer) == [
        b"HTTP/1.1 408 Request Timeout",
        DATE,
        b"Connection: close",
        *page_lines(HTTPStatus.REQUEST_TIMEOUT)[1:],
    ]
    assert (answer.close, answer.linger) == (True, True)
    assert content_of(answer) == error_page(HTTPStatus.REQUEST_TIMEOUT)
