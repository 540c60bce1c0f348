"""What stands between a program that must not wait and a log that may take nothing.

Items are put into a queue that is bounded in bytes. A thread makes lines of them and writes those,
whole ones in their order. What the queue has no room for is counted, and the count is reported.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from threading import Lock, Thread
from typing import Final, Generic, TypeVar

from ashttpd.logfile import PIECE_BYTES, LogFile, LogFileError

# A log that failed is tried again so often: a rotation or a new reader is noticed soon enough, and
# a system call a second costs nothing.
RETRY_SECONDS: Final = 1.0
# Lost lines are reported at most so often.
LOSS_SECONDS: Final = 10.0
# When a log takes nothing although poll(2) reported room, another writer was faster; then wait.
_BUSY_SECONDS: Final = 0.05
# At the end of the program, a log that has taken nothing for so long is given up.
STUCK_SECONDS: Final = 1.0
# What a thread may need beyond its deadline to end, on a busy machine.
_GRACE_SECONDS: Final = 0.5
# Lines are made ahead of writing, up to so many bytes: enough that taking them costs little.
_TAKE_BYTES: Final = 1 << 16

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Policy(Generic[Item]):
    """What a log makes of items and of trouble."""

    # Returns the line of an item, or its lines, each with its end.
    render: Callable[[Item], bytes]
    # Told that so many items were lost; returns a line about it for this log, or nothing.
    lost: Callable[[int], bytes]
    # Told once when opening, writing or rendering begins to fail, and whether lines go on into the
    # file that was open before.
    failed: Callable[[Exception, bool], None]
    # Told when opening or writing works again.
    recovered: Callable[[], None]
    # How long items may wait for others, to be written with them.
    gather_seconds: float
    # What waiting items may take, in bytes.
    most_bytes: int
    # Whether lost items are reported in this log; then only when it takes lines again.
    reports_itself: bool = False


class Sink(Generic[Item]):
    """Takes items from any thread without waiting, and writes them to a file that it owns."""

    def __init__(self, file: LogFile, policy: Policy[Item], name: str) -> None:
        """Start the thread; a file that is not open is opened as soon as that works."""
        self._file = file
        self._policy = policy
        self._most_bytes = policy.most_bytes
        self._lock = Lock()
        # Under the lock: items with their sizes, the sum of those, and how many items were lost.
        self._waiting: deque[tuple[int, Item]] = deque()
        self._held = 0
        self._lost = 0
        # Under the lock: whether the thread sleeps until an item comes.
        self._idle = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._reopen = file.fd is None
        # Set by `close`, in monotonic seconds: when to end, and since when nothing was taken.
        self._deadline = inf
        self._progress = 0.0
        # Lines under way, and how much of them is written. The text always begins at the start of a
        # line: a line that was begun can then be written from its start, wherever it is cut.
        self._text = b""
        self._done = 0
        # How often in a row the file had no room.
        self._refusals = 0
        # What failed when it was tried last; at the end, what failed since the end began.
        self._failing: set[str] = set()
        # Of what fails at the moment, what was told, until it was told that it works again; when to
        # try it again; when to report a loss.
        self._told: set[str] = set()
        self._next_open = self._next_write = self._next_loss = 0.0
        # A daemon: a write to a file on a network that is gone cannot be given up, and the program
        # must be able to end without it.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item, size: int) -> None:
        """Queue an item that takes `size` bytes of memory, or count it as lost."""
        with self._lock:
            held = self._held + size
            if held > self._most_bytes:
                self._lost += 1
                return
            self._held = held
            self._waiting.append((size, item))
            if self._idle:
                self._idle = False
                os.eventfd_write(self._wake, 1)

    def reopen(self) -> None:
        """Open the file anew soon, between two lines, again and again until that works."""
        self._reopen = True
        os.eventfd_write(self._wake, 1)

    def close(self, seconds: float) -> None:
        """Write what waits, for at most `seconds`, and end; what is left then is lost.

        A log that takes nothing for STUCK_SECONDS is given up before, and so is one that fails
        once more. Each is tried once, whenever it failed before.
        """
        if self._deadline < inf:
            return
        self._progress = time.monotonic()
        self._deadline = self._progress + seconds
        os.eventfd_write(self._wake, 1)
        # The thread may be held up in a write, and not see that time is up.
        while (left := self._end() + _GRACE_SECONDS - time.monotonic()) > 0:
            self._thread.join(left)
            if not self._thread.is_alive():
                break
        with self._lock:
            lost = self._lost + len(self._waiting) + self._text.count(b"\n", self._done)
            self._idle = False
            if not self._thread.is_alive():
                self._file.close()
                os.close(self._wake)
        if lost:
            self._policy.lost(lost)

    def _end(self) -> float:
        """Return when a log that takes nothing more is given up; after `close` has begun."""
        return min(self._deadline, self._progress + STUCK_SECONDS)

    # All that follows is for the thread.

    def _run(self) -> None:
        while self._deadline == inf:
            self._try_step()
        # What failed has one more try, at once: there may be room or a reader again.
        self._failing.clear()
        self._next_open = self._next_write = 0.0
        while not self._is_over():
            self._try_step()

    def _is_over(self) -> bool:
        """Whether the thread is to end: all is written, nothing can be, or time is up."""
        if ("open" if self._file.fd is None else "write") in self._failing:
            return True
        with self._lock:
            is_empty = not self._waiting and self._done == len(self._text)
        return is_empty or time.monotonic() >= self._end()

    def _try_step(self) -> None:
        try:
            self._step(time.monotonic())
        except Exception as error:  # a fault of ours; the log goes on all the same
            self._fail("step", error)
            self._sleep(RETRY_SECONDS)

    def _step(self, now: float) -> None:
        """Do the next thing there is to do, or wait until there is some."""
        if self._reopen and now >= self._next_open:
            self._open(now)
        if self._lost and now >= self._next_loss:
            self._report_loss(now)
        if self._done == len(self._text):
            if not self._take():
                self._wait_for_items(now)
        elif self._file.fd is None:
            self._sleep(self._next_open - now)
        elif now < self._next_write:
            self._sleep(self._next_write - now)
        elif not self._refusals or self._has_room(RETRY_SECONDS):
            self._write(len(self._text), now)

    def _open(self, now: float) -> None:
        """Open the file anew between two lines."""
        if self._file.is_within_line:
            # The rest of the line that was begun goes to the old file, if it takes that.
            self._write(self._text.find(b"\n", self._done) + 1, now)
        # Another request from here on is for another time.
        self._reopen = False
        try:
            self._file.open()
        except LogFileError as error:
            self._reopen = True
            self._next_open = now + RETRY_SECONDS
            self._fail("open", error)
            return
        has_failed = "open" in self._told
        self._failing.clear()
        # Only a line that is written shows that writing works again.
        self._told &= set() if has_failed else {"write"}
        if has_failed:
            self._policy.recovered()
        self._next_write = 0.0
        self._done = self._start_of_line()

    def _write(self, end: int, now: float) -> None:
        """Write a piece of the lines under way, up to `end`: whole lines where they fit in."""
        end = min(end, self._done + PIECE_BYTES)
        end = self._text.rfind(b"\n", self._done, end) + 1 or end
        try:
            self._done += self._file.write(self._text[self._done : end])
        except BlockingIOError:
            self._refusals += 1
            if self._refusals > 1:
                self._next_write = now + _BUSY_SECONDS
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                self._done = self._start_of_line()
            self._next_write = now + RETRY_SECONDS
            self._fail("write", error)
        else:
            self._refusals = 0
            self._progress = time.monotonic()
            self._failing.discard("write")
            if "write" in self._told and "open" not in self._failing:
                self._told.discard("write")
                self._policy.recovered()

    def _start_of_line(self) -> int:
        """Return where in the text the line under way begins."""
        return self._text.rfind(b"\n", 0, self._done) + 1

    def _fail(self, action: str, error: Exception) -> None:
        """Tell that something has begun to fail; that it still does is not told again."""
        self._failing.add(action)
        if action not in self._told:
            self._told.add(action)
            self._policy.failed(error, action == "open" and self._file.fd is not None)

    def _report_loss(self, now: float) -> None:
        if self._policy.reports_itself and self._done < len(self._text):
            return
        with self._lock:
            lost, self._lost = self._lost, 0
        self._next_loss = now + LOSS_SECONDS
        start = self._start_of_line()
        self._text = self._text[start:] + self._policy.lost(lost)
        self._done -= start

    def _take(self) -> bool:
        """Make lines of the next items; returns whether there were any."""
        lines: list[bytes] = []
        length = taken = spoilt = 0
        while self._waiting and length < _TAKE_BYTES:
            size, item = self._waiting.popleft()
            taken += size
            try:
                lines.append(self._policy.render(item))
                length += len(lines[-1])
            except Exception as error:  # a fault of ours, with this item perhaps
                spoilt += 1
                self._fail("render", error)
        self._text, self._done = b"".join(lines), 0
        with self._lock:
            self._held -= taken
            self._lost += spoilt
            self._idle = not taken and not self._waiting
            return not self._idle

    def _wait_for_items(self, now: float) -> None:
        """Sleep until an item comes, and then until others have come."""
        until = inf
        if self._reopen:
            until = self._next_open
        if self._lost:
            until = min(until, self._next_loss)
        is_woken = self._sleep(until - now)
        if is_woken and not self._reopen and self._deadline == inf:
            self._sleep(self._policy.gather_seconds)

    def _has_room(self, seconds: float) -> bool:
        """Wait until the file has room, or until woken; returns whether it has."""
        return self._file.fd in self._poll(seconds, self._file.fd)

    def _sleep(self, seconds: float) -> bool:
        """Sleep, unless woken; returns whether that was so."""
        return self._wake in self._poll(seconds)

    def _poll(self, seconds: float, fd: int | None = None) -> set[int]:
        """Wait until woken or until a file has room; returns what was ready."""
        seconds = max(0.0, min(seconds, self._deadline - time.monotonic()))
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if fd is not None:
            poll.register(fd, select.POLLOUT)
        ready = {each for each, _events in poll.poll(None if seconds == inf else seconds * 1000)}
        if self._wake in ready:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        return ready
