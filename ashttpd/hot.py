"""Answers that compiled code gives by itself: what was answered already within the second.

A plan that is sent hot answers all who ask the same, until the second is over or the sites have
changed, and nobody in Python hears of it. Here is what its thread has to do for that: keep those
plans, say when they are over, and tell connections of what was sent in their place.
"""

import resource
from collections.abc import Callable
from typing import Final, Protocol

from ashttpd.http.connection import Connection
from ashttpd.http.dates import Second
from ashttpd.http.plan import Plan

# Of each socket there are two numbers: how many answers it was sent without us, and when the last
# of them, in microseconds of the monotonic clock.
ACTIVITY_BYTES: Final = 16
# The highest descriptor of a socket, plus one; those that were never used cost nothing.
MAX_SOCKETS: Final = 1 << 20


def count_sockets() -> int:
    """Return what the numbers of sockets are below."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], MAX_SOCKETS)


class Numbers(Protocol):
    """Numbers that compiled code may change."""

    def __getitem__(self, place: int, /) -> int:
        """Return one."""

    def __setitem__(self, place: int, number: int, /) -> None:
        """Change one."""


class Hot:
    """The hot plans of one thread; `distrust` is for any."""

    def __init__(
        self,
        distrusted: Numbers,
        activities: Numbers,
        forget: Callable[[int], None],
        idle_seconds: float,
    ) -> None:
        """Know the numbers that are shared with compiled code.

        `forget` has it forget all answers, and remember others for a second since the epoch.
        """
        self._distrusted = distrusted
        # Nothing is answered before a thread has looked for the first time.
        distrusted[0] = 1
        self._activities = activities
        self._forget = forget
        self._idle_seconds = idle_seconds
        self._second: Second | None = None
        self._plans: list[Plan] = []
        # Those that the events of the last turn are about.
        self.sent: list[Plan] = []

    def distrust(self) -> None:
        """Have no request answered before `begin` is called again."""
        self._distrusted[0] = 1

    def begin(self, second: Second, *, allowed: bool) -> list[Plan]:
        """Return the list of hot plans: what is sent hot from now on has to be added to it.

        They are sent by themselves in this second only, and only where that is `allowed`. Has to be
        called behind each turn, and before anybody looks at the sites.
        """
        self.sent = self._plans
        if second is not self._second or self._distrusted[0]:
            self._second = second
            self._forget(second.epoch if allowed else 0)
            self._plans = []
        return self._plans

    def settle(self, fd: int, connection: Connection) -> None:
        """Note in the connection of a socket what was sent without it since the last time."""
        answers = self._activities[2 * fd]
        if answers:
            self._activities[2 * fd] = 0
            connection.requests += answers
            connection.deadline = self._activities[2 * fd + 1] / 1e6 + self._idle_seconds
