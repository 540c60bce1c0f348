"""The loop: a worker that never waits for a disk, since the kernel reads for it meanwhile."""

import logging
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from ashttpd.accesslog import AccessLog
from ashttpd.aio.files import Files, Io, Memory
from ashttpd.aio.queue import Queue
from ashttpd.aio.reads import Fetch, Reads, Stream
from ashttpd.bodies import HURRIED_BYTES, SMALL_SECONDS, STINT_BYTES, WINDOW_BYTES
from ashttpd.cold import COLD, Late, PatientSource
from ashttpd.complaints import Complaints
from ashttpd.engine import PAUSE_SECONDS, HotSource, UnusableError
from ashttpd.epoll.client import Client
from ashttpd.epoll.extents import send_with_sendfile
from ashttpd.epoll.sockets import DESCRIPTOR_MASK, KIND_SHIFT, Kind, Mode, Sockets
from ashttpd.epoll.worker import Worker
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Cursor, Extent, File, Plan
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Part, waiting

log = logging.getLogger(__name__)

# Up to here a body is small, and what is sent of it does not wait.
SMALL_BYTES: Final = 64 << 10
# How many answers that waited for a disk are made before them: each takes as long as ten others.
HURRIED_LATE: Final = 2
# What the kernel takes of us ahead of what it has sent to a peer (tcp(7), TCP_NOTSENT_LOWAT): its
# own choice is megabytes, which for a slow peer would be read from the disk for nothing. Of what is
# in memory nothing is wasted, and each byte costs less the more of them there are.
UNSENT_BYTES: Final = 256 << 10


def _limit_unsent(fd: int, most: int) -> None:
    """Have the kernel take so much of us ahead; 0 for what is its own choice."""
    peer = socket.socket(fileno=fd)
    try:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, most)
    finally:
        peer.detach()


