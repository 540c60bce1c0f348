"""The compiled scan and its twin in Python agree on every input and stay in their memory."""

import ctypes
import mmap
import os
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ashttpd.http.errors import HTTPError
from ashttpd.http.limits import Limits
from ashttpd.http.scan import ANSWERS, Fault, scan_slowly
from fuzz.strategies import LIMITS, WIRES, Head, heads

try:
    from ashttpd.http import _scan
except ImportError:  # pragma: no cover  # no compiler was at hand
    if "ASHTTPD_REQUIRE_EXTENSIONS" in os.environ:
        raise
    pytest.skip("the scan was not compiled", allow_module_level=True)

_PROT_NONE: Final = 0
_PAGES: Final = 32


class Fenced:
    """Memory with a page in front of it and one behind that nobody may touch: who does, dies."""

    def __init__(self) -> None:
        """Map the pages; they stay until the process ends."""
        page = mmap.PAGESIZE
        self.length = _PAGES * page
        self._memory = mmap.mmap(-1, self.length + 2 * page)
        fence = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._start = fence + page
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        for address in (fence, self._start + self.length):
            if mprotect(ctypes.c_void_p(address), ctypes.c_size_t(page), _PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")

    def at_start(self, data: bytes) -> Any:
        """Put bytes right behind the first fence; returns a pointer to them."""
        ctypes.memmove(self._start, data, len(data))
        return _scan.ffi.cast("char *", self._start)

    def at_end(self, data: bytes) -> Any:
        """Put bytes right before the last fence; returns a pointer to them."""
        start = self._start + self.length - len(data)
        ctypes.memmove(start, data, len(data))
        return _scan.ffi.cast("char *", start)


INPUT = Fenced()
KEY = Fenced()
Verdict = tuple[int, bytes] | Fault | None


def scan_compiled(limits: Limits, pointer: Any, offset: int, length: int) -> Verdict:
    numbers = (limits.head_bytes, limits.target_bytes, limits.head_fields)
    c_limits = _scan.ffi.new("struct ashttpd_limits *", numbers)
    key = KEY.at_end(bytes(_scan.lib.ashttpd_max_key(c_limits)))
    packed = _scan.lib.ashttpd_scan(c_limits, pointer, offset, length, key)
    if packed < 0:
        return Fault(-packed)
    return (packed & 0xFFFFFFFF, _scan.ffi.buffer(key, packed >> 32)[:]) if packed else None


def scan_with_twin(limits: Limits, data: bytes, offset: int) -> Verdict:
    try:
        return scan_slowly(data, offset, limits)
    except HTTPError as error:
        return next(f for f, answer in ANSWERS.items() if answer == (error.status, str(error)))


def check_agreement(data: bytes, offset: int, limits: Limits = LIMITS) -> None:
    expected = scan_with_twin(limits, data, offset)
    assert scan_compiled(limits, INPUT.at_end(data), offset, len(data)) == expected
    assert scan_compiled(limits, INPUT.at_start(data), offset, len(data)) == expected


# Small ones are reached by most heads, the large ones by those that are made to.
SETTINGS = st.builds(
    Limits,
    head_bytes=st.integers(1, 300) | st.just(65_536),
    target_bytes=st.integers(1, 40) | st.just(65_536),
    head_fields=st.integers(1, 8) | st.just(1_000),
)


@given(WIRES, st.binary(max_size=10))
@example(b"", b"")
@example(b"\n", b"")
@example(b"\r\n\n", b"")
@example(b"GET http:// HTTP/1.1\r\n", b"")  # found: a bad target here, a bad host there
@example(b"GET https:// HTTP/1.1\r\n", b"")
@example(b"\r\n\x16", b"")
def test_both_scans_agree_on_result_key_and_fault(data: bytes, before: bytes) -> None:
    check_agreement(before + data, len(before))


@given(heads(), st.integers(0, 200))
def test_both_scans_agree_on_every_part_of_a_head(head: Head, cut: int) -> None:
    wire = head.wire
    check_agreement(wire[: len(wire) * cut // 200], 0)


@given(WIRES, SETTINGS)
def test_both_scans_agree_under_any_limits(data: bytes, limits: Limits) -> None:
    check_agreement(data, 0, limits)


@given(
    st.sampled_from([b"GET /", b"G", b"GET / HTTP/1.1\r\nrange:", b"GET / HTTP/1.1\r\n"]),
    st.sampled_from([1_024, LIMITS.head_bytes, 65_536]),
)
def test_the_longest_keys_stay_within_their_buffer(start: bytes, head_bytes: int) -> None:
    limits = Limits(head_bytes=head_bytes, target_bytes=head_bytes, head_fields=head_bytes)
    for filler in (b"a", b"\r\nr", b"\r\nrange:" + b"1" * 1000):
        wire = start + filler * (head_bytes // len(filler))
        for end in (b"", b"\r\n\r\n", b" HTTP/1.1\r\n\r\n"):
            check_agreement(wire[: head_bytes - len(end)] + end, 0, limits)
