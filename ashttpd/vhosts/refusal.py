"""What the log has said of one name's refusals: each kind once, and not too often."""

import re
from math import inf
from typing import Final

# A file that is still being copied is refused in another way with each look. So the log gets one
# line in this time for each name, as an operator would read it.
REFUSAL_SECONDS: Final = 10.0
# Sizes and offsets change while a file is copied; what is wrong with it stays the same.
_NUMBER: Final = re.compile(r"\d+")

Kind = tuple[type[Exception], int | str | None]


def kind_of(error: Exception) -> Kind:
    """Return what two errors have in common that need only one line."""
    if isinstance(error, OSError) and error.errno is not None:
        return type(error), error.errno
    return type(error), _NUMBER.sub("0", str(error))


class Refusal:
    """What was said of a name, and how much was not."""

    def __init__(self) -> None:
        """Have said nothing yet."""
        self._said: Kind | None = None
        self._last: Kind | None = None
        self._changes = 0
        # When the log gets the next line, in seconds of the monotonic clock.
        self.quiet_until = -inf

    def maybe_say(self, error: Exception, now: float) -> str | None:
        """Return what is to be added to a line about an error, or None where none is due.

        To be called again and again while the name is refused: a line that is not due yet is
        due later.
        """
        kind = kind_of(error)
        if kind != self._last:
            self._last = kind
            self._changes += 1
        if kind == self._said or now < self.quiet_until:
            return None
        left_out, self._changes = self._changes - 1, 0
        self._said = kind
        self.quiet_until = now + REFUSAL_SECONDS
        return f" ({left_out} more refusals since the last line about it)" if left_out else ""

    def end(self) -> bool:
        """Take the name as well again; returns whether the log has said otherwise."""
        was_said = self._said is not None
        self._said = self._last = None
        return was_said
