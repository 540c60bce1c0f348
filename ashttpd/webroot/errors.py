"""The one exception that says a webroot file is wrong, and how its messages show bytes."""

from typing import Final

# A path may have 64 KiB; its start tells which one it is.
_SHOWN_BYTES: Final = 100


class WebrootError(Exception):
    """A file that is no webroot, is damaged, or is of a version that this reader cannot read."""


def show(data: bytes) -> str:
    """Return bytes of a file for a message: a part of them, as text, and on one line."""
    text = data[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
