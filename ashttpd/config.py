"""What a server is told: the command line's values, checked."""

import os
from dataclasses import dataclass
from pathlib import Path

from ashttpd.http.limits import Limits
from ashttpd.listen import Address


def default_threads() -> int:
    """Return the number of workers where none is named: a few more than processors, 8 at most.

    More than the processors, since a worker may wait for a disk.
    """
    return min(8, 2 + 2 * len(os.sched_getaffinity(0)))


@dataclass(frozen=True, slots=True)
class Config:
    """A server's settings. `access_log` is None where none is written; `-` is standard output."""

    vhosts: Path
    addresses: tuple[Address, ...]
    threads: int
    io: str
    access_log: str | None
    drain_seconds: float
    limits: Limits
