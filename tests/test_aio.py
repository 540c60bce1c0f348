"""The queue and the reads of the aio engine alone: files, buffers, and what goes wrong there."""

import errno
import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import cast
from unittest.mock import Mock, patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ashttpd.aio.files import REMEMBER_SECONDS, Files, Handle, Io, Memory, open_direct
from ashttpd.aio.loop import HURRIED_LATE, Loop
from ashttpd.aio.queue import BUFFER_BYTES, Queue, cached_pages
from ashttpd.aio.reads import AHEAD, SHORT_BYTES, Chunk, Fetch, Reads, Stream
from ashttpd.aio.warmer import Warmer
from ashttpd.cold import Late
from ashttpd.complaints import Complaints
from ashttpd.engine import EngineThread, HotSource
from ashttpd.epoll.client import Client
from ashttpd.epoll.sockets import KIND_SHIFT, Event, Kind, Mode
from ashttpd.epoll.worker import Worker
from ashttpd.http.connection import Connection
from ashttpd.http.dates import Second
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Extent, File, Plan
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import ColdError, Webroot
from tests.conftest import lack_of_aio, lack_of_direct
from tests.servers import eventually, skip_for_lack
from tests.test_worker import HEAD, FakeSockets

SIZE = 5 * BUFFER_BYTES + 1234
CONTENT = random.Random(3).randbytes(SIZE)


