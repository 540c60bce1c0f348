"""One io_uring: sockets that are accepted, heard and sent to by operations of the kernel.

This is the only file that touches the compiled shim. What fails raises OSError. A Ring is for one
thread, that which calls `enable`, but for `wake` and what `map_file` says of files.
"""

import errno
import os
import weakref
from collections import deque
from collections.abc import Iterable
from enum import IntEnum, IntFlag
from functools import partial
from typing import Final, Protocol

from ashttpd.engine import UnusableError, checked
from ashttpd.hot import ACTIVITY_BYTES, Hot, count_sockets
from ashttpd.http.limits import Limits
from ashttpd.http.plan import File

try:
    from ashttpd.uring._uring import ffi, lib
except ImportError as missing:
    BUILT = False
    NOT_BUILT: Final = str(missing)
else:
    BUILT = True


class SetupFlag(IntFlag):
    """Of io_uring_setup(2); the numbers are the kernel's."""

    CQSIZE = 1 << 3
    R_DISABLED = 1 << 6
    COOP_TASKRUN = 1 << 8
    SINGLE_ISSUER = 1 << 12
    DEFER_TASKRUN = 1 << 13


class Mode(IntEnum):
    """How what comes on a socket is taken; the numbers are shim.c's."""

    HEADS = 0  # nothing of a request was before it: scanned on the way
    RAW = 1


class Kind(IntEnum):
    """What happened; the numbers are shim.c's."""

    HEAD = 0  # exactly one whole head came
    DATA = 1  # other bytes came; from now on the mode is RAW
    END = 2  # the peer has shut its side down, or is gone: then with a negative errno
    SENT = 3  # a send that was to be told has ended
    PENDING = 4  # a queued plan is still being sent, and will be told; the mode is RAW
    ACCEPTED = 5  # a new socket
    REFUSED = 6  # a listener is no longer heard: 0 or a negative errno
    WAKE = 7
    FETCHED = 8
    GONE = 9  # what a dropped socket was sending is no longer needed
    WAITING = 10  # a new socket for which there is no room: to be welcomed or closed


# Flags beside the descriptor of a send.
WITH_BODY: Final = 1 << 30
LAST: Final = 1 << 29
TELL: Final = 1 << 28
HOT: Final = 1 << 27
KIND_SHIFT: Final = 24
DESCRIPTOR_MASK: Final = (1 << KIND_SHIFT) - 1

# Of the submission queue, whose length limits nothing: it is submitted when it is full.
ENTRIES: Final = 1024
# Room for what completes while a turn is computed; what is beyond it the kernel keeps.
COMPLETIONS: Final = 8192
# A power of two. When all are full, sockets wait for the next turn with what they have.
BUFFERS: Final = 1024
# More than can connect within a turn.
_MUCH_ROOM: Final = 1 << 30
# From the best to what every kernel since 5.11 takes. Without either of the first two, each
# completion interrupts the processor, which costs half as much again per request.
_FLAGS: Final = (
    SetupFlag.SINGLE_ISSUER | SetupFlag.DEFER_TASKRUN,
    SetupFlag.COOP_TASKRUN,
    SetupFlag(0),
)

# Files that a ring has open itself: the ring, an eventfd, the page map, both ends of a pipe and
# /dev/null.
RING_FILES: Final = 6

# Four numbers: the tag, which is the kind above and the descriptor below KIND_SHIFT; where the
# bytes that came start, and their length; the length of the key behind them. Of PENDING: the tag,
# the plan's number in the queue, 0, and whether that is its number among the HOT ones. Of SENT,
# END, REFUSED, FETCHED: the tag, 0, and the result.
Event = tuple[int, int, int, int]


class Bytes(Protocol):
    """Something that gives bytes when it is sliced."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return a copy of a part."""


