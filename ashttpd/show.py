"""Text of others in messages: one line, and nothing that a terminal or a log reader obeys."""

import logging
import os


def reason(error: BaseException) -> str:
    """Return what an exception says: of the system its words and the file, and no errno."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) or repr(error)
    if isinstance(error.filename, str | bytes):
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return error.strerror


def show(text: str) -> str:
    r"""Return a text with all that is not printable as an escape: `\n`, `\x1b`, `\u202e`.

    A byte that os.fsdecode(3) could not decode is shown as that byte, `\xff`.
    """
    return text if text.isprintable() else "".join(map(_show_character, text))


def _show_character(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


class LineFormatter(logging.Formatter):
    """Formats a message as one line, whatever is in it; the lines of a traceback follow."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - a name of logging
        """Return the line without a traceback."""
        return show(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - a name of logging
        """Return a traceback, in which lines end where the traceback's own do."""
        text = super().formatException(ei)  # type: ignore[arg-type]  # a private alias of the stub
        return "\n".join(map(show, text.split("\n")))
