"""One connection: order, persistence, deadlines and ends, for any bytes in any division."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ashttpd.http.connection import TRANSITIONS, Connection, Event, State, Want
from ashttpd.http.limits import Limits
from ashttpd.http.pages import error_page
from ashttpd.http.plan import Plan
from ashttpd.http.respond import refuse
from ashttpd.http.scan import make_scan
from fuzz.fakes import NOW, at, bytewise, connect, echo, talk
from fuzz.strategies import WIRES, heads

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
KEY = b"1k-GET /\nHa\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LAST_KEY = b"1c-GET /\nHa\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
POST_KEY = b"1k-POST /\nHa\n"
# Answered before its body, which may come or not.
WAITING = POST[:-2] + b"Expect: 100-continue\r\n\r\n"
LIMITS = Limits(
    idle_seconds=60,
    head_seconds=10,
    max_requests=6,
    stall_seconds=30,
    min_send_rate=10,
    linger_seconds=5,
    linger_bytes=100,
    body_seconds=20,
    body_bytes=100,
)


def opened() -> Connection:
    return connect(make_scan(), LIMITS)[0]


def answered(step: Plan | Want) -> bytes:
    assert isinstance(step, Plan)
    return step.head


def in_state(state: State) -> Connection:
    """Return a connection that came to a state as a peer would bring it there."""
    connection = opened()
    if state is State.READING:
        connection.feed(HEAD[:9], NOW)
    elif state is State.SKIPPING:
        connection.feed(POST, NOW)
    elif state is State.SENDING:
        connection.feed(HEAD, NOW)
    elif state is State.LINGERING:
        connection.feed(WAITING, NOW)
        connection.sent(NOW)
    elif state is State.CLOSED:
        connection.lost()
    assert connection.state is state
    return connection


def test_the_table_gives_every_state_an_end() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {table[Event.END] for table in TRANSITIONS.values()} == {State.CLOSED}


def test_requests_in_one_piece_are_answered_one_by_one_in_their_order() -> None:
    connection, source = connect(make_scan())
    stream = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(3))
    first = connection.feed(stream, NOW)
    assert answered(first) == b"1k-GET /0\nHa\n"
    assert len(source.keys) == 1
    assert answered(connection.sent(NOW)) == b"1k-GET /1\nHa\n"
    assert answered(connection.sent(NOW)) == b"1k-GET /2\nHa\n"
    assert connection.sent(NOW) is Want.READ
    assert connection.state is State.IDLE


def test_the_head_of_the_current_request_is_kept_for_the_log() -> None:
    connection = opened()
    connection.feed(HEAD + LAST, NOW)
    assert connection.head == HEAD
    connection.sent(NOW)
    assert connection.head == LAST


def test_the_head_of_a_request_that_came_in_parts_is_kept_for_the_log() -> None:
    connection = opened()
    for piece in bytewise(HEAD):
        connection.feed(piece, NOW)
    assert connection.head == HEAD


def test_a_request_that_closes_ends_the_connection_at_once() -> None:
    assert talk(opened(), [LAST]) == ([LAST_KEY], Want.CLOSE)


def test_what_lies_behind_a_request_that_closes_makes_it_linger() -> None:
    connection = opened()
    assert talk(connection, [LAST + HEAD]) == ([LAST_KEY], Want.SHUTDOWN)
    assert connection.state is State.LINGERING


def test_a_request_that_waits_for_100_is_answered_lingers_and_its_body_is_no_request() -> None:
    sent, want = talk(opened(), [WAITING + HEAD, HEAD])
    assert sent == [b"1kePOST /\nHa\nB5\n"]
    assert want is Want.SHUTDOWN


@pytest.mark.parametrize(
    "post",
    [POST + b"GET /", CHUNKED + b"5;x\r\nGET /\r\n0\r\na: b\r\n\r\n"],
    ids=["length", "chunked"],
)
@pytest.mark.parametrize("split", [bytewise, lambda data: [data]], ids=["bytewise", "whole"])
def test_a_body_is_skipped_and_the_request_behind_it_is_answered(
    post: bytes, split: Callable[[bytes], list[bytes]]
) -> None:
    stream = HEAD + post + HEAD + post + LAST
    sent, want = talk(opened(), split(stream))
    assert sent == [KEY, POST_KEY, KEY, POST_KEY, LAST_KEY]
    assert want is Want.CLOSE


def test_the_head_before_a_skipped_body_is_there_for_the_log_and_then_gone() -> None:
    connection = opened()
    connection.feed(POST + b"12", NOW)
    connection.feed(b"345" + HEAD, NOW)
    assert connection.head == POST
    connection.sent(NOW)
    assert connection.head == HEAD


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (POST.replace(b": 5", b": 101"), HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (CHUNKED + b"60\r\n" + b"x" * 97, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (CHUNKED + b"x\r\n", HTTPStatus.BAD_REQUEST),
    ],
)
@pytest.mark.parametrize("split", [bytewise, lambda data: [data]], ids=["bytewise", "whole"])
def test_a_body_too_long_or_malformed_is_refused_and_the_connection_ends(
    stream: bytes, status: HTTPStatus, split: Callable[[bytes], list[bytes]]
) -> None:
    sent, want = talk(opened(), split(stream + HEAD))
    assert sent == [refuse(status).at(NOW.second).head]
    assert want is Want.SHUTDOWN


def test_half_a_body_that_expires_is_answered_with_408() -> None:
    connection = opened()
    connection.feed(POST, at(5))
    connection.feed(b"x", at(20))
    assert connection.deadline == 25
    plan = connection.expired(at(25), 0)
    assert answered(plan) == refuse(HTTPStatus.REQUEST_TIMEOUT).at(NOW.second).head
    assert connection.sent(at(25)) is Want.SHUTDOWN


def test_a_drain_lets_a_body_end_and_closes_behind_its_answer() -> None:
    connection = in_state(State.SKIPPING)
    assert connection.drain() is Want.READ
    assert answered(connection.feed(b"12345", NOW)) == b"1c-POST /\nHa\n"
    assert connection.sent(NOW) is Want.CLOSE


def test_a_lingering_connection_reads_up_to_its_limit_and_not_a_byte_more() -> None:
    connection = in_state(State.LINGERING)
    assert connection.feed(b"x" * 60, NOW) is Want.READ
    assert connection.feed(HEAD + b"x" * (40 - len(HEAD)), NOW) is Want.READ
    assert connection.feed(b"x", NOW) is Want.CLOSE
    assert connection.state is State.CLOSED


def test_a_lingering_connection_gets_no_more_time_by_sending() -> None:
    connection = opened()
    connection.feed(WAITING, at(0))
    connection.sent(at(3))
    assert connection.deadline == 8
    connection.feed(b"x", at(7))
    assert connection.deadline == 8


def test_half_a_head_that_expires_is_answered_with_408_and_lingers() -> None:
    connection = in_state(State.READING)
    plan = connection.expired(at(10), 0)
    assert answered(plan) == refuse(HTTPStatus.REQUEST_TIMEOUT).at(NOW.second).head
    assert connection.sent(at(10)) is Want.SHUTDOWN
    assert connection.feed(HEAD[9:], at(11)) is Want.READ
    assert connection.state is State.LINGERING


@pytest.mark.parametrize(
    "state", [State.IDLE, State.SENDING, State.LINGERING, State.CLOSED], ids=lambda s: s.name
)
def test_any_other_state_that_expires_closes(state: State) -> None:
    connection = in_state(state)
    assert connection.expired(at(100), 0) is Want.CLOSE
    assert connection.state is State.CLOSED


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_a_lost_peer_closes_any_state_and_frees_its_plan(state: State) -> None:
    connection = in_state(state)
    assert connection.lost() is Want.CLOSE
    assert connection.state is State.CLOSED
    assert connection.plan is None
    assert connection.lost() is Want.CLOSE


def test_deadlines_follow_what_is_waited_for() -> None:
    connection = opened()
    assert connection.deadline == 10  # the first head
    connection.feed(HEAD[:5], at(1))
    assert connection.deadline == 11  # a head that has begun
    connection.feed(HEAD[5:20], at(9))
    assert connection.deadline == 11  # slow bytes win no time
    connection.feed(HEAD[20:], at(10))
    assert connection.deadline == 40  # a reader that may stall
    connection.sent(at(50))
    assert connection.deadline == 110  # the next request


def test_a_reader_that_takes_enough_goes_on_and_one_that_takes_less_is_cut_off() -> None:
    connection = in_state(State.SENDING)
    assert connection.deadline == 30
    assert connection.expired(at(30), 1_000) is Want.WAIT
    assert connection.deadline == 60
    assert connection.expired(at(60), 700) is Want.WAIT  # 10 a second for 30 seconds
    assert connection.expired(at(90), 400) is Want.WAIT
    assert connection.expired(at(120), 101) is Want.CLOSE


def test_what_the_kernel_still_sends_of_an_answer_keeps_an_idle_connection_open() -> None:
    connection = opened()
    talk(connection, [HEAD])
    assert connection.expired(at(60), 700) is Want.WAIT
    assert connection.state is State.IDLE
    assert connection.expired(at(90), 400) is Want.WAIT
    assert connection.expired(at(120), 0) is Want.CLOSE


def test_each_answer_is_looked_at_anew() -> None:
    connection = opened()
    talk(connection, [HEAD])
    assert connection.expired(at(60), 700) is Want.WAIT
    talk(connection, [HEAD])
    assert connection.expired(at(120), 900) is Want.WAIT
    assert connection.expired(at(150), 899) is Want.CLOSE


def test_without_a_rate_a_reader_only_has_to_take_something() -> None:
    connection = connect(make_scan(), replace(LIMITS, min_send_rate=0))[0]
    talk(connection, [HEAD])
    assert connection.expired(at(60), 700) is Want.WAIT
    assert connection.expired(at(90), 699) is Want.WAIT
    assert connection.expired(at(120), 699) is Want.CLOSE


@pytest.mark.parametrize("split", [bytewise, lambda data: [data]], ids=["bytewise", "whole"])
def test_the_last_request_that_may_be_is_answered_with_close_and_no_other(
    split: Callable[[bytes], list[bytes]],
) -> None:
    sent, want = talk(opened(), split(HEAD * 8))
    assert sent == [KEY] * 5 + [LAST_KEY]
    assert want is (Want.SHUTDOWN if len(split(HEAD)) == 1 else Want.CLOSE)


def test_requests_that_the_engine_answered_itself_count() -> None:
    connection = opened()
    for _ in range(4):
        connection.take(HEAD, echo(KEY), NOW)
        connection.sent(NOW)
    assert not connection.ending
    connection.requests += 1
    assert connection.ending
    assert talk(connection, [HEAD]) == ([LAST_KEY], Want.CLOSE)


def test_without_a_limit_requests_go_on() -> None:
    connection = connect(make_scan(), replace(LIMITS, max_requests=0))[0]
    connection.requests = 1 << 40
    assert talk(connection, [HEAD]) == ([KEY], Want.READ)


def test_a_part_of_the_next_head_behind_an_answer_has_the_time_of_a_head() -> None:
    connection = opened()
    connection.feed(HEAD + HEAD[:5], at(1))
    assert connection.sent(at(20)) is Want.READ
    assert connection.state is State.READING
    assert connection.deadline == 30


@pytest.mark.parametrize("state", [State.IDLE, State.CLOSED], ids=lambda state: state.name)
def test_draining_closes_what_is_idle(state: State) -> None:
    connection = in_state(state)
    connection.drain()
    assert connection.state is State.CLOSED


def test_draining_lets_half_a_head_finish_and_its_answer_closes() -> None:
    connection = in_state(State.READING)
    assert connection.drain() is Want.READ
    assert answered(connection.feed(HEAD[9:], NOW)) == LAST_KEY
    assert connection.sent(NOW) is Want.CLOSE


def test_draining_lets_the_answer_under_way_finish_and_then_closes() -> None:
    connection = in_state(State.SENDING)
    connection.drain()
    assert connection.state is State.SENDING
    assert connection.sent(NOW) is Want.CLOSE


def test_draining_answers_the_next_of_a_pipeline_with_close_and_no_other() -> None:
    connection = opened()
    connection.feed(HEAD * 3, NOW)
    connection.drain()
    assert answered(connection.sent(NOW)) == LAST_KEY
    assert connection.sent(NOW) is Want.SHUTDOWN


def test_sent_without_a_plan_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="nothing was to be sent"):
        opened().sent(NOW)


def test_a_plan_that_the_engine_found_itself_goes_the_way_of_any_other() -> None:
    fed, taken = opened(), opened()
    plan = fed.feed(HEAD, at(3))
    assert isinstance(plan, Plan)
    taken.take(HEAD, plan, at(3))
    for connection in (fed, taken):
        assert (connection.state, connection.head, connection.plan) == (State.SENDING, HEAD, plan)
        assert connection.deadline == 33
        assert connection.sent(at(4)) is Want.READ
        assert (connection.state, connection.deadline) == (State.IDLE, 64)


def test_a_refused_request_is_not_followed_by_another_answer() -> None:
    sent, want = talk(opened(), [b"GET / HTTP/3.0\r\n" + HEAD])
    assert len(sent) == 1
    assert error_page(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED) in sent[0]
    assert want is Want.SHUTDOWN


class Peer(RuleBasedStateMachine):
    """Any peer, any engine: a connection in any order of events answers as one fed whole does."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = connect(make_scan(), LIMITS)[0]
        self.stream = b""
        self.fed = b""
        self.sent: list[bytes] = []
        self.want: Want | None = Want.READ
        self.disturbed = False

    def take(self, step: Plan | Want) -> None:
        self.want = None if isinstance(step, Plan) else step

    @initialize(stream=st.lists(WIRES | heads().map(lambda head: head.wire), max_size=3))
    def open(self, stream: list[bytes]) -> None:
        self.stream = b"".join(stream)

    @precondition(lambda self: self.want in (Want.READ, Want.SHUTDOWN) and self.stream)
    @rule(size=st.integers(1, 400))
    def feed(self, size: int) -> None:
        piece, self.stream = self.stream[:size], self.stream[size:]
        lingering = self.connection.state is State.LINGERING
        step = self.connection.feed(piece, NOW)
        if not lingering:
            self.fed += piece
        self.take(step)

    @precondition(lambda self: self.connection.plan is not None)
    @rule()
    def send(self) -> None:
        assert self.connection.plan is not None
        self.sent.append(self.connection.plan.head)
        self.take(self.connection.sent(NOW))

    @precondition(lambda self: self.want is not Want.CLOSE)
    @rule()
    def drain(self) -> None:
        self.disturbed = True
        if self.connection.drain() is Want.CLOSE:
            self.want = Want.CLOSE

    @precondition(lambda self: self.want is not Want.CLOSE)
    @rule(untaken=st.integers(0, 1000))
    def expire(self, untaken: int) -> None:
        step = self.connection.expired(NOW, untaken)
        if step is not Want.WAIT:
            self.disturbed = True
            self.take(step)

    @rule()
    def lose(self) -> None:
        self.disturbed = True
        self.take(self.connection.lost())

    @invariant()
    def what_it_wants_fits_its_state(self) -> None:
        state = self.connection.state
        assert (self.connection.plan is not None) == (state is State.SENDING)
        assert (self.want is Want.CLOSE) == (state is State.CLOSED)
        assert (self.want is None) == (state is State.SENDING)

    def teardown(self) -> None:
        if self.disturbed or not self.fed:
            return
        whole, _want = talk(connect(make_scan(), LIMITS)[0], [self.fed])
        if self.want is Want.READ and self.connection.state is not State.LINGERING:
            assert self.sent == whole
        assert self.sent == whole[: len(self.sent)]


TestPeer = Peer.TestCase


def test_a_head_that_comes_in_small_pieces_takes_its_size_and_not_that_of_its_pieces() -> None:
    connection, _source = connect(make_scan(Limits()))
    connection.feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: ", NOW)
    tracemalloc.start()
    try:
        for number in range(8_000):
            assert connection.feed(bytes((97 + number % 2, 98)), NOW) is Want.READ
        assert tracemalloc.get_traced_memory()[0] < 32_000
    finally:
        tracemalloc.stop()
