"""Webroots made to harm: every checksum is right, the content is not.

Each has to give WebrootError, when it is opened, looked into or verified, soon and in little
memory, and never anything else. Some lie in tests/data/bad, named for what is wrong with them.
"""

import json
import logging
import os
import resource as limits
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from ashttpd.answers import Answers
from ashttpd.http.dates import second_of
from ashttpd.sites import Sites
from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.heads import check_head
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import Resource
from mkroot.build import Options
from mkroot.inspect import Extraction, describe
from tests import mutants as mutant_sites
from tests.mutants import MAKERS, Mutant, build_healthy
from tests.streams import Heard, parse_responses
from tests.trees import ROOT, make, plain_environment, plant
from tests.webroots import (
    SMALL,
    Draft,
    Part,
    faults,
    opened,
    paths_in,
    resource_at,
    take_apart,
    write_holes,
)

BAD: Final = Path(__file__).parent / "data" / "bad"
# A hang is for ever; a busy machine is slow.
SOON_SECONDS: Final = 10.0
A, D, SLASHLESS = b"/a.txt", b"/dir/", b"/dir"
HUGE: Final = 2**63


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("healthy")
    make(plant(directory / "source", SMALL), directory / "out", Options(listing=True))
    return (directory / "out").read_bytes()


@pytest.fixture
def draft(healthy: bytes) -> Draft:
    return take_apart(healthy)


def assert_refused(tmp_path: Path, packed: bytes) -> list[str]:
    (tmp_path / "bad").write_bytes(packed)
    start = time.monotonic()
    found = faults(tmp_path / "bad")
    assert found
    assert time.monotonic() - start < SOON_SECONDS
    return found


def assert_refused_when_opened(tmp_path: Path, packed: bytes) -> None:
    assert assert_refused(tmp_path, packed)[0].startswith("open: ")


def test_a_draft_that_nobody_changed_is_the_file_itself(healthy: bytes, tmp_path: Path) -> None:
    packed = take_apart(healthy).packed()
    assert packed == healthy
    (tmp_path / "good").write_bytes(packed)
    assert faults(tmp_path / "good") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("magic", b"\x89ASHTTPD\n\x1a\n\0\0\0\0\0"),
        ("major", 0),
        ("major", 2),
        ("incompatible", 1),
        ("incompatible", 1 << 31),
        ("file_size", 0),
        ("file_size", HUGE),
        ("table_offset", 0),
        ("table_offset", HUGE),
        ("section_count", 0),
        ("section_count", 65),
        ("section_count", 2**32 - 1),
        ("longest_probe", 0),
        ("longest_probe", 257),
        ("longest_probe", 2**32 - 1),
        ("resource_count", 2**64 - 1),
        ("resource_count", HUGE),
        ("homes", 0),
        ("homes", 1),
        ("homes", 15),
        ("homes", 17),
        ("homes", HUGE),
        ("homes", 2**64 - 1),
        ("extents_stop", 0),
        ("extents_stop", 4095),
        ("extents_stop", HUGE),
        ("site_id", bytes(32)),
        ("signature_offset", 1),
        ("signature_length", HUGE),
        ("zero", 1),
    ],
)
def test_a_lie_in_the_superblock_is_refused_when_opened(
    draft: Draft, tmp_path: Path, field: str, value: int | bytes
) -> None:
    draft.lies[field] = value
    assert_refused_when_opened(tmp_path, draft.packed())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resource_count", 0),
        ("resource_count", 5),
        ("resource_count", 8),
        ("extents_stop", 4096),
    ],
)
def test_a_count_that_is_a_little_wrong_is_found(
    draft: Draft, tmp_path: Path, field: str, value: int
) -> None:
    draft.lies[field] = value
    assert_refused(tmp_path, draft.packed())


def test_a_longest_probe_that_is_longer_than_needed_changes_nothing(
    draft: Draft, tmp_path: Path
) -> None:
    draft.lies["longest_probe"] = 256
    (tmp_path / "odd").write_bytes(draft.packed())
    assert faults(tmp_path / "odd") == []


