"""The vhosts directory, followed live: host names to webroots.

A Sites is an immutable picture: the webroot of every host. The watcher makes a new one, with an
empty memo of answers, whenever a file or a symlink's target has changed, and puts both in place
with one assignment. What is being sent holds its old webroot open until it is through.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Final

from ashttpd.answers import Answers
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot

log = logging.getLogger(__name__)

DEFAULT_HOST: Final = "__default__"
# RFC 3986 section 3.2.2: a reg-name or an IP-literal; `*.` in front matches every subdomain.
_HOST_NAME: Final = re.compile(
    r"(\*\.)?([a-z0-9_~!$&'()+,;=-]+(\.[a-z0-9_~!$&'()+,;=-]+)*|\[[0-9a-f:.]+\])"
)
# The port that may follow a host in Host and in an authority (RFC 3986 section 3.2.3).
_PORT: Final = re.compile(rb":[0-9]*\Z")


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one state of a file from another; cheap, and true across symlinks and mounts."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    def is_same_file(self, other: "Identity") -> bool:
        """Whether both are states of one inode."""
        return (self.device, self.inode) == (other.device, other.inode)

    def is_same_content(self, other: "Identity") -> bool:
        """Whether nothing was written in between; a changed mode or link count is not content."""
        return (self.size, self.modified_ns) == (other.size, other.modified_ns)


def _identify(status: os.stat_result) -> Identity:
    return Identity(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


class Sites:
    """One picture of the vhosts directory; never changes."""

    def __init__(self, webroots: Mapping[str, Webroot]) -> None:
        """Serve each webroot under its host name, in lower case."""
        self.webroots = webroots
        exact = {name.encode("ascii"): webroot for name, webroot in webroots.items()}
        self._default = exact.pop(DEFAULT_HOST.encode("ascii"), None)
        self._exact = {name: w for name, w in exact.items() if not name.startswith(b"*")}
        self._wildcards = {name[1:]: w for name, w in exact.items() if name.startswith(b"*")}

    def find(self, host: bytes) -> Webroot | None:
        """Return the webroot of an authority in lower case; a port and a final dot are ignored.

        The exact name first, then the longest wildcard, then the default.
        """
        name = _PORT.sub(b"", host).removesuffix(b".")
        found = self._exact.get(name)
        if found is not None or not self._wildcards:
            return found or self._default
        dot = name.find(b".")
        while dot >= 0:
            found = self._wildcards.get(name[dot:])
            if found is not None:
                return found
            dot = name.find(b".", dot + 1)
        return self._default


@dataclass(slots=True)
class _Entry:
    """What the watcher remembers of a name in the directory."""

    # What was found last under the name: served, or refused for good.
    seen: Identity | None = None
    # What is served, and its file's state when it was opened. Not what was seen last, once that
    # was refused.
    webroot: Webroot | None = None
    served: Identity | None = None
    complaint: str = ""


class Watch:
    """Follows a vhosts directory; `check` is cheap and may be called at any time, by one thread."""

    def __init__(self, directory: Path) -> None:
        """Know no sites before the first check."""
        self._directory = directory
        self._entries: dict[str, _Entry] = {}
        self._complaint = ""
        # What is said of sites once it is true of the next request.
        self._news: list[str] = []
        # Raises WebrootError for an open webroot that is not to be served.
        self.check_webroot: Callable[[Webroot], None] = lambda _webroot: None
        # Told that the sites have changed, before anybody else is.
        self.on_change: Callable[[], None] = lambda: None
        self._set(Sites({}))

    def _set(self, sites: Sites) -> None:
        self.current = sites
        # The memo refers to the sites and they not to it: in a cycle, replaced files would stay
        # open until the garbage collector came by.
        answers = Answers(sites)
        # What is called for each request and each batch: one attribute on the way to the memo.
        self.find = answers.find
        self.plans = answers.plans

    def check(self) -> bool:
        """Look at every name and its target once; returns whether the sites changed.

        A file that cannot be served is refused with a log line that names it, and what was served
        under its name before stays.
        """
        try:
            names = self._names()
        except OSError as error:
            # Not the moment to drop every site: the directory may be on its way back.
            if self._complaint != str(error):
                self._complaint = str(error)
                log.error("vhosts directory: %s; the sites stay as they were", error)
            return False
        self._complaint = ""
        changed = False
        for name in sorted(self._entries.keys() - names.keys()):
            changed |= self._remove(name)
        for name, file_name in names.items():
            changed |= self._check_entry(name, file_name)
        if changed:
            self._set(
                Sites({n: e.webroot for n, e in self._entries.items() if e.webroot is not None})
            )
            self.on_change()
        for line in self._news:
            log.info("%s", line)
        self._news.clear()
        return changed

    def _names(self) -> dict[str, str]:
        """Return the directory's host names with the file names they come from."""
        names: dict[str, str] = {}
        for file_name in sorted(os.listdir(self._directory)):
            name = file_name.lower()
            # Editors, rsync and mkroot write under a dot name and rename.
            if not file_name.startswith("."):
                names[name] = file_name
        return names

    def _remove(self, name: str) -> bool:
        entry = self._entries.pop(name)
        if entry.webroot is not None:
            self._news.append(f"{name}: removed")
        return entry.webroot is not None

    def _check_entry(self, name: str, file_name: str) -> bool:
        entry = self._entries.setdefault(name, _Entry())
        path = self._directory / file_name
        revoked = self._revoke_if_written(name, entry)
        try:
            if name != DEFAULT_HOST and not _HOST_NAME.fullmatch(name):
                raise WebrootError("its name is no host name")
            status = path.stat()
            if S_ISDIR(status.st_mode):
                raise WebrootError("a directory; build it with mkroot and link the result here")
            identity = _identify(status)
            if identity == entry.seen:
                return revoked
            opened = self._serve(name, entry, path, identity)
            entry.seen, entry.complaint = identity, ""
        except WebrootError as error:
            self._refuse(name, entry, error)
            return revoked
        except OSError as error:
            # It may be on its way back, or we short of descriptors: so look again next time.
            entry.seen = None
            self._refuse(name, entry, error)
            return revoked
        return opened or revoked

    def _serve(self, name: str, entry: _Entry, path: Path, identity: Identity) -> bool:
        """Open what has `identity`, unless it is what is served; returns whether it was opened.

        Raises WebrootError and OSError.
        """
        if (
            entry.webroot is not None
            and not entry.webroot.revoked
            and entry.served is not None
            and identity.is_same_file(entry.served)
            and identity.is_same_content(entry.served)
        ):
            return False
        try:
            webroot = Webroot(str(path))
            self.check_webroot(webroot)
        except WebrootError:
            entry.seen = identity
            raise
        opened = _identify(os.fstat(webroot.fd))
        # The state before it was verified, so that what is written to it from then on is noticed.
        entry.served = identity if identity.is_same_file(opened) else opened
        kept = "replaced" if entry.webroot else "serving"
        entry.webroot = webroot
        count, site_id = webroot.resource_count, webroot.site_id[:12]
        self._news.append(f"{name}: {kept} {count} URLs, site id {site_id}")
        return True

    def _revoke_if_written(self, name: str, entry: _Entry) -> bool:
        """Distrust a webroot whose file was written to in place: what is being sent of it ends.

        Asks the open file, whatever its name leads to by now. Returns whether it was revoked.
        """
        webroot, served = entry.webroot, entry.served
        if webroot is None or webroot.revoked or served is None:
            return False
        if _identify(os.fstat(webroot.fd)).is_same_content(served):
            return False
        webroot.revoked = True
        log.error(
            "%s: overwritten or truncated in place while it was served; its connections are "
            "closed. Replace a webroot by renaming a new file over it",
            name,
        )
        return True

    def _refuse(self, name: str, entry: _Entry, error: Exception) -> None:
        """Log why a file is not served, once."""
        complaint = str(error)
        if entry.complaint != complaint:
            entry.complaint = complaint
            stays = entry.webroot is not None and not entry.webroot.revoked
            state = "the old one stays" if stays else "nothing is served"
            log.error("%s: refused, %s: %s", name, state, complaint)
