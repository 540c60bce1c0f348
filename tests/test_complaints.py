"""ashttpd.complaints: what is logged, what is left out, and how that is counted."""

import logging

import pytest

from ashttpd.complaints import COMPLAINT_SECONDS, MAX_KINDS, Complaints

log = logging.getLogger(__name__)


def test_the_first_of_a_kind_is_logged_with_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    assert Complaints().say(log.error, "cannot read %s: %s", "a", OSError(5, "EIO"), now=7.0)
    assert caplog.messages == ["cannot read a: EIO"]


def test_a_kind_is_logged_once_in_its_seconds_and_then_with_the_count_of_those_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints = Complaints(10.0)
    moments = (0.0, 0.1, 9.9, 10.0, 20.0)
    said = [complaints.say(log.error, "cannot read %s", now, now=now) for now in moments]
    assert said == [True, False, False, True, True]
    assert caplog.messages == [
        "cannot read 0.0",
        "cannot read 10.0 (2 more like this since the last line about it)",
        "cannot read 20.0",
    ]


def test_kinds_do_not_silence_each_other(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    assert complaints.say(log.error, "cannot read %s", "a", now=0.0)
    assert complaints.say(log.warning, "cannot accept: %s", "b", now=0.0)
    assert not complaints.say(log.error, "cannot read %s", "c", now=COMPLAINT_SECONDS - 1)
    assert caplog.messages == ["cannot read a", "cannot accept: b"]


def test_a_text_about_one_thing_does_not_silence_it_about_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints = Complaints(10.0)
    for now in (0.0, 1.0, 11.0):
        for file in ("a", "b"):
            complaints.say(log.error, "%s is damaged", file, now=now, about=file)
    assert caplog.messages == [
        *("a is damaged", "b is damaged"),
        "a is damaged (1 more like this since the last line about it)",
        "b is damaged (1 more like this since the last line about it)",
    ]


def test_of_many_things_some_share_a_line_and_no_more_are_remembered_than_the_bound(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints = Complaints(10.0)
    for number in range(2 * MAX_KINDS):
        complaints.say(log.error, "%d is damaged", number, now=0.0, about=str(number))
    # One for all the others.
    assert len(caplog.messages) == MAX_KINDS + 1
    assert len(complaints._kinds) == MAX_KINDS + 1
    # Room for them is made once they may be logged again.
    assert complaints.say(log.error, "%d is damaged", -1, now=10.0, about="-1")
    assert len(complaints._kinds) == 1


def test_a_percent_sign_in_an_argument_is_logged_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints = Complaints()
    for now in (0.0, 1.0, 10.0):
        complaints.say(log.error, "cannot read %s", "50%d", now=now)
    assert caplog.messages[0] == "cannot read 50%d"
    assert caplog.messages[1].startswith("cannot read 50%d (1 more")


def test_the_exception_that_is_handled_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    try:
        raise ValueError("of a test")
    except ValueError:
        Complaints().say(log.exception, "a thread failed", now=0.0)
    assert caplog.records[0].exc_info is not None
