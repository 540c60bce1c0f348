"""Section RULE: the error pages of a site, and which of them is the nearest to a path."""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Mapping

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError, show
from ashttpd.webroot.sections import is_canonical


class _Directories:
    """Directories in ascending order, and where in them the next one above each is, or -1."""

    def __init__(self, directories: Iterable[bytes]) -> None:
        """Take directories with their slashes."""
        self._sorted = sorted(directories)
        self._above: list[int] = []
        open_ones: list[int] = []
        for place, directory in enumerate(self._sorted):
            while open_ones and not directory.startswith(self._sorted[open_ones[-1]]):
                open_ones.pop()
            self._above.append(open_ones[-1] if open_ones else -1)
            open_ones.append(place)

    def deepest_above(self, path: bytes) -> bytes | None:
        """Return the deepest directory that a path stands in, or None.

        That is the last one that does not come behind the path, or one above that. There are fewer
        than 1,500 above each other, since all of them together have at most
        `layout.MAX_RULES_BYTES`.
        """
        place = bisect_right(self._sorted, path) - 1
        while place >= 0 and not path.startswith(self._sorted[place]):
            place = self._above[place]
        return self._sorted[place] if place >= 0 else None


class ErrorPages:
    """The error pages of a site: of a status and a directory, the page's path."""

    def __init__(self, pages: Mapping[tuple[int, bytes], bytes]) -> None:
        """Take the pages as they are; directories end with their slash."""
        self.pages = pages
        directories: dict[int, list[bytes]] = {}
        for status, directory in pages:
            directories.setdefault(status, []).append(directory)
        self._directories = {status: _Directories(of) for status, of in directories.items()}

    def nearest(self, status: int, path: bytes) -> bytes | None:
        """Return the page of a status in the deepest directory that has one above a path."""
        directories = self._directories.get(status)
        directory = None if directories is None else directories.deepest_above(path)
        return self.pages.get((status, directory or b"/"))


def parse_rules(data: bytes) -> ErrorPages:
    """Return the error pages of section RULE.

    Raises WebrootError where the section is malformed or holds a rule of a kind that is not known.
    """
    pages: dict[tuple[int, bytes], bytes] = {}
    try:
        (count,) = layout.RULE_COUNT.unpack_from(data)
        offset = layout.RULE_COUNT.size
        for _ in range(count):
            kind, length = layout.RULE.unpack_from(data, offset)
            offset += layout.RULE.size
            if kind != layout.RuleKind.ERROR_PAGE:
                raise WebrootError(f"section RULE holds a rule of kind {kind}, which is not known")
            _add_error_page(pages, data[offset : offset + length])
            offset += length
    except struct.error as error:
        raise WebrootError(f"section RULE is malformed: {error}") from error
    if offset != len(data):
        raise WebrootError(f"section RULE has {len(data)} bytes, but rules of {offset}")
    return ErrorPages(pages)


def _add_error_page(pages: dict[tuple[int, bytes], bytes], rule: bytes) -> None:
    (status,) = layout.ERROR_PAGE.unpack_from(rule)
    path = rule[layout.ERROR_PAGE.size :]
    directory = layout.parent_of(path)
    is_path = is_canonical(path) and len(path) <= layout.MAX_PATH_BYTES
    if not (400 <= status <= 599 and is_path and directory):
        raise WebrootError(f"{show(path)} cannot be the error page of a {status}")
    if (status, directory) in pages:
        raise WebrootError(f"{show(path)} is a second error page of a {status}")
    pages[status, directory] = path
