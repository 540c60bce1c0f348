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
from ipaddress import IPv6Address, IPv6Network, ip_address
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
WARNING_SECONDS: Final = 10.0
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


def show_network(network: bytes) -> str:
    """Return what `network_of` has returned as text: `192.0.2.1`, `2001:db8::/64`."""
    if len(network) == _NETWORK_BYTES:
        return str(IPv6Network((network + bytes(_NETWORK_BYTES), 8 * _NETWORK_BYTES)))
    return str(ip_address(network))


class Refusals:
    """Turns connections away, and logs how many; for one thread.

    The first one is logged at once. Those after it are counted, and logged with their number when
    WARNING_SECONDS have passed since the line before, or at the end.
    """

    def __init__(self) -> None:
        """Start with none."""
        # Connections that no line has counted yet, and why the last of them was turned away.
        self._untold = 0
        self._reason = ""
        # Whether there was a line already, and when there may be one (monotonic seconds).
        self._is_more = False
        self._next_line = 0.0

    def turn_away_without_room(self, fd: int, most: int) -> None:
        """Turn a new connection away because there are `most` connections already."""
        self._turn_away(fd, f"all {most} connections are in use (--max-connections)")

    def turn_away_from_address(self, fd: int, most: int) -> None:
        """Turn a new connection away because its address has `most` connections already."""
        option = "--max-connections-per-address"
        try:
            with borrowed(fd) as peer:
                address = show_network(network_of(peer.getpeername()[0]))
        except OSError:  # it is gone already
            address = "an address"
        self._turn_away(fd, f"{address} has {most} connections already ({option})")

    def _turn_away(self, fd: int, reason: str) -> None:
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
        self._untold += 1
        self._reason = reason
        self.tell(time.monotonic())

    def seconds_to_tell(self, now: float) -> float | None:
        """Return in how many seconds `tell` has something to log, None where it has nothing."""
        return max(0.0, self._next_line - now) if self._untold else None

    def tell(self, now: float) -> None:
        """Log how many were turned away, if it is time; `now` is in monotonic seconds."""
        if not self._untold or now < self._next_line:
            return
        more = " more, the last because" if self._is_more else ";"
        log.warning("connections turned away with 503: %d%s %s", self._untold, more, self._reason)
        self._untold, self._is_more = 0, True
        self._next_line = now + WARNING_SECONDS

    def close(self) -> None:
        """Log what no line has counted yet."""
        self.tell(self._next_line)
