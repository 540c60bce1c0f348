"""Complaints: errors that may come thousands of times a second, logged at most once in a while.

For messages about the machine (no descriptors, no memory, a disk that fails) and about a site's
file: each is true of many requests at once, and a line for each would fill a disk.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

from ashttpd.show import reason

# A service manager's log stays readable, and an operator who looks sees what is still wrong.
COMPLAINT_SECONDS: Final = 10.0
# Kinds that are remembered beside the texts: more damaged files than an operator mends one by one.
# It bounds the lines in COMPLAINT_SECONDS, too.
MAX_KINDS: Final = 1_000


class Complaints:
    """Logs each kind of error at most once in so many seconds; for any thread.

    The kind is the text before its arguments are filled in, and what it is about, such as a file.
    A text has to be a literal: each one is remembered for ever. Of what they are about, MAX_KINDS
    are remembered at a time; beyond that all share the kind of their text.
    """

    def __init__(self, seconds: float = COMPLAINT_SECONDS) -> None:
        """Start with nothing said; `seconds` is the least time between two lines of a kind."""
        self._seconds = seconds
        # By text and subject: when it may be logged again (monotonic seconds), and how many were
        # left out.
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}
        self._lock = Lock()

    def say(
        self, log_method: Callable[..., None], text: str, *args: object, now: float, about: str = ""
    ) -> bool:
        """Log a text with its arguments unless one of its kind was logged less than `seconds` ago.

        `log_method` is a method of a logger: `log.error`, or `log.exception` within a handler.
        An OSError among the arguments is shown by the system's words for it.
        `now` is in seconds of the monotonic clock. Texts about different things do not silence each
        other; `about` names what a text is about where there are several. The line says how many of
        its kind were left out since the one before. Returns whether it was logged.
        """
        with self._lock:
            kind = self._kind_of(text, about, now)
            until, left_out = self._kinds.get(kind, (now, 0))
            is_due = now >= until
            self._kinds[kind] = (now + self._seconds, 0) if is_due else (until, left_out + 1)
        if is_due:
            shown = [reason(each) if isinstance(each, OSError) else each for each in args]
            if left_out:
                text += " (%d more like this since the last line about it)"
                shown.append(left_out)
            log_method(text, *shown)
        return is_due

    def _kind_of(self, text: str, about: str, now: float) -> tuple[str, str]:
        """Return the kind of a text, for which there is room; forget what may be logged anyway."""
        if (text, about) not in self._kinds and len(self._kinds) >= MAX_KINDS:
            self._kinds = {kind: said for kind, said in self._kinds.items() if now < said[0]}
            if len(self._kinds) >= MAX_KINDS:
                return text, ""
        return text, about
