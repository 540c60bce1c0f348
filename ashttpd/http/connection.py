"""One connection's protocol: bytes in, plans out, in the order of the requests.

It owns framing, pipelining, persistence and deadlines. It has no socket and no clock: the engine
feeds it what came and tells it what left, each time with the time, and does what it is told:
send a plan, read, shut its side down, or close. It never blocks, and never raises for what a
peer did.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from http import HTTPStatus
from typing import Final, Protocol

from ashttpd.http.dates import Second
from ashttpd.http.errors import HTTPError
from ashttpd.http.plan import Plan
from ashttpd.http.request import closing
from ashttpd.http.respond import refuse
from ashttpd.http.scan import MAX_HEAD_BYTES, Scan


class Source(Protocol):
    """Where answers come from."""

    @property
    def find(self) -> Callable[[bytes, Second], Plan]:
        """Gives the plan for a canonical key in a second; another one once the sites changed."""


class State(IntEnum):
    """Where a connection stands."""

    IDLE = 0  # between requests, nothing of the next one is here
    READING = 1  # a part of a head is here
    SENDING = 2  # a plan is with the engine
    LINGERING = 3  # all is sent and our side shut down; what still comes is thrown away
    CLOSED = 4


class Event(IntEnum):
    """What moves a connection from state to state."""

    PART = 0  # bytes came, but no whole head
    ANSWER = 1  # a head was answered, or refused
    SENT = 2  # the plan left; the connection persists
    SENT_LAST = 3  # the plan left, and no other will follow
    SENT_LINGER = 4  # the same, but the peer may still be sending
    END = 5  # the peer is gone, time is up, or the engine gives up


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.IDLE: {
        Event.PART: State.READING,
        Event.ANSWER: State.SENDING,
        Event.END: State.CLOSED,
    },
    State.READING: {
        Event.PART: State.READING,
        Event.ANSWER: State.SENDING,
        Event.END: State.CLOSED,
    },
    State.SENDING: {
        Event.SENT: State.IDLE,
        Event.SENT_LAST: State.CLOSED,
        Event.SENT_LINGER: State.LINGERING,
        Event.END: State.CLOSED,
    },
    State.LINGERING: {Event.END: State.CLOSED},
    State.CLOSED: {Event.END: State.CLOSED},
}


class Want(Enum):
    """What a connection wants of its engine where it has no plan to send."""

    READ = "read"
    SHUTDOWN = "shut our side down, then read"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a connection may take; seconds, and bytes where it says so."""

    # Browsers reuse connections for a minute or two; an idle one costs about a kilobyte.
    idle_seconds: float = 60.0
    # A head comes in one segment or a few; what takes longer is broken or an attack.
    head_seconds: float = 10.0
    # Without a byte taken for so long, a reader is gone.
    stall_seconds: float = 60.0
    # How long, and for how much, a peer that still sends is listened to after the last answer.
    linger_seconds: float = 5.0
    linger_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of the clocks, made once for a batch of events."""

    monotonic: float  # seconds, for deadlines
    second: Second


class Connection:
    """The state of one connection; see the module for the contract.

    `deadline` is in seconds of the monotonic clock; past it the engine calls `expired`. `scan` has
    to be one of the thread that feeds the connection.
    """

    __slots__ = (
        "_draining",
        "_head_start",
        "_inbox",
        "_limits",
        "_lingered",
        "_offset",
        "_partial",
        "_partial_size",
        "_source",
        "deadline",
        "plan",
        "scan",
        "state",
    )

    def __init__(self, scan: Scan, source: Source, limits: Limits, opened: float) -> None:
        """Start idle; from when it was opened, a whole first head may take its time."""
        self.scan = scan
        self._source = source
        self._limits = limits
        self._inbox = b""
        self._offset = self._head_start = 0
        self._partial: list[bytes] | None = None
        self._partial_size = 0
        self._lingered = 0
        self._draining = False
        self.state = State.IDLE
        self.plan: Plan | None = None
        self.deadline = opened + limits.head_seconds

    @property
    def head(self) -> bytes:
        """The head of the request that the current plan answers, for the log."""
        return self._inbox[self._head_start : self._offset]

    def feed(self, data: bytes, now: Now) -> Plan | Want:
        """Take bytes that came, at least one; only after the connection wanted to read."""
        if self._partial is not None:
            return self._feed_partial(data, now)
        if self.state is State.LINGERING:
            return self._feed_lingering(data)
        self._inbox = data
        self._offset = 0
        return self._next(now)

    def take(self, head: bytes, plan: Plan, now: Now) -> None:
        """Take a plan for a whole head that the engine scanned itself; only while idle."""
        self._inbox = head
        self._head_start = 0
        self._offset = len(head)
        self._start(plan, now)

    def _feed_partial(self, data: bytes, now: Now) -> Plan | Want:
        """Go on with a head that came in part.

        The scan judges whole lines, so it runs again only when one has ended or the limit is
        reached: the work stays linear for a peer that sends byte by byte.
        """
        assert self._partial is not None
        self._partial.append(data)
        self._partial_size += len(data)
        if b"\n" not in data and self._partial_size < MAX_HEAD_BYTES:
            return Want.READ
        self._inbox = b"".join(self._partial)
        self._offset = 0
        self._partial = None
        return self._next(now)

    def _feed_lingering(self, data: bytes) -> Want:
        self._lingered += len(data)
        if self._lingered > self._limits.linger_bytes:
            return self.lost()
        return Want.READ

    def _next(self, now: Now) -> Plan | Want:
        """Answer the next request of the inbox, or ask for more bytes."""
        self._head_start = self._offset
        try:
            scanned = self.scan(self._inbox, self._offset)
        except HTTPError as error:
            self._offset = len(self._inbox)
            return self._start(refuse(error.status).at(now.second), now)
        if scanned is None:
            return self._keep_part(now)
        length, key = scanned
        self._offset += length
        if self._draining:
            key = closing(key)
        return self._start(self._source.find(key, now.second), now)

    def _start(self, plan: Plan, now: Now) -> Plan:
        self.state = TRANSITIONS[self.state][Event.ANSWER]
        self.plan = plan
        self.deadline = now.monotonic + self._limits.stall_seconds
        return plan

    def _keep_part(self, now: Now) -> Want:
        part = self._inbox[self._offset :]
        self._inbox = b""
        self._offset = self._head_start = 0
        self._partial = [part]
        self._partial_size = len(part)
        if self.state is State.IDLE:
            self.deadline = now.monotonic + self._limits.head_seconds
        self.state = TRANSITIONS[self.state][Event.PART]
        return Want.READ

    def progress(self, now: Now) -> None:
        """Note that the peer took some bytes of the plan."""
        self.deadline = now.monotonic + self._limits.stall_seconds

    def sent(self, now: Now) -> Plan | Want:
        """Note that the whole plan left; returns the next one where a request is waiting."""
        plan = self.plan
        assert plan is not None, "nothing was to be sent"
        self.plan = None
        if plan.close:
            return self._end(plan, now)
        self.state = TRANSITIONS[self.state][Event.SENT]
        self.deadline = now.monotonic + self._limits.idle_seconds
        if self._offset < len(self._inbox):
            return self._next(now)
        self._inbox = b""
        return self.lost() if self._draining else Want.READ

    def _end(self, plan: Plan, now: Now) -> Want:
        # Closing a socket with unread bytes resets it, and the peer may lose our answer.
        linger = plan.linger or self._offset < len(self._inbox)
        self._inbox = b""
        self._offset = self._head_start = 0
        if not linger:
            self.state = TRANSITIONS[self.state][Event.SENT_LAST]
            return Want.CLOSE
        self.state = TRANSITIONS[self.state][Event.SENT_LINGER]
        self.deadline = now.monotonic + self._limits.linger_seconds
        return Want.SHUTDOWN

    def drain(self) -> Want:
        """Stop serving as soon as no request is under way; the answers to come say so."""
        self._draining = True
        return self.lost() if self.state is State.IDLE else Want.READ

    def lost(self) -> Want:
        """Note that the peer is gone, or that the engine gives it up; whatever was open ends."""
        self.state = TRANSITIONS[self.state][Event.END]
        self.plan = None
        return Want.CLOSE

    def expired(self, now: Now) -> Plan | Want:
        """Act on a deadline that has passed: 408 for half a head (RFC 9110 section 15.5.9)."""
        if self.state is not State.READING:
            return self.lost()
        self._partial = None
        return self._start(refuse(HTTPStatus.REQUEST_TIMEOUT).at(now.second), now)
