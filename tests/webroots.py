"""Webroots of wrong content and right checksums: taken apart, changed, and signed again.

The numbers stand here a second time on purpose: FORMAT.md is what they are taken from.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from io import BytesIO
from pathlib import Path
from typing import Final

from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import Resource
from mkroot.inspect import cat, describe, diff, list_resources
from mkroot.verify import verify
from tests.trees import Tree

SUPERBLOCK_FIELDS: Final = {
    "magic": (0, "16s"),
    "major": (16, "<H"),
    "minor": (18, "<H"),
    "incompatible": (20, "<I"),
    "file_size": (24, "<Q"),
    "table_offset": (32, "<Q"),
    "section_count": (40, "<I"),
    "longest_probe": (44, "<I"),
    "resource_count": (48, "<Q"),
    "homes": (56, "<Q"),
    "extents_stop": (64, "<Q"),
    "site_id": (72, "32s"),
    "previous": (104, "32s"),
    "signature_offset": (136, "<Q"),
    "signature_length": (144, "<Q"),
    "zero": (152, "B"),
}
SECTION_FIELDS: Final = {
    "type": (0, "4s"),
    "flags": (4, "<I"),
    "offset": (8, "<Q"),
    "length": (16, "<Q"),
    "sha256": (24, "32s"),
    "zero": (56, "<Q"),
}
RECORD_FIELDS: Final = {
    "record_length": (0, "<I"),
    "status": (4, "<H"),
    "flags": (6, "B"),
    "variant_count": (7, "B"),
    "path_length": (8, "<I"),
    "location_length": (12, "<I"),
    "modified": (16, "<q"),
    "zero": (24, "<Q"),
}
VARIANT_FIELDS: Final = {
    "head_offset": (32, "<Q"),
    "body_offset": (40, "<Q"),
    "body_length": (48, "<Q"),
    "head_length": (56, "<I"),
    "validators_length": (60, "<I"),
    "fields_length": (64, "<I"),
    "media_type": (68, "<H"),
    "coding": (70, "<H"),
    "zero": (72, "B"),
    "sha256": (96, "32s"),
    "head_sha256": (128, "32s"),
}
Fields = dict[str, tuple[int, str]]


def _up(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment


def _set(data: bytearray, start: int, fields: Fields, name: str, value: int | bytes) -> None:
    offset, form = fields[name]
    struct.pack_into(form, data, start + offset, value)


def _get(data: bytes | bytearray, start: int, fields: Fields, name: str) -> int:
    offset, form = fields[name]
    return int(struct.unpack_from(form, data, start + offset)[0])


@dataclass
class Part:
    """A section: its content, and entries of the table that are to be other than true."""

    type: bytes
    data: bytearray
    required: bool = True
    lies: dict[str, int | bytes] = field(default_factory=dict)


@dataclass
class Draft:
    """A webroot taken apart; `packed` gives it back with every checksum right."""

    superblock: bytearray
    extents: bytearray
    parts: list[Part]
    lies: dict[str, int | bytes] = field(default_factory=dict)

    def part(self, kind: bytes) -> Part:
        """Return the section of a type."""
        return next(part for part in self.parts if part.type == kind)

    def set_record(self, path: bytes, name: str, value: int) -> None:
        """Change a field of a path's record, or of its first variant."""
        fields = RECORD_FIELDS if name in RECORD_FIELDS else VARIANT_FIELDS
        _set(self.part(b"RSRC").data, self.record_of(path), fields, name, value)

    def get_record(self, path: bytes, name: str) -> int:
        """Return a field of a path's record, or of its first variant."""
        fields = RECORD_FIELDS if name in RECORD_FIELDS else VARIANT_FIELDS
        return _get(self.part(b"RSRC").data, self.record_of(path), fields, name)

    def set_variant(self, path: bytes, number: int, name: str, value: int | bytes) -> None:
        """Change a field of one of the variants of a path."""
        start = self.record_of(path) + number * 128
        _set(self.part(b"RSRC").data, start, VARIANT_FIELDS, name, value)

    def get_head(self, path: bytes, number: int = 0) -> tuple[bytes, bytes, bytes]:
        """Return the three parts of the head block of a variant."""
        data, start = self.part(b"RSRC").data, self.record_of(path) + number * 128
        offset, length, first, second = (
            _get(data, start, VARIANT_FIELDS, name)
            for name in ("head_offset", "head_length", "validators_length", "fields_length")
        )
        block = bytes(self.extents[offset - 4096 : offset - 4096 + length])
        return block[:first], block[first:second], block[second:]

    def set_head(self, path: bytes, number: int, *parts: bytes) -> None:
        """Give a variant a head block of these three parts, behind all other extents."""
        self.extents += bytes(_up(len(self.extents), 64) - len(self.extents))
        block = b"".join(parts)
        fields: dict[str, int | bytes] = {
            "head_offset": 4096 + len(self.extents),
            "head_length": len(block),
            "validators_length": len(parts[0]),
            "fields_length": len(parts[0]) + len(parts[1]),
            "head_sha256": sha256(block).digest(),
        }
        for name, value in fields.items():
            self.set_variant(path, number, name, value)
        self.extents += block

    def set_location(self, path: bytes, location: bytes) -> None:
        """Put another location into the record of a path, which has to fit into it."""
        data, start = self.part(b"RSRC").data, self.record_of(path)
        stop = start + self.get_record(path, "record_length")
        place = start + 32 + 128 * data[start + 7] + len(path)
        assert place + len(location) <= stop < place + len(location) + 8
        data[place:stop] = location.ljust(stop - place, b"\0")
        self.set_record(path, "location_length", len(location))

    def replace_in_record(self, path: bytes, old: bytes, new: bytes) -> None:
        """Put other bytes of the same length into a path's record."""
        assert len(old) == len(new)
        start = self.record_of(path)
        data = self.part(b"RSRC").data
        place = data.index(old, start + 160)
        assert place < start + self.get_record(path, "record_length")
        data[place : place + len(new)] = new

    def insert_in_record(self, path: bytes, place: int, data: bytes) -> None:
        """Put bytes, a multiple of 8, into a path's record; what counts them is left as it is."""
        assert len(data) % 8 == 0
        start = self.record_of(path)
        self.set_record(path, "record_length", self.get_record(path, "record_length") + len(data))
        self.part(b"RSRC").data[start + place : start + place] = data
        index = self.part(b"INDX").data
        for at in range(16, len(index), 24):
            (record,) = struct.unpack_from("<Q", index, at)
            if record > start:
                struct.pack_into("<Q", index, at, record + len(data))

    def rename(self, path: bytes, new: bytes) -> None:
        """Give a record another path of the same length, by which the index finds it."""
        data = self.part(b"INDX").data
        slots = [bytes(data[at : at + 24]) for at in range(0, len(data), 24)]
        homes = struct.unpack_from("<Q", self.superblock, 56)[0]
        used = [slot for slot in slots if any(slot)]
        old_hash, new_hash = _hash(path), _hash(new)
        used = sorted(new_hash + slot[16:] if slot.startswith(old_hash) else slot for slot in used)
        self.replace_in_record(path, path, new)
        table: list[bytes] = []
        longest = 1
        for slot in used:
            home = int.from_bytes(slot[:8], "big") * homes >> 64
            table += [bytes(24)] * (home - len(table))
            longest = max(longest, len(table) - home + 1)
            table.append(slot)
        table += [bytes(24)] * (homes - len(table))
        data[:] = b"".join(table)
        self.lies["longest_probe"] = longest

    def slot_of(self, path: bytes) -> int:
        """Return where in INDX a path's slot is."""
        return self.part(b"INDX").data.index(_hash(path))

    def record_of(self, path: bytes) -> int:
        """Return where in RSRC a path's record is."""
        slot = self.slot_of(path)
        return int(struct.unpack_from("<Q", self.part(b"INDX").data, slot + 16)[0])

    def packed(self) -> bytes:
        """Return the file."""
        body = bytearray(4096) + self.extents
        table = bytearray()
        for part in self.parts:
            body += bytes(_up(len(body), 64) - len(body))
            entry = bytearray(64)
            _set(entry, 0, SECTION_FIELDS, "type", part.type)
            _set(entry, 0, SECTION_FIELDS, "flags", int(part.required))
            _set(entry, 0, SECTION_FIELDS, "offset", len(body))
            _set(entry, 0, SECTION_FIELDS, "length", len(part.data))
            _set(entry, 0, SECTION_FIELDS, "sha256", sha256(part.data).digest())
            for name, value in part.lies.items():
                _set(entry, 0, SECTION_FIELDS, name, value)
            body += part.data
            table += entry
        body += bytes(_up(len(body), 64) - len(body))
        block = bytearray(self.superblock)
        truth: dict[str, int | bytes] = {
            "file_size": len(body) + len(table),
            "table_offset": len(body),
            "section_count": len(self.parts),
            "extents_stop": 4096 + len(self.extents),
            "site_id": sha256(table).digest(),
        }
        for name, value in (truth | self.lies).items():
            _set(block, 0, SUPERBLOCK_FIELDS, name, value)
        return sign(bytes(block) + bytes(body[4096:]) + bytes(table))


