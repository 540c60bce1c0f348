"""Answers that the ring gives by itself: what was answered already within the second."""

import os
import random
import socket
import string
import sys
import time
from contextlib import ExitStack, closing

import pytest

from ashttpd.http.dates import second_of
from ashttpd.http.limits import Limits
from ashttpd.http.scan import make_scan
from ashttpd.uring.ring import HOT, WITH_BODY, Kind, Mode
from fuzz.fakes import connect
from tests.rings import Driver, MakeFile, MakeRing, reset
from tests.servers import request

ANSWER = b"the answer"
# What the ring remembers in a second, at most.
MOST = 1 << 14
# Longer keys are not remembered.
MAX_KEY = 192
# Where a key has its answer, or it is not remembered.
MAX_PROBES = 8
# More than the kernel keeps for a peer that reads nothing.
LARGE = bytes(8 << 20)


def in_a_second(driver: Driver) -> int:
    """Return the second of the clock, of which enough is left for a test."""
    if time.time() % 1 > 0.3:
        second = int(time.time())
        driver.until(lambda: time.time() >= second + 1)
    return int(time.time())


def begin(driver: Driver, epoch: int, *, allowed: bool = True) -> None:
    driver.ring.hot.begin(second_of(epoch), allowed=allowed)


def ask(driver: Driver, client: socket.socket, head: bytes) -> bool:
    """Send a head, and turn; returns whether the ring had to hand it out."""
    before = len(driver.keys)
    client.setblocking(False)
    client.send(head)

    def has_answer() -> bool:
        try:
            return bool(client.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    driver.until(lambda: has_answer() or len(driver.keys) > before)
    return len(driver.keys) > before


def teach(driver: Driver, client: socket.socket, fd: int, head: bytes, answer: bytes) -> None:
    """Have a head answered that the ring does not know, in a way that it remembers."""
    assert ask(driver, client, head)
    driver.turn([fd | HOT, id(answer), len(answer)])
    assert driver.receive(client, len(answer)) == answer


def test_what_was_sent_hot_is_sent_to_all_who_ask_the_same_without_a_word(
    make_ring: MakeRing,
) -> None:
    driver = make_ring()
    first, fd = driver.accept()
    second, second_fd = driver.accept()
    with first, second:
        begin(driver, in_a_second(driver))
        teach(driver, first, fd, request("/x"), ANSWER)
        for client in (second, first, first):
            # What does not matter to the answer may differ.
            head = request("/x", "site.example", f"Cookie: {random.random()}")
            assert not ask(driver, client, head)
            assert driver.receive(client, len(ANSWER)) == ANSWER
        # Who has just come is answered, too.
        with closing(driver.connect()) as third:
            assert not ask(driver, third, request("/x"))
            assert driver.receive(third, len(ANSWER)) == ANSWER
        assert driver.told == []
        assert ask(driver, second, request("/y"))
        for number, answers in ((fd, 2), (fd, 0), (second_fd, 1)):
            connection, _source = connect(make_scan(Limits()))
            before = connection.deadline
            driver.ring.hot.settle(number, connection)
            assert connection.requests == answers
            idle_since = connection.deadline - Limits().idle_seconds
            assert abs(idle_since - time.monotonic()) < 20 if answers else idle_since < before


def test_what_is_sent_without_being_hot_is_not_sent_again(make_ring: MakeRing) -> None:
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        begin(driver, in_a_second(driver))
        for _ in range(3):
            assert ask(driver, client, request("/x"))
            driver.turn([fd, id(ANSWER), len(ANSWER)])
            assert driver.receive(client, len(ANSWER)) == ANSWER


@pytest.mark.parametrize("why", ["never allowed", "another second", "distrusted", "forgotten"])
def test_a_hot_answer_is_not_sent_once_it_might_be_wrong(make_ring: MakeRing, why: str) -> None:
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        second = in_a_second(driver)
        begin(driver, second - (why == "another second"), allowed=why != "never allowed")
        teach(driver, client, fd, request("/x"), ANSWER)
        if why in ("distrusted", "forgotten"):
            driver.ring.hot.distrust()
        if why == "forgotten":
            begin(driver, second)
        teach(driver, client, fd, request("/x"), b"another")


def test_what_was_distrusted_is_trusted_again_once_somebody_looks(make_ring: MakeRing) -> None:
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        driver.ring.hot.distrust()
        begin(driver, in_a_second(driver))
        teach(driver, client, fd, request("/x"), ANSWER)
        assert not ask(driver, client, request("/x"))


def test_a_hot_answer_that_a_peer_does_not_take_is_pending_and_leaves_wholly(
    make_ring: MakeRing,
) -> None:
    driver = make_ring()
    quick, fd = driver.accept()
    slow, slow_fd = driver.accept(receive_bytes=4096)
    with quick, slow:
        begin(driver, in_a_second(driver))
        teach(driver, quick, fd, request("/small"), ANSWER)
        teach(driver, quick, fd, request("/x"), LARGE)
        slow.send(request("/x"))
        driver.until(lambda: driver.of(Kind.PENDING, slow_fd) == [1])
        assert slow_fd in driver.hot_pending
        # Nothing comes as a head before it is through.
        slow.send(request("/small"))
        received = 0
        while received < len(LARGE):
            received += len(slow.recv(1 << 20))
            driver.turn(timeout=0)
        driver.until(lambda: driver.of(Kind.SENT, slow_fd) == [len(LARGE)])
        driver.until(lambda: driver.came[slow_fd] == request("/small"))


def test_a_peer_that_resets_behind_its_request_is_told_of_and_harms_nobody(
    make_ring: MakeRing,
) -> None:
    driver = make_ring()
    client, fd = driver.accept()
    other, other_fd = driver.accept()
    with client:
        begin(driver, in_a_second(driver))
        teach(driver, client, fd, request("/x"), ANSWER)
        other.send(request("/x"))
        reset(other)
        driver.until(lambda: bool(driver.of(Kind.END, other_fd)))
        assert not ask(driver, client, request("/x"))


@pytest.mark.parametrize("is_hot", [True, False])
def test_a_newcomer_that_resets_behind_its_request_and_a_part_of_another_is_told_of(
    make_ring: MakeRing, is_hot: bool
) -> None:
    driver = make_ring()
    first, fd = driver.accept()
    with first:
        begin(driver, in_a_second(driver))
        teach(driver, first, fd, request("/x"), ANSWER)
        client = driver.connect()
        client.send(request("/x" if is_hot else "/y"))
        driver.until(lambda: len(driver.accepted) == 2)
        # What it has asked came with it. The kernel is asked for more with the next turn only.
        assert len(driver.keys) == (1 if is_hot else 2)
        if is_hot:
            assert client.recv(len(ANSWER)) == ANSWER
        client.send(b"GET")
        reset(client)
        newcomer = driver.accepted[-1]
        driver.until(lambda: bool(driver.of(Kind.END, newcomer)))
        assert driver.came[newcomer].endswith(b"GET")


def test_a_hot_part_of_a_file_follows_its_head_while_it_is_in_memory(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    content = os.urandom(100_000)
    driver = make_ring()
    file = backed(content)
    number = driver.ring.map_file(file)
    length = len(content) - 7
    client, fd = driver.accept()
    with client:
        begin(driver, in_a_second(driver))
        for turn in range(3):
            assert ask(driver, client, request("/x")) == (turn == 0)
            if turn == 0:
                driver.turn([fd | HOT | WITH_BODY, id(ANSWER), len(ANSWER), number, 7, length, 0])
            assert driver.receive(client, len(ANSWER) + length) == ANSWER + content[7:]
            # Where the socket did not take all of it at once, what follows is no head yet.
            driver.until(lambda: driver.of(Kind.PENDING, fd)[len(driver.of(Kind.SENT, fd)) :] == [])
            driver.ring.hear(fd, Mode.HEADS)


def exchange(
    driver: Driver, batch: dict[int, tuple[socket.socket, bytes]], answers: dict[bytes, bytes]
) -> int:
    """Have each socket ask for something and get just that; returns how many were handed out."""
    for fd, (client, head) in batch.items():
        driver.came[fd] = b""
        client.send(head)
    asked, waiting = set(batch), set(batch)

    def are_answered() -> bool:
        sends: list[int] = []
        for fd in list(asked):
            if head := driver.came[fd]:
                sends += [fd | HOT, id(answers[head]), len(answers[head])]
                asked.remove(fd)
        driver.turn(sends, timeout=0)
        for fd in list(waiting):
            client, head = batch[fd]
            try:
                received = client.recv(1000)
            except BlockingIOError:
                continue
            assert received == answers[head]
            waiting.remove(fd)
        return not waiting

    driver.until(are_answered)
    return len(batch) - len(asked)


def test_with_more_than_the_ring_remembers_everybody_gets_his_own(make_ring: MakeRing) -> None:
    driver = make_ring()
    # Alike but for a byte somewhere, with keys up to the longest that are remembered and longer.
    overhead = len(b"1k-GET \nHsite.example\n")
    alike = [
        "/" + "a" * place + "b" + "a" * (length - overhead - place - 2)
        for length in (30, 31, 32, 33, MAX_KEY - 1, MAX_KEY, MAX_KEY + 1)
        for place in range(0, length - overhead - 1, 5)
    ]
    targets = [*alike, *(f"/{number}" for number in range(MOST))]
    answers = {request(target): target.ljust(200).encode() for target in targets}
    with ExitStack() as stack:
        accepted = [driver.accept() for _ in range(64)]
        for client, _fd in accepted:
            stack.enter_context(client)
            client.setblocking(False)
        begin(driver, in_a_second(driver))
        handed_out = 0
        for _ in range(2):
            heads = list(answers)
            handed_out = 0
            while heads:
                batch = {fd: (client, heads.pop()) for client, fd in accepted if heads}
                handed_out += exchange(driver, batch, answers)
        # Of the second time: what had found no room at least, or all where the second was over.
        assert handed_out >= len(answers) - MOST


def alike(count: int) -> list[str]:
    """Return targets whose keys hot.c has the same hash for, found as somebody would who means ill.

    Eight bytes are mixed into the hash at a time: to any eight there are others that make it behind
    them what it was wanted to be, and some of those may stand in a target.
    """

    def mix(value: int, word: bytes) -> int:
        value = (value ^ int.from_bytes(word, sys.byteorder)) * 0x9E3779B97F4A7C15 % (1 << 64)
        return value ^ value >> 32

    allowed = (string.ascii_letters + string.digits).encode()
    visible = set(range(0x21, 0x7F)) - set(b"#")
    start = b"1k-GET /"
    before = mix(len(start) + 16 + len(b"\nHsite.example\n"), start)
    wanted = mix(before, b"whatever")
    targets: list[str] = []
    choose = random.Random(1).choices
    while len(targets) < count:
        word = bytes(choose(allowed, k=8))
        other = (mix(before, word) ^ wanted).to_bytes(8, sys.byteorder)
        if visible.issuperset(other):
            targets.append("/" + (word + other).decode("ascii"))
    return targets


def test_of_keys_that_are_hard_to_tell_apart_a_few_are_remembered_and_everybody_gets_his_own(
    make_ring: MakeRing,
) -> None:
    driver = make_ring()
    more = 4
    heads = [request(target) for target in alike(MAX_PROBES + more)]
    answers = {head: head[::-1] for head in (*heads, request("/x"))}
    with ExitStack() as stack:
        accepted = [driver.accept() for _ in heads]
        for client, _fd in accepted:
            stack.enter_context(client)
            client.setblocking(False)
        batch = {fd: (client, head) for (client, fd), head in zip(accepted, heads, strict=True)}
        other = {fd: (client, request("/x")) for client, fd in accepted[:1]}
        begin(driver, in_a_second(driver))
        assert exchange(driver, batch, answers) == len(heads)
        # Who has found no place finds none, and none is taken for another one.
        for _ in range(2):
            assert exchange(driver, batch, answers) == more
        # Who asks for anything else is none the worse.
        assert [exchange(driver, other, answers) for _ in range(2)] == [1, 0]
