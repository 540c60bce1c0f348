"""Opens a webroot, verifies what lookups rely on, and finds records.

The index sections are copied into anonymous memory, so that nobody can change or truncate them
under the server; head blocks and bodies are read with pread. All that this module raises is
WebrootError (the file is wrong) and OSError (the machine said no). It knows no HTTP.
"""

import os
import struct
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from mmap import mmap
from stat import S_ISREG
from typing import Final

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.resource import Resource, Variant

# What a section of a hostile file can make us allocate: the index of some 15 million URLs.
MAX_INDEX_BYTES: Final = 4 << 30
# One read of a section; preadv stops at 2 GiB anyway, and the hash wants its input in the cache.
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Superblock:
    """The superblock's fields as FORMAT.md gives them."""

    minor: int
    file_size: int
    table_offset: int
    section_count: int
    longest_probe: int
    resource_count: int
    homes: int
    extents_stop: int
    site_id: bytes
    previous: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the section table."""

    type: bytes
    required: bool
    offset: int
    length: int
    sha256: bytes

    @property
    def name(self) -> str:
        """The type as text for messages."""
        return self.type.decode("ascii", "backslashreplace")


def parse_superblock(block: bytes, file_size: int) -> Superblock:
    """Return the fields of a file's first 4,096 bytes; raise WebrootError where they are wrong.

    `file_size` is the file's real length in bytes.
    """
    if not block.startswith(layout.MAGIC):
        raise WebrootError("not a webroot: the file does not start with its magic")
    if len(block) < layout.SUPERBLOCK_SIZE:
        raise WebrootError(f"{len(block)} bytes, but a superblock has {layout.SUPERBLOCK_SIZE}")
    (
        _magic,
        major,
        minor,
        incompatible,
        *fields,
        signature_offset,
        signature_length,
    ) = layout.SUPERBLOCK.unpack_from(block)
    if sha256(block[: layout.CHECKSUM_OFFSET]).digest() != block[layout.CHECKSUM_OFFSET :]:
        raise WebrootError("the superblock does not match its checksum")
    if major != layout.MAJOR:
        raise WebrootError(f"format version {major}.{minor}, but only {layout.MAJOR}.x is known")
    if incompatible & ~layout.KNOWN_INCOMPATIBLE:
        raise WebrootError(f"features {incompatible:#x} that this version does not know")
    superblock = Superblock(minor, *fields)
    if minor == layout.MINOR and (
        signature_offset
        or signature_length
        or any(block[layout.SUPERBLOCK.size : layout.CHECKSUM_OFFSET])
    ):
        raise WebrootError("bytes of the superblock that have to be zero are not")
    if superblock.file_size != file_size:
        raise WebrootError(
            f"the file has {file_size} bytes, but {superblock.file_size} were written: "
            "truncated, appended to, or still being copied"
        )
    table_length = superblock.section_count * layout.SECTION.size
    if not 1 <= superblock.section_count <= layout.MAX_SECTIONS:
        raise WebrootError(f"{superblock.section_count} sections, not 1 to {layout.MAX_SECTIONS}")
    if superblock.table_offset != file_size - table_length:
        raise WebrootError(f"the section table at {superblock.table_offset} does not end the file")
    if not layout.SUPERBLOCK_SIZE <= superblock.extents_stop <= superblock.table_offset:
        raise WebrootError(f"extents that end at {superblock.extents_stop}, outside of the file")
    if superblock.homes < 1 or not 1 <= superblock.longest_probe <= layout.MAX_PROBE:
        raise WebrootError(
            f"an index of {superblock.homes} homes and {superblock.longest_probe} probes, "
            f"not 1 or more and 1 to {layout.MAX_PROBE}"
        )
    return superblock


def parse_sections(table: bytes, superblock: Superblock) -> dict[bytes, Section]:
    """Return the sections by type; raise WebrootError for a table that is damaged or unknown."""
    if sha256(table).digest() != superblock.site_id:
        raise WebrootError("the section table does not match the site id")
    sections: dict[bytes, Section] = {}
    stop = superblock.extents_stop
    for kind, flags, offset, length, digest, zero in layout.SECTION.iter_unpack(table):
        section = Section(kind, bool(flags & layout.SectionFlag.REQUIRED), offset, length, digest)
        if not kind.isalpha():
            raise WebrootError(f"a section of type {kind!r}, not four letters")
        if kind in sections:
            raise WebrootError(f"section {section.name} stands twice")
        if superblock.minor == layout.MINOR and (zero or flags & ~int(layout.SectionFlag.REQUIRED)):
            raise WebrootError(f"section {section.name} has an entry whose zeros are not")
        if offset != layout.align(stop, layout.SECTION_ALIGNMENT):
            raise WebrootError(f"section {section.name} at {offset}, not behind {stop}")
        stop = offset + length
        if stop > superblock.table_offset:
            raise WebrootError(f"section {section.name} reaches to {stop}, into the section table")
        if section.required and kind not in layout.SECTIONS:
            raise WebrootError(f"required section {section.name} is not known to this version")
        sections[kind] = section
    for kind in layout.SECTIONS:
        if kind not in sections:
            raise WebrootError(f"section {kind.decode()} is missing")
    if superblock.table_offset != layout.align(stop, layout.SECTION_ALIGNMENT):
        raise WebrootError(f"the section table at {superblock.table_offset}, not behind {stop}")
    _check_lengths(sections, superblock)
    return sections


def _check_lengths(sections: dict[bytes, Section], superblock: Superblock) -> None:
    """Raise WebrootError for a section longer than its content can be, before it is read."""
    limits = {
        layout.INDEX: (superblock.homes + superblock.longest_probe - 1) * layout.SLOT.size,
        layout.RESOURCES: superblock.resource_count * layout.MAX_RECORD_BYTES
        + len(layout.RESOURCES_MAGIC),
        layout.STRINGS: layout.MAX_STRINGS_BYTES,
        layout.RULES: layout.MAX_RULES_BYTES,
        layout.META: layout.MAX_META_BYTES,
    }
    for kind, limit in limits.items():
        section = sections[kind]
        most = min(limit, MAX_INDEX_BYTES)
        if not 1 <= section.length <= most:
            raise WebrootError(
                f"section {section.name} has {section.length} bytes, not 1 to {most}"
            )


def parse_strings(data: bytes) -> tuple[str, ...]:
    """Return the strings of section STRS; raise WebrootError where it is malformed."""
    try:
        (count,) = layout.STRING_COUNT.unpack_from(data)
        offset = layout.STRING_COUNT.size
        strings = []
        if count > layout.MAX_STRINGS:
            raise WebrootError(f"{count} strings, more than {layout.MAX_STRINGS}")
        for _ in range(count):
            (length,) = layout.STRING_LENGTH.unpack_from(data, offset)
            offset += layout.STRING_LENGTH.size
            string = data[offset : offset + length].decode("ascii")
            offset += length
            strings.append(string)
    except (struct.error, UnicodeDecodeError) as error:
        raise WebrootError(f"section STRS is malformed: {error}") from error
    if offset != len(data) or not all(string.isprintable() for string in strings):
        raise WebrootError("section STRS is malformed")
    return tuple(strings)


def check_rules(data: bytes) -> None:
    """Raise WebrootError unless section RULE holds no rule: version 1.0 knows no kind."""
    if data != layout.RULE_COUNT.pack(0):
        raise WebrootError("section RULE holds rules that this version does not know")


def _read_exactly(fd: int, offset: int, length: int) -> bytes:
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise WebrootError(f"the file ends at {offset + len(data)}: truncated under us")
        data += more
    return data


def _load(fd: int, section: Section) -> mmap:
    """Copy a section into anonymous memory and hold it against its digest."""
    memory = mmap(-1, section.length)
    digest = sha256()
    with memoryview(memory) as view:
        done = 0
        while done < section.length:
            count = os.preadv(fd, [view[done : done + _READ_BYTES]], section.offset + done)
            if count == 0:
                raise WebrootError(f"the file ends within section {section.name}")
            digest.update(view[done : done + count])
            done += count
    if digest.digest() != section.sha256:
        raise WebrootError(f"section {section.name} is damaged: its SHA-256 differs")
    return memory


class Webroot:
    """An open webroot file.

    The descriptor is closed when the last reference goes: whoever holds an extent of the
    file holds the file.
    """

    def __init__(self, path: str) -> None:
        """Open and verify the file; raises WebrootError and OSError, naming neither `path`."""
        self.path = path
        # A reader must not wait for a FIFO's writer; what is not regular is refused below.
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        # The server sets this when the file was written to in place: its bodies are not to be
        # trusted any more, and what is being sent of them ends.
        self.revoked = False
        self._finalizer = weakref.finalize(self, os.close, self.fd)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        status = os.fstat(self.fd)
        if not S_ISREG(status.st_mode):
            raise WebrootError("not a regular file")
        block = os.pread(self.fd, layout.SUPERBLOCK_SIZE, 0)
        self.superblock = parse_superblock(block, status.st_size)
        table_length = self.superblock.section_count * layout.SECTION.size
        table = _read_exactly(self.fd, self.superblock.table_offset, table_length)
        self.sections = parse_sections(table, self.superblock)
        self._index = _load(self.fd, self.sections[layout.INDEX])
        self._records = _load(self.fd, self.sections[layout.RESOURCES])
        self._strings = parse_strings(_load(self.fd, self.sections[layout.STRINGS])[:])
        check_rules(_load(self.fd, self.sections[layout.RULES])[:])
        self._check_index()

    def _check_index(self) -> None:
        superblock = self.superblock
        slots, rest = divmod(len(self._index), layout.SLOT.size)
        if rest or not superblock.homes <= slots:
            raise WebrootError(f"an index of {len(self._index)} bytes for {superblock.homes} homes")
        if superblock.resource_count > slots:
            raise WebrootError(f"{superblock.resource_count} resources in {slots} slots")
        if self._records[: len(layout.RESOURCES_MAGIC)] != layout.RESOURCES_MAGIC:
            raise WebrootError("section RSRC does not start with its magic")

    @property
    def site_id(self) -> str:
        """The site id in hexadecimal."""
        return self.superblock.site_id.hex()

    @property
    def resource_count(self) -> int:
        """How many URLs the site has."""
        return self.superblock.resource_count

    def close(self) -> None:
        """Close the descriptor now; for tools. The server lets the last reference close it."""
        self._finalizer()

    def lookup(self, path: bytes) -> Resource | None:
        """Return what a canonical path answers, or None.

        Reads memory only. Raises WebrootError where the record is malformed.
        """
        superblock = self.superblock
        hashed = layout.path_hash(path)
        size = layout.SLOT.size
        first = layout.home_of(hashed, superblock.homes) * size
        stop = min(first + superblock.longest_probe * size, len(self._index))
        for offset in range(first, stop, size):
            found, record = layout.SLOT.unpack_from(self._index, offset)
            if found == hashed:
                resource, _length = self._record(record)
                if resource.path != path:
                    raise WebrootError(f"the index leads from {path!r} to {resource.path!r}")
                return resource
            if found > hashed or not record:
                return None
        return None

    def resources(self) -> Iterator[tuple[int, Resource]]:
        """Yield every record with its offset in RSRC, in the file's order.

        Raises WebrootError at the first that is malformed.
        """
        offset = len(layout.RESOURCES_MAGIC)
        for _ in range(self.superblock.resource_count):
            resource, length = self._record(offset)
            yield offset, resource
            offset += length
        if offset != len(self._records):
            raise WebrootError(f"section RSRC goes on behind its last record at {offset}")

    def slots(self) -> Iterator[tuple[bytes, int]]:
        """Yield every slot of the index as its hash and record, empty ones included."""
        return layout.SLOT.iter_unpack(self._index)

    def head_block(self, variant: Variant) -> bytes:
        """Read a variant's head block; raise WebrootError where it is damaged."""
        block = _read_exactly(self.fd, variant.head_offset, variant.head_length)
        if sha256(block).digest() != variant.head_sha256:
            raise WebrootError(f"the head block at {variant.head_offset} is damaged")
        return block

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes of the file, all of them; raise WebrootError where it ends before."""
        return _read_exactly(self.fd, offset, length)

    def _record(self, offset: int) -> tuple[Resource, int]:
        """Parse the record at an offset of RSRC into the resource and the record's length."""
        records = self._records
        if offset % layout.RECORD_ALIGNMENT or offset < len(layout.RESOURCES_MAGIC):
            raise WebrootError(f"no record can start at {offset} of RSRC")
        if offset + layout.RECORD.size > len(records):
            raise WebrootError(f"a record at {offset}, behind the end of RSRC")
        length, status, flags, variant_count, path_length, location_length, modified, zero = (
            layout.RECORD.unpack_from(records, offset)
        )
        if path_length > layout.MAX_PATH_BYTES or location_length > layout.MAX_LOCATION_BYTES:
            raise WebrootError(
                f"the record at {offset} has a path of {path_length} bytes and a location of "
                f"{location_length}"
            )
        path_start = offset + layout.RECORD.size + variant_count * layout.VARIANT.size
        location_start = path_start + path_length
        stop = location_start + location_length
        if layout.align(stop, layout.RECORD_ALIGNMENT) != offset + length or stop > len(records):
            raise WebrootError(f"the record at {offset} has {length} bytes, but not its parts")
        padding = records[stop : offset + length]
        if self.superblock.minor == layout.MINOR and (
            zero or flags & ~int(layout.RecordFlag.KEEP_QUERY) or any(padding)
        ):
            raise WebrootError(f"the record at {offset} has bytes that have to be zero and are not")
        resource = Resource(
            path=records[path_start:location_start],
            status=status,
            keep_query=bool(flags & layout.RecordFlag.KEEP_QUERY),
            location=records[location_start:stop],
            modified=None if modified == layout.NOT_RECORDED else modified,
            variants=tuple(
                self._variant(start)
                for start in range(offset + layout.RECORD.size, path_start, layout.VARIANT.size)
            ),
        )
        _check_resource(resource)
        return resource, length

    def _variant(self, offset: int) -> Variant:
        *numbers, media_type, coding, zero, body_digest, head_digest = layout.VARIANT.unpack_from(
            self._records, offset
        )
        head_offset, body_offset, body_length, head_length, validators, fields = numbers
        if not (
            self._is_extent(head_offset, head_length)
            and self._is_extent(body_offset, body_length)
            and validators <= fields <= head_length - 2
            and head_length <= layout.MAX_HEAD_BLOCK_BYTES
        ):
            raise WebrootError(f"the variant at {offset} of RSRC lies outside of the extents")
        if max(media_type, coding) >= len(self._strings):
            raise WebrootError(f"the variant at {offset} of RSRC names a string that is not there")
        if zero != layout.VARIANT_ZERO and self.superblock.minor == layout.MINOR:
            raise WebrootError(f"the variant at {offset} of RSRC has bytes that are not zero")
        return Variant(
            head_offset,
            body_offset,
            body_length,
            head_length,
            validators,
            fields,
            self._strings[media_type],
            self._strings[coding],
            body_digest,
            head_digest,
        )

    def _is_extent(self, offset: int, length: int) -> bool:
        return layout.SUPERBLOCK_SIZE <= offset <= self.superblock.extents_stop - length


def _check_resource(resource: Resource) -> None:
    """Raise WebrootError where a record says what no server could send."""
    path, location = resource.path, resource.location
    if not path.startswith(b"/") or b"\0" in path:
        raise WebrootError(f"{path[:100]!r} is no canonical path")
    if not resource.variants:
        raise WebrootError(f"{path!r} has no variant")
    if not 200 <= resource.status <= 599 or resource.status in (204, 205, 206, 304):
        raise WebrootError(f"{path!r} has the status {resource.status}")
    if bool(location) != (resource.status // 100 == 3):
        raise WebrootError(f"{path!r} has the status {resource.status} with {location[:100]!r}")
    if any(byte <= 0x20 or byte >= 0x7F for byte in location):
        raise WebrootError(f"the location of {path!r} cannot be sent")
