"""Ways of damaging a webroot: its bytes, or what they say, with every checksum made right again."""

import struct
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from hypothesis import strategies as st

from ashttpd.webroot import layout
from tests.mutants import BAD_LINES
from tests.webroots import (
    RECORD_FIELDS,
    SECTION_FIELDS,
    SMALL_PATHS,
    SUPERBLOCK_FIELDS,
    VARIANT_FIELDS,
    Draft,
    Fields,
)

# On both sides of what a field or a careless sum can hold.
_EDGES: Final = (0, 1, 2, 255, 1 << 15, (1 << 16) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_NUMBERS: Final = st.sampled_from(
    (*_EDGES, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 64, (1 << 64) - 1)
) | st.integers(0, 20_000)
_SECTIONS: Final = st.sampled_from([b"INDX", b"RSRC", b"STRS", b"RULE", b"META"])
_NUMERIC: Final = "BHIQq"
# Field lines, right ones and wrong ones, of names that have a meaning and of any.
_LINES: Final = st.sampled_from(BAD_LINES) | st.builds(
    lambda name, colon, value: name + colon + value,
    st.sampled_from([line.partition(b":")[0] for line in BAD_LINES]) | st.binary(max_size=8),
    st.sampled_from([b": ", b":", b" : ", b""]),
    st.binary(max_size=12) | st.sampled_from([b"chunked", b"close", b"0", b"1", b"gzip", b"*"]),
)


def edit(draw: st.DrawFn, data: bytearray) -> None:
    """Flip, overwrite, copy, cut out or put in some bytes."""
    start = draw(st.integers(0, len(data)))
    stop = min(len(data), start + draw(st.integers(1, 64) | st.integers(1, 8192)))
    how = draw(st.sampled_from(["flip", "zero", "overwrite", "copy", "cut out", "put in", "cut"]))
    if how == "flip" and start < len(data):
        data[start] ^= 1 << draw(st.integers(0, 7))
    elif how == "zero":
        data[start:stop] = bytes(stop - start)
    elif how == "overwrite":
        new = draw(st.binary(min_size=1, max_size=16))
        data[start : start + len(new)] = new[: len(data) - start]
    elif how == "copy":
        source = draw(st.integers(0, len(data)))
        data[start:stop] = data[source : source + stop - start]
    elif how == "cut out":
        del data[start:stop]
    elif how == "put in":
        data[start:start] = draw(st.binary(max_size=64))
    elif how == "cut":
        del data[start:]


def _fits(form: str, number: int) -> int:
    """Return the number cut to what a field of a struct takes."""
    bits = 8 * struct.calcsize(form)
    number %= 1 << bits
    return number - (1 << bits) if form[-1] == "q" and number >> bits - 1 else number


def _number_for(draw: st.DrawFn, fields: Fields) -> tuple[str, int]:
    """Draw the name of a field that is a number, and one for it."""
    name = draw(st.sampled_from([n for n, (_, form) in fields.items() if form[-1] in _NUMERIC]))
    return name, _fits(fields[name][1], draw(_NUMBERS))


def _in_superblock(draw: st.DrawFn, draft: Draft) -> None:
    name, number = _number_for(draw, SUPERBLOCK_FIELDS)
    draft.lies[name] = number


def _in_table(draw: st.DrawFn, draft: Draft) -> None:
    name, number = _number_for(draw, SECTION_FIELDS)
    draft.part(draw(_SECTIONS)).lies[name] = number


def _in_record(draw: st.DrawFn, draft: Draft) -> None:
    path = draw(st.sampled_from(SMALL_PATHS[:-1]))
    name, number = _number_for(draw, draw(st.sampled_from([RECORD_FIELDS, VARIANT_FIELDS])))
    draft.set_record(path, name, number)


def _in_head(draw: st.DrawFn, draft: Draft) -> None:
    path = draw(st.sampled_from([p for p in SMALL_PATHS if not p.startswith(b"/none")]))
    number = draw(st.integers(0, draft.get_record(path, "variant_count") - 1))
    parts = [bytearray(part) for part in draft.get_head(path, number)]
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(parts))
        if draw(st.booleans()):
            edit(draw, part)
        else:
            # Between two lines, where it does the most harm.
            starts = [0, *(at + 2 for at in range(len(part) - 1) if part[at : at + 2] == b"\r\n")]
            at = draw(st.sampled_from(starts))
            part[at:at] = draw(_LINES) + draw(st.sampled_from([b"\r\n", b"\n", b"\r", b""]))
    draft.set_head(path, number, *map(bytes, parts))


def _in_location(draw: st.DrawFn, draft: Draft) -> None:
    start = draft.record_of(b"/dir") + layout.RECORD.size + layout.VARIANT.size + len(b"/dir")
    length = draft.get_record(b"/dir", "location_length")
    location = draw(st.binary(min_size=length, max_size=length))
    draft.part(b"RSRC").data[start : start + length] = location


def _in_index(draw: st.DrawFn, draft: Draft) -> None:
    index = draft.part(b"INDX").data
    slot = draw(st.integers(0, len(index) // layout.SLOT.size - 1)) * layout.SLOT.size
    struct.pack_into("<Q", index, slot + layout.HASH_SIZE, draw(_NUMBERS))


def _in_section(draw: st.DrawFn, draft: Draft) -> None:
    edit(draw, draft.part(draw(_SECTIONS)).data)


def _in_extents(draw: st.DrawFn, draft: Draft) -> None:
    edit(draw, draft.extents)


# Each part of a file that may lie; what needs the index to be whole comes first.
LIES: Final[tuple[Callable[[st.DrawFn, Draft], None], ...]] = (
    _in_head,
    _in_location,
    _in_record,
    _in_index,
    _in_section,
    _in_extents,
    _in_table,
    _in_superblock,
)


def believe(draft: Draft) -> None:
    """Make the digest of each head and body that lies within the file that of what is there."""
    records = draft.part(b"RSRC").data
    offset = len(layout.RESOURCES_MAGIC)
    while offset + layout.RECORD.size <= len(records):
        length, _status, _flags, count, *_others = layout.RECORD.unpack_from(records, offset)
        for number in range(count):
            start = offset + layout.RECORD.size + number * layout.VARIANT.size
            if start + layout.VARIANT.size <= len(records):
                _believe_variant(records, start, bytes(draft.extents))
        if not length:
            return
        offset += length


def _believe_variant(records: bytearray, start: int, extents: bytes) -> None:
    fields = list(layout.VARIANT.unpack_from(records, start))
    head_offset, body_offset, body_length, head_length = fields[:4]
    extents_of = ((-2, body_offset, body_length), (-1, head_offset, head_length))
    for position, offset, length in extents_of:
        first = offset - layout.SUPERBLOCK_SIZE
        if 0 <= first <= first + length <= len(extents):
            fields[position] = sha256(extents[first : first + length]).digest()
    layout.VARIANT.pack_into(records, start, *fields)
