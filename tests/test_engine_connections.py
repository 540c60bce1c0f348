"""Every engine: how connections end, and who they leave alone when they do."""

import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Engine
from tests.servers import Client, Server, eventually, request

HELLO = b"hello, world\n"


@pytest.fixture
def impatient_log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def impatient(engine: Engine, site_vhosts: Path, impatient_log: Path) -> Iterator[Server]:
    """A server with every deadline at one second; they are looked at once a second."""
    options = ("--head-seconds", "1", "--idle-seconds", "1", "--stall-seconds", "1")
    logging = ("--access-log", str(impatient_log))
    with engine.serving(site_vhosts, *options, *logging) as running:
        yield running


def test_connections_that_the_system_has_no_files_for_wait_until_others_end(
    engine: Engine, site_vhosts: Path, tmp_path: Path
) -> None:
    # The server counts on more files than there are, as when all processes together use them up.
    (tmp_path / "sitecustomize.py").write_text(
        "import ashttpd.budget\nashttpd.budget.allowed_files = lambda: 1000\n"
    )
    limited = ("env", f"PYTHONPATH={tmp_path}", "sh", "-c", 'ulimit -n 48 && exec "$@"', "sh")
    with ExitStack() as stack:
        options = ("--threads", "1", "--max-connections", "100")
        server = stack.enter_context(engine.serving(site_vhosts, *options, under=limited))
        clients = [stack.enter_context(server.connect()) for _ in range(60)]
        for client in clients:
            client.send(request("/hello.txt"))
        server.log.wait_for("cannot accept connections: .*Too many open files")
        for client in clients:
            assert client.read().body == HELLO
            client.close()
        assert server.get("/hello.txt").body == HELLO


def test_a_peer_that_has_shut_its_side_down_still_gets_all_its_answers(
    server: Server, content: Mapping[str, bytes]
) -> None:
    names = ["hello.txt", "5m.bin", "empty.txt", "256k.bin", "hello.txt"]
    with server.connect() as client:
        client.send(b"".join(request(f"/{name}") for name in names))
        client.socket.shutdown(socket.SHUT_WR)
        for name in names:
            assert client.read().body == content[name], name
        assert client.read_rest() == b""


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("Content-Length: 500000", b"x" * 500_000),
        (
            "Transfer-Encoding: chunked",
            b"7a120;a=b\r\n" + b"x" * 500_000 + b"\r\n0\r\nt: 1\r\n\r\n",
        ),
    ],
)
def test_a_body_that_nobody_asked_for_is_read_and_the_connection_kept(
    server: Server, field: str, body: bytes
) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.send(request("/hello.txt", "site.example", field, method="POST") + body)
            assert client.read().status == 405
            client.send(request("/hello.txt", "site.example", field) + body)
            assert client.read().body == HELLO


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("Content-Length: 1048577", b"x" * 300_000),
        ("Transfer-Encoding: chunked", b"200000\r\n" + b"x" * 1_200_000),
        # Well below the limit, but made of lines.
        ("Transfer-Encoding: chunked", b"1\r\nx\r\n" * 10_000),
    ],
)
def test_a_body_of_more_than_the_limit_gets_413_and_the_end(
    server: Server, field: str, body: bytes
) -> None:
    with server.connect() as client:
        client.send(request("/hello.txt", "site.example", field, method="POST") + body)
        response = client.read()
        assert (response.status, response.fields["connection"]) == (413, "close")
        assert client.read_rest() == b""


def test_who_waits_for_100_continue_gets_the_answer_instead(server: Server) -> None:
    wait = ("Content-Length: 5", "Expect: 100-continue")
    with server.connect() as client:
        response = client.get("/hello.txt", "site.example", *wait)
        assert (response.body, response.fields["connection"]) == (HELLO, "close")
        client.send(b"12345")
        assert client.read_rest() == b""
    with server.connect() as client:
        assert client.get("/hello.txt", "site.example", "Expect: a cake").status == 417
        assert client.get("/hello.txt").body == HELLO


def test_a_request_within_a_body_is_not_taken_for_a_request(
    server: Server,
) -> None:
    smuggled = request("/hello.txt")
    field = f"Content-Length: {len(smuggled)}"
    with server.connect() as client:
        client.send(request("/nothing", "site.example", field) + smuggled + request("/empty.txt"))
        assert client.read().status == 404
        assert client.read().body == b""
        assert client.get("/hello.txt").body == HELLO


def test_a_peer_that_goes_on_sending_for_ever_is_cut_off(server: Server) -> None:
    with server.connect() as client:
        client.send(request("/", "site.example", "Transfer-Encoding: chunked", method="PUT"))
        client.send(b"no chunk\r\n")
        assert client.read().status == 400
        with pytest.raises(ConnectionError):
            client.send(bytes(64 << 20))


