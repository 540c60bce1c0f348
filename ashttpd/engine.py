"""What all engines share: an engine's outside, and what stands below every one of them."""

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Final, Protocol

from ashttpd.accesslog import AccessLog
from ashttpd.complaints import Complaints
from ashttpd.http.connection import Now, Source
from ashttpd.http.dates import Second, second_of
from ashttpd.http.plan import Cursor, Plan

log = logging.getLogger(__name__)

# Deadlines are tens of seconds; a look at every client per second is exact enough.
SWEEP_SECONDS: Final = 1.0
# Out of descriptors or memory: connections wait in the backlog while others end.
PAUSE_SECONDS: Final = 0.1
# What accept(2) says then.
EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
# What it says of one connection, which failed while it waited and is gone from the queue.
OF_CONNECTION: Final = frozenset(
    (
        *(errno.ECONNABORTED, errno.EPROTO, errno.ENOPROTOOPT, errno.ENETDOWN, errno.EHOSTDOWN),
        *(errno.ENONET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EOPNOTSUPP, errno.EPERM),
        errno.EINTR,
    )
)
# What sending says of a peer that is gone, or that no packet reaches any more (tcp(7), ip(7)).
_OF_PEER: Final = frozenset(
    (
        *(errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.ETIMEDOUT),
        *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN),
        *(errno.ECONNREFUSED, errno.EPERM, errno.ENOPROTOOPT, errno.EPROTO),
    )
)


class UnusableError(Exception):
    """An engine cannot run on this machine; the message says why, and what to do."""


class EngineThread(Thread):
    """A thread of an engine. An exception that ends it is logged, and `failed` is true then.

    The server looks at that: else it would go on to listen, and not do what the thread was for.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        """Do nothing before `start`."""
        super().__init__(name=name)
        self._work = work
        self.failed = False

    def run(self) -> None:
        """Do the work; see Thread."""
        try:
            self._work()
        except Exception:
            log.exception("the thread %s has failed", self.name)
            self.failed = True

    def start(self) -> None:
        """Begin; raises OSError where the system gives no thread."""
        try:
            super().start()
        except RuntimeError as error:
            text = f"cannot start the thread {self.name}: {error}; raise the limit of processes"
            raise OSError(errno.EAGAIN, text) from error

    def finish(self) -> None:
        """Wait for its end, unless it never began."""
        if self.ident is not None:
            self.join()


class Engine(Protocol):
    """Serves over listening sockets in threads of its own."""

    def start(self) -> None:
        """Begin to serve; returns at once. Raises OSError; then `drain` ends what has begun."""

    @property
    def failed(self) -> bool:
        """Whether a thread has ended with an exception, which was logged: only to be drained."""

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


def is_of_peer(error: OSError) -> bool:
    """Whether a failure to send is about the peer or the way to it, and not about the machine."""
    return error.errno in _OF_PEER


def complain_of_accept(complaints: Complaints, error: OSError) -> None:
    """Say that connections have to wait, and what to do about it where that is known."""
    text = "cannot accept connections: %s; trying again every %s s"
    if error.errno in EXHAUSTED:
        text += ". Raise the limit of open files, or of memory"
    complaints.say(log.error, text, error, PAUSE_SECONDS, now=time.monotonic())
