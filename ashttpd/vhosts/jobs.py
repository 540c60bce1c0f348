"""What is done with one name of the directory in a thread that may hang.

A job is made by the watch, run by a thread once, and then read by the watch; nothing of it is
written by both.
"""

import errno
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISLNK
from typing import Final

from ashttpd.vhosts.files import Held, Identity, OpenError, identify, open_webroot, recheck
from ashttpd.vhosts.room import Room, RoomError
from ashttpd.webroot.reader import Webroot

_LINK_REASONS: Final = {
    errno.ENOENT: ", which does not exist",
    errno.ELOOP: ", which leads back to itself",
}


@dataclass(slots=True, eq=False)
class Job:
    """What all jobs have in common."""

    name: str
    path: Path
    # Seconds of the monotonic clock, or 0 before a thread has begun with it.
    began: float = field(default=0.0, init=False)
    # Whether the log has told that it takes long.
    is_said: bool = field(default=False, init=False)

    def lasts(self, now: float) -> float:
        """Return for how many seconds it has been under way."""
        return now - self.began if self.began else 0.0


@dataclass(slots=True, eq=False)
class Recheck(Job):
    """Finds out in which state an open file is."""

    held: Held
    # The open file, WrittenError, or what went wrong; None where nothing was found out.
    state: Held | Exception | None = field(default=None, init=False)

    @property
    def device(self) -> int | None:
        """What it waits for while it hangs."""
        return self.held.identity.device

    def run(self, hanging: frozenset[int]) -> None:
        """Look, unless the file is on a device that is known to hang."""
        if self.held.identity.device in hanging:
            return
        try:
            self.state = recheck(self.held)
        except Exception as error:
            self.state = error


@dataclass(slots=True, eq=False)
class Look(Job):
    """Finds out what a name leads to."""

    # What is served, and the name itself when it was found to lead there.
    held: Held | None
    held_link: Identity | None = None
    # The name itself, which a moved link changes.
    link: Identity | None = field(default=None, init=False)
    # What it leads to, None where nothing was found out, or what went wrong.
    target: Identity | Exception | None = field(default=None, init=False)

    @property
    def device(self) -> int | None:
        """What it waits for while it hangs, as far as that is known."""
        is_moved = self.link is None or self.link != self.held_link
        return None if self.held is None or is_moved else self.held.identity.device

    def run(self, hanging: frozenset[int] = frozenset()) -> None:
        """Look, but not behind a link that leads to a device that is known to hang."""
        try:
            self.target = self._find(hanging)
        except Exception as error:
            self.target = error

    def _find(self, hanging: frozenset[int]) -> Identity | None:
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return None
        self.link = identify(status)
        if not S_ISLNK(status.st_mode):
            return self.link
        return None if self.device in hanging else self._follow()

    def _follow(self) -> Identity:
        """Return what a symlink leads to; raises OSError, which says where it leads."""
        try:
            return identify(self.path.stat())
        except OSError as error:
            why = _LINK_REASONS.get(error.errno or 0, f": {error.strerror}")
            raise OSError(error.errno, f"a symlink to {os.readlink(self.path)}{why}") from error


@dataclass(slots=True, eq=False)
class Opening(Job):
    """Opens and verifies what a name leads to."""

    # What a look has found there, and the name itself then.
    identity: Identity
    link: Identity | None
    # Whether nothing is served under the name yet.
    is_new: bool
    result: Held | OpenError | None = field(default=None, init=False)

    def run(self, check: Callable[[Webroot], None], room: Room) -> None:
        """Open it; `check` raises WebrootError for one that is not to be served."""
        try:
            room.enter(is_new=self.is_new)
        except RoomError as error:
            self.result = OpenError(self.identity)
            self.result.__cause__ = error.with_traceback(None)
            return
        try:
            held = open_webroot(self.path, check)
        except OpenError as error:
            room.leave()
            # Its traceback refers to this job, and to a file that was refused.
            self.result = error.with_traceback(None)
        else:
            weakref.finalize(held.webroot, room.leave).atexit = False
            self.result = held