class OpenFile:
    """A file as a plan has it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.fd = os.open(path, os.O_RDONLY)
        self.revoked = False


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenFile]:
    path = tmp_path_factory.mktemp("aio") / "file"
    path.write_bytes(CONTENT)
    opened = OpenFile(path)
    yield opened
    os.close(opened.fd)


@pytest.fixture(params=Io, ids=lambda io: io.value)
def handle(file: OpenFile, request: pytest.FixtureRequest) -> Handle:
    if request.param is Io.DIRECT and (lack := lack_of_direct()):
        skip_for_lack(lack)
    return Files(request.param).handle(file)


@pytest.fixture
def queue() -> Iterator[Queue]:
    if lack := lack_of_aio():
        skip_for_lack(lack)
    opened = Queue(buffers=4)
    yield opened
    opened.close()


def bring_nothing(file: File, offset: int, length: int) -> None:
    raise AssertionError(f"{length} bytes at {offset} of {file} are not worth it")


class Receiver:
    """A socket that a stream sends to, and all that came at its other end."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.came = bytearray()

    def take(self) -> bool:
        """Take what is there; returns whether it was anything."""
        try:
            self.came += self.far.recv(1 << 20)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Pump:
    """Turns reads and streams as the loop does."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.reads = Reads(queue)
        self.streams: dict[Stream, Receiver] = {}
        # Streams whose peers take nothing.
        self.slow: set[Stream] = set()

    def open(self, handle: Handle, start: int, stop: int) -> Stream:
        stream = Stream(self.reads, handle, start, stop, lambda _start, _stop: True, lambda: None)
        self.streams[stream] = Receiver()
        return stream

    def turn(self) -> None:
        self.queue.submit()
        for reader in self.reads.reap():
            if not reader.closed:
                reader.came()
        for stream, receiver in self.streams.items():
            try:
                while not stream.closed and not stream.over and (ready := stream.ready):
                    self.reads.unpark(stream)
                    stream.send(receiver.near.fileno(), ready)
            except BlockingIOError:
                self.reads.park(stream)
            if stream not in self.slow:
                receiver.take()

    def finish(self, *streams: Stream) -> None:
        def is_over() -> bool:
            self.turn()
            return all(stream.over for stream in streams)

        eventually(is_over)
        for stream in streams:
            while self.streams[stream].take():
                pass

    def close(self) -> None:
        for stream, receiver in self.streams.items():
            stream.close()
            receiver.close()
        self.streams.clear()

        def is_idle() -> bool:
            self.turn()
            return self.queue.in_flight == 0 and not self.queue.waiting

        eventually(is_idle)
        assert sorted(self.reads._free) == list(range(self.queue.buffers)), "a buffer is lost"


@pytest.fixture
def pump(queue: Queue) -> Iterator[Pump]:
    made = Pump(queue)
    yield made
    made.close()


def read(queue: Queue, count: int) -> dict[int, int]:
    """Submit what was noted, and return the results of so many reads by buffer."""
    results: dict[int, int] = {}

    def is_complete() -> bool:
        queue.submit()
        results.update(queue.reap())
        return len(results) == count

    eventually(is_complete)
    return results


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_part_of_a_file_is_streamed_exactly(
    pump: Pump, handle: Handle, data: st.DataObject
) -> None:
    edges = [0, 1, 511, 512, 4095, 4096, BUFFER_BYTES - 1, BUFFER_BYTES, SIZE - 1]
    place = st.one_of(st.sampled_from(edges), st.integers(0, SIZE - 1))
    start = data.draw(place)
    stop = data.draw(st.one_of(st.just(SIZE), st.integers(start + 1, SIZE)))
    stream = pump.open(handle, start, stop)
    pump.finish(stream)
    assert pump.streams[stream].came == CONTENT[start:stop]


def test_many_streams_share_few_buffers_and_each_gets_its_own_bytes(
    pump: Pump, handle: Handle
) -> None:
    starts = range(0, SIZE - 1, 50_000)
    streams = [pump.open(handle, start, SIZE) for start in starts]
    pump.finish(*streams)
    for stream, start in zip(streams, starts, strict=True):
        assert pump.streams[stream].came == CONTENT[start:]


def test_peers_that_take_nothing_hold_no_buffer_that_others_want(
    pump: Pump, handle: Handle
) -> None:
    slow = [pump.open(handle, 0, SIZE) for _ in range(20)]
    pump.slow.update(slow)
    for _ in range(20):
        pump.turn()
    quick = [pump.open(handle, 7, SIZE) for _ in range(3)]
    pump.finish(*quick)
    for stream in quick:
        assert pump.streams[stream].came == CONTENT[7:]
    pump.slow.clear()
    pump.finish(*slow)
    for stream in slow:
        assert pump.streams[stream].came == CONTENT


def test_a_stream_reads_as_far_ahead_as_its_peer_takes(file: OpenFile) -> None:
    if lack := lack_of_aio():
        skip_for_lack(lack)
    with closing(Queue(buffers=2 * AHEAD)) as queue, closing(Pump(queue)) as pump:
        stream = pump.open(Files(Io.BUFFERED).handle(file), 0, SIZE)
        pump.slow.add(stream)
        assert len(stream._chunks) == 1
        # As much as a socket takes that nobody reads.
        most = 0

        def is_parked() -> bool:
            pump.turn()
            return stream in pump.reads._parked

        eventually(is_parked)
        assert len(stream._chunks) < AHEAD
        pump.slow.clear()

        def is_over() -> bool:
            nonlocal most
            pump.turn()
            most = max(most, len(stream._chunks))
            return stream.over

        eventually(is_over)
        assert most == AHEAD


def test_a_short_stream_reads_all_of_it_at_once(pump: Pump, handle: Handle) -> None:
    stream = pump.open(handle, 0, SHORT_BYTES)
    assert sum(chunk.stop - chunk.start for chunk in stream._chunks) == SHORT_BYTES


@pytest.mark.parametrize("count", [1, 6, 7, 8, 1000, 6000])
def test_bytes_before_a_part_of_a_file_leave_with_it(
    queue: Queue, handle: Handle, count: int
) -> None:
    before, stop = memoryview(b"before:"), 5010
    reads, receiver = Reads(queue), Receiver()
    stream = Stream(reads, handle, 10, stop, lambda _start, _stop: True, lambda: None)
    queue.submit()
    eventually(lambda: bool(reads.reap()))
    while not stream.over:
        wanted = min(count, len(before) + stream.ready)
        sent = stream.send(receiver.near.fileno(), count, before)
        # A part and what is before it are one write, so one of them wakes the peer.
        assert sent == wanted
        before = before[sent:]
        receiver.take()
    assert receiver.came == b"before:" + CONTENT[10:stop]
    assert len(reads._free) == queue.buffers
    receiver.close()


class Asker:
    """Wants a buffer once, notes whether another one had its turn before, and reads nothing."""

    closed = False

    def __init__(self, notes: list[bool], looks: Callable[[], bool]) -> None:
        self.notes = notes
        self.looks = looks

    def give(self, _buffer: int) -> Chunk | None:
        self.notes.append(self.looks())
        return None

    def came(self) -> None:
        raise AssertionError("nothing was read")

    def yield_up(self) -> list[int]:
        return []


def test_a_stream_goes_on_where_it_cannot_be_told_what_of_the_file_is_in_memory(
    queue: Queue, file: OpenFile
) -> None:
    loop = make_loop(FakeSockets(), NoAnswers(), queue)
    handle = Files(Io.AUTO).handle(file)
    failing = OSError(errno.EIO, os.strerror(errno.EIO))
    with (
        closing(Pump(queue)) as pump,
        patch("ashttpd.aio.files.cached_pages", side_effect=failing),
        patch("os.preadv", side_effect=failing),
    ):
        is_cold = partial(loop._is_cold, file)
        stream = Stream(pump.reads, handle, 0, SIZE, is_cold, lambda: None)
        pump.streams[stream] = Receiver()
        pump.finish(stream)
        assert pump.streams[stream].came == CONTENT


def test_a_reader_that_fails_costs_no_buffer_and_holds_up_no_other_one(
    pump: Pump, handle: Handle
) -> None:
    def fails() -> bool:
        raise ValueError("a fault of a test")

    with pytest.raises(ValueError, match="a fault"):
        pump.reads.want(Asker([], fails), is_long=False)
    stream = pump.open(handle, 0, SIZE)
    pump.finish(stream)
    assert pump.streams[stream].came == CONTENT


def test_an_answer_whose_file_cannot_be_opened_to_be_fetched_from_is_read_as_usual(
    queue: Queue, file: OpenFile, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = FakeSockets()
    loop = make_loop(sockets, ColdOnce(file), queue)
    loop.adopt([5])
    failing = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    with patch.object(Files, "handle", side_effect=failing), patch("os.sendfile"):
        sockets.script = [lambda: [(5, 0, len(HEAD), 3)], list, list]
        sockets.at_end = lambda: loop.drain(0.0)
        loop.run()
    assert caplog.messages == ["cannot read past the kernel's memory: Too many open files"]
    assert sockets.sent == [b"answer"]


@pytest.mark.parametrize(("size", "goes_first"), [(SHORT_BYTES, True), (SHORT_BYTES + 1, False)])
def test_who_has_little_to_read_goes_before_those_who_have_much(
    pump: Pump, handle: Handle, size: int, goes_first: bool
) -> None:
    busy = [pump.open(handle, 0, BUFFER_BYTES) for _ in range(pump.queue.buffers)]
    notes: list[bool] = []
    streams: list[Stream] = []
    for _ in range(40):
        pump.reads.want(Asker(notes, lambda: streams[0]._read > 0), is_long=True)
    streams.append(pump.open(handle, 0, size))
    pump.finish(*busy, *streams)
    assert len(notes) == 40
    # One in four reads is for the others.
    assert (notes.count(False) <= 1) == goes_first


def test_a_stream_ends_where_the_rest_is_in_memory(pump: Pump, handle: Handle) -> None:
    stop = 2 * BUFFER_BYTES - 10 % handle.alignment
    stream = Stream(pump.reads, handle, 10, SIZE, lambda start, _stop: start < stop, lambda: None)
    pump.streams[stream] = Receiver()
    pump.finish(stream)
    came = pump.streams[stream].came
    assert came == CONTENT[10 : 10 + len(came)]
    assert stop <= 10 + len(came) < stop + BUFFER_BYTES


def test_a_stream_that_is_closed_while_it_reads_gives_every_buffer_back(
    pump: Pump, handle: Handle
) -> None:
    for _ in range(30):
        stream = pump.open(handle, 0, SIZE)
        pump.queue.submit()
        stream.close()
    last = pump.open(handle, 0, SIZE)
    pump.finish(last)
    assert pump.streams[last].came == CONTENT


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (5, 4000), (4090, 20), (65_000, 65_536), (SIZE - 3, 3)]
)
def test_a_small_part_is_fetched_from_its_offset_on(
    queue: Queue, handle: Handle, offset: int, length: int
) -> None:
    reads = Reads(queue)
    fetch = Fetch(reads, handle, offset, length, lambda: None)

    def has_come() -> bool:
        queue.submit()
        return reads.reap() == [fetch]

    eventually(has_come)
    data = fetch.take()
    assert len(data) >= length
    assert data == CONTENT[offset : offset + len(data)]
    assert len(reads._free) == queue.buffers


def test_a_file_that_ends_before_is_named_with_the_place(queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(CONTENT[:10_000])
    short = OpenFile(path)
    for io in (Io.AUTO, Io.BUFFERED):
        pump = Pump(queue)
        stream = pump.open(Files(io).handle(short), 5_000, 20_000)
        with pytest.raises(WebrootError, match=r"/short: the bytes at \d+ cannot be read: the"):
            pump.finish(stream)
        pump.close()
    os.close(short.fd)


def test_a_read_that_the_kernel_refuses_fails_alone(queue: Queue, file: OpenFile) -> None:
    closed = os.dup(file.fd)
    os.close(closed)
    for buffer, fd in enumerate((file.fd, closed, file.fd, -1)):
        queue.read(buffer, 0, fd, 0, 4096)
    assert read(queue, 4) == {0: 4096, 1: -errno.EBADF, 2: 4096, 3: -errno.EBADF}
    assert bytes(queue.memory[2 * BUFFER_BYTES :][:4096]) == CONTENT[:4096]
    assert queue.in_flight == 0


def test_what_the_kernel_has_no_room_for_is_read_later(file: OpenFile) -> None:
    if lack := lack_of_aio():
        skip_for_lack(lack)
    # The kernel rounds up to a few hundred at most.
    queue = Queue(buffers=2000, depth=1)
    for buffer in range(queue.buffers):
        queue.read(buffer, 0, file.fd, buffer, 10)
    queue.submit()
    assert queue.waiting
    assert 0 < queue.in_flight < queue.buffers
    assert read(queue, queue.buffers) == dict.fromkeys(range(queue.buffers), 10)
    for buffer in range(queue.buffers):
        start = buffer * BUFFER_BYTES
        assert bytes(queue.memory[start : start + 10]) == CONTENT[buffer : buffer + 10]
    queue.close()


def test_a_queue_that_is_closed_with_reads_under_way_leaves_nothing_behind(
    file: OpenFile,
) -> None:
    if lack := lack_of_aio():
        skip_for_lack(lack)
    before = os.listdir("/proc/self/fd")
    for _ in range(10):
        queue = Queue(buffers=8)
        for buffer in range(8):
            queue.read(buffer, 0, file.fd, 0, BUFFER_BYTES)
        queue.submit()
        queue.close()
    assert os.listdir("/proc/self/fd") == before


def test_a_handle_is_closed_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    files = Files(Io.AUTO)
    file = OpenFile(path)
    link = os.readlink(f"/proc/self/fd/{files.handle(file).fd}")
    assert link == str(path)
    os.close(file.fd)
    del file
    assert link not in {_link(number) for number in os.listdir("/proc/self/fd")}


def _link(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        return ""


def test_what_was_thrown_out_of_memory_is_not_there_and_looking_brings_nothing_in(
    tmp_path: Path,
) -> None:
    if lack := lack_of_direct():
        skip_for_lack(lack)
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    file = OpenFile(path)
    extent = Extent(file, 100, SIZE - 100)
    memory = Memory(bring_nothing)
    assert memory.run(extent, 500, SIZE - 600) == SIZE - 600
    open_direct(file)  # has it written
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert memory.has(file, 100, BUFFER_BYTES), "what was found is believed for a second"
    memory.renew(1)
    for _ in range(3):
        assert memory.run(extent, 500, SIZE - 600) == 0
        assert cached_pages(file.fd, 0, SIZE) == 0
    os.pread(file.fd, 2 * BUFFER_BYTES, 0)
    assert memory.has(file, 100, BUFFER_BYTES)
    os.close(file.fd)


def test_what_was_missed_is_looked_at_by_reading_it_once_and_then_counted(tmp_path: Path) -> None:
    if lack := lack_of_direct():
        skip_for_lack(lack)
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    file = OpenFile(path)
    try:
        cached_pages(file.fd, 0, 1)
    except OSError as error:
        skip_for_lack(f"cachestat: {error}")
    open_direct(file)  # has it written
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    memory = Memory(bring_nothing)
    assert not memory.has(file, 0, BUFFER_BYTES)
    os.pread(file.fd, 2 * BUFFER_BYTES, 0)
    with patch("os.preadv", wraps=os.preadv) as looks:
        for second in range(1, 4):
            memory.renew(second)
            assert memory.has(file, 0, BUFFER_BYTES)
            assert looks.call_count == 1
    os.close(file.fd)


def test_what_is_missed_again_later_is_brought_in_and_what_was_long_ago_is_not(
    tmp_path: Path,
) -> None:
    if lack := lack_of_direct():
        skip_for_lack(lack)
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    file = OpenFile(path)
    warmer = Warmer()
    memory = Memory(warmer.bring_in)
    assert memory.has(file, 0, 1)
    open_direct(file)  # has it written
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for second in (100, 100 + 2 * REMEMBER_SECONDS, 100 + 4 * REMEMBER_SECONDS):
        memory.renew(second - REMEMBER_SECONDS)
        memory.renew(second)
        assert not memory.has(file, 0, BUFFER_BYTES)
        assert cached_pages(file.fd, 0, SIZE) == 0
    memory.renew(101 + 4 * REMEMBER_SECONDS)
    assert not memory.has(file, 0, BUFFER_BYTES)
    warming = EngineThread("warmer", warmer.run)
    warming.start()
    eventually(lambda: memory.has(file, 0, BUFFER_BYTES))
    warmer.stop()
    warming.finish()
    assert not memory.has(file, BUFFER_BYTES, BUFFER_BYTES)
    os.close(file.fd)


def make_loop(
    sockets: FakeSockets,
    source: HotSource,
    queue: Queue,
    bring_in: Callable[[File, int, int], None] = lambda _file, _offset, _length: None,
) -> Loop:
    """Return a loop of this queue that reads files as it likes."""
    return Loop(sockets, source, Limits(), None, queue, Files(Io.AUTO), bring_in, Complaints())


class NoAnswers:
    """A source that nobody asks."""

    def find(self, key: bytes, second: Second) -> Plan:
        raise AssertionError(f"asked for {key!r} in {second}")

    def plans(self, _second: Second) -> dict[bytes, Plan]:
        return {}


def test_what_was_read_is_acted_on_behind_the_news_of_sockets(queue: Queue) -> None:
    # Acting on it may close sockets. Their numbers can be those of new ones at once, which would
    # then get what the old ones' news in the same turn says.
    sockets = FakeSockets()
    loop = make_loop(sockets, NoAnswers(), queue, bring_nothing)
    order: list[str] = []

    def reap(_reads: Reads) -> list[Stream]:
        order.append("reads")
        return []

    with (
        patch.object(Reads, "reap", reap),
        patch.object(Worker, "_give_up", lambda _self, _client: order.append("end")),
    ):
        loop.adopt([7])
        news = [(Kind.WAKE, queue.eventfd), (Kind.END, 7)]
        sockets.script = [lambda: [(kind << KIND_SHIFT | fd, 0, 0, 0) for kind, fd in news]]
        sockets.at_end = lambda: loop.drain(0.0)
        loop.run()
    assert order[:2] == ["end", "reads"]
    loop.clients.clear()


class ColdOnce:
    """Gives an answer whose bytes are not in memory when it is asked for first."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._asked = 0

    def find(self, key: bytes, second: Second) -> Plan:
        self._asked += 1
        if self._asked == 1:
            raise ColdError(cast("Webroot", self._file), 0, 10)
        return Plan(b"answer", (), 6, 0, 200, False, False)

    def plans(self, _second: Second) -> dict[bytes, Plan]:
        return {}


