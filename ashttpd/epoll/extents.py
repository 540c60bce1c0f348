"""The two ways in which this engine moves an extent to a socket: sendfile, or pread and send."""

import os
from collections.abc import Callable
from typing import Final

from ashttpd.epoll.sockets import Sockets
from ashttpd.http.plan import File
from ashttpd.webroot.errors import WebrootError

# What is copied through our own memory at a time, and read again where the socket takes less.
_READ_BYTES: Final = 256 << 10

# Sends at most `count` bytes of a file from `offset` to a socket, by its descriptor; returns how
# many left, at least 1. Raises BlockingIOError where the socket takes none, WebrootError where
# the file ends before, OSError for what the machine or the peer did.
SendBody = Callable[[Sockets, int, File, int, int], int]


def send_with_sendfile(_sockets: Sockets, fd: int, file: File, offset: int, count: int) -> int:
    """Send by sendfile(2); see SendBody."""
    sent = os.sendfile(fd, file.fd, offset, count)
    if sent == 0:
        raise WebrootError(f"{file.path} ends at {offset} or before: truncated under us")
    return sent


def send_with_read(sockets: Sockets, fd: int, file: File, offset: int, count: int) -> int:
    """Send by pread(2) and send(2); see SendBody. What the socket does not take is read again."""
    content = os.pread(file.fd, min(count, _READ_BYTES), offset)
    if not content:
        raise WebrootError(f"{file.path} ends at {offset} or before: truncated under us")
    return sockets.send(fd, content, 0)


SEND_BODY: Final[dict[str, SendBody]] = {"sendfile": send_with_sendfile, "read": send_with_read}
