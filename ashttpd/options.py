"""The options that set limits: one table of them, with the bounds of each."""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ashttpd.budget import MOST_CONNECTIONS
from ashttpd.http.limits import Limits

# Deadlines are looked at once a second; less than this would end connections that are in use.
MIN_SECONDS: Final = 0.1
MAX_SECONDS: Final = 86_400
# More digits than any bound here has are not worth the work of reading them as a number.
_MAX_DIGITS: Final = 12


def seconds_from(least: float) -> Callable[[str], float]:
    """Return a parser of seconds for argparse, from `least` to MAX_SECONDS."""

    def parse(text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not least <= seconds <= MAX_SECONDS:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number of seconds from {least:g} to {MAX_SECONDS}"
            )
        return seconds

    return parse


def number_from(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers for argparse, from `least` to `most`."""

    def parse(text: str) -> int:
        is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        if not is_number or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
        return int(text)

    return parse


@dataclass(frozen=True, slots=True)
class _Option:
    """A field of Limits as an option; without bounds it is a number of seconds."""

    name: str
    text: str
    bounds: tuple[int, int] | None = None


# Heads wait in memory until they are whole, and a turn has room for one per socket that is ready.
_MOST_HEAD_BYTES: Final = 65_536
_OPTIONS: Final = (
    _Option("head_bytes", "size of a request's head; beyond it 431", (1_024, _MOST_HEAD_BYTES)),
    _Option("target_bytes", "size of a request's target; beyond it 414", (256, _MOST_HEAD_BYTES)),
    _Option("head_fields", "fields of a request; beyond it 431", (8, 1_000)),
    _Option("head_seconds", "how long a request's head may take to come; beyond it 408"),
    _Option(
        "body_bytes", "size of a request's body, which is skipped; beyond it 413", (0, 1 << 30)
    ),
    _Option("body_seconds", "how long a request's body may take to come; beyond it 408"),
    _Option("idle_seconds", "how long a connection may wait for its next request"),
    _Option("max_requests", "requests per connection; 0 is no limit", (0, 10**9)),
    _Option("stall_seconds", "how long a client may take nothing of a response"),
    _Option(
        "min_send_rate",
        "bytes per second that a client has to take of a response, on average over "
        "--stall-seconds; 0 is no limit",
        (0, 10**6),
    ),
    _Option("linger_seconds", "how long a client that still sends is heard out after an error"),
    _Option("linger_bytes", "how much a client that still sends is heard out for", (0, 1 << 30)),
    _Option(
        "max_connections",
        "connections at a time; idle ones make room, then 503; 0 is what open files allow",
        (0, MOST_CONNECTIONS),
    ),
    _Option(
        "max_connections_per_address",
        "connections at a time from one address; beyond it 503; 0 is no limit",
        (0, MOST_CONNECTIONS),
    ),
)


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add an option for each limit."""
    group = parser.add_argument_group("limits", "docs/serving.md says what each is good for.")
    defaults = Limits()
    for option in _OPTIONS:
        default = getattr(defaults, option.name)
        least, most = option.bounds or (MIN_SECONDS, MAX_SECONDS)
        group.add_argument(
            "--" + option.name.replace("_", "-"),
            metavar="N" if option.bounds else "S",
            type=number_from(*option.bounds) if option.bounds else seconds_from(MIN_SECONDS),
            default=default,
            help=f"{option.text} ({least} to {most}, default: {round(default)})",
        )


def limits_of(options: argparse.Namespace) -> Limits:
    """Return the limits that parsed options say."""
    return Limits(**{option.name: getattr(options, option.name) for option in _OPTIONS})