def test_a_higher_minor_version_is_read_with_what_it_has_in_zero_bytes(
    draft: Draft, tmp_path: Path
) -> None:
    draft.lies |= {"minor": 7, "zero": 1, "signature_offset": 4096}
    (tmp_path / "newer").write_bytes(draft.packed())
    with opened(tmp_path / "newer") as webroot:
        assert webroot.lookup(A) is not None


@pytest.mark.parametrize("kind", [b"INDX", b"RSRC", b"STRS", b"RULE", b"META"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offset", 0),
        ("offset", 64),
        ("offset", HUGE),
        ("offset", 2**64 - 64),
        ("length", 0),
        ("length", HUGE),
        ("length", 2**64 - 1),
        ("sha256", bytes(32)),
        ("type", b"NEW1"),
        ("type", b"\0\0\0\0"),
    ],
)
def test_a_lie_in_the_section_table_is_refused(
    draft: Draft, tmp_path: Path, kind: bytes, field: str, value: int | bytes
) -> None:
    draft.part(kind).lies[field] = value
    found = assert_refused(tmp_path, draft.packed())
    assert found[0].startswith("open: ") or (kind, field) == (b"META", "sha256")


def test_a_missing_section_is_refused(healthy: bytes, tmp_path: Path) -> None:
    for number in range(5):
        draft = take_apart(healthy)
        del draft.parts[number]
        assert_refused_when_opened(tmp_path, draft.packed())


def test_a_section_that_stands_twice_is_refused(draft: Draft, tmp_path: Path) -> None:
    draft.parts.append(draft.parts[0])
    assert_refused_when_opened(tmp_path, draft.packed())


def test_an_unknown_required_section_is_refused(draft: Draft, tmp_path: Path) -> None:
    draft.parts.append(Part(b"WHAT", bytearray(b"?")))
    assert_refused_when_opened(tmp_path, draft.packed())


@pytest.mark.parametrize("place", [0, 2, 5])
def test_an_unknown_optional_section_is_skipped(draft: Draft, tmp_path: Path, place: int) -> None:
    draft.parts.insert(place, Part(b"WHAT", bytearray(b"?" * 100), required=False))
    (tmp_path / "newer").write_bytes(draft.packed())
    assert faults(tmp_path / "newer") == []


@pytest.mark.parametrize("kind", [b"\x1b[2J", b"A\nOK", b"ABC\0", b"\xff\xff\xff\xff"])
def test_a_section_type_that_is_no_four_letters_is_refused_and_not_printed_as_it_is(
    draft: Draft, tmp_path: Path, kind: bytes
) -> None:
    draft.parts.append(Part(kind, bytearray(b"?"), required=False))
    found = assert_refused(tmp_path, draft.packed())
    assert all(fault.isprintable() for fault in found)


