"""Looks into webroots: list, info, cat, extract, diff. Reads through the server's own reader."""

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

from ashttpd.http.errors import HTTPError
from ashttpd.http.target import encode_path, parse_path, split_target
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.layout import parent_of
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import Resource, Variant, entity_tag
from mkroot.beneath import Root, Trail
from mkroot.disk import buffered
from mkroot.encoded import EncodedRules, rules_of
from mkroot.errors import BuildError, show
from mkroot.verify import read_meta

_CHUNK_BYTES: Final = 1 << 20


def list_resources(webroot: Webroot) -> Iterator[str]:
    """Yield a line per variant: status, length, entity tag, media type, coding, URL, location.

    Fields are separated by tabs, for cut and awk; no field holds one. A URL without a variant has
    a line too, with a `-` for each field of a variant.
    """
    for _offset, resource in webroot.resources():
        url = encode_path(resource.path).decode("ascii")
        for variant in resource.variants or (None,):
            fields = (str(resource.status), *_describe(variant), url)
            yield "\t".join((*fields, resource.location.decode("ascii"))).rstrip("\t")


def _describe(variant: Variant | None) -> tuple[str, str, str, str]:
    if variant is None:
        return "-", "-", "-", "-"
    tag = entity_tag(variant.sha256).decode("ascii")
    return str(variant.body_length), tag, variant.media_type, variant.coding


def describe(webroot: Webroot) -> Iterator[tuple[str, str]]:
    """Yield names and values of what there is to know about a webroot as a whole."""
    superblock = webroot.superblock
    yield "site id", webroot.site_id
    yield "URLs", f"{superblock.resource_count:,}"
    yield "size", f"{superblock.file_size:,} bytes"
    yield "bodies and heads", f"{superblock.extents_stop:,} bytes"
    for section in webroot.sections.values():
        yield f"section {section.name}", f"{section.length:,} bytes"
    yield "longest probe", f"{superblock.longest_probe} slots"
    if any(superblock.previous):
        yield "previous", superblock.previous.hex()
    for name, value in sorted(read_meta(webroot).items()):
        yield _text(name), _text(str(value))


def _text(text: str) -> str:
    """Return text of the file for a terminal, which it may not steer."""
    return show(text.encode("utf-8", "surrogatepass"))


def _body(webroot: Webroot, variant: Variant, name: str) -> Iterator[bytes]:
    """Yield a body in pieces; raises WebrootError behind the last where it is damaged."""
    digest = sha256()
    offset, stop = variant.body_offset, variant.body_offset + variant.body_length
    while offset < stop:
        chunk = webroot.read(offset, min(_CHUNK_BYTES, stop - offset))
        offset += len(chunk)
        digest.update(chunk)
        yield chunk
    if digest.digest() != variant.sha256:
        raise WebrootError(f"{name}: the body at {variant.body_offset} is damaged")


def find(webroot: Webroot, url: str) -> Resource:
    """Return the resource of a URL path such as `/a%20b/`; raises LookupError for none."""
    target = os.fsencode(url)
    try:
        path = parse_path(split_target(target)[0]) if target.startswith(b"/") else None
    except HTTPError as error:
        raise LookupError(f"{url}: {error}") from error
    resource = None if path is None else webroot.lookup(path)
    if resource is None:
        raise LookupError(f"{url}: no such URL; URLs start with a slash and are percent-encoded")
    return resource


def cat(webroot: Webroot, url: str, out: BinaryIO) -> None:
    """Write the body of a URL's first variant; raises LookupError, WebrootError."""
    resource = find(webroot, url)
    if not resource.variants:
        raise LookupError(f"{url}: answered with {resource.status}, and has no body")
    for chunk in _body(webroot, resource.variants[0], url):
        out.write(chunk)


class Extraction:
    """Writes a site's files into a directory, and never elsewhere, whatever the file says."""

    def __init__(self, webroot: Webroot, directory: Path) -> None:
        """Write nothing yet; the directory has to be missing or empty."""
        self._webroot = webroot
        self._directory = directory
        self._encoded = EncodedRules()
        self.files = 0

    def run(self) -> None:
        """Extract every file; raises WebrootError, OSError, BuildError and FileExistsError.

        Directories' index pages are files of their own too, so `/dir/` becomes a directory only. A
        file that was in a coding is extracted in it; copies of files are not.
        """
        self._encoded = rules_of(read_meta(self._webroot))
        try:
            self._directory.mkdir(parents=True)
            made = True
        except FileExistsError:
            made = False
        # What stands in the place of a directory that was made just now is not followed.
        with closing(Root(os.fsencode(self._directory), follow=not made)) as root:
            if os.listdir(root.fd):
                raise FileExistsError(f"{self._directory}: not empty; nothing was extracted")
            with closing(Trail(root)) as trail:
                self._extract(trail)

    def _extract(self, trail: Trail) -> None:
        current = b"/"
        for _offset, resource in self._webroot.resources():
            parts = resource.path[1:].split(b"/")
            if b"" in parts[:-1] or {b".", b".."}.intersection(parts):
                raise WebrootError(f"{show(resource.path)}: no path of a file")
            is_file = resource.status == HTTPStatus.OK and parts[-1] != b""
            if not is_file and parts[-1] != b"":
                continue
            try:
                current = _enter(trail, current, resource.path)
                if is_file:
                    self._file(trail.last.fd, resource, parts[-1])
                    self.files += 1
            except OSError as error:
                place = os.fsencode(self._directory) + resource.path
                raise BuildError(f"{show(place)}: {error.strerror}") from error

    def _file(self, directory: int, resource: Resource, name: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o666, dir_fd=directory)
        shown = show(resource.path)
        with buffered(fd, shown, os.fspath(self._directory)) as file:
            for chunk in _body(self._webroot, self._source_of(resource), shown):
                file.write(chunk)

    def _source_of(self, resource: Resource) -> Variant:
        """Return the variant that has the bytes that the file had."""
        coding = self._encoded.maybe_coding(resource.path[1:])
        coded = [v for v in resource.variants if coding and v.coding == coding.name]
        return coded[0] if coded else resource.variants[0]


def _enter(trail: Trail, current: bytes, path: bytes) -> bytes:
    """Go from a directory to that of a path, making those that are missing; returns its path.

    Raises OSError, also where a symlink stands in the way: it is not followed.
    """
    wanted = path[: path.rindex(b"/") + 1]
    while not wanted.startswith(current):
        trail.leave()
        current = parent_of(current)
    for name in wanted[len(current) :].split(b"/")[:-1]:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=trail.last.fd)
        trail.enter(name)
    return wanted


def _essence(resource: Resource) -> tuple[object, ...]:
    """What of a resource a client can tell apart."""
    variants = [(v.media_type, v.coding, v.sha256, v.head_sha256) for v in resource.variants]
    return resource.status, resource.location, resource.keep_query, variants


def diff(old: Webroot, new: Webroot) -> Iterator[str]:
    """Yield a line per URL that differs: `-`, `+` or `~`, a space, and the URL."""
    before = iter(old.resources())
    after = iter(new.resources())
    left, right = next(before, None), next(after, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[1].path < right[1].path):
            assert left is not None
            yield f"- {encode_path(left[1].path).decode('ascii')}"
            left = next(before, None)
        elif left is None or right[1].path < left[1].path:
            yield f"+ {encode_path(right[1].path).decode('ascii')}"
            right = next(after, None)
        else:
            if _essence(left[1]) != _essence(right[1]):
                yield f"~ {encode_path(left[1].path).decode('ascii')}"
            left, right = next(before, None), next(after, None)
