"""Writes a webroot: extents as they come, then the index. FORMAT.md is the specification.

Paths have to come in ascending order. Memory does not grow with the site: digests and hashes
are in a Spill, records in an unnamed file.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.grammar import is_media_type
from ashttpd.webroot.heads import check_head
from ashttpd.webroot.layout import align
from ashttpd.webroot.resource import IDENTITY, Variant
from mkroot.disk import buffered
from mkroot.errors import BuildError, show
from mkroot.headers import HeadBlock
from mkroot.spill import Copy, Spill, temporary_folder

# Room for the head before a large body, whose head is known only once the body is written. Small
# bodies keep to it too, so that an option is right or wrong for files of any size.
HEAD_ROOM_BYTES: Final = 2048
_ZEROS: Final = bytes(1 << 20)
_COPY_BYTES: Final = 1 << 20
_SHOWN_PATH_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class Stored:
    """A variant in the file, as a record refers to it."""

    packed: bytes
    digest: bytes
    length: int


# Gives a body's head once its digest and its length are known.
MakeHead = Callable[[bytes, int], HeadBlock]


class Writer:
    """Writes to `file`, which has to be empty, readable and seekable."""

    def __init__(self, file: BinaryIO) -> None:
        """Begin behind the superblock."""
        self._file = file
        self._cursor = layout.SUPERBLOCK_SIZE
        self._file.seek(self._cursor)
        self._spill = Spill()
        self._records = _temporary_file()
        self._records.write(layout.RESOURCES_MAGIC)
        self._records_length = len(layout.RESOURCES_MAGIC)
        self._resource_count = 0
        self._last_path = b""
        self._strings: dict[bytes, int] = {}
        self._sections: list[bytes] = []
        self.saved = 0

    def close(self) -> None:
        """Drop what is not in the file; the file itself is the caller's."""
        self._spill.close()
        self._records.close()

    def store(self, chunks: Iterable[bytes], make_head: MakeHead, coding: str = IDENTITY) -> Stored:
        """Write a body, unless the file has it, and its head.

        `make_head` is called when all chunks were taken. The chunks are in `coding` already.
        """
        iterator = iter(chunks)
        taken: list[bytes] = []
        size = 0
        for chunk in iterator:
            taken.append(chunk)
            size += len(chunk)
            if size >= layout.LARGE_BODY_BYTES:
                return self._store_large(chain(taken, iterator), make_head, coding)
        return self._store_small(b"".join(taken), make_head, coding)

    def refer(self, digest: bytes, length: int, make_head: MakeHead, coding: str) -> Stored:
        """Point to a body that the file has, and write its head where it lacks that."""
        known = self._spill.find_body(digest)
        assert known is not None, "no such body"
        head = _checked(make_head(digest, length))
        return self._refer(known, digest, length, head, coding)

    def remember_copies(self, digest: bytes, copies: Sequence[Copy]) -> None:
        """Remember the copies of a body, each of which is in the file."""
        self._spill.add_copies(digest, copies)

    def find_copies(self, digest: bytes) -> list[Copy]:
        """Return the copies of a body that the file has, none where it was not compressed."""
        return self._spill.find_copies(digest)

    def _store_small(self, content: bytes, make_head: MakeHead, coding: str) -> Stored:
        digest = sha256(content).digest()
        head = _checked(make_head(digest, len(content)))
        known = self._spill.find_body(digest)
        if known is not None:
            return self._refer(known, digest, len(content), head, coding)
        head_offset = self._pad(layout.EXTENT_ALIGNMENT)
        self._file.write(head.block)
        self._file.write(content)
        body_offset = head_offset + len(head.block)
        self._cursor = body_offset + len(content)
        return self._remember(digest, body_offset, len(content), head, coding)

    def _store_large(self, chunks: Iterator[bytes], make_head: MakeHead, coding: str) -> Stored:
        body_offset = align(self._cursor + HEAD_ROOM_BYTES, layout.LARGE_BODY_ALIGNMENT)
        digest, length = self._write_body(body_offset, chunks)
        head = _checked(make_head(digest, length))
        known = self._spill.find_body(digest)
        if known is not None:
            # What was just written goes, so that the bytes up to the next extent are zero.
            self._file.flush()
            self._file.truncate(self._cursor)
            self._file.seek(self._cursor)
            return self._refer(known, digest, length, head, coding)
        self._file.seek(body_offset - len(head.block))
        self._file.write(head.block)
        self._cursor = body_offset + length
        self._file.seek(self._cursor)
        return self._remember(digest, body_offset, length, head, coding)

    def _write_body(self, offset: int, chunks: Iterator[bytes]) -> tuple[bytes, int]:
        """Write chunks from an offset; holes stay holes. Returns the digest and the length."""
        digest = sha256()
        length = 0
        self._file.seek(offset)
        for chunk in chunks:
            digest.update(chunk)
            length += len(chunk)
            if chunk == _ZEROS[: len(chunk)]:
                self._file.seek(offset + length)
            else:
                self._file.write(chunk)
        return digest.digest(), length

    def _pad(self, alignment: int) -> int:
        """Go to the next multiple, leaving zeros; returns it."""
        offset = align(self._cursor, alignment)
        self._file.write(_ZEROS[: offset - self._cursor])
        self._cursor = offset
        return offset

    def _remember(
        self, digest: bytes, body_offset: int, length: int, head: HeadBlock, coding: str
    ) -> Stored:
        head_digest = sha256(head.block).digest()
        head_offset = body_offset - len(head.block)
        self._spill.add_body(digest, body_offset, head_digest, head_offset)
        return self._stored(head_offset, body_offset, length, head, digest, head_digest, coding)

    def _refer(
        self,
        known: tuple[int, bytes, int],
        digest: bytes,
        length: int,
        head: HeadBlock,
        coding: str,
    ) -> Stored:
        """Point to a body that the file has, with its head where that is equal too."""
        body_offset, known_head_digest, known_head_offset = known
        head_digest = sha256(head.block).digest()
        self.saved += length
        if head_digest == known_head_digest:
            head_offset: int | None = known_head_offset
        else:
            head_offset = self._spill.find_head(head_digest)
        if head_offset is None:
            head_offset = self._pad(layout.EXTENT_ALIGNMENT)
            self._file.write(head.block)
            self._cursor += len(head.block)
            self._spill.add_head(head_digest, head_offset)
        return self._stored(head_offset, body_offset, length, head, digest, head_digest, coding)

    def _stored(
        self,
        head_offset: int,
        body_offset: int,
        length: int,
        head: HeadBlock,
        digest: bytes,
        head_digest: bytes,
        coding: str,
    ) -> Stored:
        numbers = (
            head_offset,
            body_offset,
            length,
            len(head.block),
            head.validators_length,
            head.fields_length,
        )
        media_type = head.media_type.decode("ascii")
        _refuse_unsendable(head, Variant(*numbers, media_type, coding, digest, head_digest))
        packed = layout.VARIANT.pack(
            *numbers,
            self._string(head.media_type),
            self._string(coding.encode("ascii")),
            layout.VARIANT_ZERO,
            digest,
            head_digest,
        )
        return Stored(packed, digest, length)

    def _string(self, text: bytes) -> int:
        number = self._strings.setdefault(text, len(self._strings))
        if number >= layout.MAX_STRINGS:
            raise BuildError(f"more than {layout.MAX_STRINGS} media types")
        return number

    def add(
        self,
        path: bytes,
        status: int,
        variants: Sequence[Stored],
        location: bytes = b"",
        *,
        keep_query: bool = False,
        modified: int | None = None,
    ) -> None:
        """Write the record of a path, which has to be behind all paths before.

        A status of 400 and more has no variants, any other has at least one. `modified` is in
        seconds since the epoch, 0 to layout.MAX_MODIFIED.
        """
        assert path > self._last_path, f"{path!r} behind {self._last_path!r}"
        self._last_path = path
        _refuse_beyond_bounds(path, variants, location)
        parts = b"".join(variant.packed for variant in variants) + path + location
        length = align(layout.RECORD.size + len(parts), layout.RECORD_ALIGNMENT)
        flags = layout.RecordFlag.KEEP_QUERY if keep_query else 0
        modified = layout.NOT_RECORDED if modified is None else modified
        record = layout.RECORD.pack(
            length, status, flags, len(variants), len(path), len(location), modified, 0
        )
        self._records.write((record + parts).ljust(length, b"\0"))
        try:
            self._spill.add_slot(layout.path_hash(path), self._records_length)
        except sqlite3.IntegrityError as error:
            raise BuildError(f"{show(path)}: its hash is that of another path") from error
        self._records_length += length
        self._resource_count += 1

    def finish(
        self, meta: dict[str, object], error_pages: Iterable[tuple[int, bytes]] = ()
    ) -> bytes:
        """Write the index and the superblock; returns the site id.

        `error_pages` are statuses and paths of records, each status once in a directory.
        """
        extents_stop = self._cursor
        homes = layout.homes_for(self._resource_count)
        probes: list[int] = []
        self._section(layout.INDEX, self._slots(homes, probes))
        self._section(layout.RESOURCES, self._copy_records())
        self._section(layout.STRINGS, [self._packed_strings()])
        self._section(layout.RULES, [_packed_rules(error_pages)])
        self._section(layout.META, [_packed_meta(meta)])
        table_offset = self._pad(layout.SECTION_ALIGNMENT)
        table = b"".join(self._sections)
        self._file.write(table)
        site_id = sha256(table).digest()
        superblock = layout.SUPERBLOCK.pack(
            layout.MAGIC,
            layout.MAJOR,
            layout.MINOR,
            0,
            table_offset + len(table),
            table_offset,
            len(self._sections),
            max(probes, default=1),
            self._resource_count,
            homes,
            extents_stop,
            site_id,
            bytes(32),
            0,
            0,
        ).ljust(layout.CHECKSUM_OFFSET, b"\0")
        self._file.seek(0)
        self._file.write(superblock + sha256(superblock).digest())
        return site_id

    def _section(self, kind: bytes, chunks: Iterable[bytes]) -> None:
        offset = self._pad(layout.SECTION_ALIGNMENT)
        digest = sha256()
        for chunk in chunks:
            digest.update(chunk)
            self._file.write(chunk)
            self._cursor += len(chunk)
        self._sections.append(
            layout.SECTION.pack(
                kind,
                layout.SectionFlag.REQUIRED,
                offset,
                self._cursor - offset,
                digest.digest(),
                0,
            )
        )

    def _slots(self, homes: int, probes: list[int]) -> Iterator[bytes]:
        """Yield the slots of INDX in pieces; appends the longest probe."""
        longest = 1
        behind = 0
        piece = bytearray()
        for hashed, record in self._spill.slots():
            home = layout.home_of(hashed, homes)
            slot = max(home, behind)
            longest = max(longest, slot - home + 1)
            piece += layout.EMPTY_SLOT * (slot - behind) + layout.SLOT.pack(hashed, record)
            behind = slot + 1
            if len(piece) >= _COPY_BYTES:
                yield bytes(piece)
                piece.clear()
        piece += layout.EMPTY_SLOT * (homes - behind)
        yield bytes(piece)
        if longest > layout.MAX_PROBE:
            raise BuildError(f"an index of {longest} probes, more than {layout.MAX_PROBE}")
        probes.append(longest)

    def _copy_records(self) -> Iterator[bytes]:
        self._records.seek(0)
        while chunk := self._records.read(_COPY_BYTES):
            yield chunk

    def _packed_strings(self) -> bytes:
        packed = layout.STRING_COUNT.pack(len(self._strings)) + b"".join(
            layout.STRING_LENGTH.pack(len(text)) + text for text in self._strings
        )
        if len(packed) > layout.MAX_STRINGS_BYTES:
            raise BuildError(f"media types of {len(packed)} bytes in all")
        return packed


