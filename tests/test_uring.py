"""The uring engine within the test's own process, where what it leaves behind can be counted."""

import gc
import os
import random
import socket
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from ashttpd.engine import UnusableError
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Cursor
from ashttpd.http.scan import make_scan
from ashttpd.uring.client import Client as UringClient
from ashttpd.uring.engine import UringEngine
from ashttpd.vhosts.watch import Watch
from fuzz.fakes import connect, echo
from tests.pagecache import forget
from tests.servers import Client, eventually, put, request, skip_for_lack

PEERS = 600


@contextmanager
def serving_here(vhosts: Path) -> Iterator[tuple[UringEngine, int]]:
    """Run an engine in this process; gives it and its port."""
    watch = Watch(vhosts)
    watch.check()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    port = listener.getsockname()[1]
    try:
        engine = UringEngine([listener], watch, Limits(max_connections=10_000), None)
    except UnusableError as error:
        listener.close()
        skip_for_lack(str(error))
    engine.start()
    yield engine, port
    assert engine.drain(10)


@pytest.fixture
def engine_and_port(site_vhosts: Path) -> Iterator[tuple[UringEngine, int]]:
    with serving_here(site_vhosts) as running:
        yield running


def descriptors() -> int:
    """How many are open, without those that tests before have left to the garbage collector."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_peers_that_come_and_go_at_random_leave_nothing_behind(
    engine_and_port: tuple[UringEngine, int], content: Mapping[str, bytes]
) -> None:
    engine, port = engine_and_port
    loop = engine.loop
    random_of = random.Random(7)
    names = ["hello.txt", "64k.bin", "64k+1.bin", "256k.bin", "5m.bin", "nothing"]
    before = descriptors()
    for _ in range(PEERS):
        with Client(port, random_of.choice((None, None, 4096))) as client:
            asked = random_of.choices(names, (20, 5, 5, 5, 1, 5), k=random_of.randrange(1, 30))
            data = b"".join(request(f"/{name}") for name in asked)
            deed = random_of.randrange(5)
            if deed == 0:
                client.send(data)
                client.reset()
            elif deed == 1:
                client.send(data[: random_of.randrange(len(data))])
            elif deed == 2:
                client.send(data + b"garbage\r\n\r\n")
            else:
                client.send(data)
                if deed == 3:
                    client.socket.shutdown(socket.SHUT_WR)
                for name in asked:
                    response = client.read()
                    assert response.status == (404 if name == "nothing" else 200)
                    assert name == "nothing" or response.body == content[name]
    eventually(lambda: not loop.clients)
    eventually(lambda: loop.ring.in_flight == 0)
    assert descriptors() == before
    assert loop.kept == 0


def test_answers_that_the_ring_gave_by_itself_are_counted(
    engine_and_port: tuple[UringEngine, int], content: Mapping[str, bytes]
) -> None:
    engine, port = engine_and_port
    with Client(port) as client:
        for _ in range(50):
            assert client.get("/hello.txt").body == content["hello.txt"]
        (other,) = engine.loop.clients.values()
        eventually(lambda: other.connection.requests == 50)


def test_who_asks_for_more_than_it_takes_is_not_listened_to(
    engine_and_port: tuple[UringEngine, int],
) -> None:
    engine, port = engine_and_port
    with Client(port, receive_bytes=4096) as client:
        client.socket.settimeout(1)
        client.send(request("/20m.bin"))
        with pytest.raises(TimeoutError):
            client.send(request("/hello.txt") * 1_000_000)
        (waiting,) = engine.loop.clients.values()
        assert waiting.deaf
        # It may have sent a socket's buffer full before that was known.
        assert len(waiting.waiting) < 8 << 20


@pytest.fixture
def cold_site(site_webroot: Path, tmp_path: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    webroot = tmp_path / "copy.webroot"
    webroot.write_bytes(site_webroot.read_bytes())
    vhosts = tmp_path / "vhosts"
    vhosts.mkdir()
    put(vhosts, "site.example", webroot)
    with serving_here(vhosts) as (_engine, port):
        yield port, lambda: forget(webroot)


def test_what_waits_behind_an_answer_takes_its_size_and_not_that_of_its_pieces(
    engine_and_port: tuple[UringEngine, int],
) -> None:
    engine, _port = engine_and_port
    connection, _source = connect(make_scan(Limits()))
    # One that is deaf already, so that nothing is asked of the ring.
    client = UringClient(-1, connection, cursor=Cursor(echo(b"1k-GET /\nHa\n")), deaf=True)
    pieces = [bytes((60 + number % 2, 61)) for number in range(30_000)]
    tracemalloc.start()
    try:
        while pieces:
            engine.loop._heard(client, pieces.pop())
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_what_is_cold_is_answered_as_what_is_hot(
    cold_site: tuple[int, Callable[[], None]], content: Mapping[str, bytes]
) -> None:
    port, cool_down = cold_site
    with Client(port) as client:
        for name, body in content.items():
            if name.endswith("index.html"):
                continue
            cool_down()
            assert client.get(f"/{quote(name)}").body == body
        # In one write: none overtakes another that waits for a disk.
        names = [name for name in content if not name.endswith("index.html")]
        cool_down()
        client.send(b"".join(request(f"/{quote(name)}?again") for name in names))
        for name in names:
            assert client.read().body == content[name]


def test_a_cold_answer_of_a_file_that_was_truncated_is_a_500_and_not_an_end(
    cold_site: tuple[int, Callable[[], None]], tmp_path: Path
) -> None:
    port, cool_down = cold_site
    cool_down()
    os.truncate(tmp_path / "copy.webroot", 4096)
    with Client(port) as client:
        assert client.get("/64k.bin").status == 500
        assert client.get("/nothing").status == 404
