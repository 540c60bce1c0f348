"""The access log, in combined format.

A request costs one append to a queue. A thread of its own formats and writes, a few times a second.
"""

import logging
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ashttpd.complaints import Complaints
from ashttpd.logfile import LogFile, LogFileError, NoReaderError
from ashttpd.sink import Policy, Sink

log = logging.getLogger(__name__)

_STDOUT: Final = 1
WRITE_SECONDS: Final = 0.25
# What may wait while the file takes nothing. At 20,000 requests a second with heads of 300 bytes
# that is a disk that is busy for five seconds; beyond it lines are lost, and counted.
MAX_WAITING_BYTES: Final = 64 << 20
# What the queue takes for a record besides the bytes of its head, rounded up.
RECORD_BYTES: Final = 384

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


def _render(record: Record) -> bytes:
    return format_record(record).encode("ascii") + b"\n"


class AccessLog:
    """Takes records from any thread; `path` None writes to the standard output."""

    def __init__(self, path: Path | None) -> None:
        """Open it for appending; raises LogFileError for what can never be a log.

        A FIFO without a reader may have one later.
        """
        self._name = "the standard output" if path is None else str(path)
        self._complaints = Complaints()
        # Whether the log has said what fails; then it says also that this is over.
        self._is_said = False
        file = LogFile(_STDOUT if path is None else path)
        # The thread will find that there is no reader, and say so.
        with suppress(NoReaderError):
            file.open()
        policy: Policy[Record] = Policy(
            render=_render,
            lost=self._lost,
            failed=self._failed,
            recovered=self._recovered,
            gather_seconds=WRITE_SECONDS,
            most_bytes=MAX_WAITING_BYTES,
        )
        self._sink = Sink(file, policy, "access-log")
        self._put = self._sink.put

    def note(self, peer: str, epoch: int, head: bytes, status: int, sent: int) -> None:
        """Note a response that has ended; `sent` counts bytes of its body."""
        self._put((peer, epoch, head, status, sent), len(head) + RECORD_BYTES)

    def reopen(self) -> None:
        """Open the file anew, soon; for one that was renamed."""
        self._sink.reopen()

    def close(self, seconds: float) -> None:
        """Write what is waiting, for at most `seconds`, and end."""
        self._sink.close(seconds)

    def _failed(self, error: Exception, goes_on: bool) -> None:
        if not isinstance(error, OSError | LogFileError):
            log.error("access log: this is a bug of ashttpd", exc_info=error)
            return
        self._is_said = self._complaints.say(
            log.error,
            "access log: %s; tried again each second, and %s",
            f"{self._name}: {error.strerror}" if isinstance(error, OSError) else error,
            "the old file is written on" if goes_on else "lines wait meanwhile",
            now=time.monotonic(),
        )

    def _recovered(self) -> None:
        if self._is_said:
            self._is_said = False
            log.info("access log: %s: it works again", self._name)

    def _lost(self, count: int) -> bytes:
        log.error("access log: %s: %d lines lost, it did not take them", self._name, count)
        return b""
