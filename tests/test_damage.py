"""Damage: whatever bit flips, wherever the file ends, it is found, and nothing wrong is answered.

One file is damaged in place and mended again, thousands of times, which is why it lies in memory.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import Resource
from mkroot.build import Options
from mkroot.verify import verify
from tests.trees import make, plant
from tests.webroots import paths_in, resource_at

FLIPS: Final = 10_000
ABSENT: Final = (b"/nothing", b"/docs/nothing", b"")


class Patient:
    """A webroot in memory, what it answers when well, and its bytes."""

    def __init__(self, content: bytes) -> None:
        self.fd = os.memfd_create("webroot")
        self.path = f"/proc/self/fd/{self.fd}"
        self.content = content
        self.heal()
        webroot = Webroot(self.path)
        self.extents_stop = webroot.superblock.extents_stop
        self.sections = {s.name: (s.offset, s.offset + s.length) for s in webroot.sections.values()}
        self.resources = {path: resource_at(webroot, path) for path in paths_in(webroot)}
        self.heads = {
            variant.head_offset: webroot.head_block(resource, variant)
            for resource in self.resources.values()
            for variant in resource.variants
        }
        assert list(verify(webroot)) == []
        webroot.close()

    def heal(self) -> None:
        os.ftruncate(self.fd, len(self.content))
        os.pwrite(self.fd, self.content, 0)

    @contextmanager
    def with_byte(self, offset: int, byte: int) -> Iterator[None]:
        os.pwrite(self.fd, bytes((byte,)), offset)
        try:
            yield
        finally:
            os.pwrite(self.fd, self.content[offset : offset + 1], offset)

    def opens(self) -> bool:
        """Whether it can be opened; any error but WebrootError is the test's failure."""
        try:
            Webroot(self.path).close()
        except WebrootError:
            return False
        return True

    def faults(self) -> list[str]:
        """What opening or verifying says."""
        try:
            webroot = Webroot(self.path)
        except WebrootError as error:
            return [str(error)]
        try:
            return list(verify(webroot))
        finally:
            webroot.close()

    def assert_answers_are_right_or_refused(self) -> None:
        """Each lookup and each head is that of the healthy file, or a WebrootError."""
        try:
            webroot = Webroot(self.path)
        except WebrootError:
            return
        try:
            for path, expected in self.resources.items():
                resource = maybe_resource(webroot, path)
                assert resource in (expected, "refused"), path
                for variant in expected.variants:
                    try:
                        head = webroot.head_block(expected, variant)
                        assert head == self.heads[variant.head_offset]
                    except WebrootError:
                        continue
            for path in ABSENT:
                assert maybe_resource(webroot, path) in (None, "refused")
        finally:
            webroot.close()


def maybe_resource(webroot: Webroot, path: bytes) -> Resource | str | None:
    try:
        return webroot.lookup(path)
    except WebrootError:
        return "refused"


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """Small files, one above 64 KiB, listings, redirects, a head apart from its body."""
    directory = tmp_path_factory.mktemp("damage")
    plant(
        directory / "source",
        {
            b"a.txt": b"shared by two types",
            b"b.css": b"shared by two types",
            b"docs": {b"index.html": b"<!DOCTYPE html><p>docs", b"empty": b""},
            b"large": random.Random(1).randbytes(70_000),
            b"listed": {b"x": b"1"},
        },
    )
    make(directory / "source", directory / "out", Options(listing=True))
    patient = Patient((directory / "out").read_bytes())
    yield patient
    os.close(patient.fd)


def places(patient: Patient) -> list[int]:
    """Where to flip a bit: the superblock, the index, the table, and a share of the rest."""
    chosen = random.Random(2)
    size = len(patient.content)
    certain = [
        *range(256),
        *range(4064, 4096),
        *range(patient.extents_stop, size),
    ]
    used: set[int] = set()
    for resource in patient.resources.values():
        for variant in resource.variants:
            used.update(range(variant.head_offset, variant.head_offset + variant.head_length))
            edge = variant.body_offset + variant.body_length
            used.update(range(max(variant.body_offset, edge - 200), edge))
    gaps = [offset for offset in range(4096, patient.extents_stop) if not patient.content[offset]]
    weighted = (range(256, 4064), sorted(used), gaps, range(4096, patient.extents_stop))
    rest = (FLIPS - len(certain)) // len(weighted)
    assert rest > 100
    return certain + [chosen.choice(region) for region in weighted for _ in range(rest)]


