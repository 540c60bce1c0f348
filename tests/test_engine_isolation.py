"""Every engine: those who wait, for whatever, take nothing from the others."""

import resource
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Engine
from tests.servers import Client, Server, eventually, request

HELLO = b"hello, world\n"
IDLE = 10_000
SLOW = 500
# What the test and its server hold open besides: pipes, logs, libraries.
SPARE_FILES = 500
# A connection costs some kilobytes; a body that was copied for each reader would cost 10 GB.
GROWTH_BYTES = 64 << 20


@pytest.fixture
def many_files() -> Iterator[int]:
    """Raise the limit of open files as far as allowed; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def pool_of_8(engine: Engine, site_vhosts: Path) -> Iterator[Server]:
    with engine.serving(site_vhosts, "--threads", "8") as running:
        yield running


def _assert_free(server: Server) -> None:
    """Hold that a newcomer gets a hundred answers, from files and from memory, at once."""

    def ask() -> bool:
        with server.connect() as client:
            for _ in range(50):
                assert client.get("/hello.txt").body == HELLO
                assert len(client.get("/256k.bin").body) == 256 << 10
        return True

    # Behind a slow reader it would take a minute.
    assert eventually(ask) < 10


def test_ten_thousand_idle_connections_and_hundreds_of_slow_readers_leave_the_server_free(
    pool_of_8: Server, many_files: int, content: Mapping[str, bytes]
) -> None:
    server = pool_of_8
    idle_count = min(IDLE, many_files - SLOW * 2 - SPARE_FILES)
    if idle_count < IDLE:
        print(f"only {idle_count} idle connections: the limit of open files is {many_files}")
    assert idle_count > 0
    with ExitStack() as stack:
        idle: list[Client] = []
        for _ in range(idle_count):
            client = stack.enter_context(server.connect())
            client.send(request("/hello.txt"))
            idle.append(client)
        for client in idle:
            assert client.read().body == HELLO
        _assert_free(server)

        before = server.resident_bytes()
        slow: list[Client] = []
        for _ in range(SLOW):
            client = stack.enter_context(server.connect(receive_bytes=4096))
            client.send(request("/20m.bin"))
            slow.append(client)
        for client in slow:
            assert client.read_head().status == 200
        _assert_free(server)
        assert server.resident_bytes() - before < GROWTH_BYTES

        for client in slow[::100]:
            assert client.read_bytes(20 << 20) == content["20m.bin"]
        for client in idle[::1000]:
            assert client.get("/hello.txt").body == HELLO
        server.assert_well()
        for client in slow:
            client.reset()
