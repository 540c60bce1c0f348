"""Byte ranges: which parts of a body a Range field asks for (RFC 9110 section 14)."""

from dataclasses import dataclass
from typing import Final

from ashttpd.http.grammar import BYTE_RANGE, elements_of

# Players and PDF readers ask for a handful; zsync for 20, and it fails where it gets the whole
# instead. Each costs a send of its own.
MAX_RANGES: Final = 100
# Parts that lie closer than the head of a part is long are sent as one (section 15.3.7.2).
MAX_GAP: Final = 100

Part = tuple[int, int]  # the bytes `[start, stop)` of a body


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """No range lies before the end: 416."""


UNSATISFIABLE: Final = Unsatisfiable()
# Longer than any file's length has digits: the number is larger than any, and int() stays cheap.
_MAX_DIGITS: Final = 18


def _number(digits: bytes) -> int:
    significant = digits.lstrip(b"0")
    return int(significant or b"0") if len(significant) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _order(digits: bytes) -> tuple[int, bytes]:
    """Return what compares like the number, whatever its length."""
    significant = digits.lstrip(b"0")
    return len(significant), significant


def _part(first: bytes, last: bytes, suffix: bytes, length: int) -> Part | Unsatisfiable | None:
    """Return what one range asks for; None where it is invalid or cannot be answered."""
    if suffix:
        if _number(suffix) == 0:
            return UNSATISFIABLE
        # Of an empty body a suffix is nothing, which no Content-Range can express.
        return (max(0, length - _number(suffix)), length) if length else None
    if last and _order(last) < _order(first):
        return None
    start = _number(first)
    if start >= length:
        return UNSATISFIABLE
    return start, min(_number(last) + 1, length) if last else length


def _coalesce(parts: list[Part]) -> list[Part]:
    """Join what overlaps or nearly touches; the order stays unless something was joined."""
    joined: list[Part] = []
    for start, stop in sorted(parts):
        if joined and start <= joined[-1][1] + MAX_GAP:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return parts if len(joined) == len(parts) else joined


def choose_ranges(field: bytes, length: int) -> list[Part] | Unsatisfiable | None:
    """Return the parts of a body of `length` bytes that a Range field asks for, one at least.

    None where the field is to be ignored: malformed, another unit, a suffix of an empty body, more
    than MAX_RANGES, or ranges that overlap so much that the whole body is less (section 14.2).
    """
    unit, _, range_set = field.partition(b"=")
    ranges = elements_of(range_set, BYTE_RANGE, MAX_RANGES)
    if unit.lower() != b"bytes" or not ranges:
        return None
    parts: list[Part] = []
    for each in ranges:
        first, last, suffix = each.groups(b"")
        part = _part(first, last, suffix, length)
        if part is None:
            return None
        if not isinstance(part, Unsatisfiable):
            parts.append(part)
    if not parts:
        return UNSATISFIABLE
    if sum(stop - start for start, stop in parts) > length:
        return None
    return _coalesce(parts)


def content_range(part: Part, length: int) -> bytes:
    """Return the Content-Range field line of a part; its positions are inclusive on the wire."""
    start, stop = part
    return b"Content-Range: bytes %d-%d/%d\r\n" % (start, stop - 1, length)