def _temporary_file() -> BinaryIO:
    """Return an unnamed file for the records, beside the database; it can be as large."""
    folder = temporary_folder()
    with TemporaryFile(dir=folder) as file:
        return buffered(os.dup(file.fileno()), "the temporary file of records (TMPDIR)", folder)


def _checked(head: HeadBlock) -> HeadBlock:
    """Return a head that a webroot can hold; raises BuildError for another."""
    shown = show(head.media_type[:100])
    if not is_media_type(head.media_type):
        raise BuildError(f"{shown}: a media type with what is not printable ASCII, or none at all")
    if len(head.block) > HEAD_ROOM_BYTES:
        raise BuildError(
            f"{shown}: a media type that makes a head of {len(head.block)} bytes, "
            f"more than {HEAD_ROOM_BYTES}"
        )
    return head


def _refuse_unsendable(head: HeadBlock, variant: Variant) -> None:
    """Raise BuildError for a head that the server would refuse to send."""
    try:
        check_head(head.block, variant)
    except WebrootError as error:
        raise BuildError(f"{show(head.media_type[:100])}: {error}") from error


def _refuse_beyond_bounds(path: bytes, variants: Sequence[Stored], location: bytes) -> None:
    """Raise BuildError for a record with more of something than the format allows."""
    shown = show(path) if len(path) <= _SHOWN_PATH_BYTES else show(path[:_SHOWN_PATH_BYTES]) + "…"
    for count, most, what in (
        (len(path), layout.MAX_PATH_BYTES, "a path of {:,} bytes"),
        (len(location), layout.MAX_LOCATION_BYTES, "a redirect to a location of {:,} bytes"),
        (len(variants), layout.MAX_VARIANTS, "{:,} variants"),
    ):
        if count > most:
            raise BuildError(f"{shown}: {what.format(count)}, more than {most:,}")


def _packed_rules(error_pages: Iterable[tuple[int, bytes]]) -> bytes:
    rules = [layout.ERROR_PAGE.pack(status) + path for status, path in error_pages]
    packed = layout.RULE_COUNT.pack(len(rules)) + b"".join(
        layout.RULE.pack(layout.RuleKind.ERROR_PAGE, len(rule)) + rule for rule in rules
    )
    if len(packed) > layout.MAX_RULES_BYTES:
        raise BuildError(f"{len(packed)} bytes of rules, more than {layout.MAX_RULES_BYTES}")
    return packed


def _packed_meta(meta: dict[str, object]) -> bytes:
    packed = json.dumps(meta, sort_keys=True, indent=1).encode("ascii")
    if len(packed) > layout.MAX_META_BYTES:
        raise BuildError(f"{len(packed)} bytes about the build, more than {layout.MAX_META_BYTES}")
    return packed