def test_a_peer_that_vanishes_within_a_body_costs_nothing_and_others_go_on(
    server: Server, content: Mapping[str, bytes]
) -> None:
    with server.connect() as bystander:
        bystander.send(request("/20m.bin"))
        length = int(bystander.read_head().fields["content-length"])
        before = server.open_sockets()
        for _ in range(50):
            client = server.connect(receive_bytes=4096)
            client.send(request("/20m.bin"))
            assert client.read_head().status == 200
            client.reset()
        for _ in range(50):
            client = server.connect()
            client.send(request("/20m.bin")[:20])
            client.reset()
        eventually(lambda: server.open_sockets() <= before)
        assert bystander.read_bytes(length) == content["20m.bin"]


def test_a_peer_that_hangs_up_before_it_asks_costs_nothing(server: Server) -> None:
    before = server.open_sockets()
    for _ in range(200):
        server.connect().close()
        server.connect().reset()
    eventually(lambda: server.open_sockets() <= before)
    assert server.get("/hello.txt").body == HELLO


def test_among_peers_that_come_and_go_in_every_way_each_gets_its_own_bytes(
    server: Server, content: Mapping[str, bytes]
) -> None:
    body = content["5m.bin"]
    random_of = random.Random(5)

    def ask(client: Client, count: int) -> list[int]:
        """Ask for pieces that nobody else asks for; returns where they start."""
        starts = [random_of.randrange(len(body) - 100_000) for _ in range(count)]
        for start in starts:
            stop = start + random_of.choice((10, 5_000, 70_000))
            client.send(request("/5m.bin", "site.example", f"Range: bytes={start}-{stop - 1}"))
        return starts

    with ExitStack() as stack:
        open_clients: list[tuple[Client, list[int]]] = []
        for _ in range(1500):
            client = stack.enter_context(server.connect(random_of.choice((None, 4096))))
            starts = ask(client, random_of.randrange(6))
            deed = random_of.randrange(4)
            if deed == 0:
                client.reset()
            elif deed == 1:
                client.send(request("/hello.txt")[:30])
                client.close()
            elif deed == 2:
                client.send(b"garbage\r\n\r\n")
                open_clients.append((client, starts))
            else:
                open_clients.append((client, starts))
            if len(open_clients) > 40:
                client, starts = open_clients.pop(random_of.randrange(40))
                for start in starts:
                    part = client.read()
                    assert part.status == 206
                    assert part.body == body[start : start + len(part.body)]
                client.close()
    assert server.get("/hello.txt").body == HELLO


def test_half_a_head_gets_408_when_its_time_is_up(impatient: Server) -> None:
    with impatient.connect() as client:
        client.send(request("/hello.txt")[:-1])
        response = client.read()
        assert (response.status, response.fields["connection"]) == (408, "close")
        assert client.read_rest() == b""


def test_a_head_that_trickles_in_gets_408_though_bytes_keep_coming(impatient: Server) -> None:
    start = time.monotonic()
    with impatient.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        refused = threading.Event()

        def trickle() -> None:
            while not refused.wait(0.05):
                client.socket.send(b"A: b\r\n")

        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            status = client.read_head().status
        finally:
            refused.set()
            trickling.join()
        assert status == 408
        assert time.monotonic() - start < 5


def test_an_idle_connection_is_closed_when_its_time_is_up_without_a_word(
    impatient: Server,
) -> None:
    with impatient.connect() as asked, impatient.connect() as silent:
        assert asked.get("/hello.txt").body == HELLO
        assert asked.read_rest() == b""
        assert silent.read_rest() == b""


def test_a_reader_that_takes_nothing_is_closed_and_one_that_is_slow_is_not(
    impatient: Server, content: Mapping[str, bytes], impatient_log: Path
) -> None:
    with (
        impatient.connect() as other,
        impatient.connect(65536) as slow,
        impatient.connect(4096) as stuck,
    ):
        slow.send(request("/20m.bin?slow"))
        assert slow.read_head().status == 200
        stuck.send(request("/20m.bin?stuck"))
        taken = bytearray()

        def stuck_was_given_up() -> bool:
            # A piece at a time, and what else there is to do in between.
            taken.extend(slow.read_bytes(4000))
            assert other.get("/hello.txt").body == HELLO
            return "?stuck" in impatient_log.read_text()

        eventually(stuck_was_given_up)
        assert len(stuck.read_rest()) < len(content["20m.bin"])
        taken += slow.read_bytes(len(content["20m.bin"]) - len(taken))
        assert taken == content["20m.bin"]
