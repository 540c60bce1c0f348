"""What we accept, h11 and llhttp accept with the same meaning, but for differences with reasons.

Request smuggling is a disagreement on what a message means or on where it ends.
"""

import re
from collections.abc import Callable
from http import HTTPMethod
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ashttpd.http.connection import Want
from ashttpd.http.errors import HTTPError
from ashttpd.http.scan import make_scan
from fuzz.fakes import connect, talk
from fuzz.parsers import Message, parse, parse_with_h11, parse_with_llhttp
from fuzz.strategies import (
    BREAKS,
    CHUNKED_BODIES,
    FATAL,
    WIRES,
    broken_bodies,
    broken_requests,
)

# There are many ways to break a request.
MANY: Final = settings(max_examples=5 * settings().max_examples)
Parser = Callable[[bytes], Message | None]
PARSERS: Final[dict[str, Parser]] = {"h11": parse_with_h11, "llhttp": parse_with_llhttp}
CHUNKED_HEAD: Final = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT: Final = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"

_KNOWN_METHODS: Final = "|".join(HTTPMethod).encode("ascii")
_RAW_TARGET: Final = rb"(?:\r\n)?[^\r ]+ [^\r ]*[\x80-\xff]"
_SPACED_EXTENSION: Final = rb"(?s).*\r\n[0-9A-Fa-f]+(?:;[^\r\n]*)?[ \t]"
# What others refuse and we do not: expressions for the message, each with the reason.
REFUSED_BY_OTHERS: Final[dict[str, dict[str, bytes]]] = {
    "h11": {
        # RFC 9112 section 2.2: a server SHOULD ignore at least one empty line before a request.
        "an empty line in front": rb"\r\n",
        # RFC 3986 section 2 allows ASCII alone; nginx and Caddy, too, take what clients send.
        "a byte beyond ASCII in a target": _RAW_TARGET,
        # RFC 9112 section 7.1.1: white space around ";" and "=" has to be let pass.
        "a space in a chunk extension": _SPACED_EXTENSION,
    },
    "llhttp": {
        # It knows the registered methods only; we answer 501 to others, and keep the connection.
        "a method of its own": rb"(?:\r\n)?(?!(?:" + _KNOWN_METHODS + rb") )",
        # RFC 9110 section 2.5: a later minor version is read as the highest that one knows.
        "a later minor version": rb"(?:\r\n)?[^\r]* HTTP/1\.[2-9]\r\n",
        "a byte beyond ASCII in a target": _RAW_TARGET,
        "a space in a chunk extension": _SPACED_EXTENSION,
        # RFC 9110 section 5.6.3: optional white space is made of tabs, too.
        "a tab behind a coding": rb"(?is).*\r\ntransfer-encoding:[ \t]*chunked[ \t]*\t",
    },
}
# What others understand differently.
HEARD_DIFFERENTLY: Final[dict[str, dict[str, bytes]]] = {
    "h11": {},
    "llhttp": {
        # RFC 9110 section 9.3.6: the content of a CONNECT means nothing. What follows its head is
        # for a tunnel, says llhttp; we refuse every tunnel, so it is content as of any method.
        "the content of a CONNECT": rb"(?:\r\n)?CONNECT ",
        # RFC 9110 section 7.8: a server may ignore Upgrade, as we do, and the content of such a
        # request comes before the other protocol. llhttp takes it for that protocol's.
        "the content of an upgrade": (
            rb"(?is)(?=.*\r\nconnection:[^\r]*upgrade)(?=.*\r\nupgrade:)"
        ),
    },
}


def is_listed(differences: dict[str, bytes], stream: bytes) -> bool:
    return any(re.match(difference, stream) for difference in differences.values())


def check_message(stream: bytes, ours: Message | None) -> None:
    """Hold what the others hear at the start of a stream against what we do."""
    message = stream if ours is None else stream[: ours.end]
    for name, parse_with_other in PARSERS.items():
        theirs = parse_with_other(stream)
        # Where we wait for more, nobody may have heard a whole message.
        if theirs is None and ours is not None:
            assert is_listed(REFUSED_BY_OTHERS[name], message), name
        elif theirs != ours:
            assert is_listed(HEARD_DIFFERENTLY[name], message), (name, theirs)


def check_stream(stream: bytes) -> None:
    """Hold each message of a stream against what others hear there, up to where we refuse."""
    try:
        while (ours := parse(stream)) is not None:
            check_message(stream, ours)
            stream = stream[ours.end :]
    except HTTPError:
        return
    check_message(stream, None)


@given(WIRES)
@example(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"GET / HTTP/1.9\r\nHost: a\r\n\r\n")
@example(b"GET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"CONNECT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /")
@example(b"GET / HTTP/1.0\r\nRange: \x80\t\xff \r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 000000000000000000\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
@example(
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n"
    b"Content-Length: 5\r\n\r\nGET /"
)
def test_what_we_accept_others_accept_with_the_same_meaning(stream: bytes) -> None:
    check_stream(stream)


@given(CHUNKED_BODIES, st.binary(max_size=10))
@example(b"1 ;a\r\nx\r\n0\r\n\r\n", b"")
def test_a_chunked_body_ends_where_others_say(body: bytes, behind: bytes) -> None:
    stream = CHUNKED_HEAD + body
    ours = parse(stream + behind)
    assert ours is not None
    assert ours.end == len(stream)
    check_stream(stream + behind)


@given(broken_bodies())
def test_a_broken_body_that_we_accept_ends_where_others_say(body: bytes) -> None:
    check_stream(CHUNKED_HEAD + body + NEXT)


@MANY
@given(broken_requests(sorted(BREAKS)))
def test_a_request_broken_in_one_way_is_refused_or_means_the_same_to_all(request: bytes) -> None:
    check_stream(request + NEXT)


@MANY
@given(broken_requests(sorted(FATAL)))
def test_a_request_that_nobody_may_read_is_refused_and_nothing_behind_it_heard(
    request: bytes,
) -> None:
    sent, want = talk(connect(make_scan())[0], [request + NEXT])
    assert [re.match(rb"HTTP/1\.1 [45]", answer) is not None for answer in sent] == [True]
    assert want is not Want.READ
