"""Addresses and listening sockets: what is understood, what is refused and how it is named."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ashttpd.listen import (
    LOOPBACK_CONGESTION_CONTROL,
    Address,
    AddressError,
    describe,
    listen,
    parse_address,
)
from tests.servers import DEADLINE_SECONDS


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
        (":80", Address("", 80)),
        ("site.example:080", Address("site.example", 80)),
    ],
)
def test_host_and_port_are_understood(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "80", "host", "host:", "host:x", "host:-1", "host:65536", "::1:80", "a:\u00b2"),
        *("host:" + "9" * 5000, "[::1]", "host: 80", "http://host:80"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_host_and_port_is_refused_and_named(text: str) -> None:
    with pytest.raises(AddressError) as refused:
        parse_address(text)
    assert repr(text) in str(refused.value)


def test_a_listener_takes_connections_does_not_block_and_says_where_it_is() -> None:
    with listen(Address("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert describe(listener) == f"http://127.0.0.1:{port}/"
        with pytest.raises(BlockingIOError):
            listener.accept()


@contextmanager
def connected(first: bytes) -> Iterator[socket.socket]:
    """A peer that sent its first bytes, or none, as it is accepted; within the deadline."""
    with listen(Address("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_SECONDS)
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(first)
            with listener.accept()[0] as peer:
                yield peer


def test_an_accepted_socket_has_its_first_bytes_already_and_sends_at_once() -> None:
    with connected(b"GET") as peer:
        peer.setblocking(False)
        assert peer.recv(10) == b"GET"
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def congestion_control(either: socket.socket) -> bytes:
    return either.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")


def test_nothing_paces_what_is_sent_over_the_loopback() -> None:
    with connected(b"GET") as peer:
        assert congestion_control(peer) == LOOPBACK_CONGESTION_CONTROL


def test_what_others_may_connect_to_has_the_systems_congestion_control() -> None:
    with listen(Address("", 0)) as listener:
        systems = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_bytes().strip()
        assert congestion_control(listener) == systems


def test_a_peer_that_says_nothing_is_accepted_too_a_little_later() -> None:
    with connected(b"") as peer:
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(10)


def test_an_ipv6_listener_says_where_it_is_in_brackets() -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this system has no IPv6")
    with listen(Address("::1", 0)) as listener:
        assert describe(listener) == f"http://[::1]:{listener.getsockname()[1]}/"


def test_a_port_in_use_is_refused_by_name() -> None:
    with listen(Address("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            AddressError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use$"
        ):
            listen(Address("127.0.0.1", port))


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "256.256.256.256", "no host"])
def test_a_host_that_cannot_be_found_is_refused_by_name(host: str) -> None:
    with pytest.raises(AddressError, match=r"^cannot listen on "):
        listen(Address(host, 0))