class Loop(Worker):
    """Serves its clients in the thread that calls `run`; see Worker."""

    def __init__(
        self,
        sockets: Sockets,
        source: HotSource,
        limits: Limits,
        access_log: AccessLog | None,
        queue: Queue,
        files: Files,
        bring_in: Callable[[File, int, int], None],
        complaints: Complaints,
    ) -> None:
        """Own the queue; start without clients. `bring_in` is told what is worth memory."""
        self._patient = PatientSource(source)
        super().__init__(sockets, self._patient, limits, send_with_sendfile, access_log, complaints)
        self._files = files
        self._is_direct = files.io is Io.DIRECT
        self._queue = queue
        self._reads = Reads(queue)
        self._memory = Memory(bring_in)
        self._has_read = False
        # Who can be sent more of a large body, in turn.
        self._large: dict[Client, None] = {}
        self._streams: dict[Client, Stream] = {}
        # None is for what cannot be fetched: then only the answer can tell why.
        self._fetches: dict[Client, Fetch | None] = {}
        # Those of them that have ended, with what they were for.
        self._fetched: deque[tuple[Client, Late]] = deque()
        # Whether the last turn answered some of these.
        self._was_late = False
        # Whose kernel has been told of UNSENT_BYTES.
        self._limited: set[Client] = set()
        sockets.wake_by(queue.eventfd)

    def run(self) -> None:
        """Serve until drained."""
        with waiting(allowed=False, looks=not self._is_direct):
            super().run()

    def close(self) -> None:
        """Cut off what is still being sent; only when `run` has returned."""
        super().close()
        self._queue.close()

    def _turn(self, timeout: float) -> bool:
        if self._large or self._fetched:
            timeout = 0
        elif self._queue.waiting:
            timeout = min(timeout, PAUSE_SECONDS)
        has_small = super()._turn(timeout)
        if (self._large or self._fetched) and has_small:
            # Small answers do not wait for large ones, but those for no more than a turn.
            has_small = super()._turn(0)
        if self._has_read or self._queue.waiting:
            self._has_read = False
            self._reap()
        self._serve_slow(hurry=self._now.monotonic < self._sockets.last_answer + SMALL_SECONDS)
        self._queue.submit()
        self._memory.renew(self._now.second.epoch)
        return has_small

    def _handle(self, tag: int, start: int, length: int, is_hot: int) -> None:
        if tag == Kind.WAKE << KIND_SHIFT | self._queue.eventfd & DESCRIPTOR_MASK:
            # Not yet: it may close sockets, whose numbers others can have when their news comes.
            self._has_read = True
        else:
            super()._handle(tag, start, length, is_hot)

    def _reap(self) -> None:
        """Go on with whose bytes were read."""
        for reader in self._reads.reap():
            if not reader.closed:
                reader.came()

    def _came(self, client: Client, go_on: Callable[[Client], None]) -> None:
        """Go on with a client whose bytes were read."""
        try:
            if client.mode is Mode.PAUSED:
                go_on(client)
        except Exception as error:
            self._abandon(client, error)

    def _serve_slow(self, *, hurry: bool) -> None:
        """Answer who waited for a disk, and send of large bodies; in a hurry one or the other.

        Who asks for small answers is heard between the two.
        """
        late = bool(self._fetched) and not (hurry and self._large and self._was_late)
        if late:
            self._answer_late(hurry=hurry)
        if self._large and not (hurry and late):
            self._send_large(hurry=hurry)
        self._was_late = late

    def _answer_late(self, *, hurry: bool) -> None:
        """Answer those whose answers took something from a disk that has come."""
        for _ in range(min(HURRIED_LATE, len(self._fetched)) if hurry else len(self._fetched)):
            client, late = self._fetched.popleft()
            if client in self._fetches:  # it may be gone
                self._came(client, partial(self._answer_with, late=late))

    def _send_large(self, *, hurry: bool) -> None:
        """Send of large bodies what a turn has room for; the others are first in the next one."""
        room = self._window_bytes = HURRIED_BYTES if hurry else WINDOW_BYTES
        while room > 0 and self._large:
            client = next(iter(self._large))
            del self._large[client]
            cursor = client.cursor
            assert cursor is not None, "nothing was to be sent"
            before = cursor.sent
            try:
                if self._send_window(client, cursor):
                    self._follow(client, client.connection.sent(self._now))
            except Exception as error:
                self._abandon(client, error)
            room -= cursor.sent - before

    def _start(self, client: Client, plan: Plan) -> bool:
        if plan is not COLD:
            return super()._start(client, plan)
        late = self._patient.take_late()
        client.cursor = Cursor(plan)
        self._set_mode(client, Mode.PAUSED)
        self._fetch(client, late)
        return False

    def _fetch(self, client: Client, late: Late) -> None:
        """Have the kernel read what an answer needs."""
        needed = late.needed
        came = partial(self._fetched.append, (client, late))
        try:
            handle = self._files.handle(needed.file)
        except (UnusableError, OSError) as error:
            self._complain("cannot read past the kernel's memory: %s", error)
            self._fetches[client] = None
            came()
        else:
            self._fetches[client] = Fetch(self._reads, handle, needed.offset, needed.length, came)

    def _answer_with(self, client: Client, late: Late) -> None:
        """Answer now, or fetch what else it takes."""
        needed = late.needed
        fetch = self._fetches.pop(client)
        fetched = fetch is not None
        try:
            if fetch is not None:
                late.parts.append(Part(needed.file, needed.offset, fetch.take()))
        except WebrootError:
            fetched = False
        plan = self._patient.find_again(
            late, self._now.second, fetched=fetched, looks=not self._is_direct
        )
        if plan is COLD:
            self._fetch(client, late)
            return
        client.connection.plan = plan
        if self._start(client, plan):
            self._follow(client, client.connection.sent(self._now))

    def _may_queue(self, extent: Extent) -> bool:
        if extent.file.revoked or self._is_direct:
            return False
        try:
            return self._memory.has(extent.file, extent.offset, extent.length)
        except OSError:
            return False  # reading it will tell

    def _transmit(self, client: Client, cursor: Cursor) -> bool:
        if cursor.plan.body_size <= SMALL_BYTES:
            return self._send_window(client, cursor)
        self._large[client] = None
        self._set_mode(client, Mode.PAUSED)
        return False

    def _send_window(self, client: Client, cursor: Cursor) -> bool:
        """Send a window of a plan, as Worker does."""
        stream = self._streams.get(client)
        if stream is not None:
            self._reads.unpark(stream)
        done = super()._transmit(client, cursor)
        stream = self._streams.get(client)
        if stream is not None and client.mode is Mode.WRITE:
            self._reads.park(stream)
        return done

    def _ready(self, client: Client, cursor: Cursor, most: int) -> int:
        piece, before = cursor.piece, 0
        offset, left = cursor.offset, cursor.left
        if not isinstance(piece, Extent):
            # Bytes leave with what follows them: a peer is not to be woken for its head alone.
            following = cursor.following
            if not isinstance(following, Extent):
                return min(left, most)
            piece, before = following, left
            offset, left = piece.offset, piece.length
        if piece.file.revoked:
            raise WebrootError(f"{piece.file.path} was overwritten in place")
        stream = self._streams.get(client)
        if stream is not None and stream.over:
            self._end_stream(client)
            stream = None
        if stream is None:
            if not self._is_direct:
                warm = self._memory.run(piece, offset, min(left, most))
                if warm:
                    return before or warm
            stream = self._streams[client] = self._open_stream(client, piece, offset)
        ready = min(stream.ready, most)
        return before + ready if ready else 0

    def _pourable(self, client: Client, extent: Extent, cursor: Cursor) -> int:
        if self._is_direct or extent.file.revoked or client in self._streams:
            return 0
        try:
            return self._memory.run(extent, cursor.offset, min(cursor.left, STINT_BYTES))
        except OSError:
            return 0  # sending it will tell

    def _end_stream(self, client: Client) -> None:
        """Send what follows from memory."""
        del self._streams[client]
        if not self._is_direct and client in self._limited:
            self._limited.remove(client)
            _limit_unsent(client.fd, 0)

    def _open_stream(self, client: Client, extent: Extent, offset: int) -> Stream:
        """Read on in an extent of which the next bytes are not in memory."""
        is_cold = partial(self._is_cold, extent.file)
        came = partial(self._came, client, self._go_on)
        try:
            handle = self._files.handle(extent.file)
        except UnusableError as error:
            raise WebrootError(str(error)) from error
        if extent.length > UNSENT_BYTES and client not in self._limited:
            self._limited.add(client)
            _limit_unsent(client.fd, UNSENT_BYTES)
        return Stream(self._reads, handle, offset, extent.offset + extent.length, is_cold, came)

    def _is_cold(self, file: File, start: int, stop: int) -> bool:
        try:
            return self._is_direct or not self._memory.has(file, start, stop - start)
        except OSError:
            return True  # reading it will tell

    def _send_piece(self, client: Client, cursor: Cursor, count: int) -> int:
        stream = self._streams.get(client)
        if stream is None or stream.over:
            return super()._send_piece(client, cursor, count)
        piece = cursor.piece
        if isinstance(piece, Extent):
            return stream.send(client.fd, count)
        return stream.send(client.fd, count, memoryview(piece)[cursor.offset :])

    def _note(self, client: Client, cursor: Cursor) -> None:
        if cursor.plan is not COLD:
            super()._note(client, cursor)

    def _close(self, client: Client) -> None:
        super()._close(client)
        self._limited.discard(client)
        self._large.pop(client, None)
        for reader in (self._streams.pop(client, None), self._fetches.pop(client, None)):
            if reader is not None:
                reader.close()
