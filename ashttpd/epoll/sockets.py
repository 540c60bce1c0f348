"""The sockets of one worker: sends what is queued, waits, receives and scans, once per turn.

What an implementation has to do; there is a compiled one, and one in plain Python.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from socket import socket
from typing import Final, Protocol

from ashttpd.hot import Hot
from ashttpd.http.plan import Plan


class Mode(IntEnum):
    """What a socket is watched for; the numbers are turn.c's."""

    HEADS = 0  # bytes, with nothing of a request before them: scanned on the way
    RAW = 1  # bytes
    WRITE = 2  # room for more bytes
    WAKE = 3  # an eventfd, not a socket
    PAUSED = 4  # the peer's end, as far as nothing has to be read for it


class Kind(IntEnum):
    """What happened to a socket; the numbers are turn.c's."""

    HEAD = 0  # exactly one whole head came
    DATA = 1  # other bytes came
    END = 2  # the peer has shut its side down, or is gone
    WRITABLE = 3
    SHORT = 4  # of a queued plan not all left, or nothing
    WAKE = 5


# Files that the sockets of a worker have open themselves, at most: an epoll set, an eventfd, both
# ends of a pipe and /dev/null.
SOCKETS_FILES: Final = 5

# Flags beside the descriptor of what is queued.
WITH_FILE: Final = 1 << 30
LAST: Final = 1 << 29
HOT: Final = 1 << 28
KIND_SHIFT: Final = 24
DESCRIPTOR_MASK: Final = (1 << KIND_SHIFT) - 1
MAX_EVENTS: Final = 64

# Four numbers: the tag, which is the kind above and the descriptor below KIND_SHIFT; where the
# bytes that came start, and their length; the length of the key behind them. Of SHORT: the tag, the
# plan's number in the queue, how many of its bytes left or a negative errno, and whether the number
# is that among the HOT plans.
Event = tuple[int, int, int, int]


class Bytes(Protocol):
    """Bytes, or something that gives bytes when it is sliced."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return a copy of a part."""


class Sockets(Protocol):
    """The sockets of one worker.

    It is for one thread, but for `add`, `wake` and its length. What is known of a socket by its
    number is forgotten with `forget` and `drop`, since the number may be another socket's at once:
    an answer that is still queued then is not sent, and there is no event of it.
    """

    def __len__(self) -> int:
        """Return how many sockets are owned, with those whose last answer is queued."""

    def add(self, fds: Sequence[int], mode: Mode) -> int:
        """Own and watch sockets, which must not block; one at least.

        Returns how many of them, from the first on; raises OSError where it is none.
        """

    def forget(self, fd: int) -> None:
        """Own a socket no more, and leave it open, which raises nothing."""

    def watch(self, fd: int, mode: Mode) -> None:
        """Watch a socket for something else from now on."""

    def pour(self, fd: int, file: int, offset: int, length: int) -> None:
        """Perhaps send a part of a file as the socket takes it, without a word.

        That is for a socket watched for WRITE, which is told when the part is through, fails or
        is old: what was found out about a file is believed for a second, and until `hot` is told
        to distrust. A length of 0 ends it.
        """

    def poured(self, fd: int) -> int:
        """Return how many bytes have left so since this was asked last."""

    def wake_by(self, eventfd: int) -> None:
        """End waits also when somebody writes to an eventfd(2), whose number WAKE then tells."""

    @property
    def hot(self) -> Hot:
        """What is sent HOT; its owner has to call `begin` behind each turn."""

    @property
    def hot_flag(self) -> int:
        """HOT, or 0 where that cannot be."""

    @property
    def last_answer(self) -> float:
        """When something queued, or hot, left last, in seconds of the monotonic clock."""

    @property
    def came(self) -> Bytes:
        """The bytes that came, and the keys of the heads among them, where the events say."""

    def queue(self, sends: list[int], plans: list[Plan]) -> None:
        """Send plans with the next turn.

        `sends` has three numbers for each plan: descriptor, id of its head, length of its head.
        With WITH_FILE in the first, three more: descriptor, offset and length of the extent that
        is its body. With LAST in it the socket is dropped when the plan has left. With HOT it is
        the answer to the HEAD that came last on its socket, is not in `plans` but in the list of
        `hot`, and may be sent to all who ask with the same key, without a word. Numbers, since
        making objects of them costs more per request than the send.
        """

    def queued(self, number: int) -> Plan:
        """Return a plan that was queued for the last turn."""

    def turn(self, timeout: float) -> Iterable[Event]:
        """Send what is queued, wait for at most `timeout` seconds, and receive.

        What the events refer to is there until the next turn.
        """

    def send(self, fd: int, data: bytes, offset: int) -> int:
        """Send from an offset on, now.

        Returns how many bytes left; raises BlockingIOError and OSError.
        """

    def shutdown(self, fd: int) -> None:
        """Shut our side down; raises OSError."""

    def unsent(self, fd: int) -> int:
        """Return how many bytes the peer has not acknowledged (tcp(7), SIOCOUTQ)."""

    def peer(self, fd: int) -> str:
        """Return the address of the peer, or `-`."""

    def drop(self, fd: int) -> None:
        """Close a socket, which raises nothing."""

    def wake(self) -> None:
        """End the wait of the turn under way, or of the next one."""

    def close(self) -> None:
        """Release everything but the clients' sockets."""


# Accepts connections that wait at a listener: at most so many, as descriptors of sockets that do
# not block. Raises OSError where none could be accepted for another reason than that none waits.
Accept = Callable[[socket, int], Sequence[int]]
