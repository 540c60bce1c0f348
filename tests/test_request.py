"""A canonical key, taken apart, is the request that the scan read."""

from dataclasses import replace

import pytest
from hypothesis import given

from ashttpd.http.request import Request, closing, parse_key
from ashttpd.http.scan import scan_slowly
from fuzz.strategies import Head, heads

PLAIN = Request(b"GET", b"/", 1, True, False, b"a")


def values_of(head: Head, name: bytes) -> bytes | None:
    """Return the values of a field's lines as one list (RFC 9110 section 5.3)."""
    values = [value.strip(b" \t") for each, value in head.fields if each.lower() == name]
    return b", ".join(values) if values else None


@given(heads())
def test_a_key_gives_back_what_the_head_said(head: Head) -> None:
    scanned = scan_slowly(head.wire, 0)
    assert scanned is not None
    request = parse_key(scanned[1])
    assert request.method == head.method
    assert request.minor == int(head.version[-1:])
    assert request.range == values_of(head, b"range")
    assert request.if_range == values_of(head, b"if-range")
    assert request.if_match == values_of(head, b"if-match")
    assert request.if_none_match == values_of(head, b"if-none-match")
    assert request.if_modified_since == values_of(head, b"if-modified-since")
    assert request.if_unmodified_since == values_of(head, b"if-unmodified-since")
    options = {
        option.strip().lower() for option in (values_of(head, b"connection") or b"").split(b",")
    }
    wants = request.minor == 1 or b"keep-alive" in options
    if b"x;close" not in options:
        assert request.persistent == (wants and b"close" not in options)
    length = values_of(head, b"content-length") or b"0"
    assert request.has_unread_body == (
        length != b"0" or values_of(head, b"transfer-encoding") is not None
    )
    if head.target.startswith(b"/"):
        assert request.target == head.target
        assert request.host == (values_of(head, b"host") or b"").lower()


@pytest.mark.parametrize(
    ("key", "request_"),
    [
        (b"1k-GET /\nHa\n", PLAIN),
        (b"0cbB?! *\n", Request(b"B?!", b"*", 0, False, True, b"")),
        (
            b'1k-GET /\nHa\nN"x"\nRbytes=0-\nN"y"\nI"z"\nAjson\n',
            Request(b"GET", b"/", 1, True, False, b"a", b"bytes=0-", b'"z"', b'"x", "y"', b"json"),
        ),
        (b"1k-GET /\nHa\nR\n", Request(b"GET", b"/", 1, True, False, b"a", b"")),
        (
            b'1k-GET /\nHa\nM"x"\nM*\nSsince\nUuntil\nDx=1\n',
            replace(
                PLAIN,
                if_match=b'"x", *',
                if_modified_since=b"since",
                if_unmodified_since=b"until",
                want_repr_digest=b"x=1",
            ),
        ),
    ],
)
def test_each_line_of_a_key_is_one_attribute(key: bytes, request_: Request) -> None:
    assert parse_key(key) == request_


@pytest.mark.parametrize("key", [b"1k-GET /\nHa\n", b"1c-GET /\nHa\n"])
def test_closing_changes_persistence_and_nothing_else(key: bytes) -> None:
    assert closing(key) == b"1c-GET /\nHa\n"
