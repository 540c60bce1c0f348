"""The cursor knows where the next byte is, however the bytes before it left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashttpd.http.plan import Cursor, Extent, Piece, Plan, piece_length
from fuzz.fakes import FakeFile

FILE = FakeFile()
PIECES = st.lists(
    st.builds(Extent, st.just(FILE), st.integers(0, 1000), st.integers(1, 30))
    | st.binary(min_size=1, max_size=30),
    max_size=4,
).map(tuple)


def plan_of(head_length: int, body: tuple[Piece, ...]) -> Plan:
    length = sum(map(piece_length, body))
    return Plan(b"h" * head_length, body, head_length + length, length, 200, False, False)


def positions(plan: Plan) -> list[tuple[int, int]]:
    """Return for each byte of a plan where it comes from: the extent, or -1, and the offset."""
    found = [(-1, offset) for offset in range(len(plan.head))]
    for number, piece in enumerate(plan.body):
        start = piece.offset if isinstance(piece, Extent) else 0
        found += [(number, start + i) for i in range(piece_length(piece))]
    return found


@given(st.integers(1, 30), PIECES, st.lists(st.integers(0, 40), max_size=30))
def test_a_cursor_stands_at_the_next_byte_after_any_steps(
    head_length: int, body: tuple[Piece, ...], steps: list[int]
) -> None:
    plan = plan_of(head_length, body)
    where = positions(plan)
    cursor = Cursor(plan)
    for step in [*steps, plan.size]:
        count = min(step, plan.size - cursor.sent)
        cursor.advance(count)
        assert cursor.done == (cursor.sent == len(where))
        if cursor.done:
            assert cursor.left == 0
            continue
        extent, offset = where[cursor.sent]
        assert (cursor.number, cursor.offset) == (extent, offset)
        assert cursor.piece is (plan.head if extent < 0 else body[extent])
        rest = where[cursor.sent : cursor.sent + cursor.left]
        assert rest == [(extent, offset + i) for i in range(cursor.left)]
        following = where[cursor.sent + cursor.left :]
        assert cursor.left > 0
        assert not following or following[0][0] == extent + 1
    assert cursor.done


@given(st.integers(1, 30), PIECES, st.data())
def test_a_cursor_may_start_anywhere(
    head_length: int, body: tuple[Piece, ...], data: st.DataObject
) -> None:
    plan = plan_of(head_length, body)
    sent = data.draw(st.integers(0, plan.size))
    started, advanced = Cursor(plan, sent), Cursor(plan)
    for _ in range(sent):
        advanced.advance(1)
    assert (started.sent, started.number, started.offset, started.left) == (
        advanced.sent,
        advanced.number,
        advanced.offset,
        advanced.left,
    )


def test_more_than_there_was_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="more sent than there was"):
        Cursor(plan_of(3, (Extent(FILE, 0, 2),))).advance(6)
