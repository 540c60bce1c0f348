"""Every engine: what happens at each limit, and just below it, where limits are set by options."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Engine
from tests.servers import Server, eventually, request

HELLO = b"hello, world\n"
HEAD_BYTES = 2_048
TARGET_BYTES = 300
HEAD_FIELDS = 12
BODY_BYTES = 1_000
LINGER_BYTES = 5_000


@pytest.fixture(scope="module")
def strict_server(engine: Engine, site_vhosts: Path) -> Iterator[Server]:
    numbers = {
        "head-bytes": HEAD_BYTES,
        "target-bytes": TARGET_BYTES,
        "head-fields": HEAD_FIELDS,
        "body-bytes": BODY_BYTES,
        "body-seconds": 1,
        "linger-bytes": LINGER_BYTES,
    }
    options = (f"--{name}={number}" for name, number in numbers.items())
    with engine.serving(site_vhosts, *options) as running:
        yield running


@pytest.fixture
def strict(strict_server: Server) -> Iterator[Server]:
    strict_server.assert_well()
    yield strict_server
    strict_server.assert_well()


def of_head(size: int) -> bytes:
    """Return a request whose head has so many bytes."""
    shortest = request("/hello.txt", "site.example", "P: ")
    return request("/hello.txt", "site.example", "P: " + "x" * (size - len(shortest)))


def of_target(size: int) -> bytes:
    return request("/hello.txt?".ljust(size, "q"))


def of_fields(count: int) -> bytes:
    return request("/hello.txt", "site.example", *["A: b"] * (count - 1))


def of_body(size: int) -> bytes:
    length = f"Content-Length: {size}"
    return request("/hello.txt", "site.example", length) + b"x" * size


def open_sockets(server: Server) -> int:
    return sum(name.startswith("socket:") for name in server.open_files())


AT_THE_LIMIT = {
    "head": of_head(HEAD_BYTES),
    "target": of_target(TARGET_BYTES),
    "fields": of_fields(HEAD_FIELDS),
    "body": of_body(BODY_BYTES),
}
BEYOND = {
    "head": (of_head(HEAD_BYTES + 1), 431),
    "target": (of_target(TARGET_BYTES + 1), 414),
    "request line": (b"GET /" + b"x" * HEAD_BYTES, 414),
    "fields": (of_fields(HEAD_FIELDS + 1), 431),
    "body": (of_body(BODY_BYTES + 1), 413),
}


@pytest.mark.parametrize("wire", AT_THE_LIMIT.values(), ids=AT_THE_LIMIT)
@pytest.mark.parametrize("pieces", [1, 2])
def test_a_request_at_a_limit_is_served_and_the_connection_kept(
    strict: Server, wire: bytes, pieces: int
) -> None:
    with strict.connect() as client:
        for _ in range(3):
            for start in range(0, len(wire), -(-len(wire) // pieces)):
                client.send(wire[start : start - (-len(wire) // pieces)])
            assert client.read().body == HELLO


@pytest.mark.parametrize(("wire", "status"), BEYOND.values(), ids=BEYOND)
def test_a_request_beyond_a_limit_is_refused_and_the_connection_ends(
    strict: Server, wire: bytes, status: int
) -> None:
    with strict.connect() as client:
        client.send(wire)
        response = client.read()
        assert (response.status, response.fields["connection"]) == (status, "close")
        assert client.read_rest() == b""


def test_a_large_head_is_served_where_that_is_allowed(engine: Engine, site_vhosts: Path) -> None:
    options = ("--head-bytes", "65536", "--target-bytes", "60000", "--head-fields", "1000")
    with engine.serving(site_vhosts, *options) as server, server.connect() as client:
        for wire in (of_head(65_536), of_target(60_000), of_fields(1_000)):
            client.send(wire * 2)
            assert client.read().body == HELLO
            assert client.read().body == HELLO
        client.send(of_head(65_537))
        assert client.read().status == 431


def test_a_body_that_does_not_come_gets_408_when_its_time_is_up(strict: Server) -> None:
    with strict.connect() as client:
        client.send(of_body(BODY_BYTES)[:-1])
        response = client.read()
        assert (response.status, response.fields["connection"]) == (408, "close")
        assert client.read_rest() == b""


def test_who_goes_on_sending_after_an_error_is_heard_for_so_many_bytes(strict: Server) -> None:
    with strict.connect() as client:
        client.send(b"garbage\r\n\r\n")
        assert client.read().status == 400
        # Read from the socket now, what follows gets no answer but the end.
        assert client.read_rest() == b""
        client.send(bytes(LINGER_BYTES))
        with pytest.raises(ConnectionError):
            client.send(bytes(64 << 20))


def test_who_is_silent_after_an_error_is_heard_for_so_long(
    engine: Engine, site_vhosts: Path
) -> None:
    options = ("--linger-seconds", "1", "--linger-bytes", "1000000000")
    with engine.serving(site_vhosts, *options) as server, server.connect() as client:
        before = open_sockets(server)
        client.send(b"garbage\r\n\r\n")
        assert client.read().status == 400
        assert client.read_rest() == b""
        # Less than the default.
        eventually(lambda: open_sockets(server) == before, 4.5)
