"""The thread that keeps the sites as the vhosts directory says, and what wakes it."""

import logging
import os
import time
from pathlib import Path
from select import POLLIN, poll
from threading import Lock, Thread
from typing import Final

from inotify_simple import INotify, flags

from ashttpd.show import reason
from ashttpd.vhosts.watch import Watch

log = logging.getLogger(__name__)

# How often every target is looked at: inotify tells of the directory only, not of what its symlinks
# point to, and of nothing that happens behind NFS or a bind mount.
CHECK_SECONDS: Final = 0.4
# What comes within this time of a first result is put in place with it: each time the memo of
# answers starts empty.
GATHER_SECONDS: Final = 0.02
# How often inotify is asked for again where it could not be had.
RETRY_SECONDS: Final = 10.0
# How long the thread may take to end; it may hang in a directory that does.
END_SECONDS: Final = 1.0
_EVENTS: Final = (
    flags.CREATE
    | flags.DELETE
    | flags.MOVED_TO
    | flags.MOVED_FROM
    | flags.CLOSE_WRITE
    | flags.ATTRIB
    | flags.ONLYDIR
)


class Changes:
    """Waits for changes of a directory, whichever has its name by then; raises nothing for them."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError where not even a descriptor can be had."""
        self._directory = directory
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # A thread that hung may call `wake` when all is over, and the descriptor another's.
        self._closing = Lock()
        self._is_closed = False
        self._inotify: INotify | None = None
        self._watched: tuple[int, int] | None = None
        self._retry = 0.0
        self._complaint = ""

    def close(self) -> None:
        """Close all descriptors; nothing may wait. Again is no harm."""
        self._drop()
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._wakeup)

    def wake(self) -> None:
        """End a wait; for any thread."""
        with self._closing:
            if not self._is_closed:
                os.eventfd_write(self._wakeup, 1)

    def wait(self, seconds: float) -> bool:
        """Wait until something happens, for so long at most; returns whether in the directory."""
        seconds = max(0.0, seconds)
        try:
            self._aim()
            waiting = poll()
            waiting.register(self._wakeup, POLLIN)
            if self._inotify is not None:
                waiting.register(self._inotify, POLLIN)
            ready = {fd for fd, _ in waiting.poll(int(seconds * 1000))}
            if self._wakeup in ready:
                os.eventfd_read(self._wakeup)
            return self._read()
        except OSError as error:
            self._give_up(error)
            time.sleep(min(seconds, CHECK_SECONDS))
            return True

    def _read(self) -> bool:
        """Return whether inotify tells of something; raises OSError."""
        if self._inotify is None:
            return False
        events = list(self._inotify.read(timeout=0))
        # The directory was removed or unmounted. The next one may get the same number.
        if any(event.mask & flags.IGNORED for event in events):
            self._drop()
        return bool(events)

    def _aim(self) -> None:
        """Watch the directory that has the name now; raises OSError where inotify has no room."""
        try:
            status = os.stat(self._directory)
        except OSError:
            return  # the watch of the sites tells of it
        found = (status.st_dev, status.st_ino)
        if found == self._watched or time.monotonic() < self._retry:
            return
        self._drop()
        self._inotify = INotify()
        try:
            self._inotify.add_watch(str(self._directory), _EVENTS)
            self._watched = found
        except (FileNotFoundError, NotADirectoryError):
            self._drop()  # gone since

    def _drop(self) -> None:
        inotify, self._inotify, self._watched = self._inotify, None, None
        if inotify is not None:
            inotify.close()

    def _give_up(self, error: OSError) -> None:
        """Do without inotify for a while."""
        self._retry = time.monotonic() + RETRY_SECONDS
        try:
            self._drop()
        except OSError:
            self._inotify = None
        if self._complaint != reason(error):
            self._complaint = reason(error)
            text = "inotify: %s; changes are found within %s s"
            log.warning(text, self._complaint, CHECK_SECONDS)


class Follower:
    """A thread of its own for the watch, so that a directory that hangs stops no signal."""

    def __init__(self, watch: Watch, directory: Path) -> None:
        """Follow nothing yet; raises OSError."""
        self._watch = watch
        self._changes = Changes(directory)
        watch.call_when_done(self._changes.wake)
        self._is_ended = False
        self._complaint = ""
        self._thread = Thread(target=self._run, name="sites", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Change nothing from now on; does not wait for what hangs."""
        self._is_ended = True
        self._watch.close()
        self._changes.wake()
        self._thread.join(END_SECONDS)
        if not self._thread.is_alive():
            self._changes.close()

    def _run(self) -> None:
        next_look = 0.0
        while not self._is_ended:
            try:
                is_told = self._changes.wait(next_look - time.monotonic())
                if is_told or time.monotonic() >= next_look:
                    next_look = time.monotonic() + CHECK_SECONDS
                    self._watch.look()
                else:
                    time.sleep(GATHER_SECONDS)
                self._watch.take()
                self._complaint = ""
            except Exception as error:
                # Whatever it is, this thread goes on: without it no deploy is ever seen again.
                if self._complaint != repr(error):
                    self._complaint = repr(error)
                    log.exception("sites: this is a bug of ashttpd; trying again")
                time.sleep(CHECK_SECONDS)
