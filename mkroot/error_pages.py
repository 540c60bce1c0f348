"""Finds the site's own error pages by their names: what rules the webroot gets for them.

A page stands for its status in its directory and below, but where a nearer one stands.
"""

from collections.abc import Callable
from typing import Final

from ashttpd.webroot import layout
from mkroot.directory import Directory

# What a server answers for a path of the site, itself or for a program behind it. Other numbers in
# front of `.html` are just names.
_STATUSES: Final = (400, 403, 404, 405, 412, 416, 417, 500, 501, 502, 503, 504)
_NAMES: Final = {b"%d.html" % status: (status,) for status in _STATUSES}
# For what is the server's own trouble, as nginx has it; a page for one status alone goes before.
_SHARED_NAME: Final = b"50x.html"
_SHARED_STATUSES: Final = (500, 502, 503, 504)
_MOST_BYTES: Final = layout.MAX_RULES_BYTES - layout.RULE_COUNT.size


def _statuses_of(directory: Directory, name: bytes) -> tuple[int, ...]:
    if name != _SHARED_NAME:
        return _NAMES.get(name, ())
    return tuple(s for s in _SHARED_STATUSES if not directory.has_file(b"%d.html" % s))


def is_error_page(name: bytes) -> bool:
    """Tell whether a file is an error page by its name."""
    return name == _SHARED_NAME or name in _NAMES


class ErrorPageRules:
    """The rules of a site's error pages: as many as a webroot can hold, the least deep ones."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """Start without any; `warn` is told how many were left out."""
        self._warn = warn
        # Depth of the page's path, path, status.
        self._pages: list[tuple[int, bytes, int]] = []
        self._bytes = 0
        self._left_out = 0

    def add(self, directory: Directory, name: bytes) -> None:
        """Look at a file of the site: it is an error page if its name is a status."""
        path = directory.path + name
        for status in _statuses_of(directory, name):
            self._pages.append((path.count(b"/"), path, status))
            self._bytes += layout.ERROR_PAGE_OVERHEAD + len(path)
        # Now and then, so that memory stays bounded and the work linear.
        if self._bytes > 2 * _MOST_BYTES:
            self._trim()

    def rules(self) -> list[tuple[int, bytes]]:
        """Return status and path of each page, in the order of the file."""
        self._trim()
        if self._left_out:
            self._warn(
                f"the error pages in the deepest directories are not used as such: the rules of "
                f"all would be {self._left_out:,} too many for {layout.MAX_RULES_BYTES:,} bytes"
            )
        return [(status, path) for _depth, path, status in self._pages]

    def _trim(self) -> None:
        self._pages.sort()
        size = 0
        for place, (_depth, path, _status) in enumerate(self._pages):
            if size + layout.ERROR_PAGE_OVERHEAD + len(path) > _MOST_BYTES:
                self._left_out += len(self._pages) - place
                del self._pages[place:]
                break
            size += layout.ERROR_PAGE_OVERHEAD + len(path)
        self._bytes = size
