"""Every engine: more connections than there may be, in all and from one address."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import Engine
from tests.servers import Client, Server, eventually, request

HELLO = b"hello, world\n"
HALF = request("/hello.txt")[:30]


def is_turned_away(server: Server, source: str = "") -> bool:
    """Whether a new connection gets 503; else it gets what it asked for."""
    with server.connect(source=source) as client:
        response = client.get("/hello.txt")
        if response.status == 200:
            return False
        assert response.status == 503
        assert response.fields["retry-after"] == "10"
        assert response.fields["connection"] == "close"
        assert client.read_rest() == b""
        return True


def test_an_address_with_all_its_connections_gets_503_and_others_are_served(
    engine: Engine, site_vhosts: Path
) -> None:
    with engine.serving(site_vhosts, "--max-connections-per-address", "3") as server:
        with ExitStack() as stack:
            clients = [stack.enter_context(server.connect(source="127.0.0.2")) for _ in range(3)]
            for client in clients:
                assert client.get("/hello.txt").body == HELLO
            for _ in range(20):
                assert is_turned_away(server, "127.0.0.2")
                assert not is_turned_away(server, "127.0.0.3")
            for client in clients:
                assert client.get("/hello.txt").body == HELLO
            server.log.wait_for("turned away with 503: 1; an address has 3 connections already")
            clients[1].close()
            eventually(lambda: not is_turned_away(server, "127.0.0.2"))
        for _ in range(20):
            eventually(lambda: not is_turned_away(server, "127.0.0.2"))


def test_the_connection_that_is_idle_for_longest_makes_room_for_a_new_one(
    engine: Engine, site_vhosts: Path
) -> None:
    with engine.serving(site_vhosts, "--max-connections", "4") as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(5)]
        for client in clients[:4]:
            assert client.get("/hello.txt").body == HELLO
        assert clients[0].get("/hello.txt").body == HELLO
        # Served when somebody has been idle for a second.
        assert clients[4].get("/hello.txt").body == HELLO
        assert clients[1].read_rest() == b""
        for client in (clients[0], clients[2], clients[3], clients[4]):
            assert client.get("/hello.txt").body == HELLO


def test_many_more_visitors_than_connections_are_all_served(
    engine: Engine, site_vhosts: Path
) -> None:
    with engine.serving(site_vhosts, "--max-connections", "32") as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(100)]
        for client in clients:
            client.send(request("/hello.txt"))
        for client in clients:
            assert client.read().body == HELLO
        assert "turned away" not in server.log.text


def test_who_finds_no_room_waits_for_it(engine: Engine, site_vhosts: Path) -> None:
    with engine.serving(site_vhosts, "--max-connections", "2") as server, ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(2)]
        for client in busy:
            client.send(HALF)
        waiting = stack.enter_context(server.connect())
        # Those two are there before this one, for they have sent something.
        eventually(lambda: held(server) == 2)
        waiting.send(request("/hello.txt"))
        busy[0].close()
        assert waiting.read().body == HELLO
        busy[1].send(request("/hello.txt")[30:])
        assert busy[1].read().body == HELLO


def test_of_hundreds_who_wait_for_room_each_is_served(engine: Engine, site_vhosts: Path) -> None:
    # More than an engine lets wait within, beside those that the kernel has.
    with engine.serving(site_vhosts, "--max-connections", "20") as server, ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(20)]
        for client in busy:
            client.send(HALF)
        eventually(lambda: held(server) == 20)
        waiting = [stack.enter_context(server.connect()) for _ in range(300)]
        for client in waiting:
            client.send(request("/hello.txt", "site.example", "Connection: close"))
        for client in busy:
            client.close()
        for client in waiting:
            assert client.read().body == HELLO


def held(server: Server) -> int:
    """How many connections the server holds; one more socket is the one it listens on."""
    return sum(name.startswith("socket:") for name in server.open_files()) - 1


def test_who_finds_no_room_for_long_gets_503_and_nobody_loses_an_answer(
    engine: Engine, site_vhosts: Path, content: Mapping[str, bytes]
) -> None:
    options = ("--max-connections", "2", "--head-seconds", "60")
    with engine.serving(site_vhosts, *options) as server, ExitStack() as stack:
        reader: Client = stack.enter_context(server.connect(receive_bytes=4096))
        reader.send(request("/20m.bin"))
        assert reader.read_head().status == 200
        half = stack.enter_context(server.connect())
        half.send(HALF)
        eventually(lambda: held(server) == 2)
        start = time.monotonic()
        assert is_turned_away(server)
        assert time.monotonic() - start > 4
        assert is_turned_away(server)
        server.log.wait_for("turned away with 503: 1; all 2 connections are in use")
        assert reader.read_bytes(len(content["20m.bin"])) == content["20m.bin"]
        half.send(request("/hello.txt")[30:])
        assert half.read().body == HELLO
        eventually(lambda: not is_turned_away(server))


def test_more_connections_than_open_files_are_named_at_the_start(
    engine: Engine, site_vhosts: Path
) -> None:
    limited = ("sh", "-c", 'ulimit -n 200 && exec "$@"', "sh")
    with engine.serving(site_vhosts, "--max-connections", "137", under=limited) as server:
        server.log.wait_for("--max-connections 137: the limit of open files leaves room for 136")
