"""One host of the directory: what is served under it, and what is to be done about what was found.

It decides and logs; files are looked at and opened by jobs. One thread calls it.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from ashttpd.complaints import Complaints
from ashttpd.show import reason, show
from ashttpd.vhosts.crew import LOOK_SECONDS
from ashttpd.vhosts.files import TICK_SECONDS, Held, Identity, WrittenError, identify
from ashttpd.vhosts.jobs import Job, Look, Opening, Recheck
from ashttpd.vhosts.refusal import Refusal
from ashttpd.vhosts.room import RoomError
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot

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

    def __init__(self, name: str, file_name: str, refusal: Refusal, complaints: Complaints) -> None:
        """Serve nothing yet."""
        self.name = name
        self.file_name = file_name
        # What is served; it may be revoked.
        self.held: Held | None = None
        # The name itself when it was last found to lead to that.
        self._held_link: Identity | None = None
        # Only the newest of each: what an older one finds is dropped.
        self.look: Look | None = None
        self.recheck: Recheck | None = None
        self.opening: Opening | None = None
        self.verdict: Verdict | None = None
        # What the log says is wrong with what the name leads to, and with the open file.
        self._refusal = refusal
        self._complaints = complaints
        self._trouble = ""

    def lead_to(self, file_name: str) -> None:
        """Take another file of the directory for this host; whatever is under way is dropped."""
        self.file_name = file_name
        self.look = self.opening = None

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        return any(job is not None for job in (self.look, self.recheck, self.opening))

    def start(self, directory: Path, now: float) -> Iterator[Look | Recheck]:
        """Return new looks where there is need of any; they replace those that are under way."""
        path = directory / self.file_name
        # First: what was written in place is known before the same file is opened anew.
        if self._needs_recheck():
            assert self.held is not None
            self.recheck = Recheck(self.name, path, self.held)
            yield self.recheck
        if self._needs_look(now):
            self.look = Look(self.name, path, self.held, self._held_link)
            yield self.look

    def _needs_recheck(self) -> bool:
        """Whether no look at the open file is under way."""
        if self.held is None or self.held.webroot.revoked:
            return False
        return self.recheck is None or self.recheck.held.webroot is not self.held.webroot

    def _needs_look(self, now: float) -> bool:
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

    def take_look(self, look: Look) -> Opening | None:
        """Take up what the newest look has found; returns what has to be opened now."""
        self.look = None
        self._say_done(look)
        if _webroot_of(self.held) is not _webroot_of(look.held):
            return None  # what it led to has been replaced meanwhile
        if isinstance(look.target, Exception):
            # It may be on its way back: so what is served stays.
            self.refuse(look.target)
        elif look.target is not None and self._is_to_open(look.target, look.link):
            is_new = self.held is None
            self.opening = Opening(self.name, look.path, look.target, look.link, is_new)
            return self.opening
        return None

    def take_recheck(self, recheck: Recheck) -> bool:
        """Take up in which state an open file is; returns whether it was revoked."""
        if self.recheck is recheck:
            self.recheck = None
            self._say_done(recheck)
        webroot, state = recheck.held.webroot, recheck.state
        if isinstance(state, WrittenError):
            # One that was replaced meanwhile may still be sent.
            is_served = not webroot.revoked
            self._revoke(webroot)
            return is_served
        if state is None or webroot is not _webroot_of(self.held):
            return False
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

    def _revoke(self, webroot: Webroot) -> None:
        """Distrust a webroot whose file was written to in place: what is being sent of it ends."""
        if webroot.revoked:
            return
        webroot.revoked = True
        log.error(
            "%s: overwritten or truncated in place while it was served; its connections are "
            "closed. Replace a webroot by renaming a new file over it",
            self.name,
        )

    def _is_to_open(self, found: Identity, link: Identity | None) -> bool:
        """Whether what was found is neither served nor refused nor being opened already."""
        if self._is_served(found):
            self.opening = self.verdict = None
            self._held_link = link
            if self._refusal.end():
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
            before = self.held
            self._revoke_overwritten(result)
            self.held, self._held_link, self.verdict = result, opening.link, None
            self._refusal.end()
            return _news(before, result)
        assert result is not None
        error = result.__cause__
        assert isinstance(error, Exception)
        self.verdict = judge(self.verdict, result.identity, error, time.monotonic())
        if isinstance(error, RoomError):
            # It is true of many sites at once.
            text, now = "%s: refused, %s: %s", time.monotonic()
            self._complaints.say(log.error, text, self.name, self._outcome(), error, now=now)
        else:
            self.refuse(error)
        return None

    def _revoke_overwritten(self, opened: Held) -> None:
        """Revoke what is served where another site was found in the very same file.

        It was written to in place between the looks at the open file and at the name.
        """
        held = self.held
        if held is None or not opened.identity.is_same_file(held.identity):
            return
        if opened.webroot.superblock.site_id != held.webroot.superblock.site_id:
            self._revoke(held.webroot)

    def refuse(self, error: Exception) -> None:
        """Log why a file is not served, once for each kind of error."""
        if isinstance(error, RoomError):
            return  # told of when the opening was taken
        remark = self._refusal.maybe_say(error, time.monotonic())
        if remark is None:
            return
        complaint = reason(error)
        is_bug = not isinstance(error, (WebrootError, OSError, MemoryError))
        log.error(
            "%s: refused, %s: %s%s%s",
            self.name,
            self._outcome(),
            show(complaint),
            remark,
            "; this is a bug of ashttpd" if is_bug else "",
            exc_info=error if is_bug else None,
        )

    def _outcome(self) -> str:
        stays = self.held is not None and not self.held.webroot.revoked
        return "the old one stays" if stays else "nothing is served"

    def say_what_lasts(self, now: float) -> None:
        """Tell of what takes long, once."""
        for job in (self.look, self.recheck, self.opening):
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
    if isinstance(job, Recheck):
        return "checking"
    return "looking at" if isinstance(job, Look) else "opening"


def _webroot_of(held: Held | None) -> Webroot | None:
    return None if held is None else held.webroot
