"""Byte ranges: which part of a body a Range field asks for (RFC 9110 section 14)."""

from dataclasses import dataclass
from typing import Final

from ashttpd.http.grammar import BYTE_RANGE


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """The range lies behind the end: 416."""


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


def choose_range(field: bytes, length: int) -> tuple[int, int] | Unsatisfiable | None:
    """Return the part `[start, stop)` of a body of `length` bytes that a Range field asks for.

    None where the field is to be ignored: malformed, another unit, more than one range, a suffix
    of an empty body (which no Content-Range can express).
    """
    match = BYTE_RANGE.fullmatch(field)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if _number(suffix) == 0:
            return UNSATISFIABLE
        return (max(0, length - _number(suffix)), length) if length else None
    if last and _order(last) < _order(first):
        return None
    start = _number(first)
    if start >= length:
        return UNSATISFIABLE
    return start, min(_number(last) + 1, length) if last else length


def content_range(start: int, stop: int, length: int) -> bytes:
    """Return the Content-Range field line of a part; its positions are inclusive on the wire."""
    return b"Content-Range: bytes %d-%d/%d\r\n" % (start, stop - 1, length)
