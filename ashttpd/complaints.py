"""Complaints: errors that may come thousands of times a second, logged at most once in a while.

For messages about the machine (no descriptors, no memory, a disk that fails): each is true of many
requests at once, and a line for each would fill a disk.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

from ashttpd.show import reason

# A service manager's log stays readable, and an operator who looks sees what is still wrong.
COMPLAINT_SECONDS: Final = 10.0


class Complaints:
    """Logs each kind of error at most once in so many seconds; for any thread.

    The kind is the text before its arguments are filled in, so a text has to be a literal: each one
    is remembered for ever.
    """

    def __init__(self, seconds: float = COMPLAINT_SECONDS) -> None:
        """Start with nothing said; `seconds` is the least time between two lines of a kind."""
        self._seconds = seconds
        # By text: when it may be logged again (monotonic seconds), and how many were left out.
        self._kinds: dict[str, tuple[float, int]] = {}
        self._lock = Lock()

    def say(self, log_method: Callable[..., None], text: str, *args: object, now: float) -> bool:
        """Log a text with its arguments unless one of its kind was logged less than `seconds` ago.

        `log_method` is a method of a logger: `log.error`, or `log.exception` within a handler.
        An OSError among the arguments is shown by the system's words for it.
        `now` is in seconds of the monotonic clock. The line says how many of its kind were left
        out since the one before. Returns whether it was logged.
        """
        with self._lock:
            until, left_out = self._kinds.get(text, (now, 0))
            is_due = now >= until
            self._kinds[text] = (now + self._seconds, 0) if is_due else (until, left_out + 1)
        if is_due:
            shown = [reason(each) if isinstance(each, OSError) else each for each in args]
            if left_out:
                text += " (%d more like this since the last line about it)"
                shown.append(left_out)
            log_method(text, *shown)
        return is_due
