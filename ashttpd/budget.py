"""How the files that the process may have open are divided among what needs them.

Connections get what is left by the engine, the logs, the sites, and a reserve for deploys. Pure
numbers, except for `allowed_files`.
"""

import resource
from dataclasses import dataclass
from typing import Final

# More connections have not been tried.
MOST_CONNECTIONS: Final = 1_000_000
# Descriptors 0 to 2; the error log's eventfd and its own end of a pipe or terminal; the access
# log's eventfd, its file, and another one when it is opened anew; inotify and what wakes the thread
# that follows the sites; a directory that is read, what is kept for that, and a name that is
# resolved.
_ALWAYS: Final = 13
# Of the reserve: a deploy opens four files at a time, with aio twice each.
LEAST_RESERVE: Final = 8
# A share of all files is in the reserve, too: for sites that are added later, and for replaced ones
# that are still being sent.
_RESERVE_SHARE: Final = 8
# A server with fewer is of no use.
LEAST_CONNECTIONS: Final = 4


class FilesError(Exception):
    """The limit of open files is too low; the message says how many are needed."""


@dataclass(frozen=True, slots=True)
class FilesNeeded:
    """What an engine has open besides its connections."""

    engine: int
    # For each site, the webroot itself included.
    per_site: int
    # New sockets that are no connections yet: so many at most, and no more than connections.
    waiting: int


@dataclass(frozen=True, slots=True)
class Budget:
    """A division of the open files; numbers of files, but for `sites`."""

    allowed: int
    always: int
    sites: int
    site_files: int
    per_site: int
    connections: int
    waiting: int

    @property
    def most_webroots(self) -> int:
        """How many webroots may be open: those of the sites, and what the reserve has room for."""
        return (self.site_files + self.reserve) // self.per_site

    @property
    def reserve(self) -> int:
        """What is left for deploys and for sites that are added."""
        used = self.always + self.site_files + self.connections + self.waiting
        return self.allowed - used

    def __str__(self) -> str:
        """Return a line for the log."""
        return (
            f"open files: {self.allowed} allowed; {self.connections} for connections and "
            f"{self.waiting} that wait, {self.site_files} for sites (now {self.sites}), "
            f"{self.reserve} for deploys and more sites, {self.always} for the engine, listeners "
            "and logs"
        )


def allowed_files() -> int:
    """Return the hard limit of open files."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 2 * MOST_CONNECTIONS if files == resource.RLIM_INFINITY else files


def divide(allowed: int, needs: FilesNeeded, sites: int, listeners: int) -> Budget:
    """Return the division that leaves the most connections; raises FilesError."""
    # Each listener may bring one connection more before it is known that there is no room.
    always = _ALWAYS + needs.engine + 2 * listeners
    site_files = sites * needs.per_site
    room = allowed - always - site_files
    waiting = min(needs.waiting, LEAST_CONNECTIONS)
    needed = always + site_files + LEAST_RESERVE + LEAST_CONNECTIONS + waiting
    if allowed < needed:
        raise FilesError(
            f"{needed} open files are needed at least for {sites} sites, and the limit of open "
            f"files is {allowed}: raise it (ulimit -Hn, or LimitNOFILE= of systemd)"
        )
    # All sites may be replaced at once, and what is being sent keeps the old ones open. But where
    # there are few files, the reserve gets no more than half of them.
    reserve = max(LEAST_RESERVE, allowed // _RESERVE_SHARE, site_files)
    left = max(room - reserve, room // 2, LEAST_CONNECTIONS + waiting)
    left = min(left, room - LEAST_RESERVE)
    connections = min(MOST_CONNECTIONS, max(left - needs.waiting, left // 2))
    return Budget(
        *(allowed, always, sites, site_files, needs.per_site),
        connections=connections,
        waiting=min(needs.waiting, connections),
    )
