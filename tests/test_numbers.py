"""Numbers of sockets that go while an answer is queued for them, and are another socket's then."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event

import pytest

from ashttpd.aio.engine import AioEngine
from ashttpd.aio.files import Io
from ashttpd.engine import Engine, HotSource, UnusableError
from ashttpd.epoll.compiled import CompiledSockets
from ashttpd.epoll.extents import send_with_sendfile
from ashttpd.epoll.plain import PlainSockets
from ashttpd.epoll.sockets import HOT, LAST, Mode, Sockets
from ashttpd.hot import Hot
from ashttpd.http.connection import Connection
from ashttpd.http.dates import Second, second_of
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan
from ashttpd.http.request import parse_key
from ashttpd.http.scan import make_scan
from ashttpd.listen import Address, listen
from ashttpd.threads.engine import ThreadsEngine
from ashttpd.uring.engine import UringEngine
from fuzz.fakes import EPOCH, connect
from tests.conftest import lack_of_aio
from tests.servers import (
    DEADLINE_SECONDS,
    Client,
    eventually,
    queued_bytes,
    request,
    skip_for_lack,
)

# So many that two at a time make room: also one whose answer is queued.
CONNECTIONS = 32
ANSWER = Plan(b"the answer to another", (), 21, 0, 200, False, False)
MakeSockets = Callable[[], Sockets]


@pytest.fixture(params=[CompiledSockets, PlainSockets])
def sockets(request: pytest.FixtureRequest) -> Iterator[Sockets]:
    made: Sockets = request.param(Limits())
    made.turn(0)
    made.hot.begin(second_of(EPOCH), allowed=False)
    yield made
    made.close()


class Peer:
    """A client of these sockets, whose other end has a number of our choice."""

    def __init__(self, sockets: Sockets, number: int | None = None) -> None:
        near, self.socket = socket.socketpair()
        near.setblocking(False)
        self.socket.settimeout(20)
        self.fd = near.detach()
        if number is not None and self.fd != number:
            os.dup2(self.fd, number)
            os.close(self.fd)
            self.fd = number
        sockets.add([self.fd], Mode.HEADS)

    def ask(self, sockets: Sockets) -> None:
        """Ask, and have the request handed out."""
        self.socket.sendall(request())
        assert [event[0] for event in sockets.turn(20)] == [self.fd]

    def got(self, sockets: Sockets) -> bytes:
        """Close the other end; returns all that was sent before."""
        sockets.drop(self.fd)
        with self.socket:
            return self.socket.makefile("rb").read()


@pytest.mark.parametrize("flag", [0, LAST, HOT])
@pytest.mark.parametrize("goes", ["drop", "forget"])
def test_an_answer_that_is_queued_for_a_socket_never_reaches_the_next_one_of_its_number(
    sockets: Sockets, flag: int, goes: str
) -> None:
    first, other = Peer(sockets), Peer(sockets)
    first.ask(sockets)
    other.ask(sockets)
    flag &= sockets.hot_flag | LAST
    hot = sockets.hot.begin(second_of(EPOCH), allowed=False)
    plans = [ANSWER, ANSWER]
    if flag == HOT:
        hot += plans
        plans = []
    sends = [n for peer in (first, other) for n in (peer.fd | flag, id(ANSWER.head), ANSWER.size)]
    sockets.queue(sends, plans)
    if goes == "drop":
        sockets.drop(first.fd)
    else:
        sockets.forget(first.fd)
        os.close(first.fd)
    first.socket.close()
    stranger = Peer(sockets, first.fd)
    assert list(sockets.turn(0)) == []
    if flag == LAST:
        assert len(sockets) == 1, "only the stranger"
    else:
        assert other.got(sockets) == ANSWER.head, "of the others nothing changes"
    # From then on its number is the stranger's, as anyone's.
    stranger.ask(sockets)
    own = Plan(b"its own", (), 7, 0, 200, False, False)
    sockets.queue([stranger.fd, id(own.head), own.size], [own])
    assert list(sockets.turn(0)) == []
    assert stranger.got(sockets) == own.head
    if flag == LAST:
        with other.socket:
            assert other.socket.makefile("rb").read() == ANSWER.head


def test_a_number_that_was_closed_behind_its_last_answer_is_served_in_the_same_turn(
    sockets: Sockets,
) -> None:
    for _ in range(3):
        first = Peer(sockets)
        first.ask(sockets)
        sockets.queue([first.fd | LAST, id(ANSWER.head), ANSWER.size], [ANSWER])
        assert list(sockets.turn(0)) == []
        assert first.socket.makefile("rb").read() == ANSWER.head
        first.socket.close()
        second = Peer(sockets, first.fd)
        second.ask(sockets)
        sockets.queue([second.fd, id(ANSWER.head), ANSWER.size], [ANSWER])
        assert list(sockets.turn(0)) == []
        assert second.got(sockets) == ANSWER.head


def test_sockets_are_counted_until_they_have_left(sockets: Sockets) -> None:
    peers = [Peer(sockets) for _ in range(3)]
    assert len(sockets) == 3
    peers[0].ask(sockets)
    sockets.queue([peers[0].fd | LAST, id(ANSWER.head), ANSWER.size], [ANSWER])
    assert len(sockets) == 3
    sockets.turn(0)
    assert len(sockets) == 2
    sockets.forget(peers[1].fd)
    assert len(sockets) == 1
    sockets.add([peers[1].fd], Mode.HEADS)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sockets.add([peers[0].fd], Mode.HEADS)
    assert len(sockets) == 2
    for peer in peers[1:]:
        peer.got(sockets)
    assert len(sockets) == 0
    peers[0].socket.close()


def settled(hot: Hot, fd: int) -> Connection:
    connection, _source = connect(make_scan(Limits()))
    hot.settle(fd, connection)
    return connection


def test_what_was_counted_for_a_socket_is_not_the_next_ones_before_that_is_watched() -> None:
    sockets = CompiledSockets(Limits())
    sockets.turn(0)
    first = Peer(sockets)
    sockets.hot._activities[2 * first.fd] = 5
    first.got(sockets)
    assert settled(sockets.hot, first.fd).requests == 0
    sockets.close()


class Gates:
    """Answers each request with its target; one for a gate waits until that is opened."""

    def __init__(self) -> None:
        self.reached: dict[bytes, Event] = {b"/gate/1": Event(), b"/gate/2": Event()}
        self.opened: dict[bytes, Event] = {b"/gate/1": Event(), b"/gate/2": Event()}

    def find(self, key: bytes, second: Second) -> Plan:
        target = parse_key(key).target
        if target in self.reached:
            self.reached[target].set()
            assert self.opened[target].wait(DEADLINE_SECONDS)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target)
        return Plan(head, (), len(head), len(target), 200, close=False, linger=False)

    def plans(self, _second: Second) -> dict[bytes, Plan]:
        return {}


def make_threads(listener: socket.socket, source: HotSource, limits: Limits) -> Engine:
    return ThreadsEngine([listener], source, limits, 1, send_with_sendfile, None)


def make_aio(listener: socket.socket, source: HotSource, limits: Limits) -> Engine:
    if lack := lack_of_aio():
        skip_for_lack(lack)
    return AioEngine([listener], source, limits, None, Io.AUTO)


def make_uring(listener: socket.socket, source: HotSource, limits: Limits) -> Engine:
    try:
        return UringEngine([listener], source, limits, None)
    except UnusableError as error:
        skip_for_lack(str(error))
        raise


@pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("make", [make_threads, make_aio, make_uring])
def test_with_all_connections_in_use_a_slow_lookup_costs_no_answer_and_crosses_none(
    make: Callable[[socket.socket, HotSource, Limits], Engine],
    is_compiled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not is_compiled:
        monkeypatch.setattr("ashttpd.threads.engine.make_sockets", PlainSockets)
        monkeypatch.setattr("ashttpd.aio.engine.make_sockets", PlainSockets)
    # As if a lookup took longer than a connection is spared for.
    monkeypatch.setattr("ashttpd.admission.SPARE_SECONDS", 0.0)
    source = Gates()
    with listen(Address("127.0.0.1", 0)) as listener, ExitStack() as stack:
        port = listener.getsockname()[1]
        engine = make(listener, source, Limits(max_connections=CONNECTIONS))
        stack.callback(engine.drain, 0)
        engine.start()
        clients = [stack.enter_context(Client(port)) for _ in range(CONNECTIONS)]
        for number, client in enumerate(clients):
            assert client.get(f"/{number}").body == b"/%d" % number

        def ask(client: Client, target: str) -> None:
            client.send(request(target))
            eventually(lambda: queued_bytes(port, client.socket.getsockname()[1]) > 0)

        clients[0].send(request("/gate/1"))
        assert source.reached[b"/gate/1"].wait(DEADLINE_SECONDS)
        # The whole next turn: all other answers are queued when the lookup of the last one waits.
        *others, last = clients
        for number, client in enumerate(others):
            ask(client, f"/second/{number}")
        ask(last, "/gate/2")
        source.opened[b"/gate/1"].set()
        assert source.reached[b"/gate/2"].wait(DEADLINE_SECONDS)
        strangers = [stack.enter_context(Client(port)) for _ in range(4)]
        for number, client in enumerate(strangers):
            client.send(request(f"/stranger/{number}"))
        if isinstance(engine, (ThreadsEngine, AioEngine)):
            [worker] = engine._acceptor._workers
            eventually(lambda: worker._idle_before > 0)
        source.opened[b"/gate/2"].set()
        assert clients[0].read().body == b"/gate/1"
        for number, client in enumerate(others):
            assert client.read().body == b"/second/%d" % number
        assert last.read().body == b"/gate/2"
        for number, client in enumerate(strangers):
            assert client.read().body == b"/stranger/%d" % number
        assert not engine.failed
