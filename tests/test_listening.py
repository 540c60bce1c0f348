"""Listeners of the ring: what ends accepting, what is said of it, and when it goes on."""

import errno
import logging
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from ashttpd.complaints import Complaints
from ashttpd.engine import PAUSE_SECONDS
from ashttpd.uring.listening import Listening
from ashttpd.uring.ring import Ring


class FakeRing:
    """Writes down what is asked of it; has room for it or not."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_full = False

    def listen(self, listener: int, *, many: bool = True) -> None:
        self._ask("many" if many else "one")

    def unlisten(self, listener: int) -> None:
        self._ask("end")

    def _ask(self, what: str) -> None:
        if self.is_full:
            raise OSError(errno.EAGAIN, "no room in the ring")
        self.asked.append(what)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def ring() -> FakeRing:
    return FakeRing()


@pytest.fixture
def listening(ring: FakeRing, listener: socket.socket) -> Listening:
    return Listening(cast("Ring", ring), [listener], Complaints())


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EBADF, errno.EIO])
def test_an_error_is_logged_once_and_accepting_goes_on_after_a_pause(
    ring: FakeRing,
    listening: Listening,
    listener: socket.socket,
    number: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for now in (0.0, 1.0, 2.0):
        listening.ended(listener.fileno(), number, now)
        listening.resume(now + PAUSE_SECONDS / 2)
        assert listening.paused
        listening.resume(now + PAUSE_SECONDS)
        assert not listening.paused
    assert ring.asked == ["many"] * 3
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert ("Raise the limit of open files" in record.getMessage()) == (number == errno.EMFILE)


@pytest.mark.parametrize("number", [0, errno.ECANCELED, errno.ECONNABORTED])
def test_what_is_no_fault_of_the_machine_is_not_logged(
    listening: Listening, listener: socket.socket, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    listening.ended(listener.fileno(), number, 0.0)
    assert listening.paused
    assert not caplog.records


def test_a_ring_without_room_is_asked_again_after_a_pause(
    ring: FakeRing, listening: Listening, listener: socket.socket
) -> None:
    ring.is_full = True
    listening.hold(wanted=True)
    assert not listening.held, "it still accepts"
    listening.ended(listener.fileno(), 0, 0.0)
    listening.resume(0.0)
    assert listening.paused
    ring.is_full = False
    listening.resume(PAUSE_SECONDS)
    assert not listening.paused
    listening.hold(wanted=True)
    assert listening.held
    assert ring.asked == ["many", "end"]


def test_one_at_a_time_is_accepted_while_descriptors_are_scarce(
    ring: FakeRing, listening: Listening, listener: socket.socket
) -> None:
    listening.start()
    listening.spare(scarce=True)
    listening.ended(listener.fileno(), errno.ECANCELED, 0.0)
    listening.resume(0.0)
    listening.ended(listener.fileno(), 0, 0.0)
    listening.spare(scarce=False)
    listening.resume(0.0)
    assert ring.asked == ["many", "end", "one", "many"]
