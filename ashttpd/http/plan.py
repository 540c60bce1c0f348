"""What is to be sent: a plan, its extents, and the one cursor that tracks how much has left.

Plans are immutable and shared between connections: the memo hands the same one to every client
that asks the same within the same second. Progress lives in a Cursor, made only when a plan does
not leave at once.
"""

from dataclasses import dataclass
from typing import Protocol


class File(Protocol):
    """An open file that extents point into; holding it holds the descriptor open."""

    @property
    def path(self) -> str:
        """The name for messages."""

    @property
    def fd(self) -> int:
        """The descriptor."""

    @property
    def revoked(self) -> bool:
        """Whether its bytes are not to be trusted any more."""


@dataclass(frozen=True, slots=True)
class Extent:
    """`length` bytes of a file from `offset`; never empty."""

    file: File
    offset: int
    length: int


Piece = Extent | bytes


def piece_length(piece: Piece) -> int:
    """Return how many bytes a piece of a body has."""
    return piece.length if isinstance(piece, Extent) else len(piece)


@dataclass(frozen=True, slots=True)
class Plan:
    """One response: `head` (and small bodies) as bytes, then pieces, then keep or close.

    A piece is an extent, or bytes that stand between extents; a body of one piece is an extent.

    `size` is the whole length in bytes, `body_size` what of it the access log counts. `close` ends
    the connection behind it; `linger` says that the peer may still be sending, so that what it
    sends has to be read for a while or it would lose the answer to a reset (RFC 9112 section 9.6).
    """

    head: bytes
    body: tuple[Piece, ...]
    size: int
    body_size: int
    status: int
    close: bool
    linger: bool


class Cursor:
    """How much of a plan has left."""

    __slots__ = ("left", "number", "offset", "plan", "sent")

    def __init__(self, plan: Plan, sent: int = 0) -> None:
        """Start behind the first `sent` bytes of the plan, which may lie anywhere in it."""
        self.plan = plan
        # Bytes sent in all; the position in the body follows from it.
        self.sent = 0
        self.number = -1
        self.offset = 0
        self.left = len(plan.head)
        self.advance(sent)

    def advance(self, count: int) -> None:
        """Note that `count` more bytes have left; 0 is allowed, more than there are is our bug."""
        self.sent += count
        while count >= self.left:
            count -= self.left
            self.number = min(self.number + 1, len(self.plan.body))
            if self.number == len(self.plan.body):
                assert count == 0, "more sent than there was"
                self.offset = self.left = 0
                return
            piece = self.plan.body[self.number]
            self.offset = piece.offset if isinstance(piece, Extent) else 0
            self.left = piece_length(piece)
        self.offset += count
        self.left -= count

    @property
    def done(self) -> bool:
        """Whether everything has left."""
        return self.sent == self.plan.size

    @property
    def piece(self) -> Piece:
        """What the next bytes, from `offset`, are of: the head, or a piece of the body."""
        return self.plan.head if self.number < 0 else self.plan.body[self.number]

    @property
    def following(self) -> Piece | None:
        """What comes behind the piece."""
        number = self.number + 1
        return self.plan.body[number] if number < len(self.plan.body) else None
