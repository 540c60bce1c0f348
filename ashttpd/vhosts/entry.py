"""One host of the directory: what is served under it, and what is to be done about what was found.

It decides and logs; files are looked at and opened by jobs. One thread calls it.
"""

import logging
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from ashttpd.show import reason, show
from ashttpd.vhosts.crew import LOOK_SECONDS
from ashttpd.vhosts.files import TICK_SECONDS, Held, Identity, WrittenError, identify
from ashttpd.vhosts.jobs import Job, Look, Opening
from ashttpd.webroot.errors import WebrootError

log = logging.getLogger(__name__)

# After so long the log tells what hangs, or takes long to open.
SAY_SECONDS: Final = 5.0
# A file that the machine cannot read is opened again at once, then after delays that double.
FIRST_RETRY_SECONDS: Final = 0.4
MOST_RETRY_SECONDS: Final = 10.0
# As many digits of a site id as mkroot prints at the end of a build.
_SHOWN_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a state of a file is not served, and from when on it is opened once more."""

    identity: Identity | None
    error: Exception
    again: float
    delay: float = 0.0


def judge(
    before: Verdict | None, identity: Identity | None, error: Exception, now: float
) -> Verdict:
    """Return when a file that could not be opened is opened again, by what was wrong with it."""
    is_repeated = before is not None and before.identity == identity
    if isinstance(error, (OSError, MemoryError)):
        # It may be on its way back, or we short of descriptors.
        delay = 0.0
        if before is not None and is_repeated:
            delay = min(2 * before.delay or FIRST_RETRY_SECONDS, MOST_RETRY_SECONDS)
        return Verdict(identity, error, now + delay, delay)
    # Wrong for good, but for what was written to it within the same tick of its clock.
    return Verdict(identity, error, inf if is_repeated else now + TICK_SECONDS)


class Entry:
    """What is remembered of a host."""

    def __init__(self, name: str, file_name: str) -> None:
        """Serve nothing yet."""
        self.name = name
        self.file_name = file_name
        # What is served; it may be revoked.
        self.held: Held | None = None
        # Only the newest of each: what an older one finds is dropped.
        self.look: Look | None = None
        self.opening: Opening | None = None
        self.verdict: Verdict | None = None
        # What the log says is wrong with what the name leads to, and with the open file.
        self._complaint = ""
        self._trouble = ""

    def lead_to(self, file_name: str) -> None:
        """Take another file of the directory for this host; whatever is under way is dropped."""
        self.file_name = file_name
        self.look = self.opening = None

    def needs_look(self, now: float) -> bool:
        """Whether no look is under way, or one that hangs at what the name led to before."""
        look = self.look
        if look is None:
            return True
        if look.lasts(now) < LOOK_SECONDS or look.link is None:
            return False
        try:
            return identify(look.path.lstat()) != look.link
        except OSError:
            return False

    def start_look(self, directory: Path) -> Look:
        """Return a new look, which replaces the one that is under way."""
        self.look = Look(self.name, directory / self.file_name, self.held)
        return self.look

    def take_look(self, look: Look) -> tuple[bool, Opening | None]:
        """Take up what the newest look has found.

        Returns whether the open file was revoked, and what has to be opened now.
        """
        self.look = None
        self._say_done(look)
        if self.held is not look.held:
            return False, None  # what it looked at has been replaced meanwhile
        is_revoked = look.state is not None and self._take_state(look.state)
        if isinstance(look.target, Exception):
            # It may be on its way back: so what is served stays.
            self.refuse(look.target)
        elif look.target is not None and self._is_to_open(look.target):
            self.opening = Opening(self.name, look.path, look.target)
            return is_revoked, self.opening
        return is_revoked, None

    def _take_state(self, state: Held | Exception) -> bool:
        """Take up in which state the open file is; returns whether it was revoked."""
        if isinstance(state, WrittenError):
            self._revoke()
            return True
        if isinstance(state, Exception):
            if self._trouble != reason(state):
                self._trouble = reason(state)
                text = "%s: its open file: %s; it is served as before"
                log.error(text, self.name, self._trouble)
        else:
            self.held = state
            if self._trouble:
                self._trouble = ""
                log.info("%s: its open file is well again", self.name)
        return False

    def _revoke(self) -> None:
        """Distrust a webroot whose file was written to in place: what is being sent of it ends."""
        assert self.held is not None
        self.held.webroot.revoked = True
        log.error(
            "%s: overwritten or truncated in place while it was served; its connections are "
            "closed. Replace a webroot by renaming a new file over it",
            self.name,
        )

    def _is_to_open(self, found: Identity) -> bool:
        """Whether what was found is neither served nor refused nor being opened already."""
        if self._is_served(found):
            self.opening = self.verdict = None
            if self._complaint:
                self._complaint = ""
                log.info("%s: well again; it is served as before", self.name)
            return False
        if self.opening is not None and self.opening.identity == found:
            return False
        verdict = self.verdict
        if verdict and verdict.identity == found and time.monotonic() < verdict.again:
            self.refuse(verdict.error)
            return False
        return True

    def _is_served(self, found: Identity) -> bool:
        held = self.held
        return (
            held is not None
            and not held.webroot.revoked
            and found.is_same_file(held.identity)
            and found.has_same_times(held.identity)
        )

    def take_opening(self, opening: Opening) -> str | None:
        """Take up what the newest opening has brought; returns what is new, if anything is."""
        self.opening = None
        self._say_done(opening)
        result = opening.result
        if isinstance(result, Held):
            before, self.held = self.held, result
            self.verdict, self._complaint = None, ""
            return _news(before, result)
        assert result is not None
        error = result.__cause__
        assert isinstance(error, Exception)
        self.verdict = judge(self.verdict, result.identity, error, time.monotonic())
        self.refuse(error)
        return None

    def refuse(self, error: Exception) -> None:
        """Log why a file is not served, once."""
        complaint = reason(error)
        if self._complaint == complaint:
            return
        self._complaint = complaint
        is_bug = not isinstance(error, (WebrootError, OSError, MemoryError))
        log.error(
            "%s: refused, %s: %s%s",
            self.name,
            self._outcome(),
            show(complaint),
            "; this is a bug of ashttpd" if is_bug else "",
            exc_info=error if is_bug else None,
        )

    def _outcome(self) -> str:
        stays = self.held is not None and not self.held.webroot.revoked
        return "the old one stays" if stays else "nothing is served"

    def say_what_lasts(self, now: float) -> None:
        """Tell of what takes long, once."""
        for job in (self.look, self.opening):
            if job is not None and not job.is_said and job.lasts(now) >= SAY_SECONDS:
                job.is_said = True
                log.warning(
                    "%s: %s its file takes longer than %g s; %s, and other sites are followed",
                    self.name,
                    _what(job),
                    SAY_SECONDS,
                    self._outcome(),
                )

    def _say_done(self, job: Job) -> None:
        if job.is_said:
            seconds = job.lasts(time.monotonic())
            log.info("%s: %s its file took %.0f s", self.name, _what(job), seconds)


def _news(before: Held | None, now: Held) -> str:
    """Say what is served now, and what was before."""
    urls = now.webroot.resource_count
    shown = f"{urls:,} URL{'s' * (urls != 1)}, site id {now.webroot.site_id[:_SHOWN_DIGITS]}"
    if before is None:
        return f"serving {shown}"
    return f"replaced by {shown}; the old one was {before.webroot.site_id[:_SHOWN_DIGITS]}"


def _what(job: Job) -> str:
    return "looking at" if isinstance(job, Look) else "opening"
