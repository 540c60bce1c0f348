"""A worker's bookkeeping, over sockets that only write down what is done with them."""

import errno
import logging
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from unittest.mock import patch

import pytest

from ashttpd.bodies import AT_ONCE_BYTES, WINDOW_BYTES
from ashttpd.complaints import Complaints
from ashttpd.epoll.client import Client
from ashttpd.epoll.extents import send_with_sendfile
from ashttpd.epoll.sockets import HOT, KIND_SHIFT, LAST, Bytes, Event, Kind, Mode
from ashttpd.epoll.worker import Worker
from ashttpd.hot import Hot
from ashttpd.http.connection import Connection, State
from ashttpd.http.dates import Second
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Cursor, Extent, Plan
from ashttpd.show import reason
from fuzz.fakes import FakeFile

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PART = HEAD[:10]


class FakeSockets:
    """Plays turns: each is a list of calls that may act, and that return the events."""

    def __init__(self) -> None:
        self.script: list[Callable[[], Sequence[Event]]] = []
        self.at_end: Callable[[], None] = lambda: None
        self.came: Bytes = HEAD + b"key"
        self.owned: dict[int, Mode] = {}
        self.sends: list[list[int]] = []
        self.dropped: list[int] = []
        self.sent: list[bytes] = []
        self.pours: list[tuple[int, int, int, int]] = []
        self.left: dict[int, int] = {}
        self._plans: list[Plan] = []
        self.hot_flag = HOT
        self.last_answer = 0.0
        self.activities: dict[int, int] = defaultdict(int)
        self.forgotten: list[int] = []
        self.hot = Hot([0], self.activities, self.forgotten.append, Limits().idle_seconds)

    def __len__(self) -> int:
        return len(self.owned)

    def add(self, fds: Sequence[int], mode: Mode) -> int:
        self.owned.update(dict.fromkeys(fds, mode))
        return len(fds)

    def forget(self, fd: int) -> None:
        del self.owned[fd]

    def watch(self, fd: int, mode: Mode) -> None:
        self.owned[fd] = mode

    def pour(self, fd: int, file: int, offset: int, length: int) -> None:
        self.pours.append((fd, file, offset, length))

    def poured(self, fd: int) -> int:
        return self.left.pop(fd, 0)

    def wake_by(self, eventfd: int) -> None:
        pass

    def queue(self, sends: list[int], plans: list[Plan]) -> None:
        self.sends.append(sends)
        self._plans = plans

    def queued(self, number: int) -> Plan:
        return self._plans[number]

    def turn(self, timeout: float) -> Sequence[Event]:
        if self.script:
            return self.script.pop(0)()
        self.at_end()
        return []

    def send(self, fd: int, data: bytes, offset: int) -> int:
        self.sent.append(data[offset:])
        return len(data) - offset

    def shutdown(self, fd: int) -> None:
        raise AssertionError("no test lets a connection linger")

    def unsent(self, fd: int) -> int:
        return 0

    def peer(self, fd: int) -> str:
        return "-"

    def drop(self, fd: int) -> None:
        del self.owned[fd]
        self.dropped.append(fd)

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


class FakeAnswers:
    """Gives one plan, or fails; perhaps as one that was made for this second already."""

    def __init__(self, plan: Plan | None, made: Mapping[bytes, Plan] | None = None) -> None:
        self._plan = plan
        self._made = made or {}

    def _find(self, key: bytes, second: Second) -> Plan:
        assert self._plan is not None, "a fault of our own"
        return self._plan

    @property
    def find(self) -> Callable[[bytes, Second], Plan]:
        return self._find

    @property
    def plans(self) -> Callable[[Second], Mapping[bytes, Plan]]:
        return lambda _second: self._made


def small(*, close: bool = False) -> Plan:
    return Plan(b"answer", (), 6, 0, 200, close, False)


def large() -> Plan:
    length = AT_ONCE_BYTES + 1
    return Plan(b"head", (Extent(FakeFile(), 0, length),), 4 + length, length, 200, False, False)


def make_worker(plan: Plan | None) -> tuple[Worker, FakeSockets]:
    sockets = FakeSockets()
    worker = Worker(sockets, FakeAnswers(plan), Limits(), send_with_sendfile, None, Complaints())
    sockets.at_end = lambda: worker.drain(0)
    return worker, sockets


