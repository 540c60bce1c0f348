"""`python -m fuzz.soak`: a million requests of peers without manners leave nothing behind.

Connections are opened, reset, half-closed and left in the middle of everything at random, with
requests in pipelines. Every answer that is heard has to be right, byte for byte. Behind them the
server has to have the descriptors and the memory that it had before, and to end at once.
"""

import multiprocessing
import random
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from ashttpd.commandline import Parser
from fuzz.shared import put_away
from fuzz.sites import HOST, NAMES, webroots
from tests.conftest import ENGINES, Engine
from tests.servers import Client, Server, eventually, put, request

_HOST: Final = HOST.decode("ascii")
CLIENTS: Final = 4
# Nobody is to be cut off because this machine is slow.
_PATIENCE: Final = ("--head-seconds", "600", "--idle-seconds", "600", "--stall-seconds", "600")
# So many connections each of them holds open.
OPEN: Final = 16
# Pools of buffers grow with the most that was ever under way. An object that was kept of each
# request would be three times this.
GROWTH_BYTES: Final = 8 << 20
# Behind a clean end nothing has to be waited for.
END_SECONDS: Final = 1.5
_DATE_BYTES: Final = len("Sun, 06 Nov 1994 08:49:37 GMT")

# Requests by weight; what comes back is learned from the server before, and is the same each time.
_REQUESTS: Final = (
    (20, request("/hello.txt", _HOST)),
    (10, request("/style.css", _HOST)),
    (5, request("/style.css", _HOST, "Accept-Encoding: gzip")),
    (5, request("/none", _HOST)),
    (5, request("/list/", _HOST)),
    (5, request("/docs", _HOST)),
    (5, request("/edge.bin", _HOST, "Range: bytes=7-70,100-,-9")),
    (4, request("/hello.txt", _HOST, method="HEAD")),
    (2, request("/edge.bin", _HOST)),
    (2, request("/edge%2b1.bin", _HOST)),
    (1, request("/large.bin", _HOST, "Range: bytes=1000000-1300000")),
)
_LARGE: Final = request("/large.bin", _HOST)

Answer = tuple[bytes, bytes]


def _learn(server: Server, message: bytes) -> Answer:
    """Return what a request is answered with, before its date and behind it."""
    with server.connect() as client:
        client.send(message)
        client.socket.shutdown(socket.SHUT_WR)
        answer = client.read_rest()
    head, _, _body = answer.partition(b"\r\n\r\n")
    start = head.index(b"\r\nDate: ") + len(b"\r\nDate: ")
    return answer[:start], answer[start + _DATE_BYTES :]


def _hear(client: Client, answers: Sequence[Answer]) -> None:
    """Read so many answers, and hold that they are right."""
    for before, behind in answers:
        length = len(before) + _DATE_BYTES + len(behind)
        came = client.read_bytes(length)
        if not (len(came) == length and came.startswith(before) and came.endswith(behind)):
            raise AssertionError(f"{came[:300]!r} came in place of {before!r}")


def _talk(chance: random.Random, client: Client, learned: dict[bytes, Answer]) -> int:
    """Send some requests, hear all or some of the answers; returns how many were sent."""
    weights, messages = zip(*_REQUESTS, strict=True)
    sent = chance.choices(messages, weights, k=chance.randrange(1, 30))
    data = b"".join(sent)
    if chance.random() < 0.2:
        cut = chance.randrange(len(data))
        client.send(data[:cut])
        data = data[cut:]
    client.send(data)
    answers = [learned[message] for message in sent]
    if chance.random() < 0.1:
        answers = answers[: chance.randrange(len(answers))]
        _hear(client, answers)
        raise _EnoughError(len(sent))
    _hear(client, answers)
    return len(sent)


class _EnoughError(Exception):
    """The peer goes without having heard everything; `args` has how many requests it sent."""


