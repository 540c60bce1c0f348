"""Sinks: a log that takes nothing holds up nothing, and what it takes are whole lines."""

import fcntl
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ashttpd.logfile import LogFile
from ashttpd.sink import Policy, Sink
from tests.servers import DEADLINE_SECONDS, eventually


@dataclass
class Teller:
    """A policy that remembers what it was told."""

    losses: list[int] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    # Of each failure, whether lines go on into the file that was open before.
    going_on: list[bool] = field(default_factory=list)
    recoveries: int = 0

    def policy(self, most_bytes: int = 1 << 20) -> Policy[bytes]:
        return Policy(
            render=lambda line: line,
            lost=self._lost,
            failed=self._failed,
            recovered=self._recovered,
            gather_seconds=0,
            most_bytes=most_bytes,
        )

    def _failed(self, error: Exception, goes_on: bool) -> None:
        self.going_on.append(goes_on)
        self.failures.append(error)

    def _recovered(self) -> None:
        self.recoveries += 1

    def _lost(self, count: int) -> bytes:
        self.losses.append(count)
        return b""


@dataclass
class Pipe:
    """A pipe with room for a page."""

    reader: int
    writer: int

    def read(self) -> bytes:
        """Return all that is in it now."""
        os.set_blocking(self.reader, False)
        try:
            return os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return b""

    def read_lines(self, count: int) -> list[bytes]:
        """Wait for so many lines; returns all that came."""
        data = bytearray()

        def has_come() -> bool:
            data.extend(self.read())
            return data.count(b"\n") >= count

        eventually(has_come)
        assert data.endswith(b"\n")
        return bytes(data).splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield Pipe(reader, writer)
    os.close(reader)
    os.close(writer)


def _line(number: int, length: int = 100) -> bytes:
    return (b"%d " % number).ljust(length - 1, b"x") + b"\n"


def _put_all(sink: Sink[bytes], count: int, length: int = 100) -> list[bytes]:
    lines = [_line(number, length) for number in range(count)]
    for line in lines:
        sink.put(line, len(line))
    return [line[:-1] for line in lines]


@pytest.mark.parametrize("nonblocking", [False, True])
@pytest.mark.parametrize("length", [100, 5000])
def test_a_full_pipe_gets_every_line_whole_and_in_its_order(
    pipe: Pipe, nonblocking: bool, length: int
) -> None:
    if nonblocking:
        os.set_blocking(pipe.writer, False)
    sink = Sink(LogFile(pipe.writer), Teller().policy(), "test")
    lines = _put_all(sink, 200, length)
    assert pipe.read_lines(200) == lines
    sink.close(DEADLINE_SECONDS)


def test_lines_beyond_the_bound_are_counted_and_the_others_come(pipe: Pipe) -> None:
    teller = Teller()
    # More may be on their way from the queue to the pipe.
    sink = Sink(LogFile(pipe.writer), teller.policy(most_bytes=10_000), "test")
    _put_all(sink, 10_000)
    eventually(lambda: bool(teller.losses))
    lost = 10_000 - len(pipe.read_lines(100))
    sink.close(0)
    lost -= pipe.read().count(b"\n")
    assert sum(teller.losses) == lost > 5_000


def test_a_log_that_reports_itself_says_what_was_lost_in_the_next_line_it_takes(
    pipe: Pipe,
) -> None:
    policy = replace(
        Teller().policy(most_bytes=1000), lost=lambda count: b"lost\n", reports_itself=True
    )
    sink = Sink(LogFile(pipe.writer), policy, "test")
    _put_all(sink, 10_000)
    seen = bytearray()

    def says_so() -> bool:
        seen.extend(pipe.read())
        return b"lost\n" in seen.splitlines(keepends=True)

    eventually(says_so)
    sink.close(DEADLINE_SECONDS)


