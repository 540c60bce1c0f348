"""Every engine: what happens at each limit, and just below it, where limits are set by options."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
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


def test_the_last_request_of_a_connection_is_told_so(engine: Engine, site_vhosts: Path) -> None:
    with engine.serving(site_vhosts, "--max-requests", "5") as server:
        with server.connect() as client:
            client.send(request("/hello.txt") * 8)
            responses = [client.read() for _ in range(5)]
            assert [r.fields.get("connection") for r in responses] == [None] * 4 + ["close"]
            assert client.read_rest() == b""
        # One by one they may be a few more: those are looked at once a second.
        with server.connect() as client:
            count = 0

            def has_ended() -> bool:
                nonlocal count
                count += 1
                response = client.get("/hello.txt")
                assert response.body == HELLO
                return response.fields.get("connection") == "close"

            assert eventually(has_ended) < 5
            assert count >= 5
            assert client.read_rest() == b""


def test_who_goes_on_asking_is_kept_and_who_stops_is_closed(
    engine: Engine, site_vhosts: Path
) -> None:
    with (
        engine.serving(site_vhosts, "--idle-seconds", "1", "--head-seconds", "1") as server,
        server.connect() as client,
    ):
        start = time.monotonic()

        def has_asked_for_long() -> bool:
            assert client.get("/hello.txt").body == HELLO
            # Idle connections are looked for once a second: twice by now.
            return time.monotonic() - start > 2.2

        eventually(has_asked_for_long)
        assert client.read_rest() == b""
        assert time.monotonic() - start > 3.2


def test_requests_of_a_connection_are_not_counted_with_those_of_another(
    engine: Engine, site_vhosts: Path
) -> None:
    with (
        engine.serving(site_vhosts, "--max-requests", "1000", "--threads", "1") as server,
        server.connect() as busy,
        server.connect() as other,
    ):
        assert other.get("/hello.txt").body == HELLO
        eventually(lambda: busy.get("/hello.txt").fields.get("connection") == "close")
        response = other.get("/hello.txt")
        assert (response.body, response.fields.get("connection")) == (HELLO, None)


def test_a_reader_that_takes_less_than_the_rate_is_cut_off(
    engine: Engine, site_vhosts: Path, tmp_path: Path
) -> None:
    """At 50 kB/s at most: too slow for one server, and fast enough for another."""
    log = tmp_path / "access.log"
    options = ("--stall-seconds", "1", "--access-log", str(log), "--min-send-rate")
    with (
        engine.serving(site_vhosts, *options, "500000") as strict,
        engine.serving(site_vhosts, *options, "1000") as patient,
        strict.connect(receive_bytes=8192) as cut,
        patient.connect(receive_bytes=8192) as kept,
    ):
        cut.send(request("/20m.bin?cut"))
        kept.send(request("/20m.bin?kept"))

        def is_cut() -> bool:
            with suppress(ConnectionError):  # its end may be a reset
                cut.socket.recv(100)
            assert kept.socket.recv(100)
            return "?cut" in log.read_text()

        assert eventually(is_cut) > 1
        assert "?kept" not in log.read_text()


def test_an_answer_in_the_hands_of_the_kernel_may_be_taken_slowly_too(
    engine: Engine, site_vhosts: Path, content: Mapping[str, bytes]
) -> None:
    """At 8,000 bytes a second, and all that is due at once after the machine was busy."""
    options = ("--idle-seconds", "1", "--stall-seconds", "2")
    with (
        engine.serving(site_vhosts, *options) as server,
        server.connect(receive_bytes=4096) as client,
    ):
        client.send(request("/64k.bin"))
        taken = bytearray()
        start = time.monotonic()

        def enough() -> bool:
            due = min(int(8_000 * (time.monotonic() - start)), 40_001) - len(taken)
            if due > 0:
                taken.extend(client.socket.recv(due))
            return len(taken) > 40_000

        eventually(enough)
        # It was idle for the server all the time, for longer than both limits allow.
        assert time.monotonic() - start > 4.5
        client.send(request("/hello.txt"))
        rest = client.read_bytes(65_536 - 40_000)
        head, _, body = (bytes(taken) + rest).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        left = len(content["64k.bin"]) - len(body)
        assert body + client.read_bytes(left) == content["64k.bin"]
        assert client.read().body == HELLO


def test_who_takes_nothing_of_an_answer_in_the_hands_of_the_kernel_is_cut_off(
    engine: Engine, site_vhosts: Path
) -> None:
    options = ("--idle-seconds", "1", "--stall-seconds", "1")
    with (
        engine.serving(site_vhosts, *options) as server,
        server.connect(receive_bytes=4096) as client,
    ):
        before = open_sockets(server)
        client.send(request("/64k.bin"))
        assert client.read_head().status == 200
        eventually(lambda: open_sockets(server) == before)
