"""The scenarios, and the request heads they send.

A scenario is data: which file, how many connections, what makes its requests special, what the
right answer is.  How requests are sent is load.py's business, how answers are checked probe.py's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus

from bench.content import MIB

# Stands where a request may carry something that no other request carries.
MARK = "00c0ffee"

BROWSER_HEAD = (
    "GET {target} HTTP/1.1",
    "Host: www.example.org",
    f"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 x/{MARK}",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br",
    "Connection: {connection}",
    f"Referer: http://www.example.org/news?from={MARK}",
    f"Cookie: theme=dark; session=5f3a9b1c7d2e4068{MARK}",
    "Upgrade-Insecure-Requests: 1",
)

# What the project wants from its engines, in CPU time relative to nginx.
Goals = Mapping[str, float]
SMALL: Goals = {"threads": 0.90, "uring": 0.75, "aio": 0.90}
MIDDLE: Goals = {"threads": 1.15, "uring": 0.85, "aio": 1.30}
LARGE: Goals = {"threads": 1.15, "uring": 0.50, "aio": 1.30}
HUGE: Goals = {"threads": 1.15, "aio": 1.30}


class Variation(Enum):
    """How one request of a scenario differs from the next."""

    NONE = auto()
    MARKS = auto()  # every mark in the head is new in every request
    TARGETS = auto()  # the requests walk through all of the many pages


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load; `span` is the half-open part of the file that is asked for."""

    name: str
    about: str
    target: str = "/page.html"
    connections: int = 64
    connection: str = "keep-alive"
    status: HTTPStatus = HTTPStatus.OK
    span: tuple[int, int] | None = None
    varies: Variation = Variation.NONE
    # Bodies so large that a measurement ends amid many of them: answers are counted by bytes.
    bulk: bool = False
    # Bodies that wrk would be slower to read than a server to send: reader.c reads them.
    download: bool = False
    # The reader copies nothing, so that the server is the limit.
    drop: bool = False
    goals: Goals = field(default_factory=lambda: MIDDLE)


SCENARIOS = (
    Scenario("page", "one 612-byte page", goals=SMALL),
    Scenario(
        "unique",
        "the page, no two request heads alike",
        varies=Variation.MARKS,
        goals=SMALL,
    ),
    Scenario(
        "pages",
        "10,000 different 612-byte pages",
        varies=Variation.TARGETS,
        goals=SMALL,
    ),
    Scenario(
        "notmodified",
        "If-None-Match with the server's own ETag",
        status=HTTPStatus.NOT_MODIFIED,
        goals=SMALL,
    ),
    Scenario("16k", "a 16 KiB body", target="/16k.bin"),
    Scenario("100k", "a 100 KiB body", target="/100k.bin", bulk=True),
    Scenario("1m", "a 1 MiB body", target="/1m.bin", bulk=True, download=True, goals=LARGE),
    Scenario(
        "100m",
        "a 100 MiB body, 8 connections",
        target="/100m.bin",
        connections=8,
        bulk=True,
        download=True,
        goals=HUGE,
    ),
    Scenario(
        "1m-drop",
        "a 1 MiB body that its reader does not copy",
        target="/1m.bin",
        bulk=True,
        download=True,
        drop=True,
    ),
    Scenario(
        "100m-drop",
        "a 100 MiB body that its reader does not copy, 8 connections",
        target="/100m.bin",
        connections=8,
        bulk=True,
        download=True,
        drop=True,
        goals=HUGE,
    ),
    Scenario(
        "range",
        "4 KiB out of the middle of 100 MiB",
        target="/100m.bin",
        status=HTTPStatus.PARTIAL_CONTENT,
        span=(50 * MIB, 50 * MIB + 4096),
    ),
    Scenario("connect", "the page, a new connection per request", connection="close"),
    Scenario("c1000", "the page, 1,000 connections", connections=1000),
)


def request_head(scenario: Scenario, target: str, etag: str | None = None) -> str:
    """The whole request; `etag` makes it conditional."""
    lines = [line.format(target=target, connection=scenario.connection) for line in BROWSER_HEAD]
    if scenario.span is not None:
        start, stop = scenario.span
        lines.append(f"Range: bytes={start}-{stop - 1}")
    if etag is not None:
        lines.append(f"If-None-Match: {etag}")
    return "\r\n".join([*lines, "", ""])
