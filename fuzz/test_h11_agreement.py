"""What we accept, h11 accepts with the same meaning, but for a list of differences with reasons."""

import re
from collections.abc import Callable
from typing import Final

import h11
from hypothesis import example, given
from hypothesis import strategies as st

from ashttpd.http.errors import HTTPError
from ashttpd.http.framing import body_of
from ashttpd.http.request import Request, parse_key
from ashttpd.http.scan import scan_slowly
from fuzz.strategies import CHUNKED_BODIES, WIRES, broken_bodies

CHUNKED_HEAD: Final = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def _lines(wire: bytes) -> list[bytes]:
    return wire.removeprefix(b"\r\n").split(b"\r\n")


def _target(wire: bytes) -> bytes:
    return _lines(wire)[0].split(b" ")[1]


# Heads that h11 refuses and we do not, each with the reason.
DIFFERENCES: Final[dict[str, Callable[[bytes], bool]]] = {
    # RFC 9112 section 2.2: a server SHOULD ignore at least one empty line before a request line.
    "an empty line in front": lambda wire: wire.startswith(b"\r\n"),
}


def parse_with_h11(head: bytes) -> h11.Request | None:
    """Return what h11 makes of a whole head, or None where it refuses."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Request)
    return event


def check_same_meaning(ours: Request, theirs: h11.Request, head: bytes) -> None:
    assert ours.method == theirs.method
    assert theirs.target == _target(head)
    absolute = re.fullmatch(rb"(?i:https?)://([^/?]*)(.*)", theirs.target)
    hosts = [value for name, value in theirs.headers if name == b"host"]
    if absolute and ours.method != b"CONNECT":
        assert ours.target == (absolute[2] if absolute[2][:1] == b"/" else b"/" + absolute[2])
        hosts = [absolute[1]]
    else:
        assert ours.target == theirs.target
    assert [ours.host] == [host.lower() for host in hosts] or (not ours.host and not hosts)
    assert ours.minor == int(theirs.http_version != b"1.0")
    for name, value in (
        (b"range", ours.range),
        (b"if-range", ours.if_range),
        (b"if-match", ours.if_match),
        (b"if-none-match", ours.if_none_match),
        (b"if-modified-since", ours.if_modified_since),
        (b"if-unmodified-since", ours.if_unmodified_since),
    ):
        values = [v for n, v in theirs.headers if n == name]
        assert value == (b", ".join(values) if values else None)


@given(WIRES)
@example(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"GET / HTTP/1.9\r\nHost: a\r\n\r\n")
@example(b"GET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"GET / HTTP/1.0\r\nRange: \x80\t\xff \r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 000000000000000000\r\n\r\n")
def test_what_we_accept_h11_accepts_with_the_same_meaning(wire: bytes) -> None:
    try:
        scanned = scan_slowly(wire, 0)
    except HTTPError:
        return
    if scanned is None:
        return
    length, key = scanned
    head = wire[:length]
    theirs = parse_with_h11(head)
    if theirs is None:
        assert any(differs(head) for differs in DIFFERENCES.values())
        return
    check_same_meaning(parse_key(key), theirs, head)


# RFC 9112 section 7.1.1: white space around ";" and "=" has to be let pass; h11 does not.
_SPACED_EXTENSION = re.compile(rb"[0-9A-Fa-f][^\r\n]*[ \t]")


def end_with_h11(body: bytes) -> int | None:
    """Return where h11 sees a chunked body end, or None where it refuses or waits for more."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(CHUNKED_HEAD + body)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.EndOfMessage):
                return len(body) - len(connection.trailing_data[0])
            if event is h11.NEED_DATA:
                return None
    except h11.RemoteProtocolError:
        return None


@given(CHUNKED_BODIES, st.binary(max_size=10))
def test_a_chunked_body_ends_where_h11_says(body: bytes, behind: bytes) -> None:
    end = body_of(b"chunked", 1 << 20).skip(body + behind, 0)
    assert end == len(body)
    assert end_with_h11(body + behind) == end or _SPACED_EXTENSION.search(body)


@given(broken_bodies())
def test_a_broken_body_that_we_accept_ends_where_h11_says(body: bytes) -> None:
    try:
        end = body_of(b"chunked", 1 << 20).skip(body, 0)
    except HTTPError:
        return
    if end is not None:
        assert end_with_h11(body) == end or _SPACED_EXTENSION.search(body)
