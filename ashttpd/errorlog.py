"""The error log: what the program says on its standard error, written by a thread of its own.

A server that waited for a full pipe there would serve no deploy and heed no SIGTERM.
"""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ashttpd.logfile import LogFile
from ashttpd.show import LineFormatter
from ashttpd.sink import Policy, Sink

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

log = logging.getLogger(__name__)

STDERR: Final = 2
# What may wait while nothing is taken: some 5,000 lines, which is more than a server says in a day.
MAX_WAITING_BYTES: Final = 1 << 20
# What the queue takes for a line besides its bytes, rounded up.
_LINE_BYTES: Final = 128
# How long writing the last lines may take when the program ends.
FLUSH_SECONDS: Final = 1.0


class ErrorLog(logging.Handler):
    """Queues lines for a descriptor; what was lost is said in the next line that it takes."""

    def __init__(self, fd: int = STDERR) -> None:
        """Start the thread that writes."""
        super().__init__()
        self.setFormatter(
            LineFormatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        )
        policy: Policy[bytes] = Policy(
            render=lambda line: line,
            lost=self._lost,
            # There is no other place where these could be said.
            failed=lambda _error, _goes_on: None,
            recovered=lambda: None,
            gather_seconds=0,
            most_bytes=MAX_WAITING_BYTES,
            reports_itself=True,
        )
        self._sink = Sink(LogFile(fd), policy, "error-log")

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record as a line, with its traceback behind it."""
        self.say(self.format(record))

    def say(self, text: str) -> None:
        """Queue a line as it is."""
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        self._sink.put(line, len(line) + _LINE_BYTES)

    def close(self) -> None:
        """Write what waits, for at most FLUSH_SECONDS, and end."""
        self._sink.close(FLUSH_SECONDS)
        super().close()

    def _lost(self, count: int) -> bytes:
        text = f"{count} messages lost: the standard error did not take them"
        record = logging.LogRecord(__name__, logging.ERROR, "", 0, text, None, None)
        return (self.format(record) + "\n").encode()


def _log_of_thread(args: threading.ExceptHookArgs) -> None:
    """Log the exception that ended a thread; Python would print it, and wait for that."""
    if args.exc_value is not None:
        name = args.thread.name if args.thread else "?"
        log.critical("thread %s ended: this is a bug of ashttpd", name, exc_info=args.exc_value)


def _log_unraisable(args: "UnraisableHookArgs") -> None:
    """Log an exception that Python cannot raise, as in a finalizer."""
    log.error("%s %r", args.err_msg or "ignored in", args.object, exc_info=args.exc_value)


@contextmanager
def logging_errors() -> Iterator[ErrorLog]:
    """Have the log, and exceptions that nothing catches in other threads, go to the error log."""
    root = logging.getLogger()
    error_log = ErrorLog()
    hooks = threading.excepthook, sys.unraisablehook
    root.addHandler(error_log)
    root.setLevel(logging.INFO)
    threading.excepthook, sys.unraisablehook = _log_of_thread, _log_unraisable
    try:
        yield error_log
    finally:
        root.removeHandler(error_log)
        threading.excepthook, sys.unraisablehook = hooks
        error_log.close()
