"""Admission: who gets a connection where there are too many of them; for every engine.

Where all are in use, those that have been idle for longest make room; where none is idle, new ones
wait in the kernel's queue for a while, and are turned away then. One address may be held to a
number of its own. Engines own the sockets: here is decided, and nobody but who is turned away
is spoken to.
"""

import heapq
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Final

from ashttpd.engine import borrowed
from ashttpd.http.connection import Connection
from ashttpd.http.dates import second_of
from ashttpd.http.respond import refuse

log = logging.getLogger(__name__)

# Who was answered a moment ago may be about to ask again, and who has just come is about to.
SPARE_SECONDS: Final = 1.0
# A burst is over by then; whoever waits longer is better told.
PATIENCE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 10
# An attack must not fill the disk with lines about it.
WARNING_SECONDS: Final = 60.0
# A provider gives each customer 64 bits of an IPv6 address or more to choose from.
_NETWORK_BYTES: Final = 8
# What has come of a request is taken off the socket, since closing would reset it otherwise, and
# the answer be lost. It is a request's head several times over.
_TAKE_BYTES: Final = 1 << 16

_RETRY_FIELD: Final = b"Retry-After: %d\r\n" % RETRY_SECONDS


def is_idle(connection: Connection, before: float) -> bool:
    """Whether a connection has been idle since `before`, in monotonic seconds."""
    since = connection.idle_since
    return since is not None and since <= before


def choose_idle(connections: Iterable[Connection], count: int, now: float) -> float | None:
    """Return a time since which about `count` connections have been idle; None if none has.

    Those are the ones that have been so for longest. Connections of other threads may change
    meanwhile: it is an estimate.
    """
    since = [c.idle_since for c in connections if is_idle(c, now - SPARE_SECONDS)]
    longest = heapq.nsmallest(count, (each for each in since if each is not None))
    return longest[-1] if longest else None


def network_of(address: str) -> bytes:
    """Return what counts as one address: an IPv4 address, or the first half of an IPv6 one."""
    parsed = ip_address(address.partition("%")[0])
    if not isinstance(parsed, IPv6Address):
        return parsed.packed
    return parsed.ipv4_mapped.packed if parsed.ipv4_mapped else parsed.packed[:_NETWORK_BYTES]


class Addresses:
    """The connections of each address, at most so many, by the numbers of their sockets.

    Nobody says when one ends, so that nothing is paid for it: it is found out when its number comes
    again, or when its address wants one too many.
    """

    def __init__(self, most: int, is_open: Callable[[int], bool]) -> None:
        """Start with none; `is_open` says whether a number is still that of a connection."""
        self._most = most
        self._is_open = is_open
        self._networks: dict[int, bytes] = {}
        self._fds: dict[bytes, set[int]] = {}

    def admit(self, fds: Sequence[int]) -> list[int]:
        """Return those of new connections that their addresses may have, and count them."""
        for fd in fds:
            self._forget(fd)
        return [fd for fd in fds if self._admit(fd, fds)]

    def _admit(self, fd: int, new: Sequence[int]) -> bool:
        network = self._network(fd)
        if network is None:
            return True
        others = self._fds.get(network, set())
        if len(others) >= self._most:
            for other in [fd for fd in others if fd not in new and not self._is_open(fd)]:
                self._forget(other)
        if len(others) >= self._most:
            return False
        self._networks[fd] = network
        self._fds.setdefault(network, set()).add(fd)
        return True

    def _forget(self, fd: int) -> None:
        network = self._networks.pop(fd, None)
        if network is not None:
            self._fds[network].remove(fd)
            if not self._fds[network]:
                del self._fds[network]

    def _network(self, fd: int) -> bytes | None:
        try:
            with borrowed(fd) as peer:
                return network_of(peer.getpeername()[0])
        except OSError:  # it is gone already
            return None


class Refusals:
    """Turns connections away, and says so in the log now and then."""

    def __init__(self) -> None:
        """Start with none."""
        self._count = 0
        self._next_warning = 0.0

    def turn_away(self, fd: int, reason: str) -> None:
        """Answer 503 with Retry-After to a new connection, whatever it asks, and close it."""
        answer = refuse(HTTPStatus.SERVICE_UNAVAILABLE, _RETRY_FIELD)
        with socket.socket(fileno=fd) as peer:
            peer.setblocking(False)
            try:
                peer.send(answer.at(second_of(int(time.time()))).head)
                peer.shutdown(socket.SHUT_WR)
                peer.recv(_TAKE_BYTES)
            except OSError:  # nothing has come, or it is gone
                pass
        self._count += 1
        now = time.monotonic()
        if now >= self._next_warning:
            log.warning("connections turned away with 503: %d; %s", self._count, reason)
            self._count = 0
            self._next_warning = now + WARNING_SECONDS
