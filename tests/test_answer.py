"""An answer becomes one plan a second: the same bytes but for the date."""

from ashttpd.http.answer import Answer
from ashttpd.http.dates import second_of
from ashttpd.http.plan import Extent, Plan
from fuzz.fakes import FakeFile

FIRST, LATER = second_of(784_111_777), second_of(784_111_778)
BODY = (Extent(FakeFile(), 7, 5), Extent(FakeFile(), 70, 2))


def make_answer() -> Answer:
    return Answer(200, b"HTTP/1.1 200 OK\r\nDate: ", b"A: b\r\n\r\n", BODY, 7, True, True)


def test_a_plan_has_the_date_of_its_second_and_all_else_of_the_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nA: b\r\n\r\n"
    assert make_answer().at(FIRST) == Plan(head, BODY, len(head) + 7, 7, 200, True, True)


def test_the_plan_of_a_second_is_made_once() -> None:
    answer = make_answer()
    assert answer.at(FIRST) is answer.at(FIRST)


def test_another_second_changes_the_date_and_nothing_else() -> None:
    answer = make_answer()
    first, later = answer.at(FIRST), answer.at(LATER)
    assert later.head == first.head.replace(b":37 ", b":38 ")
    assert later == Plan(later.head, BODY, first.size, 7, 200, True, True)
    assert answer.at(FIRST) == first
