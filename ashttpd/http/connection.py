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
from ashttpd.http.framing import Body, body_of
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan
from ashttpd.http.request import closing, take_framing
from ashttpd.http.respond import refuse
from ashttpd.http.scan import Scan


class Source(Protocol):
    """Where answers come from."""

    @property
    def find(self) -> Callable[[bytes, Second], Plan]:
        """Gives the plan for a canonical key in a second; another one once the sites changed."""


class State(IntEnum):
    """Where a connection stands."""

    IDLE = 0  # between requests, nothing of the next one is here
    READING = 1  # a part of a head is here
    SKIPPING = 2  # a head is here, and of its body a part
    SENDING = 3  # a plan is with the engine
    LINGERING = 4  # all is sent and our side shut down; what still comes is thrown away
    CLOSED = 5


class Event(IntEnum):
    """What moves a connection from state to state."""

    PART = 0  # bytes came, but no whole head
    BODY = 1  # a head came whose body is not whole
    ANSWER = 2  # a request was answered, or refused
    SENT = 3  # the plan left; the connection persists
    SENT_LAST = 4  # the plan left, and no other will follow
    SENT_LINGER = 5  # the same, but the peer may still be sending
    END = 6  # the peer is gone, time is up, or the engine gives up


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.IDLE: {
        Event.PART: State.READING,
        Event.BODY: State.SKIPPING,
        Event.ANSWER: State.SENDING,
        Event.END: State.CLOSED,
    },
    State.READING: {
        Event.PART: State.READING,
        Event.BODY: State.SKIPPING,
        Event.ANSWER: State.SENDING,
        Event.END: State.CLOSED,
    },
    State.SKIPPING: {
        Event.BODY: State.SKIPPING,
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
    WAIT = "go on with what is under way"
    SHUTDOWN = "shut our side down, then read"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of the clocks, made once for a batch of events."""

    monotonic: float  # seconds, for deadlines
    second: Second


class Connection:
    """The state of one connection; see the module for the contract.

    `deadline` is in seconds of the monotonic clock; past it the engine calls `expired`. `scan` has
    to be one of the thread that feeds the connection. `requests` is how many were answered; an
    engine that answers one without this object adds it.
    """

    __slots__ = (
        "_body",
        "_draining",
        "_head",
        "_head_start",
        "_inbox",
        "_key",
        "_limits",
        "_lingered",
        "_looked",
        "_offset",
        "_partial",
        "_source",
        "deadline",
        "plan",
        "requests",
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
        # One buffer, and not the pieces in which it comes: a small object takes 34 bytes and more.
        self._partial: bytearray | None = None
        # Of a request whose body is being skipped: the body, the head, its key without the body.
        self._body: Body | None = None
        self._head = self._key = b""
        self._lingered = 0
        self._draining = False
        # When a peer's taking was looked at last: the number of its request, what it had not taken.
        self._looked = (-1, 0)
        self.requests = 0
        self.state = State.IDLE
        self.plan: Plan | None = None
        self.deadline = opened + limits.head_seconds

    @property
    def head(self) -> bytes:
        """The head of the request that the current plan answers, for the log."""
        return self._head or self._inbox[self._head_start : self._offset]

    @property
    def idle_since(self) -> float | None:
        """When it began to wait for a request, in monotonic seconds; None while it does not.

        About when it was looked at, for a peer that was still taking its last answer then.
        """
        if self.state is not State.IDLE:
            return None
        limits = self._limits
        return self.deadline - (limits.idle_seconds if self.requests else limits.head_seconds)

    @property
    def ending(self) -> bool:
        """Whether the answer to the next request is to be the last."""
        most = self._limits.max_requests
        return self._draining or self.requests >= most - 1 >= 0

    def feed(self, data: bytes, now: Now) -> Plan | Want:
        """Take bytes that came, at least one; only after the connection wanted to read."""
        if self._partial is not None:
            return self._feed_partial(data, now)
        if self.state is State.LINGERING:
            return self._feed_lingering(data)
        self._inbox = data
        self._offset = 0
        if self._body is not None:
            return self._skip(self._body, now)
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
        self._partial += data
        if b"\n" not in data and len(self._partial) < self._limits.head_bytes:
            return Want.READ
        self._inbox = bytes(self._partial)
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
            return self._refuse(error, now)
        if scanned is None:
            return self._keep_part(now)
        length, key = scanned
        self._offset += length
        if key[2:3] != b"b":
            # Who waits for a 100 Continue gets the answer at once. It may then send its body or
            # not, so that answer is the last.
            return self._answer(key, now)
        self._head = self._inbox[self._head_start : self._offset]
        self._key, framing = take_framing(key)
        self.deadline = now.monotonic + self._limits.body_seconds
        try:
            self._body = body_of(framing, self._limits.body_bytes)
        except HTTPError as error:
            return self._refuse(error, now)
        return self._skip(self._body, now)

    def _skip(self, body: Body, now: Now) -> Plan | Want:
        """Read on in a body, and answer its request behind it."""
        try:
            end = body.skip(self._inbox, self._offset)
        except HTTPError as error:
            return self._refuse(error, now)
        if end is None:
            self._inbox = b""
            self.state = TRANSITIONS[self.state][Event.BODY]
            return Want.READ
        self._offset = end
        self._body = None
        return self._answer(self._key, now)

    def _answer(self, key: bytes, now: Now) -> Plan:
        if self.ending:
            key = closing(key)
        return self._start(self._source.find(key, now.second), now)

    def _refuse(self, error: HTTPError, now: Now) -> Plan:
        """Answer what leaves it unknown where the next request starts: the last answer."""
        self._offset = len(self._inbox)
        self._body = None
        return self._start(refuse(error.status).at(now.second), now)

    def _start(self, plan: Plan, now: Now) -> Plan:
        self.state = TRANSITIONS[self.state][Event.ANSWER]
        self.plan = plan
        self.requests += 1
        self.deadline = now.monotonic + self._limits.stall_seconds
        return plan

    def _keep_part(self, now: Now) -> Want:
        part = self._inbox[self._offset :]
        self._inbox = b""
        self._offset = self._head_start = 0
        self._partial = bytearray(part)
        if self.state is State.IDLE:
            self.deadline = now.monotonic + self._limits.head_seconds
        self.state = TRANSITIONS[self.state][Event.PART]
        return Want.READ

    def sent(self, now: Now) -> Plan | Want:
        """Note that the whole plan left; returns the next one where a request is waiting."""
        plan = self.plan
        assert plan is not None, "nothing was to be sent"
        self.plan = None
        self._head = b""
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

    def expired(self, now: Now, untaken: int) -> Plan | Want:
        """Act on a deadline that has passed: 408 for half a request (RFC 9110 section 15.5.9).

        `untaken` is how many bytes of its answers the peer has not acknowledged, whether they have
        left us or not. While it takes them fast enough it may go on, also where nothing is left to
        send: what lies in the kernel would be lost if the peer asked for more after the end.
        """
        if self.state in (State.READING, State.SKIPPING):
            self._partial = self._body = None
            return self._start(refuse(HTTPStatus.REQUEST_TIMEOUT).at(now.second), now)
        if self.state in (State.IDLE, State.SENDING) and untaken and self._keeps_pace(untaken):
            self.deadline = now.monotonic + self._limits.stall_seconds
            return Want.WAIT
        return self.lost()

    def _keeps_pace(self, untaken: int) -> bool:
        """Whether the peer took enough since the last look, or this is the first at an answer."""
        number, before = self._looked
        self._looked = (self.requests, untaken)
        least = max(1, self._limits.min_send_rate * self._limits.stall_seconds)
        return number != self.requests or before - untaken >= least