class TwoAnswers:
    """Gives a large answer for the key `large`, and a small one for any other."""

    def __init__(self, file: File) -> None:
        body = Extent(file, 0, SIZE)
        self._large = Plan(b"head", (body,), 4 + SIZE, SIZE, 200, False, False)
        self._small = Plan(b"answer", (), 6, 0, 200, False, False)

    def find(self, key: bytes, _second: Second) -> Plan:
        return self._large if key == b"large" else self._small

    def plans(self, _second: Second) -> dict[bytes, Plan]:
        return {}


def test_small_answers_leave_first_and_who_waits_for_a_large_one_is_not_heard_meanwhile(
    queue: Queue, file: OpenFile
) -> None:
    sockets = FakeSockets()
    sockets.came = HEAD + b"large" + HEAD + b"small"
    loop = make_loop(sockets, TwoAnswers(file), queue)
    receiver, other = Receiver(), Receiver()
    large, small = receiver.near.fileno(), other.near.fileno()
    loop.adopt([large, small])
    seen: list[tuple[Mode, int]] = []

    def look() -> list[Event]:
        receiver.take()
        seen.append((sockets.owned[large], len(receiver.came)))
        return []

    sockets.script = [
        lambda: [(large, 0, len(HEAD), 5), (small, len(HEAD) + 5, len(HEAD), 5)],
        look,
    ]
    sockets.at_end = lambda: loop.drain(0.0)
    loop.run()
    # The small answer is queued by the first turn, and leaves with the second.
    assert sockets.sends[0][0] == small
    assert seen == [(Mode.PAUSED, 0)]
    receiver.take()
    assert receiver.came
    loop.clients.clear()
    receiver.close()
    other.close()


