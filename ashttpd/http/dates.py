"""Dates: the one that a server sends with every response, and those that clients send."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final

from ashttpd.http.grammar import ASCTIME_DATE, IMF_FIXDATE, RFC850_DATE

# RFC 9110 section 5.6.7: a year of two digits is not further in the future than this.
_MAX_YEARS_AHEAD: Final = 50
_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


@dataclass(frozen=True, slots=True)
class Second:
    """A second of wall-clock time and its IMF-fixdate (RFC 9110 section 5.6.7)."""

    epoch: int
    date: bytes


def format_date(epoch: int) -> bytes:
    """Return a time of the years 1970 to 9999, in seconds since 1970-01-01 UTC, as IMF-fixdate."""
    return formatdate(epoch, usegmt=True).encode("ascii")


def second_of(epoch: int) -> Second:
    """Return the second `epoch`, counted since 1970-01-01 UTC, with its date."""
    return Second(epoch, format_date(epoch))


def parse_date(text: bytes, now: int) -> int | None:
    """Return the seconds since 1970-01-01 UTC of an HTTP-date in any of its three forms, or None.

    `now`, in the same unit, is what a year of two digits is taken by.
    """
    for form in (IMF_FIXDATE, ASCTIME_DATE, RFC850_DATE):
        match = form.fullmatch(text)
        if match is not None:
            break
    else:
        return None
    day, hour, minute, second, year = map(
        int, match.group("day", "hour", "minute", "second", "year")
    )
    if form is RFC850_DATE:
        # The latest year with these digits that is not too far ahead.
        latest = datetime.fromtimestamp(now, UTC).year + _MAX_YEARS_AHEAD
        year = latest - (latest - year) % 100
    # A leap second, which may be named, is the one before it to us.
    second = min(second, 59) if second == 60 else second
    try:
        date = datetime(
            year, _MONTHS.index(match["month"]) + 1, day, hour, minute, second, tzinfo=UTC
        )
    except ValueError:
        return None
    return int(date.timestamp())