def _hash(path: bytes) -> bytes:
    return blake2b(path, digest_size=16).digest()


def sign(file: bytes) -> bytes:
    """Return a file with the superblock's checksum made right."""
    return file[:4064] + sha256(file[:4064]).digest() + file[4096:]


def take_apart(file: bytes) -> Draft:
    """Return a webroot that is right as a draft."""
    count = struct.unpack_from("<I", file, 40)[0]
    extents_stop = struct.unpack_from("<Q", file, 64)[0]
    parts = []
    for entry in range(len(file) - 64 * count, len(file), 64):
        kind, _flags, offset, length = struct.unpack_from("<4sIQQ", file, entry)
        parts.append(Part(kind, bytearray(file[offset : offset + length])))
    return Draft(bytearray(file[:4096]), bytearray(file[4096:extents_stop]), parts)


def write_holes(draft: Draft, path: Path, lengths: dict[bytes, int]) -> Path:
    """Write a webroot in which some sections have these lengths, and are nothing but a hole."""
    offset = 4096 + len(draft.extents)
    pieces: list[tuple[int, bytes]] = []
    for part in draft.parts:
        offset = -(-offset // 64) * 64
        length = lengths.get(part.type, len(part.data))
        if part.type not in lengths:
            pieces.append((offset, bytes(part.data)))
        part.lies |= {"offset": offset, "length": length}
        offset += length
    table_offset = -(-offset // 64) * 64
    draft.lies |= {"table_offset": table_offset, "file_size": table_offset + 64 * 5}
    packed = draft.packed()
    pieces += ((0, packed[: 4096 + len(draft.extents)]), (table_offset, packed[-64 * 5 :]))
    with path.open("wb") as file:
        for offset, piece in pieces:
            file.seek(offset)
            file.write(piece)
    return path


@contextmanager
def opened(path: Path) -> Iterator[Webroot]:
    """Open a webroot and close it."""
    webroot = Webroot(str(path))
    try:
        yield webroot
    finally:
        webroot.close()


def resource_at(webroot: Webroot, path: bytes) -> Resource:
    """Return what a path answers; it has to be there."""
    resource = webroot.lookup(path)
    assert resource is not None, path
    return resource


def body_of(webroot: Webroot, path: bytes, number: int = 0, coding: str = "identity") -> bytes:
    """Return a body that a path answers: of its media types the one with this number."""
    variants = resource_at(webroot, path).variants
    chosen = [variant for variant in variants if variant.coding == coding][number]
    return webroot.read(chosen.body_offset, chosen.body_length)


def paths_in(webroot: Webroot) -> list[bytes]:
    """Return the paths of all records in the file's order."""
    return [resource.path for _offset, resource in webroot.resources()]


# A site with each kind of resource, and paths in it and beside it.
SMALL: Final[Tree] = {b"a.txt": b"some text", b"b.txt": b"more", b"dir": {b"x": b""}}
SMALL_PATHS: Final = (b"/", b"/a.txt", b"/b.txt", b"/dir", b"/dir/", b"/dir/x", b"/none")


def faults(path: Path) -> list[str]:
    """Return what opening, verifying and each use of a file say that was SMALL once.

    Errors that a file may not cause are not caught.
    """
    try:
        webroot = Webroot(str(path))
    except WebrootError as error:
        return [f"open: {error}"]
    found = [f"verify: {fault}" for fault in verify(webroot)]
    uses: tuple[Callable[[], object], ...] = (
        lambda: [webroot.lookup(path) for path in SMALL_PATHS],
        lambda: [webroot.error_page(status, b"/a.txt") for status in (404, 500)],
        lambda: [webroot.head_block(r, v) for _, r in webroot.resources() for v in r.variants],
        lambda: list(list_resources(webroot)),
        lambda: list(describe(webroot)),
        lambda: list(diff(webroot, webroot)),
        lambda: cat(webroot, "/a.txt", BytesIO()),
    )
    for use in uses:
        try:
            use()
        except (WebrootError, LookupError) as error:
            found.append(f"use: {error}")
    webroot.close()
    return found


def leftovers(output: Path) -> list[str]:
    """Return what lies beside a file."""
    return sorted(set(os.listdir(output.parent)) - {output.name})
