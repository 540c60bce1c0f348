"""Builds a webroot from a directory: what each node of the tree becomes, in the tree's order."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Final

from ashttpd.http.pages import error_page
from ashttpd.http.target import encode_path
from ashttpd.webroot.layout import MAX_MODIFIED
from ashttpd.webroot.resource import IDENTITY
from mkroot import __version__
from mkroot.content import Content
from mkroot.directory import Directory
from mkroot.encode import CODINGS, Encoder
from mkroot.encode import versions as encoder_versions
from mkroot.encoded import EncodedRules, GivenCopy
from mkroot.error_pages import ErrorPageRules, is_error_page
from mkroot.errors import BuildError
from mkroot.headers import HeadBlock, content_head, status_head
from mkroot.listing import Entry, Listing, order
from mkroot.media_types import MediaTypes
from mkroot.output import Output
from mkroot.pipeline import Draft, MakeHead, Pipeline
from mkroot.precompressed import Plain, find_copies, leads_to_copy
from mkroot.remarks import Remarks
from mkroot.shortfalls import LongUrls
from mkroot.spill import ignored_folders, temporary_database
from mkroot.tree import Kind, Node, Tree, TreeOptions
from mkroot.writer import Stored, Writer

DEFAULT_INDEXES: Final = ("index.html", "index.htm", "default.html")
_HTML: Final = b"text/html; charset=utf-8"
_JSON: Final = b"application/json"
# A listing needs nothing but its own style; names in it are data, whatever they look like.
_LISTING_POLICY: Final = (
    b"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    b"form-action 'none'\r\n"
)
_DIRECTORY_REDIRECT: Final = HTTPStatus.MOVED_PERMANENTLY
# The next version of a site may have something else there, and browsers keep a 301 for ever unless
# they are told (RFC 9110 section 15.1).
_UNKEPT: Final = b"Cache-Control: no-store\r\n"
_LINK_REDIRECT: Final = HTTPStatus.FOUND
# Nobody reads more of them, and a tree may have a million reasons.
MAX_WARNINGS: Final = 100


@dataclass(frozen=True, slots=True)
class Options:
    """How a site is built; what can change the bytes of the webroot, and nothing else."""

    tree: TreeOptions = field(default_factory=TreeOptions)
    indexes: tuple[str, ...] = DEFAULT_INDEXES
    listing: bool = False
    listing_template: Path | None = None
    types: tuple[tuple[str, str], ...] = ()
    # Globs and codings of files that are in one already; see mkroot.encoded.
    encoded: tuple[tuple[str, str], ...] = ()
    # Whether `X.gz` beside `X` is its copy, or a file like any other.
    use_precompressed: bool = True
    # Names of mkroot.encode.CODINGS.
    compress: tuple[str, ...] = tuple(CODINGS)
    last_modified: bool = False
    # Dates are not later than this (reproducible-builds.org: SOURCE_DATE_EPOCH).
    latest_date: int | None = None

    def described(self) -> dict[str, object]:
        """Return the options for the webroot's metadata; a template by its content's name only."""
        template = self.listing_template
        return {
            "compress": list(self.compress),
            "encoded": [f"{glob}={coding}" for glob, coding in self.encoded],
            "precompressed": "use" if self.use_precompressed else "serve",
            "symlinks": self.tree.symlinks.value,
            "dotfiles": self.tree.dotfiles,
            "index": list(self.indexes),
            "last-modified": self.last_modified,
            "listing": self.listing,
            "listing-template": None if template is None else template.name,
            "type": [f"{glob}={value}" for glob, value in self.types],
        }


@dataclass(slots=True)
class Progress:
    """What a build has done so far; `saved` counts bytes that were not stored twice.

    The first MAX_WARNINGS warnings are here, and what is summed up; the others are counted as
    `unsaid`. `left_out` is a phrase about names that were left out, known at the end.
    """

    urls: int = 0
    files: int = 0
    bytes: int = 0
    saved: int = 0
    site_id: str = ""
    left_out: str = ""
    warnings: list[str] = field(default_factory=list)
    unsaid: int = 0

    def warn(self, text: str) -> None:
        """Note something that the user should know of and that is no failure."""
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text)
        else:
            self.unsaid += 1

    def sum_up(self, text: str) -> None:
        """Note what many files have in common: one line, which no number of warnings displaces."""
        self.warnings.append(text)


class _Build:
    """One build; `run` makes it."""

    def __init__(
        self,
        source: Path,
        options: Options,
        writer: Writer,
        pipeline: Pipeline,
        tell: Callable[[Progress], None],
    ) -> None:
        self._options = options
        self._writer = writer
        self._pipeline = pipeline
        self._tell = tell
        self.progress = Progress()
        self._tree = Tree(os.fsencode(source), options.tree, self.progress.warn)
        self.types = MediaTypes(options.types)
        self._remarks = Remarks(self.progress.warn)
        self._listing = Listing(options.listing_template) if options.listing else None
        # The index file of each open directory, which is taken before its own path comes.
        self._indexes: dict[bytes, tuple[Draft, int | None]] = {}
        self._pages: dict[HTTPStatus, Draft] = {}
        self._encoded = EncodedRules(options.encoded)
        # By path: the files of each open directory that have copies beside them.
        self._plain: dict[bytes, Plain] = {}
        self.error_pages = ErrorPageRules(self.progress.warn)
        self._long_urls = LongUrls()

    def run(self) -> None:
        """Write a record for each URL of the tree."""
        write = {
            Kind.FILE: self._file,
            Kind.DIRECTORY: self._directory,
            Kind.SLASHLESS: self._slashless,
            Kind.LINK: self._link,
        }
        for text in ignored_folders():
            self.progress.warn(text)
        for node in self._tree.walk():
            write[node.kind](node)
        self._pipeline.flush()
        for text in self._remarks.sums():
            self.progress.sum_up(text)
        self.progress.left_out = self._tree.left_out.describe()
        if self._long_urls.count:
            self.progress.sum_up(self._long_urls.describe())

    def _add(
        self,
        path: bytes,
        status: HTTPStatus,
        drafts: Sequence[Draft],
        location: bytes = b"",
        *,
        keep_query: bool = False,
        modified: int | None = None,
        is_file: bool = False,
    ) -> None:
        """Add a record; what is told of the progress is what was written."""
        self._long_urls.add(path)

        def written(stored: list[Stored]) -> None:
            self.progress.urls += 1
            self.progress.saved = self._writer.saved
            if is_file:
                self.progress.files += 1
                self.progress.bytes += stored[0].length
            self._tell(self.progress)

        self._pipeline.add(
            path,
            status,
            drafts,
            location,
            keep_query=keep_query,
            modified=modified,
            written=written,
        )

    def _file(self, node: Node) -> None:
        known = self._indexes.pop(node.path, None)
        draft, modified = known or self._take(node.directory, node.name)
        self._add(node.path, HTTPStatus.OK, [draft], modified=modified, is_file=True)
        self.error_pages.add(node.directory, node.name)

    def _take(self, directory: Directory, name: bytes) -> tuple[Draft, int | None]:
        """Take a file; returns it with the date to record of it."""
        plain = self._plain.pop(directory.path + name, None)
        content = self._content(directory, name) if plain is None else plain.content

        def given() -> Sequence[GivenCopy]:
            return content.given_copies() if plain is None else tuple(plain.copies.values())

        def head(digest: bytes, length: int, *, coding: str, negotiated: bool) -> HeadBlock:
            vary = (b"Accept-Encoding",) if negotiated else ()
            media_type = content.media_type().header()
            return content_head(media_type, digest, length, coding=coding, vary=vary)

        draft = self._pipeline.draft(content.chunks(), content.may_compress, head, given)
        if not self._options.last_modified:
            return draft, None
        modified = self._not_later(content.modified)
        return draft, modified if 0 <= modified <= MAX_MODIFIED else None

    def _content(self, directory: Directory, name: bytes) -> Content:
        return Content(directory, name, self.types, self._remarks, self._encoded)

    def _leave_out_copies(self, directory: Directory) -> None:
        """Find the files that are copies of others, before a listing or the walk sees them."""
        found = find_copies(directory, partial(self._content, directory), self.progress.warn)
        for name, plain in found.items():
            self._plain[directory.path + name] = plain
            for copy in plain.copies:
                self._remarks.found_copy(directory.path[1:] + copy)
        directory.leave_out({copy for plain in found.values() for copy in plain.copies})

    def _leave_out_redirects(self, directory: Directory) -> None:
        """Leave out redirects to what is no URL in the own place of a directory behind a link."""
        place = directory.in_its_own_place()
        found = find_copies(place, partial(self._content, place), lambda _warning: None)
        directory.leave_out({copy for plain in found.values() for copy in plain.copies})

    def _not_later(self, modified: int) -> int:
        latest = self._options.latest_date
        return modified if latest is None else min(modified, latest)

    def _directory(self, node: Node) -> None:
        directory = node.directory
        if self._options.use_precompressed:
            self._leave_out_copies(directory)
        for name in map(os.fsencode, self._options.indexes):
            if directory.has_file(name):
                destination = directory.maybe_destination(name)
                if destination is not None and not self._is_link_to_copy(directory, name):
                    self._redirect(node.path, _LINK_REDIRECT, encode_path(destination))
                    return
                draft, modified = self._take(directory, name)
                self._indexes[directory.path + name] = draft, modified
                self._add(node.path, HTTPStatus.OK, [draft], modified=modified)
                return
        if self._listing is None:
            self._add(node.path, HTTPStatus.NOT_FOUND, [])
            return
        self._list(node.path, directory, self._listing)

    def _list(self, path: bytes, directory: Directory, listing: Listing) -> None:
        drafts = [
            self._pipeline.draft(form(path, self._entries(directory)), lambda: True, head)
            for form, head in (
                (listing.html, _listing_head(_HTML)),
                (listing.json, _listing_head(_JSON)),
            )
        ]
        self._add(path, HTTPStatus.OK, drafts)

    def _entries(self, directory: Directory) -> Iterator[Entry]:
        """Yield a listing's entries in its order: directories, then files."""
        children = sorted(
            directory.children(), key=lambda child: order(Entry(child[0], child[1], 0, None))
        )
        for name, is_directory in children:
            try:
                status = directory.status(name)
            except OSError as error:
                # No BuildError: the listing passes only this one on, and blames its template for
                # any other.
                path = os.fsdecode(directory.path + name)
                raise OSError(error.errno, error.strerror, path) from error
            modified = self._not_later(status.st_mtime_ns // 1_000_000_000)
            # A redirect may lead to a directory, whose size is the file system's affair.
            size = status.st_size if S_ISREG(status.st_mode) else 0
            yield Entry(name, is_directory, size, modified)

    def _page(self, status: HTTPStatus) -> Draft:
        if status not in self._pages:
            self._pages[status] = self._pipeline.draft(
                [error_page(status)], lambda: False, _page_head
            )
        return self._pages[status]

    def _slashless(self, node: Node) -> None:
        self._redirect(node.path, _DIRECTORY_REDIRECT, _relative(node.name + b"/"))

    def _link(self, node: Node) -> None:
        # The page of an error has to be there: no answer is both an error and a redirect.
        # And a copy of another file is no URL that could be redirected to.
        directory, name = node.directory, node.name
        is_sent = is_error_page(name) or self._is_link_to_copy(directory, name)
        if is_sent and directory.has_file(name):
            self._file(node)
            return
        if self._options.use_precompressed and node.path == directory.path:
            self._leave_out_redirects(directory)
        self._redirect(node.path, _LINK_REDIRECT, node.location)

    def _is_link_to_copy(self, directory: Directory, name: bytes) -> bool:
        uses_copies = self._options.use_precompressed
        return uses_copies and leads_to_copy(directory, name, self._content)

    def _redirect(self, path: bytes, status: HTTPStatus, location: bytes) -> None:
        self._add(path, status, [self._page(status)], location, keep_query=True)


def _relative(name: bytes) -> bytes:
    """Return a reference to a sibling of the URL that is asked for (RFC 3986 section 4.2).

    It is right behind every prefix that a proxy takes away. In its first segment a colon would
    end a scheme.
    """
    encoded = encode_path(name)
    return b"./" + encoded if b":" in encoded else encoded


def _listing_head(media_type: bytes) -> MakeHead:
    def head(digest: bytes, length: int, *, coding: str, negotiated: bool) -> HeadBlock:
        vary = (b"Accept", b"Accept-Encoding") if negotiated else (b"Accept",)
        return content_head(
            media_type, digest, length, coding=coding, vary=vary, extra=_LISTING_POLICY
        )

    return head


def _page_head(digest: bytes, length: int, *, coding: str, negotiated: bool) -> HeadBlock:
    del digest
    assert coding == IDENTITY
    assert not negotiated
    return status_head(_HTML, length, extra=_UNKEPT)


def build(
    source: Path, output: Path, options: Options, tell: Callable[[Progress], None]
) -> Progress:
    """Build `output` from the directory `source`; `tell` hears of the progress after each URL.

    `output` is replaced in one step, or left as it was. Raises BuildError and ListingError for
    what is wrong with the tree or an option, OSError for what the machine says.
    """
    with Output(output) as out:
        _refuse_inside(source, output, out.place)
        try:
            progress = _write(source, out.file, options, tell)
        except sqlite3.Error as error:
            raise BuildError(f"{temporary_database()}: {error}") from error
        out.commit()
    return progress


def _refuse_inside(source: Path, output: Path, place: Path) -> None:
    folder, top = os.path.realpath(place.parent), os.path.realpath(source)
    if folder == top or folder.startswith(top.rstrip("/") + "/"):
        raise BuildError(f"{output} lies inside of {source}: it would become a part of itself")


def _write(
    source: Path, file: BinaryIO, options: Options, tell: Callable[[Progress], None]
) -> Progress:
    with closing(Writer(file)) as writer, closing(Encoder(options.compress)) as encoder:
        work = _Build(source, options, writer, Pipeline(writer, encoder), tell)
        work.run()
        progress = work.progress
        meta: dict[str, object] = {
            "generator": f"mkroot {__version__}",
            "options": options.described(),
            "versions": work.types.describe() | (encoder_versions() if options.compress else {}),
            "files": progress.files,
            "bytes": progress.bytes,
            "saved": progress.saved,
        }
        progress.site_id = writer.finish(meta, work.error_pages.rules()).hex()
    return progress