@pytest.mark.parametrize("modified", [-(2**63) + 1, -1, 253_402_300_800, 2**63 - 1])
def test_a_date_that_no_field_can_name_is_refused(
    draft: Draft, tmp_path: Path, modified: int
) -> None:
    draft.set_record(A, "modified", modified)
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize(
    "status", [0, 99, 100, 199, 201, 204, 206, 226, 299, 300, 304, 305, 306, 399, 600, 65_535]
)
def test_a_status_that_no_server_can_send_is_refused(
    draft: Draft, tmp_path: Path, status: int
) -> None:
    draft.set_record(A, "status", status)
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize(
    ("path", "status"), [(A, 301), (A, 302), (SLASHLESS, 200), (SLASHLESS, 404)]
)
def test_a_location_with_the_wrong_status_or_none_is_refused(
    draft: Draft, tmp_path: Path, path: bytes, status: int
) -> None:
    draft.set_record(path, "status", status)
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("record_length", 0),
        ("record_length", 8),
        ("record_length", 193),
        ("record_length", 2**32 - 8),
        ("variant_count", 0),
        ("variant_count", 33),
        ("variant_count", 255),
        ("path_length", 0),
        ("path_length", 2**32 - 1),
        ("location_length", 2**32 - 1),
        ("head_offset", 0),
        ("head_offset", 4095),
        ("head_offset", HUGE),
        ("head_offset", 2**64 - 1),
        ("body_offset", 0),
        ("body_offset", HUGE),
        ("body_length", HUGE),
        ("body_length", 2**64 - 1),
        ("head_length", 0),
        ("head_length", 1),
        ("head_length", 8193),
        ("head_length", 65_537),
        ("head_length", 2**32 - 1),
        ("validators_length", 2**32 - 1),
        ("validators_length", 3),
        ("validators_length", 0),
        ("fields_length", 0),
        ("fields_length", 2**32 - 1),
        ("fields_length", 60),
        ("media_type", 65_535),
        ("coding", 4),
        ("coding", 65_535),
    ],
)
def test_a_lie_in_a_record_is_refused(draft: Draft, tmp_path: Path, field: str, value: int) -> None:
    draft.set_record(A, field, value)
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize(
    "where", ["superblock", "record", "record flags", "variant", "table", "table flags"]
)
def test_bytes_and_bits_that_have_to_be_zero_are_checked_by_verify(
    draft: Draft, tmp_path: Path, where: str
) -> None:
    if where == "superblock":
        draft.lies["zero"] = 1
    elif where == "record":
        draft.set_record(A, "zero", 1)
    elif where == "record flags":
        draft.set_record(A, "flags", 2)
    elif where == "variant":
        # The byte of a variant's field, not that of the record of the same name.
        draft.part(b"RSRC").data[draft.record_of(A) + 72] = 1
    elif where == "table flags":
        draft.part(b"RSRC").lies["flags"] = 3
    else:
        draft.part(b"RSRC").lies["zero"] = 1
    assert_refused(tmp_path, draft.packed())


def test_padding_behind_a_record_that_is_not_zero_is_found(draft: Draft, tmp_path: Path) -> None:
    stop = draft.record_of(A) + draft.get_record(A, "record_length")
    assert draft.part(b"RSRC").data[stop - 1] == 0
    draft.part(b"RSRC").data[stop - 1] = 1
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize("shift", [-1, 1, -64, 64])
@pytest.mark.parametrize("field", ["head_offset", "body_offset", "body_length", "head_length"])
def test_an_extent_that_overlaps_another_is_found(
    draft: Draft, tmp_path: Path, field: str, shift: int
) -> None:
    value = draft.get_record(A, field) + shift
    draft.set_record(A, field, value % 2**32 if field == "head_length" else value % 2**64)
    assert_refused(tmp_path, draft.packed())


def test_a_body_with_the_right_digest_that_overlaps_another_is_found(
    draft: Draft, tmp_path: Path
) -> None:
    offset, length = (draft.get_record(A, name) for name in ("body_offset", "body_length"))
    part = draft.extents[offset - 4096 + 1 : offset - 4096 + length]
    data = draft.part(b"RSRC").data
    other = draft.record_of(b"/b.txt")
    draft.set_record(b"/b.txt", "body_offset", offset + 1)
    draft.set_record(b"/b.txt", "body_length", length - 1)
    data[other + 96 : other + 128] = sha256(part).digest()
    found = assert_refused(tmp_path, draft.packed())
    assert any("overlap" in fault for fault in found)


@pytest.mark.parametrize(
    "path", [b"xa.txt", b"/\0.txt", b"a/.txt", b"\0a.txt"], ids=["x", "nul", "relative", "first"]
)
def test_a_path_that_no_request_can_have_is_refused(
    draft: Draft, tmp_path: Path, path: bytes
) -> None:
    draft.rename(A, path)
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize(
    "location", [b"d\r\n/", b"dir ", b"d\0r/", b"d\xffr/", b"d\tr/", b"d\x7fr/"]
)
def test_a_location_that_would_split_a_response_is_refused(
    draft: Draft, tmp_path: Path, location: bytes
) -> None:
    # The path, and behind it the location.
    draft.replace_in_record(SLASHLESS, b"/dirdir/", b"/dir" + location)
    found = assert_refused(tmp_path, draft.packed())
    assert any("the location of /dir cannot be sent" in fault for fault in found)


