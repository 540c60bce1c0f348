"""Admission: who is idle, what one address is, and who is turned away."""

import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ashttpd.admission import (
    SPARE_SECONDS,
    WARNING_SECONDS,
    Addresses,
    Refusals,
    choose_idle,
    is_idle,
    network_of,
    show_network,
)
from ashttpd.http.connection import Connection
from ashttpd.http.limits import Limits
from ashttpd.http.scan import make_scan
from fuzz.fakes import FakeSource, at

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = Limits(head_seconds=10, idle_seconds=60)


def opened(second: float) -> Connection:
    return Connection(make_scan(), FakeSource(), LIMITS, second)


def answered(second: float) -> Connection:
    connection = opened(second - 5)
    connection.feed(HEAD, at(second - 1))
    connection.sent(at(second))
    return connection


def test_a_connection_is_idle_since_it_was_answered_or_opened() -> None:
    assert opened(100).idle_since == 100
    assert answered(200).idle_since == 200
    assert is_idle(opened(100), 100)
    assert not is_idle(opened(100), 99)


def test_a_connection_with_a_request_under_way_is_not_idle() -> None:
    reading, sending, lost = opened(0), opened(0), opened(0)
    reading.feed(HEAD[:5], at(1))
    sending.feed(HEAD, at(1))
    lost.lost()
    for connection in (reading, sending, lost):
        assert connection.idle_since is None
        assert not is_idle(connection, 1_000)


def test_those_that_are_idle_for_longest_are_chosen() -> None:
    connections = [answered(second) for second in (30, 10, 40, 20)]
    assert choose_idle(connections, 1, 100) == 10
    assert choose_idle(connections, 3, 100) == 30
    assert choose_idle(connections, 10, 100) == 40


def test_who_was_answered_a_moment_ago_is_not_chosen() -> None:
    connections = [answered(10), answered(12)]
    assert choose_idle(connections, 10, 12 + SPARE_SECONDS / 2) == 10
    assert choose_idle(connections, 10, 10 + SPARE_SECONDS / 2) is None
    assert choose_idle([], 10, 100) is None


def test_what_counts_as_one_address() -> None:
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("2001:db8:1:2::3") == network_of("2001:db8:1:2:ffff::")
    assert network_of("2001:db8:1:2::3") != network_of("2001:db8:1:3::3")
    assert network_of("fe80::1%lo") == network_of("fe80::2")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listener(stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_server(("127.0.0.1", 0)))


def connect(stack: ExitStack, listener: socket.socket, address: str) -> tuple[socket.socket, int]:
    """Connect from an address; returns the client, and the other end."""
    client = stack.enter_context(
        socket.create_connection(listener.getsockname(), source_address=(address, 0))
    )
    peer, _address = listener.accept()
    return client, stack.enter_context(peer).fileno()


def test_an_address_gets_so_many_and_another_one_its_own(
    stack: ExitStack, listener: socket.socket
) -> None:
    fds = [connect(stack, listener, "127.0.0.2")[1] for _ in range(4)]
    others = [connect(stack, listener, "127.0.0.3")[1] for _ in range(2)]
    addresses = Addresses(2, lambda fd: True)
    assert addresses.admit(fds[:1]) == fds[:1]
    assert addresses.admit(fds[1:]) == fds[1:2]
    assert addresses.admit(others) == others


def test_a_connection_that_has_ended_is_found_when_its_address_wants_another(
    stack: ExitStack, listener: socket.socket
) -> None:
    fds = [connect(stack, listener, "127.0.0.2")[1] for _ in range(4)]
    alive = set(fds[:2])
    addresses = Addresses(2, alive.__contains__)
    assert addresses.admit(fds[:2]) == fds[:2]
    assert addresses.admit(fds[2:3]) == []
    alive.remove(fds[0])
    # Of one batch none is served yet, and all count.
    assert addresses.admit(fds[2:]) == fds[2:3]


def test_a_number_that_comes_again_is_another_connection(
    stack: ExitStack, listener: socket.socket
) -> None:
    fds = [connect(stack, listener, "127.0.0.2")[1] for _ in range(2)]
    addresses = Addresses(2, lambda fd: True)
    for _ in range(5):
        assert addresses.admit(fds) == fds


def test_who_is_gone_already_is_left_to_the_worker(
    stack: ExitStack, listener: socket.socket
) -> None:
    client, fd = connect(stack, listener, "127.0.0.2")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    assert Addresses(0, lambda fd: True).admit([fd]) == [fd]


def test_a_client_that_is_turned_away_is_told_when_to_come_back_and_the_log_counts_all(
    stack: ExitStack, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals()
    with caplog.at_level(logging.WARNING):
        for number in range(8):
            client = stack.enter_context(socket.create_connection(listener.getsockname()))
            client.settimeout(20)
            client.sendall(HEAD)
            peer, _address = listener.accept()
            if number < 7:
                refusals.turn_away_without_room(peer.detach(), 2)
            else:
                refusals.turn_away_from_address(peer.detach(), 3)
            answer = client.makefile("rb").read()
            # No reset, which would cost some clients the answer.
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nRetry-After: 10\r\n" in answer
            assert b"\r\nConnection: close\r\n" in answer
        now = time.monotonic()
        left = refusals.seconds_to_tell(now)
        assert left is not None
        assert 0 < left <= WARNING_SECONDS
        refusals.tell(now)
        refusals.tell(now + left)
        assert refusals.seconds_to_tell(now) is None
        refusals.close()
    option = "--max-connections"
    address = f"127.0.0.1 has 3 connections already ({option}-per-address)"
    assert [record.getMessage() for record in caplog.records] == [
        f"connections turned away with 503: 1; all 2 connections are in use ({option})",
        f"connections turned away with 503: 7 more, the last because {address}",
    ]


def test_what_was_turned_away_since_the_last_line_is_logged_at_the_end(
    stack: ExitStack, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals()
    refusals.close()
    assert not caplog.messages
    for _ in range(3):
        _client, fd = connect(stack, listener, "127.0.0.1")
        refusals.turn_away_without_room(os.dup(fd), 1)
    refusals.close()
    assert [re.findall(r"503: (\d+)", text) for text in caplog.messages] == [["1"], ["2"]]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%lo", "fe80::/64"),
    ],
)
def test_an_address_is_shown_as_far_as_it_counts(address: str, shown: str) -> None:
    assert show_network(network_of(address)) == shown


def test_turning_away_who_is_gone_already_is_no_fault(
    stack: ExitStack, listener: socket.socket
) -> None:
    client = stack.enter_context(socket.create_connection(listener.getsockname()))
    peer, _address = listener.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    fd = peer.detach()
    Refusals().turn_away_from_address(fd, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
