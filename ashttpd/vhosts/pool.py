"""Threads for jobs that may hang: a few at a time, and none that is waited for."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import Final

# A job that has lasted for so long does not count as work any more, but as hanging: another thread
# takes its place. The largest index that is accepted is read and verified in about this time.
HANGING_SECONDS: Final = 10.0
# All threads of a pool together. Each that hangs costs some 30 KB of memory and a descriptor; a
# hanging mount with more sites than this is dead for good.
MAX_THREADS: Final = 32


class Pool:
    """Runs jobs, which raise nothing, in the order in which they come, `size` at a time.

    The threads end with the last job, and are daemons: one that hangs does not keep the program
    from ending.
    """

    def __init__(self, name: str, size: int) -> None:
        """Start nothing yet."""
        self._name = name
        self._size = size
        self._jobs: deque[Callable[[], None]] = deque()
        # When each thread began with its job, in seconds of the monotonic clock.
        self._since: dict[Thread, float] = {}
        self._lock = Lock()

    @property
    def waiting(self) -> int:
        """How many jobs no thread has begun with."""
        return len(self._jobs)

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job as soon as a thread is free."""
        with self._lock:
            self._jobs.append(job)
        with suppress(RuntimeError):  # the next `staff` tells of it
            self.staff()

    def staff(self) -> None:
        """Start the threads that are needed; to be called now and then, for those that hang.

        Raises RuntimeError where the system has no thread to give.
        """
        with self._lock:
            now = time.monotonic()
            at_work = sum(now - since < HANGING_SECONDS for since in self._since.values())
            free = min(self._size - at_work, MAX_THREADS - len(self._since))
            for _ in range(min(free, len(self._jobs))):
                thread = Thread(target=self._work, name=self._name, daemon=True)
                self._since[thread] = now
                try:
                    thread.start()
                except RuntimeError:
                    del self._since[thread]
                    raise

    def _work(self) -> None:
        thread = current_thread()
        while True:
            with self._lock:
                if not self._jobs:
                    del self._since[thread]
                    return
                self._since[thread] = time.monotonic()
                job = self._jobs.popleft()
            job()
            # What it holds (a file) is not kept until the next one comes.
            del job
