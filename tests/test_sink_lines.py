"""Lines of a sink, in every order of takes, refusals, failures, losses and rotations."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ashttpd.logfile import LogFile, LogFileError
from ashttpd.sink import LOSS_SECONDS, Policy, Sink

# Two or three lines: the next ones are lost.
MOST_BYTES = 50


class FakeFile(LogFile):
    """A log that takes, refuses and fails as it is told; it begins a file each time it is opened.

    A FIFO begins one, too, when its reader is gone: the next reader sees only what comes later.
    """

    def __init__(self) -> None:
        """Begin closed."""
        super().__init__(Path("fake"))
        self.files: list[bytearray] = []
        # How many bytes it takes at once, and how it fails.
        self.room = 1 << 20
        self.opens = True
        self.error: OSError | None = None
        # Always has room for poll(2).
        self._ready = os.eventfd(0)

    def open(self) -> None:
        """Begin a file, or fail."""
        if not self.opens:
            raise LogFileError("fake: no such folder")
        self._begin()
        self.fd = self._ready

    def write(self, text: bytes) -> int:
        """Take the start of a text, or fail."""
        if self.error:
            if isinstance(self.error, BrokenPipeError):
                self._begin()
            raise self.error
        taken = text[: self.room]
        if not taken:
            raise BlockingIOError
        self.files[-1].extend(taken)
        self.is_within_line = not taken.endswith(b"\n")
        return len(taken)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._ready)

    def _begin(self) -> None:
        self.files.append(bytearray())
        self.is_within_line = False


class SteppedSink(Sink[bytes]):
    """A sink whose thread does nothing: the test does its steps."""

    now = 0.0

    def _run(self) -> None:
        pass

    def step(self) -> None:
        """Do a step after all times of waiting, without sleeping."""
        self.now += 2 * LOSS_SECONDS
        os.eventfd_write(self._wake, 1)
        self._step(self.now)


class Log(RuleBasedStateMachine):
    """A sink and a file that does anything a file may do."""

    def __init__(self) -> None:
        """Begin with a file that is not open."""
        super().__init__()
        self.file = FakeFile()
        self.lost = 0
        policy: Policy[bytes] = Policy(
            render=lambda line: line,
            lost=self._lose,
            failed=lambda _error, _goes_on: None,
            recovered=lambda: None,
            gather_seconds=0,
            most_bytes=MOST_BYTES,
        )
        self.sink = SteppedSink(self.file, policy, "test")
        self.lines: list[bytes] = []

    def _lose(self, count: int) -> bytes:
        self.lost += count
        return b""

    @rule(count=st.integers(1, 6), length=st.integers(0, 20))
    def put(self, count: int, length: int) -> None:
        for _ in range(count):
            line = b"<%d%s>\n" % (len(self.lines), b"x" * length)
            self.lines.append(line)
            self.sink.put(line, len(line))

    @rule(room=st.integers(0, 40), steps=st.integers(1, 4))
    def take(self, room: int, steps: int) -> None:
        self.file.room, self.file.error = room, None
        self.step(steps)

    @rule(error=st.sampled_from([errno.ENOSPC, errno.EPIPE]), steps=st.integers(1, 4))
    def fail(self, error: int, steps: int) -> None:
        self.file.error = OSError(error, os.strerror(error))
        self.step(steps)

    @rule(opens=st.booleans(), steps=st.integers(1, 4))
    def rotate(self, opens: bool, steps: int) -> None:
        self.file.opens = opens
        self.sink.reopen()
        self.step(steps)

    def step(self, count: int) -> None:
        for _ in range(count):
            self.sink.step()

    @invariant()
    def lines_are_whole_but_at_the_end_of_a_file(self) -> None:
        for file in self.file.files:
            *whole, last = bytes(file).splitlines(keepends=True) or [b""]
            assert set(whole) <= set(self.lines)
            assert not last or any(line.startswith(last) for line in self.lines)

    def teardown(self) -> None:
        """Have all written, and count it."""
        self.file.room, self.file.error, self.file.opens = 1 << 20, None, True
        self.step(len(self.lines) + 8)
        self.sink.close(0)
        self.lines_are_whole_but_at_the_end_of_a_file()
        ended = [bytes(file).rpartition(b"\n") for file in self.file.files]
        written = b"".join(whole + end for whole, end, _cut in ended).splitlines(keepends=True)
        # Lines differ: in their order, and each once.
        assert written == [line for line in self.lines if line in set(written)]
        assert len(written) + self.lost == len(self.lines)


Log.TestCase.settings = settings(stateful_step_count=30)
TestEveryLineIsWrittenOnceOrCountedAsLost = Log.TestCase


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EPIPE])
def test_a_line_that_was_begun_is_whole_in_the_next_file_after_lines_were_lost(error: int) -> None:
    log = Log()
    log.put(1, 20)
    log.take(room=5, steps=2)
    assert log.file.files[-1]
    log.put(6, 20)
    log.fail(error, steps=1)
    assert log.lost
    log.rotate(opens=True, steps=1)
    log.teardown()
