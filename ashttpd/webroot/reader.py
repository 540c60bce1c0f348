"""Opens a webroot, verifies what lookups rely on, and finds records.

The index sections are copied into anonymous memory, so that nobody can change or truncate them
under the server; head blocks and bodies are read with pread. All that this module raises is
WebrootError (the file is wrong), OSError (the machine said no) and, for who does not want to wait
for a disk, ColdError. A Webroot may be opened in any thread: opening shares nothing, and while it
reads and hashes, other threads run.
"""

import errno
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from mmap import mmap
from stat import S_ISREG
from typing import Final

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError, show
from ashttpd.webroot.grammar import is_uri_reference
from ashttpd.webroot.heads import check_head, check_selection
from ashttpd.webroot.resource import Resource, Variant
from ashttpd.webroot.rules import parse_rules
from ashttpd.webroot.sections import (
    Section,
    is_canonical,
    parse_sections,
    parse_strings,
    parse_superblock,
)

# One read of a section; preadv stops at 2 GiB anyway, and the hash wants its input in the cache.
_READ_BYTES: Final = 1 << 20
_HOLE: Final = bytes(layout.HOLE_BYTES)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file, from `offset`, that somebody has read already."""

    file: "Webroot"
    offset: int
    data: bytes


class _Manners(threading.local):
    waits = True
    looks = True
    parts: Sequence[Part] = ()


_manners = _Manners()


@contextmanager
def waiting(*, allowed: bool, looks: bool = True, parts: Sequence[Part] = ()) -> Iterator[None]:
    """Let this thread's reads of head blocks and bodies wait for a disk, or raise ColdError.

    Where they may not wait, they take what lies in `parts` first, and then what the kernel has in
    memory. Without `looks` they do not ask the kernel, which would start to read ahead.
    """
    before = _manners.waits, _manners.looks, _manners.parts
    _manners.waits, _manners.looks, _manners.parts = allowed, looks, parts
    try:
        yield
    finally:
        _manners.waits, _manners.looks, _manners.parts = before


class ColdError(Exception):
    """Bytes of a file are not in memory, and this thread does not wait for them."""

    def __init__(self, file: "Webroot", offset: int, length: int) -> None:
        """Name them."""
        super().__init__(f"{length} bytes at {offset} of {file.path} are not in memory")
        self.file = file
        self.offset = offset
        self.length = length


def _take(parts: Sequence[Part], file: "Webroot", offset: int, length: int) -> bytes | None:
    """Return bytes of a file out of one of the parts, or None."""
    for part in parts:
        start = offset - part.offset
        if part.file is file and 0 <= start <= len(part.data) - length:
            return part.data[start : start + length]
    return None


def _is_in_memory(fd: int, offset: int, length: int) -> bool:
    """Whether reading does not wait; asks by trying it, see RWF_NOWAIT of preadv2(2)."""
    try:
        return os.preadv(fd, [bytearray(length)], offset, os.RWF_NOWAIT) == length
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # a filesystem that cannot tell
            return True
        raise


def _read_exactly(fd: int, offset: int, length: int) -> bytes:
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise WebrootError(f"the file ends at {offset + len(data)}: truncated under us")
        data += more
    return data


def _load(fd: int, section: Section) -> mmap:
    """Copy a section into anonymous memory and hold it against its digest.

    Memory is taken as the bytes come, and a hole ends it: so a file takes no more than about what
    it has on the disk.
    """
    memory = mmap(-1, section.length)
    digest = sha256()
    with memoryview(memory) as view:
        for start in range(0, section.length, _READ_BYTES):
            with view[start : start + _READ_BYTES] as chunk:
                _read_into(fd, chunk, section, start)
                _refuse_hole(chunk, section, start)
                digest.update(chunk)
    if digest.digest() != section.sha256:
        raise WebrootError(f"section {section.name} is damaged: its SHA-256 differs")
    return memory


def _read_into(fd: int, chunk: memoryview, section: Section, start: int) -> None:
    done = 0
    while done < len(chunk):
        count = os.preadv(fd, [chunk[done:]], section.offset + start + done)
        if count == 0:
            raise WebrootError(f"the file ends within section {section.name}")
        done += count


def _refuse_hole(chunk: memoryview, section: Section, start: int) -> None:
    size = layout.HOLE_BYTES
    for offset in range(0, len(chunk) - size + 1, size):
        if chunk[offset : offset + size] == _HOLE:
            raise WebrootError(
                f"section {section.name} has {size} zero bytes at {start + offset}: a hole"
            )


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
        # What is small first: a file that is refused for it costs little.
        self._strings = parse_strings(_load(self.fd, self.sections[layout.STRINGS])[:])
        self.error_pages = parse_rules(_load(self.fd, self.sections[layout.RULES])[:])
        self._index = _load(self.fd, self.sections[layout.INDEX])
        self._records = _load(self.fd, self.sections[layout.RESOURCES])
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
                    raise WebrootError(
                        f"the index leads from {show(path)} to {show(resource.path)}"
                    )
                return resource
            if found > hashed or not record:
                return None
        return None

    def error_page(self, status: int, path: bytes) -> Resource | None:
        """Return the page for an error status that is nearest to a path, up from it, or None.

        Raises WebrootError where the record is malformed, or is no page.
        """
        page = self.error_pages.nearest(status, path)
        if page is None:
            return None
        resource = self.lookup(page)
        if resource is None or resource.status != 200:
            raise WebrootError(f"{show(page)} is the error page of a {status}, but no page")
        return resource

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

    def head_block(self, resource: Resource, variant: Variant) -> bytes:
        """Read the head block of a resource's variant, which may be sent as it stands.

        Raises WebrootError where it is damaged, or says what it must not, and ColdError.
        """
        block = self.read(variant.head_offset, variant.head_length)
        if sha256(block).digest() != variant.head_sha256:
            raise WebrootError(f"the head block at {variant.head_offset} is damaged")
        try:
            check_selection(check_head(block, variant), resource, variant)
        except WebrootError as error:
            raise WebrootError(f"{show(resource.path)} cannot be sent: {error}") from error
        return block

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes of the file, all of them.

        Raises WebrootError where it ends before, and ColdError; see `waiting`.
        """
        if _manners.waits or not length:
            return _read_exactly(self.fd, offset, length)
        taken = _take(_manners.parts, self, offset, length)
        if taken is not None:
            return taken
        if not _manners.looks or not _is_in_memory(self.fd, offset, length):
            raise ColdError(self, offset, length)
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
        _check_bounds(offset, variant_count, path_length, location_length)
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
        ):
            raise WebrootError(f"the variant at {offset} of RSRC lies outside of the extents")
        if head_length > layout.MAX_HEAD_BLOCK_BYTES:
            raise WebrootError(
                f"the variant at {offset} of RSRC has a head block of {head_length} bytes, more "
                f"than {layout.MAX_HEAD_BLOCK_BYTES}"
            )
        if max(media_type, coding) >= len(self._strings):
            raise WebrootError(f"the variant at {offset} of RSRC names a string that is not there")
        # Only a media type has a slash.
        if "/" not in self._strings[media_type] or "/" in self._strings[coding]:
            raise WebrootError(f"the variant at {offset} of RSRC has a media type for a coding")
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


