"""What all engines share: an engine's outside, and what stands below every one of them."""

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

from ashttpd.accesslog import AccessLog
from ashttpd.http.connection import Now, Source
from ashttpd.http.dates import Second, second_of
from ashttpd.http.plan import Cursor, Plan

log = logging.getLogger(__name__)

# Deadlines are tens of seconds; a look at every client per second is exact enough.
SWEEP_SECONDS: Final = 1.0
# Out of descriptors or memory: connections wait in the backlog while others end.
PAUSE_SECONDS: Final = 0.1
# What accept(2) says then. All else it says is about one connection, which is gone.
EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class UnusableError(Exception):
    """An engine cannot run on this machine; the message says why, and what to do."""


class Engine(Protocol):
    """Serves over listening sockets in threads of its own."""

    def start(self) -> None:
        """Begin to serve; returns at once."""

    def distrust(self) -> None:
        """Look at the sites again before anything else is answered; for any thread."""

    def drain(self, seconds: float) -> bool:
        """Take no more connections, finish what is under way, and return when all has ended.

        What is not through after `seconds` is closed; returns whether all of it was through.
        """


class HotSource(Source, Protocol):
    """A source with a short cut for what was asked before."""

    @property
    def plans(self) -> Callable[[Second], Mapping[bytes, Plan]]:
        """Gives plans by key that were made for a second already; for one batch of events."""


def read_clocks(before: Now | None = None) -> Now:
    """Return the time; the date is made anew only when the second has changed."""
    epoch = int(time.time())
    second = before.second if before and before.second.epoch == epoch else second_of(epoch)
    return Now(time.monotonic(), second)


def checked(result: int) -> int:
    """Return what compiled code returned; raises OSError where it is a negative errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


@contextmanager
def borrowed(fd: int) -> Iterator[socket.socket]:
    """Give a socket's descriptor the methods of a socket for a while; it stays open."""
    borrower = socket.socket(fileno=fd)
    try:
        yield borrower
    finally:
        borrower.detach()


def address_of(fd: int) -> str:
    """Return the address at the other end of a socket, or `-` where it is gone already."""
    try:
        with borrowed(fd) as peer:
            return str(peer.getpeername()[0])
    except OSError:
        return "-"


def note(access_log: AccessLog, peer: str, now: Now, head: bytes, cursor: Cursor) -> None:
    """Log a plan that has left, or what has left of it."""
    plan = cursor.plan
    body_sent = max(0, cursor.sent - (plan.size - plan.body_size))
    access_log.note(peer, now.second.epoch, head, plan.status, body_sent)


def complain_of_accept(error: OSError) -> None:
    """Say that connections have to wait, and what to do about it."""
    log.error(
        "cannot accept connections: %s; trying again in %s s. Raise the limit of open "
        "files, or of memory",
        error,
        PAUSE_SECONDS,
    )