def test_an_index_that_leads_to_another_record_is_refused(draft: Draft, tmp_path: Path) -> None:
    index = draft.part(b"INDX").data
    index[draft.slot_of(A) + 16 : draft.slot_of(A) + 24] = index[
        draft.slot_of(D) + 16 : draft.slot_of(D) + 24
    ]
    found = assert_refused(tmp_path, draft.packed())
    assert any(fault.startswith("use: the index leads from") for fault in found)


@pytest.mark.parametrize("record", [0, 1, 9, 12, 1 << 20, HUGE, 2**64 - 8, 2**64 - 1])
def test_a_slot_that_leads_nowhere_is_refused(draft: Draft, tmp_path: Path, record: int) -> None:
    start = draft.slot_of(A) + 16
    draft.part(b"INDX").data[start : start + 8] = record.to_bytes(8, "little")
    assert_refused(tmp_path, draft.packed())


def test_an_index_of_equal_slots_ends_every_lookup(draft: Draft, tmp_path: Path) -> None:
    index = draft.part(b"INDX").data
    slot = index[draft.slot_of(A) : draft.slot_of(A) + 24]
    index[:] = slot * (len(index) // 24)
    draft.lies["longest_probe"] = 256
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize("length", [0, 1, 23, 25])
def test_an_index_of_half_a_slot_is_refused(draft: Draft, tmp_path: Path, length: int) -> None:
    del draft.part(b"INDX").data[length:]
    assert_refused_when_opened(tmp_path, draft.packed())


def test_an_index_with_slots_that_nobody_needs_is_refused(draft: Draft, tmp_path: Path) -> None:
    draft.part(b"INDX").data += bytes(24 * 100)
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
        b"\x01\0\0\0",
        b"\x01\0\0\0\xff\xffshort",
        b"\x01\0\0\0\x01\0\n",
        b"\x01\0\0\0\x01\0\xff",
        b"\0\0\0\0more",
        b"\0\0\x01\0" + b"\0\0" * 65_536,
        b"\0\0\0\0",
    ],
)
def test_strings_that_are_malformed_or_missing_are_refused(
    draft: Draft, tmp_path: Path, data: bytes
) -> None:
    draft.part(b"STRS").data = bytearray(data)
    assert_refused(tmp_path, draft.packed())


def rules_of(*rules: bytes, kind: int = 1) -> bytes:
    return struct.pack("<I", len(rules)) + b"".join(
        struct.pack("<HI", kind, len(rule)) + rule for rule in rules
    )


def error_page(status: int, path: bytes) -> bytes:
    return struct.pack("<H", status) + path


GOOD_RULE: Final = error_page(404, A)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0\0",
        b"\0\0\0\0\0",
        b"\xff\xff\xff\xff",
        rules_of(GOOD_RULE)[:-1],
        rules_of(GOOD_RULE) + b"\0",
        rules_of(GOOD_RULE)[:5],
        rules_of(GOOD_RULE)[:10],
        b"\2" + rules_of(GOOD_RULE)[1:],
        b"\0" + rules_of(GOOD_RULE)[1:],
        rules_of(GOOD_RULE).replace(b"\x08\0\0\0", b"\xff\xff\xff\xff"),
        rules_of(b""),
        rules_of(b"\x94"),
        rules_of(b"\x94", b"\1"),
        rules_of(GOOD_RULE, GOOD_RULE),
        rules_of(GOOD_RULE, error_page(404, b"/b.txt")),
    ],
)
def test_rules_that_are_malformed_or_stand_twice_are_refused(
    draft: Draft, tmp_path: Path, data: bytes
) -> None:
    draft.part(b"RULE").data = bytearray(data)
    assert_refused_when_opened(tmp_path, draft.packed())


@pytest.mark.parametrize("kind", [0, 2, 256, 65_535])
def test_a_rule_of_a_kind_that_is_not_known_is_refused(
    draft: Draft, tmp_path: Path, kind: int
) -> None:
    draft.part(b"RULE").data = bytearray(rules_of(GOOD_RULE, kind=kind))
    assert_refused_when_opened(tmp_path, draft.packed())


