"""A worker: waits for the sockets it owns and serves them, one window at a time.

Everything that HTTP means is the connection's; this file moves bytes and keeps deadlines.
"""

import logging
import os
import select
import socket
import time
from collections import deque
from typing import Final

from ashttpd.accesslog import AccessLog
from ashttpd.http.connection import Connection, Limits, Now, Source, Want
from ashttpd.http.dates import second_of
from ashttpd.http.plan import Cursor, Plan
from ashttpd.http.scan import make_scan
from ashttpd.threads.bodies import WINDOW_BYTES, SendBody
from ashttpd.threads.client import Client
from ashttpd.webroot.errors import WebrootError

log = logging.getLogger(__name__)

# A whole head fits, and what most clients pipeline.
RECEIVE_BYTES: Final = 16_384
# Deadlines are tens of seconds; a look at every client per second is exact enough.
SWEEP_SECONDS: Final = 1.0
_MAX_EVENTS: Final = 64


def read_clocks(before: Now | None = None) -> Now:
    """Return the time; the date is made anew only when the second has changed."""
    epoch = int(time.time())
    second = before.second if before and before.second.epoch == epoch else second_of(epoch)
    return Now(time.monotonic(), second)


class Worker:
    """Serves its clients in the thread that calls `run`; others may call `adopt` and `drain`."""

    def __init__(
        self, source: Source, limits: Limits, send_body: SendBody, access_log: AccessLog | None
    ) -> None:
        """Start without clients."""
        self.clients: dict[int, Client] = {}
        self._source = source
        self._limits = limits
        self._send_body = send_body
        self._access_log = access_log
        self._scan = make_scan()
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        # Clients that used up their window while their socket would take more.
        self._ready: deque[Client] = deque()
        self._drain_deadline: float | None = None
        self._now = read_clocks()
        self._next_sweep = self._now.monotonic + SWEEP_SECONDS

    def adopt(self, peer: socket.socket, address: str) -> None:
        """Own a socket, which must not block, from now on."""
        connection = Connection(self._scan, self._source, self._limits, read_clocks(self._now))
        fd = peer.fileno()
        self.clients[fd] = Client(peer, fd, address, connection)
        self._epoll.register(fd, select.EPOLLIN)

    def drain(self, deadline: float) -> None:
        """Finish what is under way, then return from `run`; at `deadline` (monotonic) at last."""
        self._drain_deadline = deadline
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Serve until drained."""
        while self._drain_deadline is None:
            self._turn()
        for client in list(self.clients.values()):
            self._obey(client, client.connection.drain())
        while self.clients and self._now.monotonic < self._drain_deadline:
            self._turn()
        for client in list(self.clients.values()):
            self._close(client)
        self._epoll.close()
        os.close(self._wake)

    def _turn(self) -> None:
        """Wait for sockets and serve each that is ready, then each that has a window left over."""
        events = self._epoll.poll(0 if self._ready else SWEEP_SECONDS, _MAX_EVENTS)
        self._now = now = read_clocks(self._now)
        clients = self.clients
        for fd, _event in events:
            client = clients.get(fd)
            if client is None:
                self._drain_wake(fd)
            elif client.cursor is None:
                self._receive(client, now)
            elif client.waits_to_send:
                self._transmit(client, client.cursor)
        for _ in range(len(self._ready)):
            client = self._ready.popleft()
            if client.cursor is not None:
                self._transmit(client, client.cursor)
        if now.monotonic >= self._next_sweep:
            self._sweep()

    def _drain_wake(self, fd: int) -> None:
        # Not ours: a late event of a client that was closed within this turn.
        if fd == self._wake:
            os.eventfd_read(fd)

    def _receive(self, client: Client, now: Now) -> None:
        """Read what came, and answer as long as requests are there and answers leave at once."""
        try:
            data = client.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            client.connection.lost()
            self._close(client)
            return
        step = client.connection.feed(data, now)
        while isinstance(step, Plan):
            if not self._send_at_once(client, step):
                return
            step = client.connection.sent(now)
        if step is not Want.READ:
            self._obey(client, step)

    def _send_at_once(self, client: Client, plan: Plan) -> bool:
        """Send a plan whose bytes are all in memory; False where it takes more than one send."""
        if plan.body:
            sent = 0
        else:
            try:
                sent = client.socket.send(plan.head)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._give_up(client, 0)
                return False
            if sent == plan.size:
                if self._access_log is not None:
                    self._note(client, plan, sent)
                return True
        client.cursor = Cursor(plan, sent)
        self._transmit(client, client.cursor)
        return False

    def _transmit(self, client: Client, cursor: Cursor) -> None:
        """Send at most a window of a plan, and arrange for the rest."""
        budget = WINDOW_BYTES
        try:
            while not cursor.done:
                if budget <= 0:
                    self._ready.append(client)
                    break
                sent = self._send_piece(client, cursor, budget)
                cursor.advance(sent)
                budget -= sent
            self._set_waiting(client, waits_to_send=False)
        except BlockingIOError:
            self._set_waiting(client, waits_to_send=True)
        except WebrootError as error:
            log.error("connection closed, the response is cut off: %s", error)
            self._give_up(client, cursor.sent)
            return
        except OSError as error:
            if not isinstance(error, ConnectionError):
                log.error("connection of %s closed: %s", client.peer, error)
            self._give_up(client, cursor.sent)
            return
        if budget < WINDOW_BYTES:
            client.connection.progress(self._now)
        if cursor.done:
            self._finish(client, cursor)

    def _send_piece(self, client: Client, cursor: Cursor, budget: int) -> int:
        """Send once; returns how many bytes left. Raises as SendBody does."""
        plan = cursor.plan
        if cursor.in_head:
            # Behind a head comes a body: worth one segment. Never between windows (measured: half
            # the throughput).
            flags = socket.MSG_MORE if plan.body else 0
            return client.socket.send(memoryview(plan.head)[cursor.offset :], flags)
        file = plan.body[cursor.extent].file
        if file.revoked:
            raise WebrootError(f"{file.path} was overwritten in place")
        return self._send_body(client.socket, file, cursor.offset, min(cursor.left, budget))

    def _finish(self, client: Client, cursor: Cursor) -> None:
        """Go on behind a plan that took more than one send."""
        if self._access_log is not None:
            self._note(client, cursor.plan, cursor.sent)
        client.cursor = None
        step = client.connection.sent(self._now)
        while isinstance(step, Plan):
            if not self._send_at_once(client, step):
                return
            step = client.connection.sent(self._now)
        self._obey(client, step)

    def _obey(self, client: Client, want: Want) -> None:
        """Do what a connection wants that has nothing to send."""
        if want is Want.CLOSE:
            self._close(client)
        elif want is Want.SHUTDOWN:
            try:
                client.socket.shutdown(socket.SHUT_WR)
            except OSError:
                client.connection.lost()
                self._close(client)

    def _sweep(self) -> None:
        """Act on deadlines that have passed."""
        now = self._now
        self._next_sweep = now.monotonic + SWEEP_SECONDS
        for client in list(self.clients.values()):
            if client.connection.deadline > now.monotonic:
                continue
            if client.cursor is not None:
                self._give_up(client, client.cursor.sent)
                continue
            step = client.connection.expired(now)
            while isinstance(step, Plan):
                if not self._send_at_once(client, step):
                    break
                step = client.connection.sent(now)
            else:
                self._obey(client, step)

    def _set_waiting(self, client: Client, *, waits_to_send: bool) -> None:
        if client.waits_to_send != waits_to_send:
            client.waits_to_send = waits_to_send
            self._epoll.modify(client.fd, select.EPOLLOUT if waits_to_send else select.EPOLLIN)

    def _give_up(self, client: Client, sent: int) -> None:
        """Close in the middle of a plan, `sent` bytes of which have left."""
        plan = client.connection.plan
        if self._access_log is not None and plan is not None:
            self._note(client, plan, sent)
        client.connection.lost()
        self._close(client)

    def _note(self, client: Client, plan: Plan, sent: int) -> None:
        assert self._access_log is not None
        body_sent = max(0, sent - (plan.size - plan.body_size))
        self._access_log.note(
            client.peer, self._now.second.epoch, client.connection.head, plan.status, body_sent
        )

    def _close(self, client: Client) -> None:
        client.cursor = None
        # Before the descriptor's number can be given to another socket.
        del self.clients[client.fd]
        client.socket.close()
