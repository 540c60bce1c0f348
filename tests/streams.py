"""A stream of responses as h11 hears it: where each ends is said by the responses alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import h11


@dataclass(frozen=True, slots=True)
class Heard:
    """A response; names of fields are in lower case."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


def parse_responses(methods: Sequence[str], stream: bytes) -> list[Heard]:
    """Return the responses to requests of these methods, and hold that the stream is they.

    Raises h11.ProtocolError for what is no HTTP, and where a response but the last one ends the
    connection. Bytes behind the last one fail.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.receive_data(stream)
    responses = []
    for number, method in enumerate(methods):
        if number:
            connection.start_next_cycle()
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
        responses.append(_next_response(connection))
    assert connection.trailing_data[0] == b"", "bytes behind the last response"
    return responses


def _next_response(connection: h11.Connection) -> Heard:
    head = connection.next_event()
    assert isinstance(head, h11.Response), f"no response: {head}"
    fields: dict[bytes, bytes] = {}
    for name, value in head.headers:
        assert name not in fields, f"{name!r} stands twice"
        fields[name] = value
    assert b"transfer-encoding" not in fields
    body = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), f"the stream ends within a body: {event}"
        body += event.data
    return Heard(head.status_code, fields, body)