def _explain(number: int) -> str:
    """Say why the kernel gives no ring, and what to do about it."""
    if number == errno.ENOSYS:
        return "the kernel has none (it takes Linux 6.0), or a seccomp filter hides it"
    if number == errno.EPERM:
        return (
            "the kernel forbids it: look at the sysctl kernel.io_uring_disabled, which has to be 0 "
            "(or 1, with the group of kernel.io_uring_group), and at the seccomp filter of a "
            "container, which has to allow io_uring_setup, io_uring_enter and io_uring_register"
        )
    if number == errno.ENOMEM:
        return "out of locked memory: raise RLIMIT_MEMLOCK (ulimit -l), 8 MiB are plenty"
    if number in (errno.EOPNOTSUPP, errno.EINVAL):
        return "the kernel is too old: it takes Linux 6.0"
    return os.strerror(number)


class Ring:
    """One ring, with the sockets and files that it works on."""

    def __init__(
        self,
        limits: Limits,
        entries: int = ENTRIES,
        completions: int = COMPLETIONS,
        buffers: int = BUFFERS,
    ) -> None:
        """Set the ring up; raises UnusableError. Nothing happens before `enable`."""
        if not BUILT:
            raise UnusableError(
                f"not built ({NOT_BUILT}); install liburing-dev, a C compiler, then ashttpd again"
            )
        # The numbers of sockets are below it.
        self.slots = slots = count_sockets()
        numbers = (limits.head_bytes, limits.target_bytes, limits.head_fields)
        self._limits = ffi.new("struct ashttpd_limits *", numbers)
        self._distrusted = ffi.new("int32_t[1]")
        self._ring, self.flags = self._open(entries, completions, buffers, slots)
        self.came: Bytes = ffi.buffer(
            lib.ashttpd_ring_pool(self._ring), lib.ashttpd_ring_pool_bytes(self._ring)
        )
        activities = ffi.buffer(lib.ashttpd_ring_activities(self._ring), slots * ACTIVITY_BYTES)
        forget = partial(lib.ashttpd_ring_forget, self._ring)
        # What is sent HOT; its owner has to call `begin` behind each turn.
        self.hot = Hot(
            self._distrusted, memoryview(activities).cast("Q"), forget, limits.idle_seconds
        )
        self._room = 0
        self._make_room(lib.MAX_EVENTS)
        # The content of a bytes object lies at a fixed distance behind its id.
        probe = b"probe"
        lib.ashttpd_content = int(ffi.cast("intptr_t", ffi.from_buffer(probe))) - id(probe)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self.maps: dict[int, int] = {}
        # Maps of files that are gone, to be closed by the thread of the ring.
        self._unused: deque[int] = deque()

    def _open(
        self, entries: int, completions: int, buffers: int, slots: int
    ) -> tuple[object, SetupFlag]:
        out = ffi.new("ashttpd_ring **")
        result = 0
        for flags in _FLAGS:
            wanted = flags | SetupFlag.CQSIZE | SetupFlag.R_DISABLED
            sizes = (entries, completions, buffers, slots)
            result = lib.ashttpd_ring_open(out, self._limits, self._distrusted, *sizes, wanted)
            if result == 0:
                return out[0], flags
            if result != -errno.EINVAL:
                break
        raise UnusableError(_explain(-result))

    def _make_room(self, sends: int) -> None:
        room = lib.EVENT_ROOM + sends * lib.EVENT_ROOM_OF_SEND
        if room > self._room:
            self._room = room
            self._events = ffi.new("int32_t[]", room * 4)

    def enable(self) -> None:
        """Make the calling thread the one that the ring works for."""
        checked(lib.ashttpd_ring_enable(self._ring))
        checked(lib.ashttpd_ring_wake_by(self._ring, self._wake))

    def listen(self, listener: int, *, many: bool = True) -> None:
        """Accept from a listening socket, which has to block, until REFUSED.

        With `many` that goes on until something ends it: the kernel accepts all that come between
        two turns, and each is an open file. Without, REFUSED follows the first connection.
        """
        checked(lib.ashttpd_ring_listen(self._ring, listener, many))

    def unlisten(self, listener: int) -> None:
        """Accept no more; REFUSED follows."""
        checked(lib.ashttpd_ring_unlisten(self._ring, listener))

    def welcome(self, fd: int) -> None:
        """Receive from a socket that was WAITING."""
        checked(lib.ashttpd_ring_welcome(self._ring, fd))

    def turn(self, sends: list[int], timeout: float, room: int = _MUCH_ROOM) -> Iterable[Event]:
        """Send, wait for at most `timeout` seconds, and receive.

        So many new sockets are ACCEPTED as there is `room` for; the others are WAITING. Parts of
        files above AT_ONCE_BYTES are sent in windows, one socket after the other; while others
        ask for small answers, fewer of them in a turn.

        `sends` has three numbers for each: descriptor, id of a bytes object plus where in it to
        start, length. With WITH_BODY in the first, four more: a map, offset and length of a part
        of its file, and how many bytes behind that will be sent soon. With LAST the socket is
        dropped when all has left. With TELL its end is told by SENT; without TELL only what goes
        wrong is told, by PENDING with its number among those without TELL, then SENT. One send at a
        time for each socket. A part of a file ends early, with what has left or with -ESTALE, when
        it is to be looked whether its file may still be sent: in another second, or when `hot` is
        told to distrust.

        With HOT it answers the HEAD that came last on its socket, and is sent to all who ask with
        the same key, without a word: it has to be in the list of `hot`, in their order.

        What the events refer to is there until the next turn, and so has to be what was sent,
        unless PENDING comes for it: then until SENT, or until GONE if it is dropped before.
        """
        while self._unused:
            lib.ashttpd_ring_unmap(self._ring, self._unused.popleft())
        if len(sends) > 3 * lib.MAX_EVENTS:
            self._make_room(len(sends) // 3)
        events = self._events
        count = checked(
            lib.ashttpd_ring_turn(self._ring, sends, len(sends), room, int(timeout * 1000), events)
        )
        numbers = iter(ffi.unpack(events, count * 4))
        return zip(numbers, numbers, numbers, numbers, strict=True)

    def hear(self, fd: int, mode: Mode) -> None:
        """Receive from a socket, from now on in this mode."""
        checked(lib.ashttpd_ring_hear(self._ring, fd, mode))

    def deafen(self, fd: int) -> None:
        """Receive no more until `hear`; some DATA may still come."""
        checked(lib.ashttpd_ring_deafen(self._ring, fd))

    def shutdown(self, fd: int) -> None:
        """Shut our side down."""
        checked(lib.ashttpd_ring_shutdown(self._ring, fd))

    def drop(self, fd: int) -> bool:
        """Close a socket as soon as nothing of it is in flight; no event of it follows but GONE.

        Returns whether GONE will come.
        """
        return checked(lib.ashttpd_ring_drop(self._ring, fd)) == 1

    def map_file(self, file: File) -> int:
        """Return the number of the map of a file; it lives as long as the object."""
        number = self.maps.get(id(file))
        if number is None:
            number = checked(lib.ashttpd_ring_map(self._ring, file.fd))
            self.maps[id(file)] = number
            weakref.finalize(file, self._forget, id(file)).atexit = False
        return number

    def _forget(self, file_id: int) -> None:
        # In whatever thread let go of the file.
        self._unused.append(self.maps.pop(file_id))

    def fetch(self, fd: int, file: File, offset: int, length: int) -> None:
        """Bring a part of a file into memory, on behalf of a socket; FETCHED follows."""
        checked(lib.ashttpd_ring_fetch(self._ring, fd, self.map_file(file), offset, length))

    @property
    def in_flight(self) -> int:
        """How many operations on sockets and files the kernel has."""
        return int(lib.ashttpd_ring_in_flight(self._ring))

    def wake(self) -> None:
        """End the wait of the turn under way, or of the next one, from any thread."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Release everything but sockets that were not dropped."""
        lib.ashttpd_ring_close(self._ring)
        os.close(self._wake)