@pytest.mark.parametrize("status", [0, 200, 301, 399, 600, 65_535])
def test_an_error_page_for_no_error_is_refused(draft: Draft, tmp_path: Path, status: int) -> None:
    draft.part(b"RULE").data = bytearray(rules_of(error_page(status, A)))
    assert_refused_when_opened(tmp_path, draft.packed())


@pytest.mark.parametrize("path", [b"", b"a.txt", b"/", b"/\0.txt", b"//a.txt\0"])
def test_an_error_page_at_no_path_is_refused(draft: Draft, tmp_path: Path, path: bytes) -> None:
    draft.part(b"RULE").data = bytearray(rules_of(error_page(404, path)))
    assert_refused_when_opened(tmp_path, draft.packed())


@pytest.mark.parametrize("path", [b"/none.html", b"/dir/404.html", SLASHLESS, b"/../a.txt"])
def test_an_error_page_that_the_site_does_not_have_is_named_by_verify(
    draft: Draft, tmp_path: Path, path: bytes
) -> None:
    draft.part(b"RULE").data = bytearray(rules_of(GOOD_RULE, error_page(500, path)))
    found = assert_refused(tmp_path, draft.packed())
    assert f"verify: {path.decode()} is the error page of a 500, but no page" in found


def test_an_error_page_may_be_any_page_of_the_site(draft: Draft, tmp_path: Path) -> None:
    draft.part(b"RULE").data = bytearray(rules_of(GOOD_RULE, error_page(599, D)))
    (tmp_path / "good").write_bytes(draft.packed())
    assert faults(tmp_path / "good") == []


def test_a_section_of_nothing_but_rules_is_read_or_refused_soon(
    draft: Draft, tmp_path: Path
) -> None:
    deep = [error_page(404, b"/" * (65_536 - number)) for number in range(15)]
    many = [error_page(404, b"/%d/" % number) for number in range(60_000)]
    for data in (rules_of(*deep), rules_of(*many), b"\xff" * 4 + b"\0" * ((1 << 20) - 4)):
        assert len(data) <= 1 << 20
        draft.part(b"RULE").data = bytearray(data)
        assert_refused(tmp_path, draft.packed())


def test_the_path_of_an_error_page_is_no_longer_than_that_of_a_record(
    draft: Draft, tmp_path: Path
) -> None:
    draft.part(b"RULE").data = bytearray(rules_of(GOOD_RULE, error_page(500, b"/" * 65_536)))
    (tmp_path / "longest").write_bytes(draft.packed())
    with opened(tmp_path / "longest") as webroot:
        assert len(webroot.error_pages.pages) == 2
    draft.part(b"RULE").data = bytearray(rules_of(GOOD_RULE, error_page(500, b"/" * 65_537)))
    assert_refused_when_opened(tmp_path, draft.packed())


def looked_up(tmp_path: Path, draft: Draft, path: bytes) -> Resource:
    """Return what a path answers; no extent of the file is read for it."""
    (tmp_path / "odd").write_bytes(draft.packed())
    with opened(tmp_path / "odd") as webroot:
        return resource_at(webroot, path)


def test_a_record_of_more_variants_than_a_request_should_pay_for_is_refused(
    draft: Draft, tmp_path: Path
) -> None:
    start = draft.record_of(A) + 32
    variant = bytes(draft.part(b"RSRC").data[start : start + 128])
    draft.insert_in_record(A, 32, variant * 31)
    draft.set_record(A, "variant_count", 32)
    assert len(looked_up(tmp_path, draft, A).variants) == 32
    draft.insert_in_record(A, 32, variant)
    draft.set_record(A, "variant_count", 33)
    with pytest.raises(WebrootError, match="has 33 variants, more than 32"):
        looked_up(tmp_path, draft, A)


