"""The one exception that ends a build, and how its messages, and others, show a path."""


class BuildError(Exception):
    """The tree cannot be built as asked; OUTPUT was left as it was."""


def show(path: bytes) -> str:
    """Return a path for a message: text where it is text, and on one line whatever its bytes."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
