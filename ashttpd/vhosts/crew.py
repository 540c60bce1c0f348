"""Has jobs done by threads that may hang, and hands back what is done.

A look at all names takes some milliseconds, so one thread takes one after the other; others come
in only where it hangs. Each file is opened by a job of its own.
"""

import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from ashttpd.vhosts.jobs import Job, Look, Opening, Recheck
from ashttpd.vhosts.pool import Pool
from ashttpd.vhosts.room import Room
from ashttpd.webroot.reader import Webroot

log = logging.getLogger(__name__)

# Reading and hashing an index takes a processor from the threads that serve; a disk and two
# processors have no use for more.
OPENERS: Final = 4
# As many looks may begin to hang at the same time before the next have to wait for HANGING_SECONDS:
# two for each site, one of which is at its open file.
LOOKERS: Final = 8
# A look that has lasted for so long hangs: others at the same device are left out until it is back.
LOOK_SECONDS: Final = 1.0


class Crew:
    """The threads of a watch."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._openers = Pool("opener", OPENERS)
        self._lookers = Pool("looker", LOOKERS)
        self._looks: deque[Look | Recheck] = deque()
        # Devices on which a look hangs.
        self._hanging: frozenset[int] = frozenset()
        self._done: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._complaint = ""
        # Told that something is done; called by any thread.
        self.on_done: Callable[[], None] = lambda: None

    def look(self, looks: Iterable[Look | Recheck]) -> None:
        """Have looks taken, in this order; `help_along` starts them."""
        self._looks.extend(looks)

    def open(self, opening: Opening, check: Callable[[Webroot], None], room: Room) -> None:
        """Have a file opened, and held against `check`, as soon as a thread is free."""
        self._openers.submit(lambda: self._open(opening, check, room))

    def help_along(self, under_way: Iterable[Look | Recheck]) -> None:
        """See to threads for what waits, and around what hangs; to be called now and then."""
        now = time.monotonic()
        self._hanging = frozenset(
            look.device
            for look in under_way
            if look.device is not None and look.lasts(now) >= LOOK_SECONDS
        )
        if self._looks and not self._lookers.waiting:
            self._lookers.submit(self._work_off_looks)
        try:
            self._lookers.staff()
            self._openers.staff()
            self._complaint = ""
        except RuntimeError as error:
            if self._complaint != str(error):
                self._complaint = str(error)
                log.error("no thread to look at sites: %s; trying again", error)

    def done(self, seconds: float = 0) -> list[Job]:
        """Return all jobs that are done since the last call, and wait for the first so long."""
        jobs = []
        with suppress(queue.Empty):
            jobs.append(self._done.get(timeout=seconds) if seconds else self._done.get_nowait())
            while True:
                jobs.append(self._done.get_nowait())
        return jobs

    def _work_off_looks(self) -> None:
        """Take looks until there are none; for a thread of the pool."""
        while True:
            try:
                look = self._looks.popleft()
            except IndexError:
                break
            look.began = time.monotonic()
            look.run(self._hanging)
            self._done.put(look)
            # A file that is replaced now is not kept open until the next look.
            del look
        self.on_done()

    def _open(self, opening: Opening, check: Callable[[Webroot], None], room: Room) -> None:
        """Open a file; for a thread of the pool."""
        opening.began = time.monotonic()
        opening.run(check, room)
        self._done.put(opening)
        self.on_done()
