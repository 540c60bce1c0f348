"""The first message of a stream as we hear it, as h11 does, and as llhttp does."""

import re
from dataclasses import dataclass
from typing import Final

import h11
import httptools

from ashttpd.http.framing import body_of
from ashttpd.http.request import parse_key, take_framing
from ashttpd.http.scan import scan_slowly

_BODY_BYTES: Final = 1 << 20
# The fields that can change an answer, by their names on the wire and in a Request.
_FIELDS: Final = {
    name: name.decode("ascii").replace("-", "_")
    for name in (
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"want-repr-digest",
    )
}
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)")


@dataclass(frozen=True)
class Message:
    """What a request asks for, and where the next one starts."""

    method: bytes
    target: bytes
    host: bytes
    minor: int
    fields: tuple[bytes | None, ...]
    end: int


def parse(stream: bytes) -> Message | None:
    """Return what we hear; None where we wait for more. Raises HTTPError where we refuse."""
    scanned = scan_slowly(stream, 0)
    if scanned is None:
        return None
    end, key = scanned
    request = parse_key(key)
    if request.has_unread_body:
        _key, framing = take_framing(key)
        behind = body_of(framing, _BODY_BYTES).skip(stream, end)
        if behind is None:
            return None
        end = behind
    fields = tuple(getattr(request, attribute) for attribute in _FIELDS.values())
    return Message(request.method, request.target, request.host, request.minor, fields, end)


def _message(
    method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]], end: int
) -> Message:
    """Put together what another parser gives, which leaves the forms of targets to its user."""
    hosts = [value for name, value in headers if name == b"host"]
    host = b"; ".join(hosts)
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute and method != b"CONNECT":
        host, target = absolute[1], absolute[2]
        target = target if target.startswith(b"/") else b"/" + target
    values = ([v for n, v in headers if n == name] for name in _FIELDS)
    fields = tuple(b", ".join(several) if several else None for several in values)
    return Message(method, target, host.lower(), int(version != "1.0"), fields, end)


def parse_with_h11(stream: bytes) -> Message | None:
    """Return what h11 hears; None where it refuses or waits for more."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_BODY_BYTES)
    if stream:  # no bytes mean the end of the connection to it
        connection.receive_data(stream)
    request = None
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Request):
                request = event
    except h11.RemoteProtocolError:
        return None
    assert request is not None
    return _message(
        request.method,
        request.target,
        request.http_version.decode("ascii"),
        list(request.headers),
        len(stream) - len(connection.trailing_data[0]),
    )


class _Ear:
    """What llhttp calls back."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.in_trailers = self.complete = False

    def on_url(self, piece: bytes) -> None:
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_trailers:
            self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.in_trailers = True

    def on_message_complete(self) -> None:
        self.complete = True


def parse_with_llhttp(stream: bytes) -> Message | None:
    """Return what llhttp hears, byte by byte; None where it refuses or waits for more."""
    ear = _Ear()
    parser = httptools.HttpRequestParser(ear)
    end = 0
    try:
        while not ear.complete:
            if end == len(stream):
                return None
            end += 1
            parser.feed_data(stream[end - 1 : end])
    except httptools.HttpParserUpgrade:
        assert ear.complete
    except httptools.HttpParserError:
        return None
    return _message(parser.get_method(), ear.target, parser.get_http_version(), ear.headers, end)
