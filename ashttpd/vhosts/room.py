"""How many webroots may be open at a time: their descriptors come out of what connections leave.

Every open webroot counts until its file is closed, replaced ones that are still being sent, too.
"""

from collections import deque
from math import inf
from threading import Lock
from typing import Final

# So many places are kept for new versions of sites that are served. A deploy opens as many files at
# a time as there are openers, and sites that are added must not stop it.
DEPLOY_PLACES: Final = 4


class RoomError(OSError):
    """No more webroots may be open; the message says what to raise."""


class Room:
    """Places for open webroots; for any thread."""

    def __init__(self, most: float = inf, allowed: int = 0) -> None:
        """Have `most` places, which is what a limit of `allowed` open files leaves for webroots."""
        self._most = most
        self._allowed = allowed
        self._taken = 0
        # `leave` is called where a webroot is freed: by any thread, and perhaps by one that holds
        # the lock. To append takes no lock.
        self._left: deque[None] = deque()
        self._lock = Lock()

    def enter(self, *, is_new: bool) -> None:
        """Take a place before a webroot is opened, `is_new` where its host has none yet.

        Raises RoomError.
        """
        most = self._most - DEPLOY_PLACES if is_new else self._most
        with self._lock:
            while self._left:
                self._left.pop()
                self._taken -= 1
            if self._taken >= most:
                raise RoomError(
                    f"{self._taken} webroots are open, and the limit of {self._allowed} open files "
                    f"leaves no more for {'new ' if is_new else ''}sites: raise it and start again "
                    "(ulimit -Hn, or LimitNOFILE= of systemd)"
                )
            self._taken += 1

    def leave(self) -> None:
        """Give a place back."""
        self._left.append(None)
