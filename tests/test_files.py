"""How many files each engine opens beside its connections: the numbers that a budget is made of."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from ashttpd.aio import engine as aio
from ashttpd.budget import FilesNeeded
from ashttpd.engine import Engine, HotSource
from ashttpd.http.limits import Limits
from ashttpd.listen import Address, listen
from ashttpd.threads import engine as threads
from ashttpd.uring import engine as uring
from ashttpd.uring.lobby import MAX_WAITING
from tests.conftest import ENGINES
from tests.servers import eventually, request, skip_for_lack
from tests.test_numbers import Gates, make_aio, make_threads, make_uring

Make = Callable[[socket.socket, HotSource, Limits], Engine]


def files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("make", "needed"),
    [
        (make_threads, threads.files_needed(1)),
        (make_aio, aio.files_needed(1)),
        (make_uring, uring.files_needed(1)),
    ],
)
def test_an_engine_opens_as_many_files_as_it_says(make: Make, needed: FilesNeeded) -> None:
    with listen(Address("127.0.0.1", 0)) as listener:
        before = files()
        engine: Engine = make(listener, Gates(), Limits(max_connections=4))
        engine.start()
        try:
            eventually(lambda: len(files() - before) == needed.engine)
        finally:
            engine.drain(0)
        assert files() - before == set()


def test_with_few_descriptors_no_more_connections_wait_in_the_ring_than_it_says(
    site_vhosts: Path,
) -> None:
    limited = ("sh", "-c", 'ulimit -n 1024 && exec "$@"', "sh")
    [engine] = [engine for engine in ENGINES if engine.name == "uring"]
    if engine.lack:
        skip_for_lack(engine.lack)
    options = ("--max-connections", "100", "--head-seconds", "60")
    with engine.serving(site_vhosts, *options, under=limited) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(300)]
        for client in clients:
            client.send(request("/hello.txt")[:30])
        held = 100 + MAX_WAITING
        eventually(lambda: server.open_sockets() >= held)
        # One that listens, and one more that came when the lobby was found full.
        assert server.open_sockets() <= held + 2
