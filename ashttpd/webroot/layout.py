"""Every number of the webroot format, once. FORMAT.md is the specification; names are the same.

Shared by the reader and by mkroot's writer; it reads and writes nothing itself.
"""

import struct
from enum import IntEnum, IntFlag
from hashlib import blake2b
from typing import Final

MAGIC: Final = b"\x89ASHTTPD\r\n\x1a\n\0\0\0\0"
MAJOR: Final = 1
MINOR: Final = 0
KNOWN_INCOMPATIBLE: Final = 0

# magic, major, minor, incompatible, file_size, table_offset, section_count, longest_probe,
# resource_count, homes, extents_stop, site_id, previous, signature offset and length
SUPERBLOCK: Final = struct.Struct("<16sHHIQQIIQQQ32s32sQQ")
SUPERBLOCK_SIZE: Final = 4096
CHECKSUM_OFFSET: Final = SUPERBLOCK_SIZE - 32

# type, flags, offset, length, sha256, zero
SECTION: Final = struct.Struct("<4sIQQ32sQ")
SECTION_ALIGNMENT: Final = 64
MAX_SECTIONS: Final = 64

INDEX: Final = b"INDX"
RESOURCES: Final = b"RSRC"
STRINGS: Final = b"STRS"
RULES: Final = b"RULE"
META: Final = b"META"
SECTIONS: Final = (INDEX, RESOURCES, STRINGS, RULES, META)


class SectionFlag(IntFlag):
    """Flags of an entry of the section table."""

    REQUIRED = 1


HASH_SIZE: Final = 16
SLOT: Final = struct.Struct("<16sQ")
EMPTY_SLOT: Final = bytes(SLOT.size)
MIN_HOMES: Final = 16
# Four million paths at the load of `homes_for` need 16, and each further slot is needed by less
# than half as many; a lookup of so many slots in a hostile file takes less than 0.1 ms.
MAX_PROBE: Final = 256
# An index or records with so many zero bytes at a multiple of as many were never written: a hole.
HOLE_BYTES: Final = 4096

RESOURCES_MAGIC: Final = b"RESOURCE"
# record_length, status, flags, variant_count, path_length, location_length, modified, zero
RECORD: Final = struct.Struct("<IHBBIIqQ")
RECORD_ALIGNMENT: Final = 8
# The statuses of a record: a page; another place, with a location; an error, which has no variant.
STATUS_PAGE: Final = 200
STATUSES_ELSEWHERE: Final = frozenset((301, 302, 303, 307, 308))
# Errors that need a field, which the record of an error has not (401 WWW-Authenticate, 405 Allow,
# 407 Proxy-Authenticate, 426 Upgrade), or that tell of a connection (408, 421).
STATUSES_OF_NO_RECORD: Final = frozenset((401, 405, 407, 408, 421, 426))
# Without a variant and with a path of one byte.
MIN_RECORD_BYTES: Final = 40
NOT_RECORDED: Final = -(2**63)
# The last second that an HTTP-date can name.
MAX_MODIFIED: Final = 253_402_300_799


class RecordFlag(IntFlag):
    """Flags of a record."""

    KEEP_QUERY = 1


# head_offset, body_offset, body_length, head_length, validators_length, fields_length, media_type,
# coding, zero, sha256, head_sha256
VARIANT: Final = struct.Struct("<QQQIIIHH24s32s32s")
VARIANT_ZERO: Final = bytes(24)

# No request can name more: a head has at most 65,536 bytes. A lookup hashes and compares the path,
# and the page of an error is looked up for each answer of its status: 0.1 ms for this much.
MAX_PATH_BYTES: Final = 1 << 16
MAX_LOCATION_BYTES: Final = 1 << 16
# What a client has to take of one answer in any case; mkroot's heads have 100 to 400 bytes. The
# block is hashed whenever it is read.
MAX_HEAD_BLOCK_BYTES: Final = 8192
# A client may send a long Accept, and each variant is held against it. Eight are needed for two
# media types, plain and in three codings.
MAX_VARIANTS: Final = 32
# Of those that a client sends few select content; `*` is for all.
MAX_VARY_NAMES: Final = 20
MAX_STRINGS: Final = 65_535
# A media type with parameters stands in the head of each part of a multipart answer.
MAX_STRING_BYTES: Final = 2048
MAX_STRINGS_BYTES: Final = 1 << 24
MAX_RULES_BYTES: Final = 1 << 20
MAX_META_BYTES: Final = 1 << 20

MAX_RECORD_BYTES: Final = (
    RECORD.size + MAX_VARIANTS * VARIANT.size + MAX_PATH_BYTES + MAX_LOCATION_BYTES + 8
)

EXTENT_ALIGNMENT: Final = 64
# Bodies of this size and more are aligned for O_DIRECT; aligning smaller ones costs up to 13 %.
LARGE_BODY_BYTES: Final = 1 << 16
LARGE_BODY_ALIGNMENT: Final = 4096

STRING_COUNT: Final = struct.Struct("<I")
STRING_LENGTH: Final = struct.Struct("<H")
RULE_COUNT: Final = struct.Struct("<I")
# kind, length of what follows
RULE: Final = struct.Struct("<HI")


class RuleKind(IntEnum):
    """What a rule says."""

    ERROR_PAGE = 1


# status; the page's path follows
ERROR_PAGE: Final = struct.Struct("<H")
ERROR_PAGE_OVERHEAD: Final = RULE.size + ERROR_PAGE.size

ETAG_DIGEST_BYTES: Final = 18


def parent_of(path: bytes) -> bytes:
    """Return the directory, with its slash, that a path stands in; that of `/` is empty."""
    return path[: path.rfind(b"/", 0, -1) + 1]


def align(offset: int, alignment: int) -> int:
    """Return the first multiple of `alignment` at or behind `offset`."""
    return -(-offset // alignment) * alignment


def path_hash(path: bytes) -> bytes:
    """Return the index's hash of a canonical path."""
    return blake2b(path, digest_size=HASH_SIZE).digest()


def homes_for(resource_count: int) -> int:
    """Return how many home slots an index of so many records gets: a load of at most 0.625."""
    return max(MIN_HOMES, resource_count * 8 // 5)


def home_of(hashed: bytes, homes: int) -> int:
    """Return the slot where the search for a hash begins."""
    return int.from_bytes(hashed[:8], "big") * homes >> 64
