"""A worker: serves the sockets it owns, one turn after the other.

Everything that HTTP means is the connection's; this file moves bytes and keeps deadlines.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence

from ashttpd.accesslog import AccessLog
from ashttpd.admission import is_idle
from ashttpd.bodies import AT_ONCE_BYTES, WINDOW_BYTES
from ashttpd.complaints import Complaints
from ashttpd.engine import SWEEP_SECONDS, HotSource, is_of_peer, note, read_clocks
from ashttpd.epoll.client import Client
from ashttpd.epoll.extents import SendBody, send_with_sendfile
from ashttpd.epoll.sockets import (
    DESCRIPTOR_MASK,
    HOT,
    KIND_SHIFT,
    LAST,
    MAX_EVENTS,
    WITH_FILE,
    Kind,
    Mode,
    Sockets,
)
from ashttpd.http.connection import Connection, State, Want
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Cursor, Extent, Plan
from ashttpd.http.scan import make_scan
from ashttpd.webroot.errors import WebrootError

log = logging.getLogger(__name__)


def _sockets_of(sends: list[int]) -> Iterator[int]:
    """Yield the descriptor of each answer that is queued; see Sockets.queue."""
    place = 0
    while place < len(sends):
        yield sends[place] & DESCRIPTOR_MASK
        place += 6 if sends[place] & WITH_FILE else 3


class Worker:
    """Serves its clients in the thread that calls `run`.

    Others may call `adopt`, `take_over`, `close_idle`, `distrust` and `drain`, and look at
    `clients` and `held`.
    """

    def __init__(
        self,
        sockets: Sockets,
        source: HotSource,
        limits: Limits,
        send_body: SendBody,
        access_log: AccessLog | None,
        complaints: Complaints,
    ) -> None:
        """Start without clients."""
        self.clients: dict[int, Client] = {}
        # Whose last plan leaves with the next turn, which closes the socket behind it.
        self._leaving: dict[int, Client] = {}
        self._sockets = sockets
        self._source = source
        self._limits = limits
        self._send_body = send_body
        self._access_log = access_log
        self._complaints = complaints
        self._scan = make_scan(limits)
        self._pool: Sequence[Worker] = (self,)
        # What one connection may send before it is the next one's turn.
        self._window_bytes = WINDOW_BYTES
        self._drain_deadline: float | None = None
        # Who has been idle since then, in monotonic seconds, is closed with the next sweep; or 0.
        self._idle_before = 0.0
        self._now = read_clocks()
        self._next_sweep = self._now.monotonic + SWEEP_SECONDS

    def join(self, pool: Sequence["Worker"]) -> None:
        """Know the workers, this one among them, that may take over clients."""
        self._pool = pool

    def adopt(self, fds: Sequence[int]) -> int:
        """Own sockets from now on, which must not block; one at least.

        Returns how many of them, from the first on; raises OSError where it is none. The others
        stay the caller's, which has to close them.
        """
        opened = time.monotonic()
        adopted = 0
        try:
            for fd in fds:
                # Known before its first event can come.
                connection = Connection(self._scan, self._source, self._limits, opened)
                self.clients[fd] = Client(fd, connection)
            adopted = self._sockets.add(fds, Mode.HEADS)
        finally:
            for fd in fds[adopted:]:
                self.clients.pop(fd, None)
        return adopted

    def take_over(self, client: Client) -> bool:
        """Own a client that no worker owns, with a plan under way; returns whether it could."""
        client.connection.scan = self._scan  # a scan belongs to one thread
        client.mode = Mode.WRITE
        taken = False
        try:
            self.clients[client.fd] = client
            self._sockets.add((client.fd,), client.mode)
            taken = True
        except OSError as error:
            self._complain("a client cannot be handed to a worker: %s", error)
        finally:
            if not taken:
                del self.clients[client.fd]
        return taken

    @property
    def held(self) -> int:
        """How many sockets are open here: those of clients, and those that leave with a plan."""
        return len(self._sockets)

    def close_idle(self, before: float) -> None:
        """Close at once who has been idle since `before` (monotonic seconds), or longer."""
        self._idle_before = before
        self._next_sweep = 0.0
        self._sockets.wake()

    def drain(self, deadline: float) -> None:
        """Finish what is under way, then return from `run`; at `deadline` (monotonic) at last."""
        self._drain_deadline = deadline
        self._sockets.hot.distrust()
        self._sockets.wake()

    def distrust(self) -> None:
        """Look at the sites again before anything else is answered; for any thread."""
        self._sockets.hot.distrust()

    def run(self) -> None:
        """Serve until drained."""
        while self._drain_deadline is None:
            self._turn(SWEEP_SECONDS)
        # Sends what is still queued, and hears out who has asked already.
        for _ in range(2 + len(self.clients) // MAX_EVENTS):
            self._turn(0)
        for client in list(self.clients.values()):
            want = client.connection.drain()
            if client.cursor is None:
                self._follow(client, want)
        while self.clients and self._now.monotonic < self._drain_deadline:
            self._turn(SWEEP_SECONDS)

    def close(self) -> None:
        """Cut off what is still being sent; only when `run` has ended in every worker."""
        for client in list(self.clients.values()):
            self._give_up(client)
        for client in self._leaving.values():  # where `run` was ended by an exception
            self._sockets.drop(client.fd)
        self._sockets.close()

    def _turn(self, timeout: float) -> bool:
        """Send what is queued, wait for at most `timeout` seconds, and answer what came.

        Returns whether anything is queued for the next turn.
        """
        sockets, clients = self._sockets, self.clients
        events = sockets.turn(timeout)
        self._now = now = read_clocks(self._now)
        source, came = self._source, sockets.came
        find, second = source.find, now.second
        # The log tells how much of each response left, so it cannot wait for the next turn.
        may_queue = self._access_log is None and self._drain_deadline is None
        hot, settle = sockets.hot.begin(second, allowed=may_queue), sockets.hot.settle
        plans = source.plans(second)
        sends: list[int] = []
        queued: list[Plan] = []
        leaving: dict[int, Client] = {}
        idle_deadline = now.monotonic + self._limits.idle_seconds
        for tag, start, length, key_length in events:
            if tag > DESCRIPTOR_MASK:
                self._handle(tag, start, length, key_length)
                continue
            start_of_key = start + length
            key = came[start_of_key : start_of_key + key_length]
            plan = plans.get(key)
            seen = plan is not None
            if plan is None:
                try:
                    plan = find(key, second)
                except Exception as error:
                    self._abandon(clients[tag], error)
                    continue
            # A connection that is idle before a whole request, and whose answer leaves in one
            # send, is idle behind it: nothing of its state changes but the deadline.
            if not may_queue or plan.linger or plan.body_size > AT_ONCE_BYTES:
                self._answer(clients[tag], came[start:start_of_key], plan)
                continue
            flag = LAST if plan.close else sockets.hot_flag if seen else 0
            if not plan.body:
                sends += (tag | flag, id(plan.head), plan.size)
            elif isinstance(part := plan.body[0], Extent) and self._may_queue(part):
                sends += (tag | flag | WITH_FILE, id(plan.head), len(plan.head))
                sends += (part.file.fd, part.offset, part.length)
            else:
                self._answer(clients[tag], came[start:start_of_key], plan)
                continue
            (hot if flag & HOT else queued).append(plan)
            if flag & LAST:
                leaving[tag] = clients.pop(tag)
            else:
                connection = clients[tag].connection
                settle(tag, connection)
                connection.deadline = idle_deadline
                connection.requests += 1
        sockets.queue(sends, queued)
        self._leaving = leaving
        if now.monotonic >= self._next_sweep:
            self._sweep(frozenset(_sockets_of(sends)))
        return bool(sends)

    def _may_queue(self, extent: Extent) -> bool:
        """Whether a small enough extent may leave by sendfile, within the second."""
        return not extent.file.revoked

    def _settle(self, client: Client) -> None:
        """Note what the sockets have answered and sent by themselves."""
        self._sockets.hot.settle(client.fd, client.connection)
        if client.cursor is not None:
            client.cursor.advance(self._sockets.poured(client.fd))

    def _answer(self, client: Client, head: bytes, plan: Plan) -> None:
        """Send the plan for a whole head now: it is large, or to be logged, or comes in parts."""
        try:
            self._settle(client)
            client.connection.take(head, plan, self._now)
            if plan.body_size <= AT_ONCE_BYTES or not self._hand_over(client, plan):
                self._follow(client, plan)
        except Exception as error:
            self._abandon(client, error)

    def _hand_over(self, client: Client, plan: Plan) -> bool:
        """Let another worker send a large body, once per client; returns whether that was tried.

        Reading it may block, and this worker may have many clients that ask for little. Where the
        other worker cannot have the client, this one goes on with it, or closes it.
        """
        worker = min(self._pool, key=lambda worker: len(worker.clients))
        if client.handed_over or worker is self:
            return False
        client.handed_over = True
        client.cursor = Cursor(plan)
        del self.clients[client.fd]
        self._sockets.forget(client.fd)
        taken = False
        try:
            taken = worker.take_over(client) or self.take_over(client)
        finally:
            if not taken:
                self._note(client, client.cursor)
                client.connection.lost()
                os.close(client.fd)
        return True

    def _handle(self, tag: int, start: int, length: int, is_hot: int) -> None:
        """Act on whatever happens more rarely than a whole request."""
        kind, fd = tag >> KIND_SHIFT, tag & DESCRIPTOR_MASK
        # Of any other kind it would be news of a socket that was given the number since.
        if kind == Kind.SHORT and not is_hot and fd in self._leaving:
            self.clients[fd] = self._leaving[fd]
        client = self.clients.get(fd)
        if client is None:  # the wake, or a socket that was closed within this turn
            return
        try:
            self._settle(client)
            if kind == Kind.DATA:
                data = self._sockets.came[start : start + length]
                self._follow(client, client.connection.feed(data, self._now))
            elif kind == Kind.WRITABLE:
                self._go_on(client)
            elif kind == Kind.SHORT:
                sockets = self._sockets
                plan = sockets.hot.sent[start] if is_hot else sockets.queued(start)
                client.connection.requests -= 1  # taking it counts it again
                client.connection.take(b"", plan, self._now)
                client.cursor = Cursor(plan, max(0, length))
                self._go_on(client)
            else:
                self._give_up(client)
        except Exception as error:
            self._abandon(client, error)

    def _abandon(self, client: Client, error: Exception) -> None:
        """Close after an exception, so that it costs one connection and not a worker."""
        if isinstance(error, OSError):
            self._complain("connection closed: %s", error)
        else:
            now = time.monotonic()
            text = "connection closed: this is a bug of ashttpd"
            self._complaints.say(log.exception, text, now=now)
        if self.clients.get(client.fd) is client:
            self._close(client)

    def _complain(self, text: str, error: Exception) -> None:
        """Log an error that may come with every request."""
        self._complaints.say(log.error, text, error, now=time.monotonic())

    def _follow(self, client: Client, step: Plan | Want) -> None:
        """Do what a connection wants, and what it wants then, until it has to be waited for."""
        while isinstance(step, Plan):
            if not self._start(client, step):
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
        connection = client.connection
        scannable = (
            connection.state is State.IDLE
            and not connection.ending
            and self._drain_deadline is None
        )
        self._set_mode(client, Mode.HEADS if scannable else Mode.RAW)

    def _start(self, client: Client, plan: Plan) -> bool:
        """Begin to send a plan; returns whether that was all of it."""
        client.cursor = Cursor(plan)
        return self._transmit(client, client.cursor)

    def _go_on(self, client: Client) -> None:
        """Send more of a plan that is under way."""
        if client.cursor is not None and self._transmit(client, client.cursor):
            self._follow(client, client.connection.sent(self._now))

    def _transmit(self, client: Client, cursor: Cursor) -> bool:
        """Send at most a window of a plan; returns whether that was all of it.

        If not, the rest waits for the socket or for a file, or the client is closed.
        """
        budget = self._window_bytes
        try:
            while budget > 0 and not cursor.done:
                wanted = self._ready(client, cursor, budget)
                if not wanted:
                    self._set_mode(client, Mode.PAUSED)
                    return False
                sent = self._send_piece(client, cursor, wanted)
                cursor.advance(sent)
                budget -= sent
                if sent < wanted:
                    # The socket is full. What it would take now is a segment at a time; by the
                    # time it says that it takes more, that is a third of its buffer.
                    break
        except BlockingIOError:
            pass
        except WebrootError as error:
            self._complain("connection closed, the response is cut off: %s", error)
            self._give_up(client)
            return False
        except OSError as error:
            if not is_of_peer(error):
                self._complain("connection closed, the response is cut off: %s", error)
            self._give_up(client)
            return False
        if cursor.done:
            self._note(client, cursor)
            client.cursor = None
            return True
        self._set_mode(client, Mode.WRITE)
        piece = cursor.piece
        if isinstance(piece, Extent):
            length = self._pourable(client, piece, cursor)
            self._sockets.pour(client.fd, piece.file.fd, cursor.offset, length)
        return False

    def _pourable(self, client: Client, extent: Extent, cursor: Cursor) -> int:
        """Return how much of an extent may be sent by sendfile, within the second, from now on."""
        is_sent = self._send_body is send_with_sendfile and not extent.file.revoked
        return cursor.left if is_sent else 0

    def _ready(self, client: Client, cursor: Cursor, most: int) -> int:
        """Return how much of a plan can be sent at once without waiting for a file, in bytes.

        It is about `most`. Where it is none, somebody calls `_go_on` once it is some. Raises
        WebrootError.
        """
        return min(cursor.left, most)

    def _send_piece(self, client: Client, cursor: Cursor, count: int) -> int:
        """Send at most `count` bytes; returns how many left. Raises as SendBody does."""
        piece = cursor.piece
        if not isinstance(piece, Extent):
            return self._sockets.send(client.fd, piece, cursor.offset)
        file = piece.file
        if file.revoked:
            raise WebrootError(f"{file.path} was overwritten in place")
        return self._send_body(self._sockets, client.fd, file, cursor.offset, count)

    def _sweep(self, queued: frozenset[int]) -> None:
        """Act on deadlines that have passed, and on who makes room or had its share of requests.

        Requests that are answered without their connection are counted by the sockets and no more:
        here is found who has reached the limit, and its next request goes to the connection, which
        says the end. A connection whose answer is `queued`, by its descriptor, does not make room:
        it is idle only once that has left, whatever the acceptor's clock has come to meanwhile.
        """
        now = self._now.monotonic
        self._next_sweep = now + SWEEP_SECONDS
        idle_before, self._idle_before = self._idle_before, 0.0
        for client in list(self.clients.values()):
            connection = client.connection
            try:
                self._settle(client)
                if connection.deadline <= now:
                    self._expire(client)
                elif idle_before and is_idle(connection, idle_before) and client.fd not in queued:
                    self._give_up(client)
                elif client.mode is Mode.HEADS and connection.ending:
                    self._set_mode(client, Mode.RAW)
            except Exception as error:
                self._abandon(client, error)

    def _expire(self, client: Client) -> None:
        """Act on a deadline that has passed."""
        untaken = self._sockets.unsent(client.fd)
        if client.cursor is not None:
            untaken += client.cursor.plan.size - client.cursor.sent
        step = client.connection.expired(self._now, untaken)
        if step is Want.CLOSE:
            self._give_up(client)
        elif step is not Want.WAIT:
            self._follow(client, step)

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
        note(self._access_log, client.peer, self._now, client.connection.head, cursor)

    def _give_up(self, client: Client) -> None:
        """Close, perhaps in the middle of a plan."""
        if client.cursor is not None:
            self._settle(client)
            self._note(client, client.cursor)
        client.connection.lost()
        self._close(client)

    def _close(self, client: Client) -> None:
        # Before the descriptor's number can be given to another socket.
        del self.clients[client.fd]
        self._sockets.drop(client.fd)