def test_answers_off_the_disk_are_made_few_at_a_time_while_others_ask_for_small_ones(
    queue: Queue, file: OpenFile
) -> None:
    source, limits = TwoAnswers(file), Limits()
    loop = make_loop(FakeSockets(), source, queue)
    answered: list[Client] = []
    clients = [Client(fd, Connection(loop._scan, source, limits, 0.0)) for fd in range(9)]
    late = Mock(spec=Late)
    for client in clients:
        client.mode = Mode.PAUSED
        loop._fetches[client] = Fetch(loop._reads, Files(Io.AUTO).handle(file), 0, 1, lambda: None)
        loop._fetched.append((client, late))
    del loop._fetches[clients[0]]  # it is gone
    with patch.object(loop, "_answer_with", lambda client, late: answered.append(client)):
        loop._answer_late(hurry=True)
        assert answered == clients[1:HURRIED_LATE]
        loop._answer_late(hurry=False)
    assert answered == clients[1:]
    assert not loop._fetched


@pytest.mark.parametrize(
    ("hurry", "steps"),
    [(True, [["late"], ["large"], ["late"], ["large"]]), (False, 4 * [["late", "large"]])],
    ids=["hurry", "leisure"],
)
def test_nobody_who_asks_for_a_small_answer_waits_for_late_and_for_large_ones(
    queue: Queue, file: OpenFile, hurry: bool, steps: list[list[str]]
) -> None:
    source, limits = TwoAnswers(file), Limits()
    loop = make_loop(FakeSockets(), source, queue)
    client = Client(7, Connection(loop._scan, source, limits, 0.0))
    loop._fetched.append((client, Mock(spec=Late)))
    loop._large[client] = None
    done: list[str] = []
    with (
        patch.object(loop, "_answer_late", lambda hurry: done.append("late")),
        patch.object(loop, "_send_large", lambda hurry: done.append("large")),
    ):
        for step in steps:
            done.clear()
            loop._serve_slow(hurry=hurry)
            assert done == step
