"""What a server is told: the command line's values, checked."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ashttpd.http.limits import Limits
from ashttpd.listen import Address

# The model that stands for the best one that works here.
AUTO: Final = "auto"


def default_threads() -> int:
    """Return the number of workers where none is named: a few more than processors, 8 at most.

    More than the processors, since a worker may wait for a disk.
    """
    return min(8, 2 + 2 * len(os.sched_getaffinity(0)))


# The engines, and the ways in which each of them reads large bodies, the usual one first.
MODELS: Final[dict[str, tuple[str, ...]]] = {
    AUTO: (),
    "uring": (),
    "threads": ("sendfile", "read"),
    "aio": ("auto", "buffered", "direct"),
}
# What the server of 2010 called an engine with a way of reading.
NAMES_OF_2010: Final = {
    "sync": ("threads", "read"),
    "sendfile": ("threads", "sendfile"),
    "async": ("aio", "auto"),
    "dio": ("aio", "direct"),
    "async-sendfile": ("uring", ""),
}


@dataclass(frozen=True, slots=True)
class Config:
    """A server's settings, with an engine of MODELS and one of its ways of reading.

    `access_log` is None where none is written; `-` is standard output.
    """

    vhosts: Path
    model: str
    addresses: tuple[Address, ...]
    threads: int
    io: str
    access_log: str | None
    drain_seconds: float
    limits: Limits