def _end(chance: random.Random, client: Client) -> None:
    """Go, in one of many ways, having heard what was asked for."""
    way = chance.randrange(7)
    if way == 0:
        client.reset()
    elif way == 1:
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_rest() == b""
    elif way == 2:
        client.send(request("/style.css", _HOST)[: chance.randrange(1, 40)])
        client.reset()
    elif way == 3:
        client.send(b"this is no request\r\n\r\n" * chance.randrange(1, 50))
        assert client.read_rest().startswith(b"HTTP/1.1 400 ")
    elif way == 4:
        client.send(_LARGE)
        client.read_bytes(chance.randrange(1, 200_000))
        client.reset()
    elif way == 5:
        client.send(_LARGE * 2)
        client.socket.shutdown(socket.SHUT_WR)
    client.close()


def _visit(port: int, learned: dict[bytes, Answer], count: int, seed: int) -> None:
    """Send so many requests over connections of all fates."""
    chance = random.Random(seed)
    opened: list[Client] = []
    while count > 0:
        if len(opened) < OPEN:
            opened.append(Client(port, chance.choice((None, None, None, 4096))))
        client = opened.pop(chance.randrange(len(opened)))
        try:
            count -= _talk(chance, client, learned)
        except _EnoughError as enough:
            count -= enough.args[0]
            (client.reset if chance.random() < 0.5 else client.close)()
            continue
        if chance.random() < 0.2:
            _end(chance, client)
        else:
            opened.append(client)
    for client in opened:
        client.close()


def _burst(server: Server, learned: dict[bytes, Answer], count: int, seed: int) -> None:
    """Let all clients send requests, so many in all."""
    visit = partial(_visit, server.port, learned, count // CLIENTS)
    with multiprocessing.get_context("spawn").Pool(CLIENTS) as pool:
        try:
            pool.map(visit, range(seed, seed + CLIENTS))
        except BaseException:
            print(server.log.text, file=sys.stderr)
            raise


def _files(server: Server) -> int:
    return len(server.open_files())


def soak(engine: Engine, vhosts: Path, count: int) -> None:
    """Let an engine live through so many requests; raises where anything is wrong behind them."""
    started = time.monotonic()
    seed = time.time_ns()
    with engine.serving(vhosts, *_PATIENCE) as server:
        learned = {message: _learn(server, message) for _weight, message in _REQUESTS}
        # As many as it takes until pools and caches have their size.
        _burst(server, learned, count // 10, seed)
        eventually(lambda: server.get("/hello.txt", _HOST).status == 200)
        files, memory = _files(server), server.resident_bytes()
        _burst(server, learned, count, seed + CLIENTS)
        server.assert_well()
        eventually(lambda: _files(server) <= files)
        grown = server.resident_bytes() - memory
        seconds = time.monotonic() - started
        found = f"{files} descriptors, {memory >> 10} KiB and then {grown / 1024:+.0f}"
        print(
            f"{engine.name:16} {count * 11 // 10:,} requests in {seconds:.0f} s, {found}",
            flush=True,
        )
        assert grown < GROWTH_BYTES, f"{grown} bytes more than before"
        ending = time.monotonic()
        server.stop()
        assert time.monotonic() - ending < END_SECONDS, "something was waited for at the end"


def main() -> int:
    """Run; every engine that this machine has, or those that are named."""
    parser = Parser(prog="python -m fuzz.soak", description=__doc__)
    names = [engine.name for engine in ENGINES]
    parser.add_argument("--requests", type=int, default=1_000_000, help="for each engine")
    parser.add_argument("--engine", action="append", choices=names, help="may be repeated")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="ashttpd-soak-") as directory:
            put(Path(directory), _HOST, webroots()[NAMES[0]])
            for engine in ENGINES:
                if engine.name not in (arguments.engine or names):
                    continue
                if engine.lack:
                    print(f"{engine.name:16} {engine.lack}")
                    continue
                soak(engine, Path(directory), arguments.requests)
    finally:
        put_away()
    return 0


if __name__ == "__main__":
    sys.exit(main())
