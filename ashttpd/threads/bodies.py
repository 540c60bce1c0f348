"""The two ways in which this engine moves an extent to a socket: sendfile, or pread and send."""

import os
from collections.abc import Callable
from socket import socket
from typing import Final

from ashttpd.http.plan import File
from ashttpd.webroot.errors import WebrootError

# Small enough to stay in the cache until the client reads it, and not to starve others.
WINDOW_BYTES: Final = 256 << 10

# Sends at most `count` bytes of a file from `offset` to a socket, which must not block; returns how
# many left, at least 1. Raises BlockingIOError where the socket takes none, WebrootError where
# the file ends before, OSError for what the machine or the peer did.
SendBody = Callable[[socket, File, int, int], int]


def send_with_sendfile(peer: socket, file: File, offset: int, count: int) -> int:
    """Send by sendfile(2); see SendBody."""
    sent = os.sendfile(peer.fileno(), file.fd, offset, count)
    if sent == 0:
        raise WebrootError(f"{file.path} ends at {offset} or before: truncated under us")
    return sent


def send_with_read(peer: socket, file: File, offset: int, count: int) -> int:
    """Send by pread(2) and send(2); see SendBody. What the socket does not take is read again."""
    content = os.pread(file.fd, count, offset)
    if not content:
        raise WebrootError(f"{file.path} ends at {offset} or before: truncated under us")
    return peer.send(content)


SEND_BODY: Final[dict[str, SendBody]] = {"sendfile": send_with_sendfile, "read": send_with_read}