def test_a_location_that_is_longer_than_a_request_can_be_is_refused(
    draft: Draft, tmp_path: Path
) -> None:
    length = draft.get_record(SLASHLESS, "location_length")
    place = 32 + 128 + len(SLASHLESS)
    draft.insert_in_record(SLASHLESS, place, b"x" * 65_528)
    draft.set_record(SLASHLESS, "location_length", length + 65_528)
    assert len(looked_up(tmp_path, draft, SLASHLESS).location) == 65_532
    draft.insert_in_record(SLASHLESS, place, b"x" * 8)
    draft.set_record(SLASHLESS, "location_length", length + 65_536)
    with pytest.raises(WebrootError, match="has 65540 bytes of location, more than 65536"):
        looked_up(tmp_path, draft, SLASHLESS)


def test_a_path_that_is_longer_than_a_request_can_be_is_refused(
    draft: Draft, tmp_path: Path
) -> None:
    draft.insert_in_record(A, 32 + 128, b"/" + b"x" * 65_535)
    draft.set_record(A, "path_length", 65_536 + len(A))
    with pytest.raises(WebrootError, match="has 65542 bytes of path, more than 65536"):
        looked_up(tmp_path, draft, A)


def test_a_head_block_that_is_dear_to_hash_is_refused_before_it_is_read(
    draft: Draft, tmp_path: Path
) -> None:
    first, second, third = draft.get_head(A)
    name = b"Link: "
    room = 8192 - len(first + second + third + name) - 2
    draft.set_head(A, 0, first, second + name + b"x" * room + b"\r\n", third)
    (tmp_path / "longest").write_bytes(draft.packed())
    with opened(tmp_path / "longest") as webroot:
        resource = resource_at(webroot, A)
        assert len(webroot.head_block(resource, resource.variants[0])) == 8192
    draft.set_head(A, 0, first, second + name + b"x" * (room + 1) + b"\r\n", third)
    with pytest.raises(WebrootError, match="has a head block of 8193 bytes, more than 8192"):
        looked_up(tmp_path, draft, A)


def test_the_grammar_of_a_head_block_is_not_run_again_for_the_same_bytes(
    healthy: bytes, tmp_path: Path
) -> None:
    (tmp_path / "site").write_bytes(healthy)
    with opened(tmp_path / "site") as webroot:
        resource = resource_at(webroot, A)
        webroot.head_block(resource, resource.variants[0])
        before = check_head.cache_info()
        webroot.head_block(resource, resource.variants[0])
        after = check_head.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 1)
    assert after.maxsize is not None
    assert after.maxsize * layout.MAX_HEAD_BLOCK_BYTES < 16 << 20


def test_a_block_that_was_checked_is_still_held_against_its_variant(
    draft: Draft, tmp_path: Path
) -> None:
    # Two records share a block; the second lies about where its parts end.
    start, other = draft.record_of(A), draft.record_of(b"/b.txt")
    data = draft.part(b"RSRC").data
    data[other + 32 : other + 160] = data[start + 32 : start + 160]
    (tmp_path / "site").write_bytes(draft.packed())
    with opened(tmp_path / "site") as webroot:
        good = resource_at(webroot, A)
        webroot.head_block(good, good.variants[0])
        webroot.head_block(resource_at(webroot, b"/b.txt"), good.variants[0])
    draft.set_record(b"/b.txt", "validators_length", 0)
    (tmp_path / "site").write_bytes(draft.packed())
    with opened(tmp_path / "site") as webroot:
        bad = resource_at(webroot, b"/b.txt")
        with pytest.raises(WebrootError, match="etag may not stand in the second part"):
            webroot.head_block(bad, bad.variants[0])


def test_an_error_with_a_variant_and_another_status_without_one_are_refused(
    tmp_path: Path,
) -> None:
    make(plant(tmp_path / "source", {b"a.txt": b"some text", b"dir": {}}), tmp_path / "out")
    packed = (tmp_path / "out").read_bytes()
    for path, status in ((A, 403), (A, 404), (A, 500), (D, 200), (D, 301)):
        draft = take_apart(packed)
        draft.set_record(path, "status", status)
        found = assert_refused(tmp_path, draft.packed())
        assert any(f"has the status {status} and" in fault for fault in found)
    for status in (400, 403, 404, 410, 451, 500, 599):
        draft = take_apart(packed)
        draft.set_record(D, "status", status)
        (tmp_path / "good").write_bytes(draft.packed())
        assert faults(tmp_path / "good") == []
    for status in (401, 405, 407, 408, 421, 426):
        draft = take_apart(packed)
        draft.set_record(D, "status", status)
        found = assert_refused(tmp_path, draft.packed())
        assert any(f"has the status {status}" in fault for fault in found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": ' * 100_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b"9" * 100_000 + b"}",
        b'{"\xff": 1}',
        b'{"a": "' + b"x" * (1 << 20) + b'"}',
    ],
    ids=["empty", "text", "list", "string", "open", "deep", "deeper", "number", "bytes", "large"],
)
def test_metadata_that_is_no_json_object_is_refused(
    draft: Draft, tmp_path: Path, data: bytes
) -> None:
    draft.part(b"META").data = bytearray(data)
    assert_refused(tmp_path, draft.packed())


