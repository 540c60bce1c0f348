"""Parses the framework of a webroot: superblock, section table, strings.

Bytes in, checked fields out; FORMAT.md has the invariants. No file is read here.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError, show
from ashttpd.webroot.grammar import CODING, is_media_type

# INDX and RSRC together, which stay in memory. 10 million URLs with paths of 60 bytes take 6.1 GiB
# where each has four variants, and 2.5 GiB where each has one.
MAX_INDEX_BYTES: Final = 8 << 30


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
    homes = layout.homes_for(superblock.resource_count)
    if superblock.homes != homes:
        raise WebrootError(
            f"{superblock.homes} homes for {superblock.resource_count} URLs, not {homes}"
        )
    if not 1 <= superblock.longest_probe <= layout.MAX_PROBE:
        raise WebrootError(f"{superblock.longest_probe} probes, not 1 to {layout.MAX_PROBE}")
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
            raise WebrootError(f"a section of type '{show(kind)}', not four letters")
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
    """Raise WebrootError for a section that cannot have its length, before it is read."""
    count, magic = superblock.resource_count, len(layout.RESOURCES_MAGIC)
    slots = superblock.homes + superblock.longest_probe - 1
    bounds = {
        layout.INDEX: (superblock.homes * layout.SLOT.size, slots * layout.SLOT.size),
        layout.RESOURCES: (
            count * layout.MIN_RECORD_BYTES + magic,
            count * layout.MAX_RECORD_BYTES + magic,
        ),
        layout.STRINGS: (layout.STRING_COUNT.size, layout.MAX_STRINGS_BYTES),
        layout.RULES: (layout.RULE_COUNT.size, layout.MAX_RULES_BYTES),
        layout.META: (1, layout.MAX_META_BYTES),
    }
    for kind, (least, most) in bounds.items():
        section = sections[kind]
        if not least <= section.length <= most:
            raise WebrootError(
                f"section {section.name} has {section.length} bytes, not {least} to {most}"
            )
    if sections[layout.INDEX].length % layout.SLOT.size:
        raise WebrootError(f"an index of {sections[layout.INDEX].length} bytes, no whole slots")
    length = sections[layout.INDEX].length + sections[layout.RESOURCES].length
    if length > MAX_INDEX_BYTES:
        raise WebrootError(
            f"sections INDX and RSRC have {length} bytes, more than {MAX_INDEX_BYTES}: "
            f"too large for this server with {count} URLs"
        )


def parse_strings(data: bytes) -> tuple[str, ...]:
    """Return the strings of section STRS: media types, and names of codings.

    Raises WebrootError where the section is malformed, or holds anything else.
    """
    strings = []
    try:
        (count,) = layout.STRING_COUNT.unpack_from(data)
        offset = layout.STRING_COUNT.size
        if count > layout.MAX_STRINGS:
            raise WebrootError(f"{count} strings, more than {layout.MAX_STRINGS}")
        for _ in range(count):
            (length,) = layout.STRING_LENGTH.unpack_from(data, offset)
            if length > layout.MAX_STRING_BYTES:
                raise WebrootError(
                    f"a string of {length} bytes, more than {layout.MAX_STRING_BYTES}"
                )
            offset += layout.STRING_LENGTH.size
            string = data[offset : offset + length]
            offset += length
            if not (CODING.fullmatch(string) or is_media_type(string)):
                raise WebrootError(f"'{show(string)}' is neither a media type nor a coding")
            strings.append(string.decode("ascii"))
    except struct.error as error:
        raise WebrootError(f"section STRS is malformed: {error}") from error
    if offset != len(data):
        raise WebrootError(f"section STRS has {len(data)} bytes, but strings of {offset}")
    return tuple(strings)


def is_canonical(path: bytes) -> bool:
    """Whether a record may have this path."""
    return path.startswith(b"/") and b"\0" not in path
