"""Windows: the parts in which plans are sent that do not leave at once, in turns."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from ashttpd.http.plan import Cursor, Extent
from ashttpd.uring.client import Client
from ashttpd.uring.ring import TELL, WITH_BODY, Mode, Ring
from ashttpd.webroot.errors import WebrootError

# What one connection may send before it is the next one's turn. Measured: what is sent stays in the
# processor's cache until the peer reads it; twice as much costs half as much again per byte.
WINDOW_BYTES: Final = 512 << 10
# With fewer than so many large bodies under way nobody is kept waiting by larger windows, and each
# of them costs less.
FEW_STREAMS: Final = 16
LARGE_WINDOW_BYTES: Final = 2 << 20
# Windows of one turn. As long as somebody asks for small answers it is one window only, since those
# wait for the windows of a turn.
TURN_BYTES: Final = 4 << 20


class Windows:
    """Who waits to be sent a window, and how large it may be."""

    def __init__(self, ring: Ring) -> None:
        """Start with nobody."""
        self._ring = ring
        # Who waits to be sent a window.
        self.ready: deque[Client] = deque()
        # Who is being sent more than a window.
        self._streams: set[int] = set()
        self._hurry = False

    def add(self, client: Client) -> None:
        """Send the client a window of its plan when it is its turn."""
        self.ready.append(client)

    def forget(self, client: Client) -> None:
        """Note that the client's plan has left, or will not."""
        self._streams.discard(client.fd)

    def fill(
        self, sends: list[int], clients: Mapping[int, Client], *, hurry: bool
    ) -> list[tuple[Client, WebrootError | OSError]]:
        """Queue what a turn has room for, for clients that are still there.

        `hurry` says that others wait for small answers. Returns who cannot be sent anything, and
        why.
        """
        failed: list[tuple[Client, WebrootError | OSError]] = []
        room = WINDOW_BYTES if hurry else TURN_BYTES
        self._hurry = hurry
        while self.ready and room > 0:
            client = self.ready.popleft()
            if client.cursor is None or clients.get(client.fd) is not client:
                continue
            try:
                room -= self._queue(sends, client, client.cursor)
            except (WebrootError, OSError) as error:
                failed.append((client, error))
        return failed

    def _queue(self, sends: list[int], client: Client, cursor: Cursor) -> int:
        """Queue the next send: bytes, a part of a file, or the first followed by the second.

        Returns how many bytes it has.
        """
        client.mode = Mode.RAW
        piece = cursor.piece
        head, head_left = 0, 0
        extent: Extent | None = None
        if isinstance(piece, Extent):
            extent, offset, left = piece, cursor.offset, cursor.left
        else:
            head, head_left = id(piece) + cursor.offset, cursor.left
            following = cursor.plan.body[cursor.number + 1 : cursor.number + 2]
            if following and isinstance(following[0], Extent):
                extent = following[0]
                offset, left = extent.offset, extent.length
        if extent is None:
            sends += (client.fd | TELL, head, head_left)
            return head_left
        if extent.file.revoked:
            raise WebrootError(f"{extent.file.path} was overwritten in place")
        if left > WINDOW_BYTES:
            self._streams.add(client.fd)
        few = len(self._streams) < FEW_STREAMS and not self._hurry
        length = min(left, LARGE_WINDOW_BYTES if few else WINDOW_BYTES)
        number = self._ring.map_file(extent.file)
        sends += (client.fd | TELL | WITH_BODY, head, head_left)
        sends += (number, offset, length, left - length)
        return head_left + length
