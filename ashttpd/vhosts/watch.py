"""Follows the vhosts directory: has its names looked at, and puts in place what was found.

Whatever may hang on a disk or a network is done by the threads of a crew. What they find is taken
up by the one thread that calls the watch; it alone changes what is served.
"""

import logging
import time
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from threading import Lock
from typing import Final

from ashttpd.answers import Answers
from ashttpd.complaints import Complaints
from ashttpd.show import reason, show
from ashttpd.sites import Sites
from ashttpd.vhosts.crew import LOOK_SECONDS, Crew
from ashttpd.vhosts.directory import Directory
from ashttpd.vhosts.entry import Entry
from ashttpd.vhosts.jobs import Job, Look, Opening, Recheck
from ashttpd.vhosts.names import Names
from ashttpd.vhosts.refusal import Refusal
from ashttpd.vhosts.room import Room
from ashttpd.webroot.reader import Webroot

log = logging.getLogger(__name__)

# After so long a name that looks like a temporary link of ln, or like a copy that is about to be
# renamed, is told of: it was left behind.
TEMPORARY_SECONDS: Final = 5.0


class Watch:
    """The sites of a directory; one thread calls it.

    `current`, `find` and `plans` are for any thread.
    """

    def __init__(self, directory: Path) -> None:
        """Know no sites before the first look."""
        self._directory = Directory(directory)
        self._entries: dict[str, Entry] = {}
        # What the log has said of each entry, and of those that went a moment ago.
        self._refusals: dict[str, Refusal] = {}
        self._crew = Crew()
        # What the log has said: of the directory, and of names that are no hosts.
        self._complaint = ""
        self._refused: Mapping[str, str] = {}
        # When names that may be gone in a moment were first seen.
        self._temporary: dict[str, float] = {}
        # Whether something has to be put in place, and whether that was told.
        self._is_changed = False
        self._is_told = True
        # What is said of sites once it is true of the next request.
        self._news: list[str] = []
        self._telling = Lock()
        # Raises WebrootError for an open webroot that is not to be served; called by any thread.
        self.check_webroot: Callable[[Webroot], None] = lambda _webroot: None
        # How many webroots may be open.
        self.room = Room()
        # Told that the sites have changed, before the log is.
        self.on_change: Callable[[], None] = lambda: None
        self._complaints = Complaints()
        self._set(Sites({}))

    def _set(self, sites: Sites) -> None:
        self.current = sites
        # The memo refers to the sites and they not to it: in a cycle, replaced files would stay
        # open until the garbage collector came by.
        answers = Answers(sites, self._complaints)
        # What is called for each request and each batch: one attribute on the way to the memo.
        self.find = answers.find
        self.plans = answers.plans

    def call_when_done(self, wake: Callable[[], None]) -> None:
        """Have this called, by any thread, when `take` has something to take."""
        self._crew.on_done = wake

    def check(self, patience: float = inf, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Look at every name, and wait until all that was found is opened or refused.

        Goes on without the rest when nothing was done for `patience` seconds, or when it `is_over`.
        Returns whether the sites changed.
        """
        self.look()
        since = time.monotonic()
        while self._is_busy() and time.monotonic() - since < patience and not is_over():
            jobs = self._crew.done(min(patience, LOOK_SECONDS))
            for job in jobs:
                self._take(job)
            if jobs:
                since = time.monotonic()
            else:
                self._help_along()
        late = sum(entry.is_busy for entry in self._entries.values())
        if late and not is_over():
            sites = "1 site" if late == 1 else f"{late} sites"
            log.warning("going on without %s, still being opened", sites)
        return self.take()

    def _is_busy(self) -> bool:
        return any(entry.is_busy for entry in self._entries.values())

    def look(self) -> None:
        """Have a look taken at every name of the directory and at what it leads to."""
        try:
            names = self._directory.read(has_sites=bool(self._entries))
        except OSError as error:
            # Not the moment to drop every site: the directory may be on its way back.
            if self._complaint != reason(error):
                self._complaint = reason(error)
                log.error("vhosts directory: %s; the sites stay as they were", self._complaint)
        else:
            if self._complaint:
                self._complaint = ""
                log.info("vhosts directory: it is back")
            self._say_refused(names)
            self._update_entries(names)
        now = time.monotonic()
        self._crew.look(
            look
            for entry in self._entries.values()
            for look in entry.start(self._directory.path, now)
        )
        self._help_along()

    def _say_refused(self, names: Names) -> None:
        """Tell of each name that is not served, once."""
        now = time.monotonic()
        self._temporary = {name: self._temporary.get(name, now) for name in names.temporary}
        refused = dict(names.refused)
        for name, since in self._temporary.items():
            if now - since >= TEMPORARY_SECONDS:
                refused[name] = names.temporary[name]
        for name, why in refused.items():
            if self._refused.get(name) != why:
                log.error("%s: refused, nothing is served: %s", show(name), show(why))
        self._refused = refused

    def _update_entries(self, names: Names) -> None:
        for name in sorted(self._entries.keys() - names.hosts.keys()):
            if self._entries.pop(name).held is not None:
                self._is_changed = True
                self._news.append(f"{name}: removed")
        for name, file_name in names.hosts.items():
            entry = self._entries.get(name)
            if entry is None:
                refusal = self._refusals.setdefault(name, Refusal())
                self._entries[name] = Entry(name, file_name, refusal, self._complaints)
            elif entry.file_name != file_name:
                entry.lead_to(file_name)
        self._forget_refusals()

    def _forget_refusals(self) -> None:
        """Forget what was said of names that are gone, some time after the last line."""
        now = time.monotonic()
        for name in self._refusals.keys() - self._entries.keys():
            self._refusals[name].end()
            if self._refusals[name].quiet_until <= now:
                del self._refusals[name]

    def _help_along(self) -> None:
        """See to threads for what waits, and tell what takes long."""
        now = time.monotonic()
        entries = self._entries.values()
        under_way = (look for entry in entries for look in (entry.recheck, entry.look))
        self._crew.help_along([look for look in under_way if look is not None])
        for entry in entries:
            entry.say_what_lasts(now)

    def take(self) -> bool:
        """Put what was found in place; returns whether the sites changed."""
        for job in self._crew.done():
            self._take(job)
        return self._publish()

    def _take(self, job: Job) -> None:
        """Take up a job of an entry; a fault of our own there does not stop the others."""
        entry = self._entries.get(job.name)
        if entry is None:
            return
        try:
            if isinstance(job, Recheck):
                self._is_changed |= entry.take_recheck(job)
            elif isinstance(job, Look) and entry.look is job:
                opening = entry.take_look(job)
                if opening is not None:
                    self._crew.open(opening, self.check_webroot, self.room)
            elif isinstance(job, Opening) and entry.opening is job:
                news = entry.take_opening(job)
                if news is not None:
                    self._is_changed = True
                    self._news.append(f"{job.name}: {news}")
        except Exception as error:
            entry.refuse(error)

    def _publish(self) -> bool:
        """Put what has changed in place, have it told, and only then log it."""
        is_changed, self._is_changed = self._is_changed, False
        if is_changed:
            held = {n: e.held for n, e in self._entries.items() if e.held is not None}
            self._set(Sites({name: state.webroot for name, state in held.items()}))
            self._is_told = False
        if not self._is_told:
            # Where it raises, it is called again with the next look.
            with self._telling:
                self.on_change()
            self._is_told = True
        for line in self._news:
            log.info("%s", line)
        self._news.clear()
        return is_changed

    def close(self) -> None:
        """Tell of no change from now on; for any thread."""
        with self._telling:
            self.on_change = lambda: None