def _check_bounds(offset: int, variant_count: int, path_length: int, location_length: int) -> None:
    """Raise WebrootError for a record with more of something than a request should pay for."""
    for count, most, what in (
        (variant_count, layout.MAX_VARIANTS, "variants"),
        (path_length, layout.MAX_PATH_BYTES, "bytes of path"),
        (location_length, layout.MAX_LOCATION_BYTES, "bytes of location"),
    ):
        if count > most:
            raise WebrootError(f"the record at {offset} has {count} {what}, more than {most}")


def _check_resource(resource: Resource) -> None:
    """Raise WebrootError where a record says what no server could send."""
    path, location, status = resource.path, resource.location, resource.status
    if not is_canonical(path):
        raise WebrootError(f"{show(path)} is no canonical path")
    if not (
        status == layout.STATUS_PAGE
        or status in layout.STATUSES_ELSEWHERE
        or (400 <= status <= 599 and status not in layout.STATUSES_OF_NO_RECORD)
    ):
        raise WebrootError(f"{show(path)} has the status {status}")
    if bool(resource.variants) != (status < 400):
        raise WebrootError(
            f"{show(path)} has the status {status} and {len(resource.variants)} variants"
        )
    if bool(location) != (status in layout.STATUSES_ELSEWHERE):
        where = show(location) or "no location"
        raise WebrootError(f"{show(path)} has the status {status} with {where}")
    if resource.modified is not None and not 0 <= resource.modified <= layout.MAX_MODIFIED:
        raise WebrootError(f"{show(path)} was modified {resource.modified} s after 1970")
    if not is_uri_reference(location):
        shown = show(location)
        raise WebrootError(f"the location of {show(path)} cannot be sent: {shown}")
    if resource.keep_query and (not location or b"#" in location):
        raise WebrootError(
            f"{show(path)} keeps the query, and {show(location)} has no place for it"
        )