def test_what_waits_takes_no_more_memory_than_it_was_counted_for(pipe: Pipe) -> None:
    most = 4 << 20
    sink = Sink(LogFile(pipe.writer), Teller().policy(most), "test")
    tracemalloc.start()
    try:
        for number in range(most // 100):
            sink.put(b"%099d\n" % number, 100 + 200)
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    sink.close(0)
    assert most / 3 < held < most + (1 << 18)


def test_putting_and_closing_wait_for_nothing(pipe: Pipe) -> None:
    teller = Teller()
    sink = Sink(LogFile(pipe.writer), teller.policy(), "test")
    _put_all(sink, 1000)
    start = time.monotonic()
    sink.close(0)
    assert time.monotonic() - start < DEADLINE_SECONDS
    in_pipe = len(pipe.read().splitlines())
    assert (in_pipe, teller.losses) == (in_pipe, [1000 - in_pipe])


def test_a_reader_that_comes_later_gets_what_waited(tmp_path: Path) -> None:
    teller = Teller()
    path = tmp_path / "log"
    os.mkfifo(path)
    sink = Sink(LogFile(path), teller.policy(), "test")
    lines = _put_all(sink, 10)
    eventually(lambda: len(teller.failures) == 1)
    reader = Pipe(os.open(path, os.O_RDONLY | os.O_NONBLOCK), -1)
    assert reader.read_lines(10) == lines
    sink.close(DEADLINE_SECONDS)
    os.close(reader.reader)
    assert not teller.losses


@pytest.mark.parametrize("had_reader", [False, True])
def test_a_log_that_failed_is_tried_once_more_at_the_end(tmp_path: Path, had_reader: bool) -> None:
    teller = Teller()
    path = tmp_path / "log"
    os.mkfifo(path)
    file = LogFile(path)
    if had_reader:
        first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        file.open()
        os.close(first)
    sink = Sink(file, teller.policy(), "test")
    lines = _put_all(sink, 10)
    eventually(lambda: len(teller.failures) == 1)
    reader = Pipe(os.open(path, os.O_RDONLY | os.O_NONBLOCK), -1)
    sink.close(DEADLINE_SECONDS)
    assert reader.read_lines(10) == lines
    os.close(reader.reader)
    assert not teller.losses


def test_a_log_that_fails_again_at_the_end_is_given_up_and_told_once(tmp_path: Path) -> None:
    teller = Teller()
    path = tmp_path / "log"
    os.mkfifo(path)
    sink = Sink(LogFile(path), teller.policy(), "test")
    _put_all(sink, 10)
    eventually(lambda: len(teller.failures) == 1)
    sink.close(float("inf"))
    assert (len(teller.failures), teller.losses) == (1, [10])


def test_a_write_that_does_not_return_holds_up_the_end_only_for_a_while(tmp_path: Path) -> None:
    class Stuck(LogFile):
        def write(self, text: bytes) -> int:
            begun.set()
            returns.wait()
            return len(text)

    begun, returns = threading.Event(), threading.Event()
    teller = Teller()
    sink = Sink(Stuck(tmp_path / "log"), teller.policy(), "test")
    _put_all(sink, 10)
    begun.wait()
    closing = threading.Thread(target=sink.close, args=(1000,))
    closing.start()
    try:
        eventually(lambda: not closing.is_alive())
        assert teller.losses == [10]
    finally:
        returns.set()
        closing.join()


@pytest.mark.parametrize("length", [100, 5000])
def test_the_reader_after_one_that_died_gets_whole_lines(tmp_path: Path, length: int) -> None:
    teller = Teller()
    path = tmp_path / "log"
    os.mkfifo(path)
    first = Pipe(os.open(path, os.O_RDONLY | os.O_NONBLOCK), -1)
    fcntl.fcntl(first.reader, fcntl.F_SETPIPE_SZ, 4096)
    sink = Sink(LogFile(path), teller.policy(), "test")
    lines = _put_all(sink, 100, length)
    eventually(lambda: bool(first.read()))
    os.close(first.reader)
    eventually(lambda: bool(teller.failures))
    second = Pipe(os.open(path, os.O_RDONLY | os.O_NONBLOCK), -1)
    seen = bytearray()

    def is_last() -> bool:
        seen.extend(second.read())
        return seen.endswith(lines[-1] + b"\n")

    eventually(is_last)
    sink.close(DEADLINE_SECONDS)
    os.close(second.reader)
    got = [line for line in bytes(seen).splitlines() if line]
    whole = [line for line in got if len(line) == len(lines[0])]
    assert whole == lines[-len(whole) :]
    # Parts of lines may have been left in the FIFO, each at the end of a line or at the start.
    assert all(any(part in line for line in lines[:3]) for part in got[: -len(whole)])
    assert len(got) <= len(whole) + 2


def test_a_log_that_cannot_be_opened_anew_stays_and_is_tried_again(tmp_path: Path) -> None:
    teller = Teller()
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    file = LogFile(folder / "log")
    file.open()
    sink = Sink(file, teller.policy(), "test")
    folder.rename(elsewhere)
    sink.reopen()
    eventually(lambda: len(teller.failures) == 1)
    sink.put(b"meanwhile\n", 10)
    eventually(lambda: (elsewhere / "log").read_bytes() == b"meanwhile\n")
    folder.mkdir()
    eventually((folder / "log").exists)
    sink.put(b"later\n", 6)
    sink.close(DEADLINE_SECONDS)
    assert (folder / "log").read_bytes() == b"later\n"
    assert (len(teller.failures), teller.going_on, teller.recoveries) == (1, [True], 1)


@pytest.mark.parametrize("length", [100, 5000])
def test_a_stuck_log_is_opened_anew_between_two_lines(tmp_path: Path, length: int) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    reader = Pipe(os.open(path, os.O_RDONLY | os.O_NONBLOCK), -1)
    fcntl.fcntl(reader.reader, fcntl.F_SETPIPE_SZ, 4096)
    sink = Sink(LogFile(path), Teller().policy(), "test")
    lines = _put_all(sink, 100, length)
    old = bytearray()

    def has_begun() -> bool:
        old.extend(reader.read())
        return bool(old)

    eventually(has_begun)
    path.rename(tmp_path / "old")
    sink.reopen()
    sink.reopen()
    eventually(path.exists)
    sink.close(DEADLINE_SECONDS)
    old += reader.read()
    os.close(reader.reader)
    new = path.read_bytes().splitlines()
    assert new == lines[-len(new) :]
    whole = bytes(old)[: old.rfind(b"\n") + 1].splitlines()
    assert whole + new == lines


def test_a_line_that_cannot_be_made_is_counted_and_the_others_come(pipe: Pipe) -> None:
    teller = Teller()

    def render(item: bytes) -> bytes:
        if item == b"bad":
            raise ValueError("of a test")
        return item

    sink = Sink(LogFile(pipe.writer), replace(teller.policy(), render=render), "test")
    for item in (b"one\n", b"bad", b"two\n"):
        sink.put(item, 10)
    assert pipe.read_lines(2) == [b"one", b"two"]
    sink.close(DEADLINE_SECONDS)
    assert teller.losses == [1]
    assert [str(error) for error in teller.failures] == ["of a test"]


def test_lines_of_many_threads_all_come(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "log")
    sink = Sink(file, Teller().policy(10 << 20), "test")
    threads = [threading.Thread(target=_put_all, args=(sink, 2000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close(DEADLINE_SECONDS)
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert sorted(lines) == sorted(_line(number)[:-1] for number in range(2000) for _ in range(4))
