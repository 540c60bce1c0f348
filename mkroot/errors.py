"""The one exception that ends a build, with a message that names the file and the reason."""


class BuildError(Exception):
    """The tree cannot be built as asked; OUTPUT was left as it was."""
