"""What lies between the tree and the file: bodies whose copies are being made, in the tree's order.

Records are written in the order in which they came, so that the same tree gives the same file
whatever the number of processors; while one waits for its copies, those behind it are read and
encoded.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Final, Protocol

from ashttpd.webroot.resource import IDENTITY
from mkroot.encode import CODINGS, MAX_BYTES, Encoder, is_worth_it
from mkroot.encoded import GivenCopy
from mkroot.headers import HeadBlock
from mkroot.spill import Copy
from mkroot.writer import Stored, Writer

# What may wait in memory to be written: bytes of bodies, and records.
WAITING_BYTES: Final = 32 << 20
WAITING_RECORDS: Final = 1_000
# A larger body that is not compressed goes straight into the file.
STREAM_BYTES: Final = 1 << 20


class MakeHead(Protocol):
    """Gives the head of a body in a coding."""

    def __call__(self, digest: bytes, length: int, *, coding: str, negotiated: bool) -> HeadBlock:
        """Return it; `negotiated` says that there are other codings to choose from."""


@dataclass(slots=True, eq=False)
class Draft:
    """A body on its way into the file, with the copies of it to come; `stored` once it is there."""

    content: bytes
    make_head: MakeHead
    copies: Mapping[str, Future[bytes]]
    known_copies: Sequence[Copy] = ()
    # Copies that the tree has, by coding. They are kept whatever they save: somebody made them.
    given: Mapping[str, bytes] = field(default_factory=dict)
    stored: list[Stored] = field(default_factory=list)

    def store(self, writer: Writer) -> list[Stored]:
        """Write the body and those of its copies that are worth it, unless that was done."""
        if not self.stored:
            self.stored = self._store(writer)
            # Whoever refers to the draft has no use for them any more.
            self.content, self.copies, self.given = b"", {}, {}
        return self.stored

    def _store(self, writer: Writer) -> list[Stored]:
        made = {coding: copy.result() for coding, copy in self.copies.items()}
        worth = {c: copy for c, copy in made.items() if is_worth_it(len(self.content), len(copy))}
        found = {**worth, **self.given}
        kept = {coding: found[coding] for coding in CODINGS if coding in found}
        head = partial(self.make_head, negotiated=bool(kept or self.known_copies))
        body = writer.store([self.content], partial(head, coding=IDENTITY))
        stored = [body]
        for coding, copy in kept.items():
            stored.append(writer.store([copy], partial(head, coding=coding), coding))
        # What is remembered is for every equal body, also for one that has no copy in the tree.
        if kept and not self.given:
            writer.remember_copies(
                body.digest,
                [Copy(c, s.digest, s.length) for c, s in zip(kept, stored[1:], strict=True)],
            )
        for coding, digest, length in self.known_copies:
            stored.append(writer.refer(digest, length, partial(head, coding=coding), coding))
        return stored


@dataclass(frozen=True, slots=True)
class _Record:
    """A record whose bodies are on their way."""

    write: Callable[[list[Stored]], None]
    drafts: Sequence[Draft]
    length: int


class Pipeline:
    """Puts records into the file behind each other, as their bodies get ready."""

    def __init__(self, writer: Writer, encoder: Encoder) -> None:
        """Nothing is waiting."""
        self._writer = writer
        self._encoder = encoder
        self._waiting: deque[_Record] = deque()
        self._waiting_bytes = 0
        # Drafts of the record to come; what goes straight into the file comes behind them.
        self._drafts: list[Draft] = []

    def draft(
        self,
        chunks: Iterable[bytes],
        may_compress: Callable[[], bool],
        make_head: MakeHead,
        given: Callable[[], Sequence[GivenCopy]] = tuple,
    ) -> Draft:
        """Take a body, all of it, for the next record that is added.

        `may_compress` is asked when all chunks were taken, or more than a mebibyte. `given` tells
        then which copies of the body the tree has; they are read at once.
        """
        draft = self._draft(chunks, may_compress, make_head, given)
        self._drafts.append(draft)
        return draft

    def _draft(
        self,
        chunks: Iterable[bytes],
        may_compress: Callable[[], bool],
        make_head: MakeHead,
        given: Callable[[], Sequence[GivenCopy]],
    ) -> Draft:
        iterator = iter(chunks)
        taken: list[bytes] = []
        size = 0
        most = STREAM_BYTES
        for chunk in iterator:
            taken.append(chunk)
            size += len(chunk)
            if size > most == STREAM_BYTES and may_compress():
                most = MAX_BYTES
            if size > most:
                return self._stream(chain(taken, iterator), make_head, given)
        content = b"".join(taken)
        copies = {copy.coding: b"".join(copy.chunks()) for copy in given()}
        if not may_compress():
            return Draft(content, make_head, {}, given=copies)
        if copies:
            return Draft(content, make_head, self._encoder.submit(content, copies), given=copies)
        known_copies = self._writer.find_copies(sha256(content).digest())
        if known_copies:
            return Draft(content, make_head, {}, known_copies)
        return Draft(content, make_head, self._encoder.submit(content))

    def _stream(
        self,
        chunks: Iterable[bytes],
        make_head: MakeHead,
        find_given: Callable[[], Sequence[GivenCopy]],
    ) -> Draft:
        """Write a large body into the file at once, and the copies that the tree has of it."""
        self.flush()
        given = find_given()
        head = partial(make_head, negotiated=bool(given))
        stored = [self._writer.store(chunks, partial(head, coding=IDENTITY))]
        for copy in given:
            coded_head = partial(head, coding=copy.coding)
            stored.append(self._writer.store(copy.chunks(), coded_head, copy.coding))
        return Draft(b"", make_head, {}, stored=stored)

    def add(
        self,
        path: bytes,
        status: int,
        drafts: Sequence[Draft],
        location: bytes = b"",
        *,
        keep_query: bool = False,
        modified: int | None = None,
        written: Callable[[list[Stored]], None] = lambda _stored: None,
    ) -> None:
        """Add a record behind those before; see Writer.add. `written` is called when it is."""

        def write(stored: list[Stored]) -> None:
            self._writer.add(
                path, status, stored, location, keep_query=keep_query, modified=modified
            )
            written(stored)

        self._drafts.clear()
        length = sum(len(draft.content) for draft in drafts)
        self._waiting.append(_Record(write, drafts, length))
        self._waiting_bytes += length
        while self._waiting_bytes > WAITING_BYTES or len(self._waiting) > WAITING_RECORDS:
            self._write_next()

    def flush(self) -> None:
        """Write all that is waiting."""
        while self._waiting:
            self._write_next()
        for draft in self._drafts:
            draft.store(self._writer)

    def _write_next(self) -> None:
        record = self._waiting.popleft()
        self._waiting_bytes -= record.length
        record.write([stored for draft in record.drafts for stored in draft.store(self._writer)])
