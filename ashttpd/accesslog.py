"""The access log, in combined format, written behind the requests' backs.

A request costs one append. A thread of its own formats and writes, a few times a second.
"""

import logging
import os
import re
import sys
import time
from collections import deque
from pathlib import Path
from threading import Event, Thread
from typing import Final

log = logging.getLogger(__name__)

WRITE_SECONDS: Final = 0.25
# What may wait while a disk does not take it, some 300 MB; what comes then is counted and dropped.
MAX_WAITING: Final = 500_000

_REFERER: Final = re.compile(rb"\r\nreferer:[ \t]*([^\r\n]*)", re.IGNORECASE)
_USER_AGENT: Final = re.compile(rb"\r\nuser-agent:[ \t]*([^\r\n]*)", re.IGNORECASE)
# A quote, a backslash, or a byte that is not visible ASCII would let a client forge lines.
_UNSAFE: Final = re.compile(rb"[^\x20\x21\x23-\x5b\x5d-\x7e]")

Record = tuple[str, int, bytes, int, int]


def _escape(text: bytes) -> str:
    escaped = _UNSAFE.sub(lambda match: b"\\x%02x" % match[0][0], text)
    return escaped.decode("ascii")


def _field(pattern: re.Pattern[bytes], head: bytes) -> str:
    match = pattern.search(head)
    return _escape(match[1].rstrip(b" \t")) if match and match[1] else "-"


def format_record(record: Record) -> str:
    """Return the line, without its end, of (peer, epoch second, head, status, body bytes)."""
    peer, epoch, head, status, sent = record
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(epoch))
    request = _escape(head.lstrip(b"\r\n").partition(b"\r\n")[0]) or "-"
    return (
        f'{peer} - - [{stamp}] "{request}" {status} {sent or "-"} '
        f'"{_field(_REFERER, head)}" "{_field(_USER_AGENT, head)}"'
    )


class AccessLog:
    """Takes records from any thread; `path` None writes to the standard output."""

    def __init__(self, path: Path | None) -> None:
        """Open the file for appending; raises OSError."""
        self._path = path
        self._fd = self._open()
        self._waiting: deque[Record] = deque()
        self._dropped = 0
        self._reopen = False
        self._stop = Event()
        self._thread = Thread(target=self._run, name="access-log")
        self._thread.start()

    def _open(self) -> int:
        if self._path is None:
            return sys.stdout.fileno()
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def note(self, peer: str, epoch: int, head: bytes, status: int, sent: int) -> None:
        """Note a response that has ended; `sent` counts bytes of its body."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((peer, epoch, head, status, sent))
        else:
            self._dropped += 1

    def reopen(self) -> None:
        """Open the file anew, soon; for who has renamed it. Safe in a signal handler."""
        self._reopen = True

    def close(self) -> None:
        """Write what is waiting and end."""
        self._stop.set()
        self._thread.join()
        if self._path is not None:
            os.close(self._fd)

    def _run(self) -> None:
        while not self._stop.wait(WRITE_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        try:
            if self._reopen and self._path is not None:
                self._reopen = False
                reopened = self._open()
                os.close(self._fd)
                self._fd = reopened
            lines = [
                format_record(self._waiting.popleft()) + "\n" for _ in range(len(self._waiting))
            ]
            # Not through a buffer: that would keep what a full disk did not take, and fail again
            # with it where the file is closed.
            text = memoryview("".join(lines).encode("ascii"))
            while text:
                text = text[os.write(self._fd, text) :]
        except OSError as error:
            log.error("access log: %s; lines are lost", error)
        if self._dropped:
            log.error("access log: %d lines dropped, the disk is too slow", self._dropped)
            self._dropped = 0
