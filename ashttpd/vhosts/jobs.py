"""What is done with one name of the directory in a thread that may hang.

A job is made by the watch, run by a thread once, and then read by the watch; nothing of it is
written by both.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISLNK
from typing import Final

from ashttpd.vhosts.files import Held, Identity, OpenError, identify, open_webroot, recheck
from ashttpd.webroot.reader import Webroot

_LINK_REASONS: Final = {
    errno.ENOENT: ", which does not exist",
    errno.ELOOP: ", which leads back to itself",
}


@dataclass(slots=True, eq=False)
class Job:
    """What a look and an opening have in common."""

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
class Look(Job):
    """Finds out what a name leads to, and in which state the open file is that it has led to."""

    held: Held | None
    # The name itself, which a moved link changes.
    link: Identity | None = field(default=None, init=False)
    # What it leads to, None where the name is gone, or what went wrong.
    target: Identity | Exception | None = field(default=None, init=False)
    # The open file, WrittenError, or what went wrong; None where there is none to be trusted.
    state: Held | Exception | None = field(default=None, init=False)

    def run(self) -> None:
        """Look."""
        try:
            if self.held is not None and not self.held.webroot.revoked:
                self.state = recheck(self.held)
        except Exception as error:
            self.state = error
        try:
            self.target = self._find()
        except Exception as error:
            self.target = error

    def _find(self) -> Identity | None:
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return None
        self.link = identify(status)
        return self._follow() if S_ISLNK(status.st_mode) else self.link

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

    # What a look has found there.
    identity: Identity
    result: Held | OpenError | None = field(default=None, init=False)

    def run(self, check: Callable[[Webroot], None]) -> None:
        """Open it; `check` raises WebrootError for one that is not to be served."""
        try:
            self.result = open_webroot(self.path, check)
        except OpenError as error:
            self.result = error
