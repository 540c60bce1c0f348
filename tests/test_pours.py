"""Parts of files that the compiled turn sends as their sockets take them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ashttpd.epoll.compiled import CompiledSockets
from ashttpd.epoll.sockets import KIND_SHIFT, Event, Kind, Mode
from ashttpd.http.dates import second_of
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan
from fuzz.fakes import EPOCH

SIZE = 4 << 20
OFFSET = 5000


class Pair:
    """A socket that is owned, and its peer."""

    def __init__(self, sockets: CompiledSockets) -> None:
        near, self.peer = socket.socketpair()
        near.setblocking(False)
        self.peer.setblocking(False)
        self.fd = near.detach()
        self.came = bytearray()
        sockets.add([self.fd], Mode.WRITE)

    def take(self) -> None:
        """Take all that is there."""
        try:
            while data := self.peer.recv(1 << 20):
                self.came += data
        except BlockingIOError:
            return

    @property
    def room(self) -> Event:
        """What is told when somebody has to look after the socket."""
        return (Kind.WRITABLE << KIND_SHIFT | self.fd, 0, 0, 0)


@pytest.fixture
def sockets() -> Iterator[CompiledSockets]:
    compiled = CompiledSockets(Limits())
    # The clocks are read, and the sites looked at.
    compiled.turn(0)
    compiled.hot.begin(second_of(EPOCH), allowed=False)
    yield compiled
    compiled.close()


@pytest.fixture
def pairs(sockets: CompiledSockets) -> Iterator[list[Pair]]:
    made = [Pair(sockets) for _ in range(8)]
    yield made
    for pair in made:
        pair.peer.close()
        sockets.drop(pair.fd)


@pytest.fixture
def pair(pairs: list[Pair], sockets: CompiledSockets) -> Pair:
    """One of them, the only one that is watched."""
    for other in pairs[1:]:
        sockets.watch(other.fd, Mode.PAUSED)
    return pairs[0]


@pytest.fixture
def content(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    """A file: its descriptor, and what is in it."""
    data = os.urandom(1 << 20) * (SIZE >> 20)
    path = tmp_path / "file"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    yield fd, data
    os.close(fd)


def test_a_part_of_a_file_leaves_as_it_is_taken_and_its_end_alone_is_told(
    sockets: CompiledSockets, pair: Pair, content: tuple[int, bytes]
) -> None:
    fd, data = content
    length = SIZE - 2 * OFFSET
    sockets.pour(pair.fd, fd, OFFSET, length)
    left = 0
    while not (events := list(sockets.turn(0))):
        pair.take()
        left += sockets.poured(pair.fd)
        assert left == len(pair.came)
    pair.take()
    assert events == [pair.room]
    assert left + sockets.poured(pair.fd) == length
    assert pair.came == data[OFFSET : OFFSET + length]
    assert list(sockets.turn(0)) == [pair.room], "room is told where there is nothing to send"


def test_a_file_that_ends_too_early_is_told_and_nothing_is_made_up(
    sockets: CompiledSockets, pair: Pair, content: tuple[int, bytes]
) -> None:
    fd, data = content
    sockets.pour(pair.fd, fd, SIZE - OFFSET, OFFSET + 1)
    while not (events := list(sockets.turn(0))):
        pair.take()
    assert events == [pair.room]
    assert sockets.poured(pair.fd) == OFFSET
    assert pair.came == data[-OFFSET:]


def test_a_peer_that_has_gone_is_told(
    sockets: CompiledSockets, pair: Pair, content: tuple[int, bytes]
) -> None:
    sockets.pour(pair.fd, content[0], 0, SIZE)
    assert list(sockets.turn(0)) == []
    pair.peer.close()
    assert list(sockets.turn(0)) == [pair.room]
    assert 0 < sockets.poured(pair.fd) < SIZE


def test_what_was_found_out_about_a_file_is_believed_for_a_second(
    sockets: CompiledSockets, pair: Pair, content: tuple[int, bytes]
) -> None:
    sockets.pour(pair.fd, content[0], 0, SIZE)
    assert list(sockets.turn(1.1)) == [], "it takes no more, and waits"
    left = sockets.poured(pair.fd)
    pair.take()
    assert len(pair.came) == left
    assert list(sockets.turn(0)) == [pair.room]
    assert sockets.poured(pair.fd) == 0


@pytest.mark.parametrize("has_looked", [False, True])
def test_nothing_more_leaves_once_the_sites_are_distrusted(
    sockets: CompiledSockets, pair: Pair, content: tuple[int, bytes], has_looked: bool
) -> None:
    sockets.pour(pair.fd, content[0], 0, SIZE)
    assert list(sockets.turn(0)) == []
    left = sockets.poured(pair.fd)
    sockets.hot.distrust()
    if has_looked:
        sockets.hot.begin(second_of(EPOCH), allowed=False)
    pair.take()
    assert len(pair.came) == left
    assert list(sockets.turn(0)) == [pair.room]
    assert sockets.poured(pair.fd) == 0


def test_all_have_their_turn_while_somebody_asks_for_small_answers(
    sockets: CompiledSockets, pairs: list[Pair], content: tuple[int, bytes]
) -> None:
    small = Plan(b"answer", (), 6, 0, 200, False, False)
    sockets.queue([pairs[0].fd, id(small.head), small.size], [small])
    for pair in pairs:
        sockets.pour(pair.fd, content[0], 0, SIZE)
    turns = 0
    while not list(sockets.turn(0)):
        turns += 1
        for pair in pairs:
            pair.take()
    # Whoever takes everything at once would starve the others if they were not taken in turn.
    assert min(len(pair.came) for pair in pairs) > SIZE / 2
    assert turns > 8 * SIZE / (1 << 20), "of what a turn sends there is a bound"


def test_a_part_that_has_not_left_is_not_sent_to_who_gets_the_number_next(
    sockets: CompiledSockets, pair: Pair, content: tuple[int, bytes]
) -> None:
    sockets.pour(pair.fd, content[0], 0, SIZE)
    sockets.drop(pair.fd)
    pair.peer.close()
    new = Pair(sockets)
    assert new.fd == pair.fd
    assert list(sockets.turn(0)) == [new.room]
    new.take()
    assert not new.came
    new.peer.close()