def head(fd: int) -> Event:
    return (fd, 0, len(HEAD), 3)


def event(kind: Kind, fd: int, start: int = 0, length: int = 0, last: int = 0) -> Event:
    return (kind << KIND_SHIFT | fd, start, length, last)


def test_an_answer_that_closes_its_connection_leaves_with_the_queue() -> None:
    worker, sockets = make_worker(small(close=True))
    worker.adopt([5])
    sockets.script = [lambda: [head(5)]]
    worker.run()
    assert sockets.sends[0][0] == 5 | LAST
    assert not worker.clients


def test_the_number_of_a_socket_that_has_left_may_be_another_ones_at_once() -> None:
    worker, sockets = make_worker(small(close=True))
    worker.adopt([5])

    new: list[Client] = []

    def left_and_taken_again() -> list[Event]:
        worker.adopt([5])
        new.append(worker.clients[5])
        return [event(Kind.DATA, 5, 0, len(PART))]

    def is_the_new_one() -> list[Event]:
        assert worker.clients[5] is new[0]
        assert new[0].connection.state is State.READING
        return []

    sockets.script = [lambda: [head(5)], left_and_taken_again, is_the_new_one]
    worker.run()
    assert not sockets.script


def test_an_answer_that_did_not_leave_wholly_is_finished_and_then_closed() -> None:
    worker, sockets = make_worker(small(close=True))
    worker.adopt([5])
    sockets.script = [lambda: [head(5)], lambda: [event(Kind.SHORT, 5, 0, 2)]]
    worker.run()
    assert sockets.dropped == [5]
    assert not worker.clients


def test_every_answer_is_counted_once_also_one_that_falls_short() -> None:
    worker, sockets = make_worker(small())
    worker.adopt([5])
    counts: list[int] = []

    def counted(*events: Event) -> Callable[[], Sequence[Event]]:
        def turn() -> Sequence[Event]:
            counts.append(worker.clients[5].connection.requests)
            return events

        return turn

    short = event(Kind.SHORT, 5, 0, 2)
    part, rest = event(Kind.DATA, 5, 0, 10), event(Kind.DATA, 5, 10, len(HEAD) - 10)
    sockets.script = [counted(head(5)), counted(short), counted(part), counted(rest), counted()]
    worker.run()
    assert counts == [0, 1, 1, 1, 2]


def test_who_is_idle_makes_room_and_whose_answer_is_queued_does_not() -> None:
    worker, sockets = make_worker(small())
    worker.adopt([5, 6])

    def make_room() -> list[Event]:
        worker.close_idle(worker.clients[5].connection.deadline - Limits().head_seconds)
        return [head(6)]

    def only_one_is_left() -> list[Event]:
        assert list(worker.clients) == [6]
        assert sockets.dropped == [5]
        return []

    sockets.script = [make_room, only_one_is_left]
    worker.run()
    assert not sockets.script


def test_a_queued_answer_keeps_its_connection_where_the_acceptor_is_a_whole_lookup_ahead() -> None:
    worker, sockets = make_worker(small())
    worker.adopt([5, 6, 7])

    def make_room() -> list[Event]:
        # The lookups of a turn may wait for a disk; the acceptor, by its own clock, then finds
        # connections idle that were answered when the turn began.
        worker.close_idle(worker.clients[5].connection.deadline + 3600)
        return [head(6), head(7)]

    def those_with_an_answer_are_left() -> list[Event]:
        assert list(worker.clients) == [6, 7]
        assert sockets.dropped == [5]
        return []

    sockets.script = [make_room, those_with_an_answer_are_left]
    worker.run()
    assert not sockets.script


def test_a_busy_connection_that_had_its_share_of_requests_is_told_though_an_answer_is_queued() -> (
    None
):
    sockets = FakeSockets()
    limits = Limits(max_requests=2)
    answers = FakeAnswers(small())
    worker = Worker(sockets, answers, limits, send_with_sendfile, None, Complaints())
    worker.adopt([5])

    def sweep() -> list[Event]:
        worker.close_idle(0.0)
        return [head(5)]

    def is_scanned_no_more() -> list[Event]:
        assert sockets.owned == {5: Mode.RAW}
        return []

    sockets.script = [sweep, is_scanned_no_more]
    sockets.at_end = lambda: worker.drain(0)
    worker.run()
    assert not sockets.script


