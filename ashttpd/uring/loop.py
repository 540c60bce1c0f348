"""The loop: completions to connections, their plans to operations, one turn after the other.

Everything that HTTP means is the connection's; this file moves bytes and keeps deadlines.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Final

from ashttpd.accesslog import AccessLog
from ashttpd.bodies import AT_ONCE_BYTES, STINT_BYTES
from ashttpd.cold import COLD, PatientSource
from ashttpd.complaints import Complaints
from ashttpd.engine import (
    PAUSE_SECONDS,
    SWEEP_SECONDS,
    HotSource,
    address_of,
    is_of_peer,
    note,
    read_clocks,
)
from ashttpd.http.connection import Connection, State, Want
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Cursor, Extent, Plan
from ashttpd.http.scan import make_scan
from ashttpd.listen import BACKLOG
from ashttpd.uring.client import Client, untaken
from ashttpd.uring.listening import Listening
from ashttpd.uring.lobby import Lobby
from ashttpd.uring.ring import (
    DESCRIPTOR_MASK,
    HOT,
    KIND_SHIFT,
    LAST,
    TELL,
    WITH_BODY,
    Kind,
    Mode,
    Ring,
)
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import waiting

log = logging.getLogger(__name__)

# What a peer may ask for ahead while it is being answered; then it is not listened to.
MAX_WAITING_BYTES: Final = 64 << 10
# How long the kernel may take to end what was cancelled; a disk may hold it up.
CLOSE_SECONDS: Final = 2.0


def _hold_against_its_file(cursor: Cursor) -> None:
    """Raise WebrootError where the file that a plan is of is not to be trusted any more."""
    for piece in cursor.plan.body:
        if isinstance(piece, Extent) and piece.file.revoked:
            raise WebrootError(f"{piece.file.path} was overwritten in place")


class Loop:
    """Serves in the thread that calls `run`; others may call `drain`."""

    def __init__(
        self,
        ring: Ring,
        listeners: Sequence[socket.socket],
        source: HotSource,
        limits: Limits,
        access_log: AccessLog | None,
    ) -> None:
        """Own the ring and the listeners, which have to block; start without clients."""
        self.clients: dict[int, Client] = {}
        # Whose last plan leaves with the next turn, which closes the socket behind it.
        self._leaving: dict[int, Client] = {}
        # Whose socket was dropped while a plan was on its way: the plan has to outlive that.
        self._gone: dict[int, Client] = {}
        self.ring = ring
        # With more connections than that, fewer descriptors are free than the listeners may bring
        # in a turn, once more for all that is no connection.
        self._ample = ring.slots - 2 * BACKLOG * len(listeners)
        self._complaints = Complaints()
        self._listening = Listening(ring, listeners, self._complaints)
        self._source = source
        self._patient = PatientSource(source)
        self._limits = limits
        self._access_log = access_log
        self._scan = make_scan(limits)
        self._lobby = Lobby(limits, self.clients, self._welcome, self._settle, self._give_up)
        self._sends: list[int] = []
        self._queued: list[Plan] = []
        self._sent: list[Plan] = []
        self._drain_deadline: float | None = None
        self._now = read_clocks()
        self._next_sweep = self._now.monotonic + SWEEP_SECONDS

    @property
    def kept(self) -> int:
        """How many plans are kept for sockets that were dropped."""
        return len(self._gone)

    def drain(self, deadline: float) -> None:
        """Finish what is under way, then return from `run`; at `deadline` (monotonic) at last."""
        self._drain_deadline = deadline
        self.ring.hot.distrust()
        self.ring.wake()

    def distrust(self) -> None:
        """Look at the sites again before anything else is answered; for any thread."""
        self.ring.hot.distrust()

    def run(self) -> None:
        """Serve until drained, and close everything."""
        self.ring.enable()
        with waiting(allowed=False):
            self._serve()
        self._close_all()

    def _serve(self) -> None:
        self._listening.scarce = self._ample <= 0
        self._listening.start()
        while self._drain_deadline is None:
            soon = self._listening.paused or self._lobby
            self._turn(PAUSE_SECONDS if soon else SWEEP_SECONDS)
        self._listening.stop(self._turn)
        self._lobby.clear()
        # Sends what is still queued, and hears out who has asked already.
        self._turn(0)
        self._turn(0)
        for client in list(self.clients.values()):
            want = client.connection.drain()
            if client.cursor is None:
                self._follow(client, want)
        while self.clients and (left := self._drain_deadline - self._now.monotonic) > 0:
            self._turn(min(left, SWEEP_SECONDS))

    def _close_all(self) -> None:
        """Cut off what is still being sent, and release everything."""
        for client in list(self.clients.values()):
            self._give_up(client)
        self._lobby.close()
        deadline = time.monotonic() + CLOSE_SECONDS
        while self.ring.in_flight and time.monotonic() < deadline:
            for tag, _start, _length, _key in self.ring.turn([], PAUSE_SECONDS):
                self._gone.pop(tag & DESCRIPTOR_MASK, None)
        self.ring.close()

    def _turn(self, timeout: float) -> None:
        """Send what is queued, wait for at most `timeout` seconds, and answer what came."""
        ring, clients = self.ring, self.clients
        events = ring.turn(self._sends, timeout, self._lobby.room)
        # They had to live until here. Which of them have not left, PENDING tells.
        self._sent = self._queued
        sends: list[int] = []
        queued: list[Plan] = []
        leaving: dict[int, Client] = {}
        self._sends = sends
        self._now = now = read_clocks(self._now)
        came, maps, find, second = ring.came, ring.maps, self._patient.find, now.second
        # The log tells how much of each response left, so it has to be told of every one.
        may_queue = self._access_log is None and self._drain_deadline is None
        hot, settle = ring.hot.begin(second, allowed=may_queue), ring.hot.settle
        plans = self._source.plans(second)
        idle_deadline = now.monotonic + self._limits.idle_seconds
        for tag, start, length, key_length in events:
            if tag > DESCRIPTOR_MASK:
                self._handle(tag, start, length, key_length)
                continue
            start_of_key = start + length
            key = came[start_of_key : start_of_key + key_length]
            plan, kept = plans.get(key), hot
            if plan is None:
                try:
                    plan, kept = find(key, second), queued
                except Exception as error:
                    self._abandon(clients[tag], error)
                    continue
            # A connection that is idle before a whole request, and whose answer leaves in one
            # send, is idle behind it: nothing of its state changes but the deadline.
            if not may_queue or plan.linger or plan.body_size > AT_ONCE_BYTES:
                self._answer(clients[tag], came[start:start_of_key], plan)
                continue
            if plan.close:
                kept = queued
            flag = LAST if plan.close else HOT if kept is hot else 0
            if not plan.body:
                sends += (tag | flag, id(plan.head), plan.size)
            elif (
                isinstance(part := plan.body[0], Extent)
                and (number := maps.get(id(part.file))) is not None
                and not part.file.revoked
            ):
                sends += (tag | flag | WITH_BODY, id(plan.head), len(plan.head))
                sends += (number, part.offset, part.length, 0)
            else:
                self._answer(clients[tag], came[start:start_of_key], plan)
                continue
            kept.append(plan)
            if plan.close:
                leaving[tag] = clients.pop(tag)
            else:
                connection = clients[tag].connection
                settle(tag, connection)
                connection.deadline = idle_deadline
                connection.requests += 1
        self._queued, self._leaving = queued, leaving
        if now.monotonic >= self._next_sweep:
            self._sweep()
        if self._lobby or self._listening.held:
            self._lobby.admit(now.monotonic)
            self._listening.hold(self._lobby.is_full)
        if self._listening.paused:
            self._listening.resume(now.monotonic)

    def _answer(self, client: Client, head: bytes, plan: Plan) -> None:
        """Send the plan for a whole head: it is large, or to be logged, or comes in parts."""
        try:
            self._settle(client)
            client.connection.take(head, plan, self._now)
            self._follow(client, plan)
        except Exception as error:
            self._abandon(client, error)

    def _settle(self, client: Client) -> None:
        """Note in a connection what the ring has answered in its place."""
        self.ring.hot.settle(client.fd, client.connection)

    def _handle(self, tag: int, start: int, result: int, is_hot: int) -> None:
        """Act on whatever happens more rarely than a whole request."""
        kind, fd = tag >> KIND_SHIFT, tag & DESCRIPTOR_MASK
        if kind == Kind.ACCEPTED:
            self._accepted(fd)
            return
        if kind == Kind.WAITING:
            self._lobby.add(fd)
            return
        if kind == Kind.REFUSED:
            self._listening.ended(fd, -result, self._now.monotonic)
            return
        if kind == Kind.GONE:
            del self._gone[fd]
            return
        # What is hot was not queued: it is of a socket that was given the number since.
        if kind == Kind.PENDING and not is_hot and fd in self._leaving:
            self.clients[fd] = self._leaving.pop(fd)
        client = self.clients.get(fd)
        if client is None:  # the wake
            return
        try:
            self._settle(client)
            if kind == Kind.DATA:
                self._heard(client, self.ring.came[start : start + result])
            elif kind == Kind.SENT:
                self._sent_some(client, result)
            elif kind == Kind.PENDING:
                plan = (self.ring.hot.sent if is_hot else self._sent)[start]
                client.connection.requests -= 1  # taking it counts it again
                client.connection.take(b"", plan, self._now)
                client.cursor = Cursor(plan)
                client.mode = Mode.RAW
            elif kind == Kind.END:
                self._end(client, result)
            elif kind == Kind.FETCHED:
                self._fetched(client, result)
        except Exception as error:
            self._abandon(client, error)

    def _accepted(self, fd: int) -> None:
        """Own a new socket."""
        connection = Connection(self._scan, self._patient, self._limits, self._now.monotonic)
        self.clients[fd] = Client(fd, connection)
        scarce = len(self.clients) > self._ample
        if scarce is not self._listening.scarce:
            self._listening.spare(scarce)

    def _welcome(self, fd: int) -> None:
        """Own a socket that had to wait."""
        try:
            self.ring.welcome(fd)
        except OSError as error:
            self._complain("connection closed: %s", error)
            os.close(fd)
        else:
            self._accepted(fd)

    def _abandon(self, client: Client, error: Exception) -> None:
        """Close after an exception, so that it costs one connection and not the server."""
        if isinstance(error, OSError):
            self._complain("connection closed: %s", error)
        else:
            now = self._now.monotonic
            text = "connection closed: this is a bug of ashttpd"
            self._complaints.say(log.exception, text, now=now)
        if self.clients.get(client.fd) is client:
            self._close(client)

    def _complain(self, text: str, error: Exception) -> None:
        """Log an error that may come with every request."""
        self._complaints.say(log.error, text, error, now=self._now.monotonic)

    def _heard(self, client: Client, data: bytes) -> None:
        """Take bytes: now, or when what is being sent has left."""
        client.mode = Mode.RAW
        if client.cursor is None:
            self._follow(client, client.connection.feed(data, self._now))
            return
        client.waiting += data
        if len(client.waiting) > MAX_WAITING_BYTES and not client.deaf:
            client.deaf = True
            self.ring.deafen(client.fd)

    def _end(self, client: Client, result: int) -> None:
        """Note that nothing more will come; who is being answered hears the answers out.

        Of who is gone the send under way tells, which fails too, how much it has taken before.
        """
        client.ended = True
        if client.cursor is None or (result < 0 and client.late is not None):
            self._give_up(client)

    def _follow(self, client: Client, step: Plan | Want) -> None:
        """Do what a connection wants, and what it wants then, until it has to be waited for."""
        while True:
            if isinstance(step, Plan):
                client.cursor = Cursor(step)
                if step is COLD:
                    client.late = self._patient.take_late()
                    self._fetch(client)
                else:
                    self._send(client, client.cursor)
                return
            if step is Want.SHUTDOWN:
                try:
                    self.ring.shutdown(client.fd)
                except OSError:
                    step = client.connection.lost()
            if step is Want.CLOSE:
                self._close(client)
                return
            if not client.waiting:
                break
            data = bytes(client.waiting)
            client.waiting = bytearray()
            step = client.connection.feed(data, self._now)
        if client.ended:
            self._give_up(client)
            return
        connection = client.connection
        scannable = (
            connection.state is State.IDLE
            and not connection.ending
            and self._drain_deadline is None
        )
        mode = Mode.HEADS if scannable else Mode.RAW
        if client.mode is not mode or client.deaf or step is Want.SHUTDOWN:
            client.mode = mode
            client.deaf = False
            self.ring.hear(client.fd, mode)

    def _fetch(self, client: Client) -> None:
        """Have the kernel bring in what an answer needs."""
        assert client.late is not None, "nothing is needed"
        client.mode = Mode.RAW
        self.ring.hear(client.fd, Mode.RAW)
        needed = client.late.needed
        try:
            self.ring.fetch(client.fd, needed.file, needed.offset, needed.length)
        except OSError:
            self._fetched(client, -errno.EIO)

    def _fetched(self, client: Client, result: int) -> None:
        """Answer now, or fetch what else it takes."""
        assert client.late is not None, "nothing was to be fetched"
        plan = self._patient.find_again(client.late, self._now.second, fetched=result == 0)
        if plan is COLD:
            self._fetch(client)
            return
        client.late = None
        client.connection.plan = plan
        self._follow(client, plan)

    def _send(self, client: Client, cursor: Cursor) -> None:
        """Send more of a plan with the next turn, or close where that cannot be."""
        try:
            self._queue(client, cursor)
        except (WebrootError, OSError) as error:
            self._cut_off(client, error)

    def _queue(self, client: Client, cursor: Cursor) -> None:
        """Queue bytes, a part of a file, or the first followed by the second."""
        client.mode = Mode.RAW
        piece = cursor.piece
        head, head_left = 0, 0
        extent: Extent | None = None
        if isinstance(piece, Extent):
            extent, offset, left = piece, cursor.offset, cursor.left
        else:
            head, head_left = id(piece) + cursor.offset, cursor.left
            following = cursor.following
            if isinstance(following, Extent):
                extent = following
                offset, left = extent.offset, extent.length
        if extent is None:
            self._sends += (client.fd | TELL, head, head_left)
            return
        _hold_against_its_file(cursor)
        length = min(left, STINT_BYTES)
        number = self.ring.map_file(extent.file)
        self._sends += (client.fd | TELL | WITH_BODY, head, head_left)
        self._sends += (number, offset, length, left - length)

    def _sent_some(self, client: Client, result: int) -> None:
        """Note what of a plan has left, and go on with it."""
        cursor = client.cursor
        assert cursor is not None, "nothing was to be sent"
        if result <= 0 and result != -errno.ESTALE:
            self._unsent(client, -result)
            return
        cursor.advance(max(0, result))
        if not cursor.done:
            self._send(client, cursor)
            return
        self._note(client, cursor)
        client.cursor = None
        self._follow(client, client.connection.sent(self._now))

    def _unsent(self, client: Client, number: int) -> None:
        """Close after a send that failed; what is about the peer is not worth a line."""
        error = OSError(number, os.strerror(number))
        if number == errno.EFAULT:
            self._cut_off(client, WebrootError("a file was truncated under us"))
        elif number and not is_of_peer(error):
            self._cut_off(client, error)
        else:
            self._give_up(client)

    def _sweep(self) -> None:
        """Act on deadlines that have passed, on files to be distrusted, and on shares of requests.

        Requests that are answered without their connection are counted by the ring and no more:
        here is found who has reached the limit, and its next request goes to the connection, which
        says the end.
        """
        now = self._now.monotonic
        self._next_sweep = now + SWEEP_SECONDS
        self._lobby.tell(now)
        for client in list(self.clients.values()):
            try:
                self._settle(client)
                if client.connection.deadline <= now:
                    self._expire(client)
                elif client.cursor is not None:
                    _hold_against_its_file(client.cursor)
                elif client.mode is Mode.HEADS and client.connection.ending:
                    client.mode = Mode.RAW
                    self.ring.hear(client.fd, client.mode)
            except WebrootError as error:
                self._cut_off(client, error)
            except Exception as error:
                self._abandon(client, error)

    def _cut_off(self, client: Client, error: Exception) -> None:
        """Close in the middle of a plan, of which no more can be sent."""
        self._complain("connection closed, the response is cut off: %s", error)
        self._give_up(client)

    def _expire(self, client: Client) -> None:
        """Act on a deadline that has passed."""
        if client.late is not None:
            # It waits for a disk and not the other way round.
            client.connection.deadline = self._now.monotonic + self._limits.stall_seconds
            return
        step = client.connection.expired(self._now, untaken(client))
        if step is Want.CLOSE:
            self._give_up(client)
        elif step is not Want.WAIT:
            self._follow(client, step)

    def _note(self, client: Client, cursor: Cursor) -> None:
        """Log a plan that has left, or what has left of it."""
        if self._access_log is None or client.late is not None:
            return
        if client.peer is None:
            client.peer = address_of(client.fd)
        note(self._access_log, client.peer, self._now, client.connection.head, cursor)

    def _give_up(self, client: Client) -> None:
        """Close, perhaps in the middle of a plan."""
        if client.cursor is not None:
            self._note(client, client.cursor)
        client.connection.lost()
        self._close(client)

    def _close(self, client: Client) -> None:
        del self.clients[client.fd]
        if self.ring.drop(client.fd):
            self._gone[client.fd] = client
