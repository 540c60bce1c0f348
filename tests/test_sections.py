"""Lengths of sections: from the counts, within a bound, and held before anything is read."""

import struct
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.layout import SECTIONS
from ashttpd.webroot.sections import Superblock, parse_sections
from mkroot.build import Options
from tests.trees import make, plant, python
from tests.webroots import SMALL, Draft, faults, opened, paths_in, take_apart, write_holes

# Opens a webroot that is refused. Prints what that took, memory and bytes read, and why it is.
OPENER: Final = """
import resource, sys
from pathlib import Path
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
def taken():
    read = int(Path("/proc/self/io").read_text().split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, read
memory, read = taken()
try:
    Webroot(sys.argv[1])
except WebrootError as error:
    print(taken()[0] - memory, taken()[1] - read, error)
"""


def table_of(count: int, lengths: dict[bytes, int]) -> tuple[bytes, Superblock]:
    """Return the section table of a site with so many URLs, and the superblock above it."""
    homes = max(16, count * 8 // 5)
    least = {b"INDX": homes * 24, b"RSRC": 8 + count * 40, b"STRS": 4, b"RULE": 4, b"META": 2}
    table, stop = b"", 4096
    for kind, length in (least | lengths).items():
        offset = -(-stop // 64) * 64
        table += struct.pack("<4sIQQ32sQ", kind, 1, offset, length, bytes(32), 0)
        stop = offset + length
    table_offset = -(-stop // 64) * 64
    size = table_offset + len(table)
    site_id = sha256(table).digest()
    return table, Superblock(0, size, table_offset, 5, 2, count, homes, 4096, site_id, bytes(32))


def test_ten_million_urls_with_four_variants_each_are_within_the_bound() -> None:
    record = 32 + 4 * 128 + 64
    table = table_of(10_000_000, {b"RSRC": 8 + 10_000_000 * record})
    assert parse_sections(*table).keys() == set(SECTIONS)


def test_an_index_beyond_the_bound_is_refused_before_it_is_read() -> None:
    table = table_of(10_000_000, {b"RSRC": (8 << 30) - 16_000_000 * 24 + 1})
    message = "sections INDX and RSRC have 8589934593 bytes, more than 8589934592"
    with pytest.raises(WebrootError, match=message):
        parse_sections(*table)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        (b"INDX", 16 * 24, 17 * 24),
        (b"RSRC", 8 + 6 * 40, 8 + 6 * 135_208),
        (b"STRS", 4, 16 << 20),
        (b"RULE", 4, 1 << 20),
        (b"META", 1, 1 << 20),
    ],
)
def test_the_length_of_a_section_follows_from_the_counts(
    kind: bytes, least: int, most: int
) -> None:
    for length in (least, most):
        assert parse_sections(*table_of(6, {kind: length}))[kind].length == length
    for length in (least - 1, most + 1, 1 << 40):
        with pytest.raises(WebrootError, match=f"{length} bytes, not {least} to {most}"):
            parse_sections(*table_of(6, {kind: length}))


def test_an_index_of_half_a_slot_is_refused() -> None:
    with pytest.raises(WebrootError, match="an index of 396 bytes, no whole slots"):
        parse_sections(*table_of(6, {b"INDX": 16 * 24 + 12}))


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    make(plant(tmp_path / "source", SMALL), tmp_path / "out", Options(listing=True))
    return take_apart((tmp_path / "out").read_bytes())


@pytest.mark.parametrize(
    ("count", "lengths"),
    [
        (30_000_000, {b"INDX": 48_000_000 * 24, b"RSRC": 8 + 30_000_000 * 40}),
        (7, {b"RSRC": 900_000}),
    ],
)
def test_a_sparse_file_whose_lengths_fit_its_counts_is_refused_at_its_first_hole(
    draft: Draft, tmp_path: Path, count: int, lengths: dict[bytes, int]
) -> None:
    draft.lies |= {"resource_count": count, "homes": max(16, count * 8 // 5)}
    path = write_holes(draft, tmp_path / "sparse", lengths)
    done = python("-c", OPENER, path)
    assert done.stderr == b""
    memory, read, message = done.stdout.decode().split(" ", 2)
    kind = next(iter(lengths)).decode()
    assert message == f"section {kind} has 4096 zero bytes at 0: a hole\n"
    assert int(memory) < 16 << 20
    assert int(read) < 4 << 20


def test_a_hole_behind_what_is_written_of_a_section_is_found(draft: Draft, tmp_path: Path) -> None:
    records = draft.part(b"RSRC").data
    whole = -(-len(records) // 4096) * 4096
    draft.part(b"RSRC").data = records + bytes(b"\1" * (whole - len(records))) + bytes(4096)
    (tmp_path / "hole").write_bytes(draft.packed())
    assert faults(tmp_path / "hole") == [
        f"open: section RSRC has 4096 zero bytes at {whole}: a hole"
    ]


def test_webroots_are_opened_in_many_threads_at_once_each_by_itself(
    draft: Draft, tmp_path: Path
) -> None:
    (tmp_path / "good").write_bytes(draft.packed())
    draft.lies["homes"] = 17
    (tmp_path / "bad").write_bytes(draft.packed())

    def is_good(number: int) -> bool:
        try:
            with opened(tmp_path / ("good" if number % 2 else "bad")) as webroot:
                return paths_in(webroot) != []
        except WebrootError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(is_good, range(200))) == [number % 2 == 1 for number in range(200)]