def test_a_fault_of_our_own_costs_one_connection_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker, sockets = make_worker(None)
    worker.adopt([5, 6])

    def other_is_served() -> list[Event]:
        assert list(worker.clients) == [6]
        return []

    sockets.script = [lambda: [head(5)], other_is_served]
    with caplog.at_level(logging.ERROR):
        worker.run()
    assert sockets.dropped[0] == 5
    assert not sockets.script
    assert "this is a bug of ashttpd" in caplog.text


def test_a_large_body_is_handed_over_once_to_the_worker_with_the_fewest() -> None:
    worker, sockets = make_worker(large())
    other, other_sockets = make_worker(large())
    pool = (worker, other)
    worker.join(pool)
    other.join(pool)
    worker.adopt([5, 6])

    def is_gone() -> list[Event]:
        assert list(worker.clients) == [6]
        return []

    sockets.script = [lambda: [head(5)], is_gone]
    worker.run()
    assert not sockets.script
    assert other_sockets.owned == {5: Mode.WRITE}
    assert other.clients[5].handed_over
    assert sockets.dropped == [6]


class Full(FakeSockets):
    """Takes a number of sockets, and then no more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def add(self, fds: Sequence[int], mode: Mode) -> int:
        if len(fds) > self._room:
            raise OSError(errno.ENOSPC, "no room to watch another socket")
        self._room -= len(fds)
        return super().add(fds, mode)


def make_full(*rooms: int) -> list[tuple[Worker, Full]]:
    """Return workers of one pool with room for so many sockets each."""
    answers, limits, complaints = FakeAnswers(large()), Limits(), Complaints()
    made = []
    for room in rooms:
        sockets = Full(room)
        worker = Worker(sockets, answers, limits, send_with_sendfile, None, complaints)
        sockets.at_end = partial(worker.drain, 0)
        made.append((worker, sockets))
    for worker, _sockets in made:
        worker.join([worker for worker, _sockets in made])
    return made


def test_a_client_that_the_other_worker_cannot_have_stays_where_it_was() -> None:
    (worker, sockets), (other, other_sockets) = make_full(2, 0)
    worker.adopt([5])
    sockets.script = [lambda: [head(5)]]
    worker.run()
    assert list(worker.clients) == [5]
    assert sockets.owned == {5: Mode.WRITE}
    assert not other.clients
    assert not other_sockets.owned


def test_a_client_that_no_worker_can_have_any_more_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    near, peer = socket.socketpair()
    (worker, sockets), (other, _other_sockets) = make_full(1, 0)
    fd = near.detach()
    worker.adopt([fd])
    sockets.script = [lambda: [head(fd)]]
    worker.run()
    assert not worker.clients
    assert not other.clients
    assert not sockets.owned
    with peer:
        peer.settimeout(20)
        assert peer.recv(1) == b"", "its descriptor is closed"
    assert caplog.messages == [
        "a client cannot be handed to a worker: no room to watch another socket"
    ]


def test_whoever_leaves_with_the_next_turn_is_closed_where_there_is_none() -> None:
    worker, sockets = make_worker(small(close=True))
    worker.adopt([5])

    def fails() -> list[Event]:
        raise OSError(errno.EBADF, "the epoll set is gone")

    sockets.script = [lambda: [head(5)], fails]
    with pytest.raises(OSError, match="gone"):
        worker.run()
    assert not worker.clients
    worker.close()
    assert sockets.dropped == [5]


def test_sockets_of_which_none_could_be_watched_are_no_clients() -> None:
    [(worker, _sockets)] = make_full(1)
    with pytest.raises(OSError, match="no room"):
        worker.adopt([5, 6])
    assert not worker.clients


@pytest.mark.parametrize("error", [OSError(errno.ENOMEM, "no memory"), ValueError("a bug")])
def test_what_fails_for_every_request_is_logged_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    worker, sockets = make_worker(None)
    fds = list(range(5, 25))
    worker.adopt(fds)
    sockets.script = [lambda: [head(fd) for fd in fds]]
    with patch.object(FakeAnswers, "_find", side_effect=error):
        worker.run()
    assert sockets.dropped == fds
    assert len(caplog.records) == 1
    assert reason(error) in caplog.text


def test_sockets_that_could_not_be_watched_are_left_to_who_brought_them() -> None:
    worker, sockets = make_worker(small())
    sockets.add = lambda fds, mode: 1  # type: ignore[method-assign]  # the second one fails
    assert worker.adopt([5, 6]) == 1
    assert list(worker.clients) == [5]


def test_what_was_asked_before_is_sent_hot_and_kept_until_it_may_not_be_sent_any_more() -> None:
    sockets = FakeSockets()
    plan = small()
    source = FakeAnswers(small(close=True), {b"key": plan})
    worker = Worker(sockets, source, Limits(), send_with_sendfile, None, Complaints())
    worker.adopt([5])

    def is_hot() -> list[Event]:
        assert sockets.sends[-1] == [5 | HOT, id(plan.head), plan.size]
        assert worker.clients[5].connection.requests == 1
        # Meanwhile two more have left, and the sites have changed.
        sockets.activities[10], sockets.activities[11] = 2, 10**15
        worker.distrust()
        return [event(Kind.SHORT, 5, 0, 2, 1)]

    def is_finished() -> list[Event]:
        connection = worker.clients[5].connection
        assert connection.requests == 3
        assert len(sockets.forgotten) == 2
        return []

    sockets.script = [lambda: [head(5)], is_hot, is_finished]
    sockets.at_end = lambda: worker.drain(0)
    worker.run()
    assert not sockets.script
    assert sockets.hot.sent == []
    assert sockets.forgotten[-1] == 0, "what is sent while draining is not sent by itself"


def test_a_hot_answer_that_falls_short_is_never_taken_for_that_of_a_socket_that_has_left() -> None:
    sockets = FakeSockets()
    source = FakeAnswers(small(close=True), {b"hot": small()})
    sockets.came = HEAD + b"keyhot"
    worker = Worker(sockets, source, Limits(), send_with_sendfile, None, Complaints())
    worker.adopt([5, 6])
    new: list[Client] = []

    def left_and_taken_again() -> list[Event]:
        worker.adopt([5])
        new.append(worker.clients[5])
        return [event(Kind.SHORT, 5, 0, 2, 1)]

    def is_the_new_one() -> list[Event]:
        assert worker.clients[5] is new[0]
        return []

    hot_head = (6, 3, len(HEAD), 3)  # its key lies behind that of the other
    sockets.script = [lambda: [hot_head, head(5)], left_and_taken_again, is_the_new_one]
    sockets.at_end = lambda: worker.drain(0)
    worker.run()
    assert not sockets.script


def test_what_leaves_without_a_word_is_taken_into_account() -> None:
    # More than the window that is sent first.
    length = 2 * WINDOW_BYTES
    plan = Plan(b"head", (Extent(FakeFile(), 0, length),), 4 + length, length, 200, False, False)
    worker, sockets = make_worker(plan)
    worker.adopt([5])

    def is_poured() -> list[Event]:
        assert sockets.owned == {5: Mode.WRITE}
        assert sockets.pours == [(5, -1, 1000, length - 1000)]
        sockets.left[5] = length - 3000
        return [event(Kind.WRITABLE, 5)]

    def is_told() -> list[Event]:
        send.assert_called_with(5, -1, length - 2000, 2000)
        assert sockets.pours[1:] == [(5, -1, length - 1000, 1000)]
        sockets.left[5] = 1000
        return [event(Kind.WRITABLE, 5)]

    def is_through() -> list[Event]:
        assert sockets.owned == {5: Mode.HEADS}
        return []

    sockets.script = [lambda: [head(5)], is_poured, is_told, is_through]
    with patch("os.sendfile", return_value=1000) as send:
        worker.run()
    assert not sockets.script


def test_nothing_is_sent_by_itself_of_a_file_that_was_overwritten() -> None:
    worker, sockets = make_worker(small())
    extent = Extent(FakeFile(revoked=True), 0, 10)
    client = Client(5, Connection(worker._scan, FakeAnswers(None), Limits(), 0.0))
    cursor = Cursor(Plan(b"head", (extent,), 14, 10, 200, False, False), 4)
    assert worker._pourable(client, extent, cursor) == 0
    assert worker._pourable(client, Extent(FakeFile(), 0, 10), cursor) == 10
    assert not sockets.pours
