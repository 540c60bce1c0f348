"""The one date that a server sends with every response, made once a second."""

from dataclasses import dataclass
from email.utils import formatdate


@dataclass(frozen=True, slots=True)
class Second:
    """A second of wall-clock time and its IMF-fixdate (RFC 9110 section 5.6.7)."""

    epoch: int
    date: bytes


def second_of(epoch: int) -> Second:
    """Return the second `epoch`, counted since 1970-01-01 UTC, with its date."""
    return Second(epoch, formatdate(epoch, usegmt=True).encode("ascii"))