@pytest.mark.parametrize("depth", range(1, 1000, 37))
def test_metadata_of_any_depth_is_shown_or_refused(
    draft: Draft, tmp_path: Path, depth: int
) -> None:
    draft.part(b"META").data = bytearray(b'{"a":' + b"[" * depth + b"]" * depth + b"}")
    (tmp_path / "deep").write_bytes(draft.packed())
    # How deep is too deep is for the interpreter to say.
    with opened(tmp_path / "deep") as webroot, suppress(WebrootError):
        assert dict(describe(webroot))["a"] == "[" * depth + "]" * depth


def test_metadata_with_control_characters_is_shown_without_them(
    draft: Draft, tmp_path: Path
) -> None:
    meta = {"\x1b[2Jname\n": "\x1b[2Jvalue\n", "\ud800": "\udcff"}
    draft.part(b"META").data = bytearray(json.dumps(meta).encode("ascii"))
    (tmp_path / "controls").write_bytes(draft.packed())
    with opened(tmp_path / "controls") as webroot:
        for name, value in describe(webroot):
            assert name.isprintable()
            assert value.isprintable()


@pytest.mark.parametrize("kind", [b"INDX", b"RSRC", b"STRS", b"RULE", b"META"])
def test_a_section_of_three_gigabytes_of_nothing_is_refused_in_little_memory(
    healthy: bytes, tmp_path: Path, kind: bytes
) -> None:
    path = write_holes(take_apart(healthy), tmp_path / "sparse", {kind: 3 << 30})
    if path.stat().st_blocks * 512 > 1 << 30:
        pytest.skip("the file system here has no sparse files")
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from mkroot.cli import main\n"
        "sys.exit(main(['--verify', sys.argv[1]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        cwd=ROOT,
        env=plain_environment(),
        capture_output=True,
        timeout=SOON_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b": damaged: " in done.stdout
    assert b"memory" not in done.stdout


def test_lookups_in_a_hostile_index_are_soon_over(tmp_path: Path, draft: Draft) -> None:
    # Slots of the least hash, all of which a lookup of anything would have to pass.
    draft.part(b"INDX").data = bytearray((bytes(15) + b"\1" + b"\x08" + bytes(7)) * 1_600_000)
    draft.part(b"RSRC").data += b"\1" * 40_000_000
    draft.lies |= {"longest_probe": 256, "homes": 1_600_000, "resource_count": 1_000_000}
    (tmp_path / "slow").write_bytes(draft.packed())
    start = time.monotonic()
    with opened(tmp_path / "slow") as webroot:
        for number in range(100):
            assert webroot.lookup(b"/%d" % number) is None
    assert time.monotonic() - start < SOON_SECONDS


@pytest.mark.parametrize(
    "path",
    [
        *(b"/../x", b"/..", b"/.", b"/./x", b"/a/../../x", b"/../../../../tmp/x", b"/../x/"),
        *(b"/../", b"//x", b"///", b"/a//x", b"/a/./x", b"/a/.."),
    ],
)
def test_extracting_never_leaves_the_directory(tmp_path: Path, path: bytes) -> None:
    name = b"y" * (len(path) - 1)
    make(plant(tmp_path / "source", {name: b"content"}), tmp_path / "good")
    draft = take_apart((tmp_path / "good").read_bytes())
    draft.rename(b"/" + name, path)
    (tmp_path / "hostile").write_bytes(draft.packed())
    (tmp_path / "in").mkdir()
    with opened(tmp_path / "hostile") as webroot:
        assert path in paths_in(webroot)
        with pytest.raises(WebrootError, match="no path of a file"):
            Extraction(webroot, tmp_path / "in" / "directory").run()
    assert sorted(os.listdir(tmp_path)) == ["good", "hostile", "in", "source"]
    assert os.listdir(tmp_path / "in") == ["directory"]
    assert os.listdir(tmp_path / "in" / "directory") == []


