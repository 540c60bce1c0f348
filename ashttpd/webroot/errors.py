"""The one exception that says a webroot file is wrong."""


class WebrootError(Exception):
    """A file that is no webroot, is damaged, or is of a version that this reader cannot read."""