def test_every_flipped_bit_is_found(patient: Patient) -> None:
    chosen = random.Random(3)
    tried = 0
    for offset in places(patient):
        bit = 1 << chosen.randrange(8)
        with patient.with_byte(offset, patient.content[offset] ^ bit):
            assert patient.faults(), f"bit {bit:#x} of byte {offset}"
        tried += 1
    assert tried > FLIPS * 9 // 10
    assert patient.faults() == []


def test_a_flipped_bit_of_the_index_is_found_when_opened(patient: Patient) -> None:
    regions = [patient.sections[name] for name in ("INDX", "RSRC", "STRS", "RULE")]
    regions += [(0, 4096), (len(patient.content) - 5 * 64, len(patient.content))]
    for start, stop in regions:
        for offset in range(start, stop):
            with patient.with_byte(offset, patient.content[offset] ^ 1 << offset % 8):
                assert not patient.opens(), offset


def test_a_flipped_bit_never_gives_a_wrong_answer(patient: Patient) -> None:
    chosen = random.Random(4)
    for offset in places(patient)[::3]:
        with patient.with_byte(offset, patient.content[offset] ^ 1 << chosen.randrange(8)):
            patient.assert_answers_are_right_or_refused()


def test_a_file_of_any_other_length_is_refused(patient: Patient) -> None:
    size = len(patient.content)
    try:
        for length in (*range(0, 5000), *range(5000, size, 61), *range(size - 3000, size)):
            os.ftruncate(patient.fd, length)
            assert not patient.opens(), length
            os.ftruncate(patient.fd, size)
            os.pwrite(patient.fd, patient.content[length:], length)
        for more in (b"\0", b"x", patient.content, bytes(4096)):
            os.pwrite(patient.fd, more, size)
            assert not patient.opens(), len(more)
            os.ftruncate(patient.fd, size)
    finally:
        patient.heal()


def test_a_damaged_block_is_found_wherever_it_lies(patient: Patient) -> None:
    for offset in range(0, len(patient.content), 512):
        block = patient.content[offset : offset + 512]
        os.pwrite(patient.fd, bytes(byte ^ 0x55 for byte in block), offset)
        try:
            assert patient.faults(), offset
            patient.assert_answers_are_right_or_refused()
        finally:
            os.pwrite(patient.fd, block, offset)


def test_each_damaged_resource_is_named(patient: Patient) -> None:
    for path, resource in patient.resources.items():
        for variant in resource.variants:
            if not variant.body_length:
                continue
            offset = variant.body_offset
            with patient.with_byte(offset, patient.content[offset] ^ 1):
                faults = patient.faults()
            assert any(fault.startswith(path.decode() + " (") for fault in faults), faults


def test_a_file_truncated_under_an_open_webroot_is_an_error_at_its_bodies_only(
    patient: Patient,
) -> None:
    webroot = Webroot(patient.path)
    try:
        os.ftruncate(patient.fd, 4096)
        for path, expected in patient.resources.items():
            assert webroot.lookup(path) == expected
            for variant in expected.variants:
                with pytest.raises(WebrootError, match="truncated under us"):
                    webroot.head_block(expected, variant)
        assert any("truncated under us" in fault for fault in verify(webroot))
    finally:
        patient.heal()
        webroot.close()


@pytest.mark.parametrize("kind", ["directory", "fifo", "empty", "text"])
def test_what_is_no_webroot_at_all_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"<!DOCTYPE html>" * 1000)
    with pytest.raises(WebrootError):
        Webroot(str(path))


def test_a_missing_file_is_the_machine_saying_no(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Webroot(str(tmp_path / "missing"))
