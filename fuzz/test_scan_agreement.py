"""The compiled scan and its twin in Python agree on every input and stay in their memory."""

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ashttpd.http.limits import Limits
from fuzz.scans import FencedScan, sanitized_scan, scan_with_twin
from fuzz.strategies import LIMITS, WIRES, Head, heads, near_hosts, text_of

try:
    from ashttpd.http import _scan
except ImportError:  # pragma: no cover  # no compiler was at hand
    if "ASHTTPD_REQUIRE_EXTENSIONS" in os.environ:
        raise
    pytest.skip("the scan was not compiled", allow_module_level=True)

FENCED = FencedScan(_scan)


def check_agreement(data: bytes, offset: int, limits: Limits = LIMITS) -> None:
    expected = scan_with_twin(limits, data, offset)
    assert FENCED.at_end(limits, data, offset) == expected
    assert FENCED.at_start(limits, data, offset) == expected
    assert sanitized_scan()(limits, data, offset) == expected


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


@given(near_hosts() | text_of(b"[]:.%v0123456789aF", max_size=24))
@example(b"[::1")
@example(b"[1:2:3:4:5:6:7::]")
@example(b"[1:2:3:4:5:6:7:8::]")
@example(b"[::1.2.3.4:5]")
@example(b"[::1:2:3:4:5:6.7.8.9]")
@example(b"[v1.a]")
def test_both_scans_agree_on_every_authority(host: bytes) -> None:
    check_agreement(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 0)
    check_agreement(b"GET http://" + host + b"/ HTTP/1.1\r\nHost: a\r\n\r\n", 0)
    check_agreement(b"GET http://a HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 0)


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


def test_the_sanitizers_see_a_byte_too_many() -> None:
    scan = sanitized_scan()
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        scan.scan_lied_to(LIMITS, b"GET / HTTP/1.1", 0, 15)
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert scan(LIMITS, head, 0) == (len(head), b"1k-GET /\nHa\n")
