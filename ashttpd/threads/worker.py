"""A worker: serves the sockets it owns, one turn after the other.

Everything that HTTP means is the connection's; this file moves bytes and keeps deadlines.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from ashttpd.accesslog import AccessLog
from ashttpd.http.connection import Connection, Limits, Now, Source, State, Want
from ashttpd.http.dates import Second, second_of
from ashttpd.http.plan import Cursor, Plan
from ashttpd.http.scan import make_scan
from ashttpd.threads.bodies import WINDOW_BYTES, SendBody
from ashttpd.threads.client import Client
from ashttpd.threads.sockets import DESCRIPTOR_MASK, KIND_SHIFT, Kind, Mode, make_sockets
from ashttpd.webroot.errors import WebrootError

log = logging.getLogger(__name__)

# Deadlines are tens of seconds; a look at every client per second is exact enough.
SWEEP_SECONDS: Final = 1.0


def read_clocks(before: Now | None = None) -> Now:
    """Return the time; the date is made anew only when the second has changed."""
    epoch = int(time.time())
    second = before.second if before and before.second.epoch == epoch else second_of(epoch)
    return Now(time.monotonic(), second)


class HotSource(Source, Protocol):
    """A source with a short cut for what was asked before."""

    @property
    def plans(self) -> Callable[[Second], Mapping[bytes, Plan]]:
        """Gives plans by key that were made for a second already; for one batch of events."""


class Worker:
    """Serves its clients in the thread that calls `run`; others may call `adopt` and `drain`."""

    def __init__(
        self, source: HotSource, limits: Limits, send_body: SendBody, access_log: AccessLog | None
    ) -> None:
        """Start without clients."""
        self.clients: dict[int, Client] = {}
        self._source = source
        self._limits = limits
        self._send_body = send_body
        self._access_log = access_log
        self._scan = make_scan()
        self._sockets = make_sockets()
        self._drain_deadline: float | None = None
        self._now = read_clocks()
        self._next_sweep = self._now.monotonic + SWEEP_SECONDS

    def adopt(self, fd: int) -> None:
        """Own a socket, which must not block, from now on."""
        now = read_clocks(self._now)
        self.clients[fd] = Client(fd, Connection(self._scan, self._source, self._limits, now))
        self._sockets.add(fd)

    def drain(self, deadline: float) -> None:
        """Finish what is under way, then return from `run`; at `deadline` (monotonic) at last."""
        self._drain_deadline = deadline
        self._sockets.wake()

    def run(self) -> None:
        """Serve until drained."""
        while self._drain_deadline is None:
            self._turn()
        # Sends what is still queued, and queues nothing more.
        self._turn()
        for client in list(self.clients.values()):
            want = client.connection.drain()
            if client.cursor is None:
                self._follow(client, want)
        while self.clients and self._now.monotonic < self._drain_deadline:
            self._turn()
        for client in list(self.clients.values()):
            self._give_up(client)
        self._sockets.close()

    def _turn(self) -> None:
        """Send what is queued, wait, and answer what came."""
        sockets, clients = self._sockets, self.clients
        events = sockets.turn(SWEEP_SECONDS)
        self._now = now = read_clocks(self._now)
        source, came = self._source, sockets.came
        find, second = source.find, now.second
        plans = source.plans(second)
        sends: list[int] = []
        queued: list[Plan] = []
        idle_deadline = now.monotonic + self._limits.idle_seconds
        # The log tells how much of each response left, so it cannot wait for the next turn.
        may_queue = self._access_log is None and self._drain_deadline is None
        for tag, start, length, key_length in events:
            if tag > DESCRIPTOR_MASK:
                self._handle(tag, start, length)
                continue
            start_of_key = start + length
            key = came[start_of_key : start_of_key + key_length]
            plan = plans.get(key) or find(key, second)
            if may_queue and not plan.body and not plan.close:
                # A connection that is idle before a whole request, and whose answer leaves in one
                # send, is idle behind it: nothing of its state changes but the deadline.
                queued.append(plan)
                sends += (tag, id(plan.head), plan.size)
                clients[tag].connection.deadline = idle_deadline
            else:
                client = clients[tag]
                client.connection.take(came[start:start_of_key], plan, now)
                self._follow(client, plan)
        sockets.queue(sends, queued)
        if now.monotonic >= self._next_sweep:
            self._sweep()

    def _handle(self, tag: int, start: int, length: int) -> None:
        """Act on whatever happens more rarely than a whole request."""
        kind, fd = tag >> KIND_SHIFT, tag & DESCRIPTOR_MASK
        client = self.clients.get(fd)
        if client is None:  # the wake, or a socket that was closed within this turn
            return
        if kind == Kind.DATA:
            data = self._sockets.came[start : start + length]
            self._follow(client, client.connection.feed(data, self._now))
        elif kind == Kind.WRITABLE:
            self._go_on(client)
        elif kind == Kind.SHORT:
            plan = self._sockets.queued(start)
            client.connection.take(b"", plan, self._now)
            client.cursor = Cursor(plan, max(0, length))
            self._go_on(client)
        else:
            self._give_up(client)

    def _follow(self, client: Client, step: Plan | Want) -> None:
        """Do what a connection wants, and what it wants then, until it has to be waited for."""
        while isinstance(step, Plan):
            client.cursor = Cursor(step)
            if not self._transmit(client, client.cursor):
                return
            step = client.connection.sent(self._now)
        if step is Want.SHUTDOWN:
            try:
                self._sockets.shutdown(client.fd)
            except OSError:
                step = client.connection.lost()
        if step is Want.CLOSE:
            self._close(client)
            return
        scannable = client.connection.state is State.IDLE and self._drain_deadline is None
        self._set_mode(client, Mode.HEADS if scannable else Mode.RAW)

    def _go_on(self, client: Client) -> None:
        """Send more of a plan that is under way."""
        if client.cursor is not None and self._transmit(client, client.cursor):
            self._follow(client, client.connection.sent(self._now))

    def _transmit(self, client: Client, cursor: Cursor) -> bool:
        """Send at most a window of a plan; returns whether that was all of it.

        If not, either the rest waits for the socket, or the client is closed.
        """
        budget = WINDOW_BYTES
        try:
            while budget > 0 and not cursor.done:
                sent = self._send_piece(client, cursor, budget)
                cursor.advance(sent)
                budget -= sent
        except BlockingIOError:
            pass
        except WebrootError as error:
            log.error("connection closed, the response is cut off: %s", error)
            self._give_up(client)
            return False
        except OSError as error:
            if not isinstance(error, ConnectionError):
                log.error("connection closed: %s", error)
            self._give_up(client)
            return False
        if cursor.done:
            self._note(client, cursor)
            client.cursor = None
            return True
        if budget < WINDOW_BYTES:
            client.connection.progress(self._now)
        self._set_mode(client, Mode.WRITE)
        return False

    def _send_piece(self, client: Client, cursor: Cursor, budget: int) -> int:
        """Send once; returns how many bytes left. Raises as SendBody does."""
        plan = cursor.plan
        if cursor.in_head:
            # Behind a head comes a body: worth one segment. Never between windows (measured: half
            # the throughput).
            return self._sockets.send(client.fd, plan.head, cursor.offset, more=bool(plan.body))
        file = plan.body[cursor.extent].file
        if file.revoked:
            raise WebrootError(f"{file.path} was overwritten in place")
        return self._send_body(
            self._sockets, client.fd, file, cursor.offset, min(cursor.left, budget)
        )

    def _sweep(self) -> None:
        """Act on deadlines that have passed."""
        now = self._now
        self._next_sweep = now.monotonic + SWEEP_SECONDS
        for client in list(self.clients.values()):
            if client.connection.deadline <= now.monotonic:
                if client.cursor is not None:
                    self._give_up(client)
                else:
                    self._follow(client, client.connection.expired(now))

    def _set_mode(self, client: Client, mode: Mode) -> None:
        if client.mode is not mode:
            client.mode = mode
            self._sockets.watch(client.fd, mode)

    def _note(self, client: Client, cursor: Cursor) -> None:
        """Log a plan that has left, or what has left of it."""
        if self._access_log is None:
            return
        if client.peer is None:
            client.peer = self._sockets.peer(client.fd)
        plan = cursor.plan
        body_sent = max(0, cursor.sent - (plan.size - plan.body_size))
        self._access_log.note(
            client.peer, self._now.second.epoch, client.connection.head, plan.status, body_sent
        )

    def _give_up(self, client: Client) -> None:
        """Close, perhaps in the middle of a plan."""
        if client.cursor is not None:
            self._note(client, client.cursor)
        client.connection.lost()
        self._close(client)

    def _close(self, client: Client) -> None:
        # Before the descriptor's number can be given to another socket.
        del self.clients[client.fd]
        self._sockets.drop(client.fd)
