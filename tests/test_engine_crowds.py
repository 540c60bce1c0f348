"""Every engine: more connections than there may be, in all and from one address."""

import re
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import Engine
from tests.servers import Client, Server, eventually, put, request, run_program

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
            server.log.wait_for("turned away with 503: 1; 127.0.0.2 has 3 connections already")
            clients[1].close()
            eventually(lambda: not is_turned_away(server, "127.0.0.2"))
        for _ in range(20):
            eventually(lambda: not is_turned_away(server, "127.0.0.2"))
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        # The number of later ones is there at the end, at the latest.
        assert sum(map(int, re.findall(r"turned away with 503: (\d+)", server.log.text))) >= 20


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


LIMITED = ("sh", "-c", 'ulimit -n 200 && exec "$@"', "sh")


def test_more_connections_than_open_files_are_named_at_the_start_and_not_accepted(
    engine: Engine, site_vhosts: Path
) -> None:
    with engine.serving(site_vhosts, "--max-connections", "190", under=LIMITED) as server:
        room = server.log.wait_for(
            r"--max-connections 190: the limit of open files leaves room for (\d+); raise that "
        )
        most = server.log.wait_for(r"open files: 200 allowed; (\d+) for connections and \d+ that")
        assert room[1] == most[1]


def test_what_is_open_besides_connections_is_what_the_log_says_of_it_at_most(
    engine: Engine, site_vhosts: Path, tmp_path: Path
) -> None:
    with engine.serving(site_vhosts, "--access-log", str(tmp_path / "log")) as server:
        said = server.log.wait_for(
            r"(\d+) for sites \(now 1\), \d+ for deploys and more sites, (\d+) for the engine"
        )
        assert server.get("/5m.bin").status == 200
        files = [name for name in server.open_files() if not name.startswith("socket:")]
        assert len(files) <= int(said[1]) + int(said[2])


def test_with_all_connections_in_use_a_deploy_goes_live_and_a_log_is_rotated(
    engine: Engine, site_webroot: Path, tmp_path: Path
) -> None:
    vhosts, path = tmp_path / "vhosts", tmp_path / "access.log"
    vhosts.mkdir()
    put(vhosts, "site.example", site_webroot)
    options = ("--threads", "2", "--access-log", str(path))
    with ExitStack() as stack:
        server = stack.enter_context(engine.serving(vhosts, *options, under=LIMITED))
        most = int(server.log.wait_for(r"200 allowed; (\d+) for connections")[1])
        for _ in range(most):
            client = stack.enter_context(server.connect())
            client.send(HALF)
        eventually(lambda: held(server) == most)
        # These wait.
        for _ in range(8):
            stack.enter_context(server.connect()).send(HALF)
        path.rename(tmp_path / "rotated.log")
        server.signal(signal.SIGHUP)
        eventually(path.exists)
        put(vhosts, "new.example", site_webroot)
        server.log.wait_for("new.example: serving")
        assert "Too many open files" not in server.log.text
        server.log.wait_for("connections turned away with 503")


def test_fewer_files_than_sites_need_are_named_with_the_number_that_is_needed(
    engine: Engine, site_webroot: Path, tmp_path: Path
) -> None:
    for number in range(200):
        put(tmp_path, f"{number}.example", site_webroot)
    done = run_program(
        *engine.options,
        *("--bind", "127.0.0.1:0", str(tmp_path)),
        program=(*LIMITED, *engine.program),
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    needed = re.fullmatch(
        r"ashttpd: (\d+) open files are needed at least for 200 sites, and the limit of open files "
        r"is 200: raise it \(.*\)",
        line,
    )
    assert needed
    enough = ("sh", "-c", f'ulimit -n {needed[1]} && exec "$@"', "sh")
    with engine.serving(tmp_path, under=enough) as server:
        assert server.get("/hello.txt", "199.example").status == 200
