"""Every engine: who keeps a connection, who ends it, and what it costs when a peer is gone."""

import socket
from collections.abc import Callable, Mapping

import pytest

from tests.servers import Client, Server, eventually, request

HELLO = b"hello, world\n"
PUT = "Content-Length: 100000"

CLOSES = {
    "1.1 close": ("1.1", ["close"]),
    "1.1 in any case": ("1.1", ["cLoSe"]),
    "1.1 first of a list": ("1.1", ["CLOSE, te"]),
    "1.1 last of a list": ("1.1", ["te ,\tclose"]),
    "1.1 among empty ones": ("1.1", [", ,close,,"]),
    "1.1 beside keep-alive": ("1.1", ["keep-alive, close"]),
    "1.1 in a second field": ("1.1", ["te", "close"]),
    "1.1 before a second field": ("1.1", ["close", "keep-alive"]),
    "1.0 without a word": ("1.0", []),
    "1.0 close": ("1.0", ["close"]),
    "1.0 beside keep-alive": ("1.0", ["keep-alive", "Close"]),
    "1.0 another word": ("1.0", ["keep-alive-not, te"]),
}
KEEPS = {
    "1.1 without a word": ("1.1", []),
    "1.1 keep-alive": ("1.1", ["keep-alive"]),
    "1.1 another word": ("1.1", ["closed, not-close"]),
    "1.1 nothing": ("1.1", [""]),
    "1.0 keep-alive": ("1.0", ["keep-alive"]),
    "1.0 in any case": ("1.0", ["Keep-ALIVE"]),
    "1.0 in a list": ("1.0", ["te, Keep-Alive"]),
    "1.0 in a second field": ("1.0", ["te", "keep-alive"]),
}
TARGETS = ["/hello.txt", "/5m.bin", "/nothing", "/docs", "*", "/%"]


def asked(target: str, version: str, options: list[str], method: str = "GET") -> bytes:
    """Return a request with a Connection field for each of the options."""
    wire = request(target, "site.example", *(f"Connection: {o}" for o in options), method=method)
    return wire.replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1)


@pytest.mark.parametrize(("version", "options"), CLOSES.values(), ids=CLOSES)
def test_who_asks_for_the_end_gets_it_behind_any_answer(
    server: Server, version: str, options: list[str]
) -> None:
    for target in TARGETS:
        with server.connect() as client:
            client.send(asked(target, version, options))
            assert client.read().fields["connection"] == "close"
            assert client.read_rest() == b""


@pytest.mark.parametrize(("version", "options"), KEEPS.values(), ids=KEEPS)
def test_who_does_not_keeps_the_connection_behind_any_answer(
    server: Server, version: str, options: list[str]
) -> None:
    told = "keep-alive" if version == "1.0" else None
    with server.connect() as client:
        for target in TARGETS:
            client.send(asked(target, version, options))
            assert client.read().fields.get("connection") == told, target
            client.send(asked(target, version, options, "HEAD"))
            assert client.read(to_head=True).fields.get("connection") == told, target
        assert client.get("/hello.txt").body == HELLO


def test_versions_may_alternate_on_one_connection(server: Server) -> None:
    kept = asked("/hello.txt", "1.0", ["keep-alive"])
    with server.connect() as client:
        client.send((kept + request("/hello.txt")) * 3 + asked("/hello.txt", "1.0", []))
        said = [client.read().fields.get("connection") for _ in range(7)]
        assert said == ["keep-alive", None] * 3 + ["close"]
        assert client.read_rest() == b""


def test_a_peer_that_has_shut_its_side_down_gets_what_it_asked_for_with_bodies_too(
    server: Server, content: Mapping[str, bytes]
) -> None:
    put = request("/hello.txt", "site.example", PUT, method="PUT") + bytes(100_000)
    with server.connect() as client:
        client.send((put + request("/256k.bin")) * 10)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(10):
            assert client.read().status == 405
            assert client.read().body == content["256k.bin"]
        assert client.read_rest() == b""


def test_a_peer_that_has_shut_its_side_down_within_a_request_gets_the_answers_before_it(
    server: Server, content: Mapping[str, bytes]
) -> None:
    put = request("/hello.txt", "site.example", PUT, method="PUT")
    for rest in (request("/hello.txt")[:20], put, put + b"half"):
        with server.connect() as client:
            client.send(request("/5m.bin") + request("/hello.txt") + rest)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read().body == content["5m.bin"]
            assert client.read().body == HELLO
            assert client.read_rest() == b""


def within_a_head(client: Client) -> None:
    client.send(request("/hello.txt")[:-1])


def within_a_body(client: Client) -> None:
    client.send(request("/hello.txt", "site.example", PUT) + b"half")


def within_chunks(client: Client) -> None:
    client.send(request("/hello.txt", "site.example", "Transfer-Encoding: chunked") + b"5\r\nha")


def before_an_answer(client: Client) -> None:
    client.send(request("/20m.bin") * 5)


def within_an_answer(client: Client) -> None:
    client.send(request("/20m.bin") * 5)
    client.read_head()


def behind_an_error(client: Client) -> None:
    client.send(b"garbage\r\n\r\n")
    client.read()


@pytest.mark.parametrize(
    "deed",
    [
        within_a_head,
        within_a_body,
        within_chunks,
        before_an_answer,
        within_an_answer,
        behind_an_error,
    ],
)
def test_a_peer_that_vanishes_costs_no_descriptor_and_no_line_in_the_log(
    server: Server, deed: Callable[[Client], None]
) -> None:
    assert server.get("/hello.txt").body == HELLO
    log = server.log.text
    before = server.open_sockets()
    for vanish in (Client.reset, Client.close):
        for _ in range(20):
            client = server.connect(receive_bytes=4096)
            deed(client)
            vanish(client)
    eventually(lambda: server.open_sockets() <= before)
    assert server.log.text == log
