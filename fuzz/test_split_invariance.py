"""How bytes arrive changes nothing: every division gives the same answers and the same end."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ashttpd.http.connection import Want
from ashttpd.http.scan import make_scan, scan_slowly
from fuzz.fakes import bytewise, connect, talk
from fuzz.strategies import WIRES, heads, pieces

STREAMS = WIRES | st.lists(heads().map(lambda head: head.wire), max_size=4).map(b"".join)


def outcome(parts: list[bytes], *, compiled: bool) -> tuple[list[bytes], bool]:
    """Return the answers, and whether the connection goes on reading.

    What lies behind a closing request decides only how it ends: at once, or by lingering.
    """
    connection, _source = connect(make_scan() if compiled else scan_slowly)
    sent, want = talk(connection, parts)
    return sent, want is Want.READ


@given(st.data(), STREAMS.filter(bool), st.booleans())
def test_any_division_gives_the_same_answers(
    data: st.DataObject, stream: bytes, compiled: bool
) -> None:
    whole = outcome([stream], compiled=compiled)
    assert outcome(data.draw(pieces(stream)), compiled=compiled) == whole


@given(STREAMS.filter(bool))
@example(b"\r\n\x16\x03\x01")  # found: refused whole, waited for byte by byte
@example(b"\r\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x16")
def test_byte_by_byte_gives_the_same_answers(stream: bytes) -> None:
    assert outcome(bytewise(stream), compiled=True) == outcome([stream], compiled=True)


@pytest.mark.parametrize("compiled", [True, False])
def test_pipelined_requests_are_answered_in_their_order(compiled: bool) -> None:
    stream = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(50))
    sent, reads = outcome(bytewise(stream), compiled=compiled)
    assert sent == [b"1k-GET /%d\nHa\n" % i for i in range(50)]
    assert reads
