"""Answers that are put off until their bytes were read, and come out as they would have at once."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from ashttpd.answers import Answers
from ashttpd.cold import COLD, MAX_FETCHES, PatientSource
from ashttpd.http.dates import second_of
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan
from ashttpd.http.scan import make_scan
from ashttpd.webroot.reader import ColdError, Part, Webroot, waiting
from tests.servers import build_site, request

SECOND = second_of(1_000_000_000)
PAGE = b"<!DOCTYPE html><title>page</title>\n" * 30
LARGE = bytes(range(256)) * 1000


class OneSite:
    """One site for every host."""

    def __init__(self, webroot: Webroot) -> None:
        self._webroot = webroot

    def find(self, _host: bytes) -> Webroot:
        return self._webroot


@pytest.fixture
def webroot(tmp_path: Path) -> Iterator[Webroot]:
    content = {"page.html": PAGE, "large.bin": LARGE}
    opened = Webroot(str(build_site(content, tmp_path / "site.webroot")))
    yield opened
    opened.close()


def key_of(target: str, *fields: str) -> bytes:
    scanned = make_scan(Limits())(request(target, "a", *fields), 0)
    assert scanned is not None
    return scanned[1]


def read(needed: ColdError) -> Part:
    """Read what is missing, as an engine has the kernel do it."""
    return Part(needed.file, needed.offset, needed.file.read(needed.offset, needed.length))


def serve_late(webroot: Webroot, key: bytes) -> tuple[Plan, int]:
    """Return the plan for a key of a site of which nothing is in memory, and the reads it took."""
    source = PatientSource(Answers(OneSite(webroot)))
    with waiting(allowed=False, looks=False):
        assert source.find(key, SECOND) is COLD
    late = source.take_late()
    while True:
        late.parts.append(read(late.needed))
        with waiting(allowed=False, looks=False):
            plan = source.find_again(late, SECOND, fetched=True, looks=False)
        if plan is not COLD:
            return plan, late.fetches


@pytest.mark.parametrize(
    ("key", "reads"),
    [
        (key_of("/page.html"), 2),
        (key_of("/large.bin"), 1),
        (key_of("/large.bin", "Range: bytes=5-9"), 2),
        (key_of("/large.bin", "Range: bytes=5-9,100000-100009"), 3),
    ],
)
def test_a_late_answer_is_the_answer_that_waiting_gives(
    webroot: Webroot, key: bytes, reads: int
) -> None:
    plan, fetches = serve_late(webroot, key)
    assert plan == Answers(OneSite(webroot)).find(key, SECOND)
    assert fetches == reads


def test_an_answer_that_needs_too_many_reads_waits_for_the_rest(webroot: Webroot) -> None:
    ranges = ",".join(f"{start}-{start + 1}" for start in range(0, 200_000, 10_000))
    plan, fetches = serve_late(webroot, key_of("/large.bin", f"Range: bytes={ranges}"))
    assert fetches == MAX_FETCHES + 1
    assert plan.status == 206


def test_what_could_not_be_read_is_waited_for_and_to_blame(webroot: Webroot) -> None:
    source = PatientSource(Answers(OneSite(webroot)))
    with waiting(allowed=False, looks=False):
        assert source.find(key_of("/page.html"), SECOND) is COLD
    late = source.take_late()
    assert source.find_again(late, SECOND, fetched=False).status == 200


def test_a_file_that_was_put_off_is_closed_with_its_last_reference(tmp_path: Path) -> None:
    webroot = Webroot(str(build_site({"page.html": PAGE}, tmp_path / "site.webroot")))
    closed = weakref.ref(webroot)
    source = PatientSource(Answers(OneSite(webroot)))
    with waiting(allowed=False, looks=False):
        assert source.find(key_of("/page.html"), SECOND) is COLD
    late = source.take_late()
    late.parts.append(read(late.needed))
    with waiting(allowed=False, looks=False):
        assert source.find_again(late, SECOND, fetched=True, looks=False) is COLD
    del source, late, webroot
    # Nothing waits for the garbage collector to come by.
    assert closed() is None


def test_what_was_put_off_is_told_once_so_that_its_file_does_not_stay_open(
    webroot: Webroot,
) -> None:
    source = PatientSource(Answers(OneSite(webroot)))
    with waiting(allowed=False, looks=False):
        assert source.find(key_of("/page.html"), SECOND) is COLD
    assert source.take_late().needed.file is webroot
    with pytest.raises(AssertionError, match="nothing was put off"):
        source.take_late()


def test_bytes_that_were_read_for_it_are_held_against_their_digest(webroot: Webroot) -> None:
    source = PatientSource(Answers(OneSite(webroot)))
    with waiting(allowed=False, looks=False):
        assert source.find(key_of("/page.html"), SECOND) is COLD
    late = source.take_late()
    late.parts.append(Part(webroot, late.needed.offset, bytes(late.needed.length)))
    assert source.find_again(late, SECOND, fetched=True, looks=False).status == 500


def test_a_part_of_another_file_or_place_is_not_taken(webroot: Webroot, tmp_path: Path) -> None:
    other = Webroot(str(build_site({"page.html": PAGE}, tmp_path / "other.webroot")))
    parts = [Part(other, 0, bytes(100)), Part(webroot, 10, bytes(5)), Part(webroot, 50, bytes(9))]
    with waiting(allowed=False, looks=False, parts=parts), pytest.raises(ColdError) as raised:
        webroot.read(10, 6)
    assert (raised.value.offset, raised.value.length) == (10, 6)
    other.close()


def test_who_may_wait_reads_the_file_and_no_part(webroot: Webroot) -> None:
    with waiting(allowed=True, parts=[Part(webroot, 0, bytes(16))]):
        assert webroot.read(0, 16) != bytes(16)


def test_what_is_in_memory_needs_no_waiting(webroot: Webroot) -> None:
    expected = webroot.read(0, 100)
    with waiting(allowed=False):
        assert webroot.read(0, 100) == expected