@pytest.mark.parametrize("path", sorted(BAD.glob("*.webroot")), ids=lambda path: path.stem)
def test_each_bad_file_is_refused(path: Path) -> None:
    before = limits.getrusage(limits.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    assert faults(path)
    assert time.monotonic() - start < SOON_SECONDS
    assert limits.getrusage(limits.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.fixture(scope="module")
def mutable(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_healthy(tmp_path_factory.mktemp("mutable"))


@contextmanager
def in_memory(packed: bytes) -> Iterator[Path]:
    """Give a file of memory with this content."""
    fd = os.memfd_create("webroot")
    try:
        os.write(fd, packed)
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


# Each kind of variant, and what an error page, a part and a 304 take of one.
MUTANT_KEYS: Final = tuple(
    b"1k-%b %b\nHa\n%b" % (method, target, field)
    for method, target, field in (
        *((b"GET", path, b"") for path in (mutant_sites.A, mutant_sites.REDIRECT)),
        *((b"GET", mutant_sites.A, field) for field in (b"Cgzip\n", b"Rbytes=1-2,300-\n", b"N*\n")),
        *((b"HEAD", path, b"") for path in (mutant_sites.A, b"/none")),
        *((b"GET", path, b"") for path in (mutant_sites.LISTING, b"/none", b"/dir/x")),
    )
)
SECOND: Final = second_of(0)


def answers_of(webroot: Webroot) -> list[Heard]:
    """Return what a site answers, and hold that each answer is one response and no byte more."""
    find = Answers(Sites({"__default__": webroot})).find
    plans = [find(key, SECOND) for key in MUTANT_KEYS]
    assert not any(plan.close or plan.body for plan in plans)
    methods = [key[3:].split()[0].decode() for key in MUTANT_KEYS]
    heard = parse_responses(methods, b"".join(plan.head for plan in plans))
    assert [response.status for response in heard] == [plan.status for plan in plans]
    return heard


@pytest.mark.parametrize("kind", MAKERS)
def test_a_mutant_with_right_checksums_is_a_webroot_error_and_never_a_torn_answer(
    mutable: bytes, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.CRITICAL)
    for mutant in MAKERS[kind](take_apart(mutable)):
        with in_memory(mutant.packed) as path:
            found = faults(path)
            assert found or not mutant.path, mutant.name
            if found[:1] and found[0].startswith("open: "):
                continue
            with opened(path) as webroot:
                answers_of(webroot)
                assert not mutant.path or is_refused(webroot, mutant), mutant.name


def is_refused(webroot: Webroot, mutant: Mutant) -> bool:
    """Whether the reader gives no head for the variant that the mutant lies about."""
    try:
        resource = webroot.lookup(mutant.path)
        assert resource is not None
        webroot.head_block(resource, resource.variants[mutant.variant])
    except WebrootError:
        return True
    return False


def test_there_are_many_mutants_and_each_is_another(mutable: bytes) -> None:
    draft = take_apart(mutable)
    packed = [mutant.packed for maker in MAKERS.values() for mutant in maker(draft)]
    assert len(packed) > 840
    assert len(set(packed)) > 840


def test_the_site_that_mutants_are_made_of_is_well(mutable: bytes) -> None:
    with in_memory(mutable) as path:
        assert faults(path) == []
        with opened(path) as webroot:
            statuses = {heard.status for heard in answers_of(webroot)}
    assert statuses == {200, 206, 301, 304, 404}


def test_there_are_bad_files() -> None:
    assert len(list(BAD.glob("*.webroot"))) >= 8
