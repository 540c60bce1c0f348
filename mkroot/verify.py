"""Reads every byte of a webroot and names all that is damaged."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import Resource, Variant
from mkroot.errors import show

_CHUNK_BYTES: Final = 1 << 20
_ZEROS: Final = bytes(_CHUNK_BYTES)


def verify(webroot: Webroot) -> Iterator[str]:
    """Yield a sentence for each fault of an open webroot; none when every byte is right.

    What FORMAT.md lists under `mkroot --verify`. Raises OSError for what cannot be read.
    """
    try:
        yield from _Verification(webroot).faults()
    except WebrootError as error:
        yield str(error)


class _Verification:
    def __init__(self, webroot: Webroot) -> None:
        self._webroot = webroot
        # Extents come in ascending order; what lies before was seen already.
        self._cursor = layout.SUPERBLOCK_SIZE
        self._seen: set[int] = set()

    def faults(self) -> Iterator[str]:
        yield from self._resources()
        yield from self._gap(self._cursor, self._webroot.superblock.extents_stop)
        yield from self._sections()
        yield from self._index()
        yield from self._error_pages()

    def _resources(self) -> Iterator[str]:
        last = b""
        for _offset, resource in self._webroot.resources():
            if resource.path <= last:
                yield f"{show(resource.path)} stands behind {show(last)}"
            last = resource.path
            try:
                if self._webroot.lookup(resource.path) != resource:
                    yield f"{show(resource.path)} is not found through the index"
            except WebrootError as error:
                yield f"{show(resource.path)}: {error}"
            for variant in resource.variants:
                yield from self._variant(resource, variant)

    def _variant(self, resource: Resource, variant: Variant) -> Iterator[str]:
        name = f"{show(resource.path)} ({variant.media_type}, {variant.coding})"
        try:
            self._webroot.head_block(resource, variant)
        except WebrootError as error:
            yield f"{name}: {error}"
        yield from self._extent(name, variant.head_offset, variant.head_length)
        for fault in self._extent(name, variant.body_offset, variant.body_length):
            yield fault
            return
        yield from self._body(name, variant)

    def _extent(self, name: str, offset: int, length: int) -> Iterator[str]:
        """Check that an extent is new and next, with zeros before it, or was there before."""
        place = hash((offset, length))
        if offset >= self._cursor:
            yield from self._gap(self._cursor, offset)
            self._cursor = offset + length
            self._seen.add(place)
        elif place not in self._seen:
            yield f"{name}: its bytes at {offset} overlap those of another"

    def _body(self, name: str, variant: Variant) -> Iterator[str]:
        place = hash((variant.body_offset, variant.body_length, variant.sha256))
        if place in self._seen:
            return
        digest = sha256()
        for chunk in self._chunks(variant.body_offset, variant.body_length):
            digest.update(chunk)
        if digest.digest() == variant.sha256:
            self._seen.add(place)
        else:
            yield f"{name}: the body at {variant.body_offset} is damaged"

    def _chunks(self, offset: int, length: int) -> Iterator[bytes]:
        stop = offset + length
        while offset < stop:
            chunk = self._webroot.read(offset, min(_CHUNK_BYTES, stop - offset))
            offset += len(chunk)
            yield chunk

    def _gap(self, start: int, stop: int) -> Iterator[str]:
        for chunk in self._chunks(start, stop - start):
            if chunk != _ZEROS[: len(chunk)]:
                yield f"bytes between {start} and {stop} have to be zero and are not"
                return

    def _sections(self) -> Iterator[str]:
        stop = self._webroot.superblock.extents_stop
        for section in self._webroot.sections.values():
            yield from self._gap(stop, section.offset)
            stop = section.offset + section.length
            digest = sha256()
            for chunk in self._chunks(section.offset, section.length):
                digest.update(chunk)
            if digest.digest() != section.sha256:
                yield f"section {section.name} is damaged"
        yield from self._gap(stop, self._webroot.superblock.table_offset)
        try:
            read_meta(self._webroot)
        except WebrootError as error:
            yield str(error)

    def _index(self) -> Iterator[str]:
        """Check that the index holds nothing beside the resources, in its order."""
        last = b""
        used = slots = 0
        stop = self._webroot.superblock.homes
        for hashed, record in self._webroot.slots():
            slots += 1
            if record:
                used += 1
                stop = max(stop, slots)
                if hashed <= last:
                    yield "the index is out of order"
                    return
                last = hashed
            elif hashed != bytes(layout.HASH_SIZE):
                yield "an empty slot of the index is not zero"
                return
        if used != self._webroot.resource_count:
            yield f"{used} slots are used for {self._webroot.resource_count} resources"
        if slots != stop:
            yield f"the index has {slots} slots, of which {stop} are needed"

    def _error_pages(self) -> Iterator[str]:
        for status, directory in self._webroot.error_pages.pages:
            try:
                self._webroot.error_page(status, directory)
            except WebrootError as error:
                yield str(error)


def read_meta(webroot: Webroot) -> dict[str, object]:
    """Return what the file says about its build; raises WebrootError where it is malformed."""
    section = webroot.sections[layout.META]
    packed = webroot.read(section.offset, section.length)
    try:
        meta = json.loads(packed.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise WebrootError(f"section META is no JSON: {error}") from error
    if not isinstance(meta, dict):
        raise WebrootError("section META is no JSON object")
    return meta
