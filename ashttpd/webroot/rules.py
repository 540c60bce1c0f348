"""Section RULE: the error pages of a site, and which of them is the nearest to a path."""

import struct
from collections.abc import Mapping

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.sections import is_canonical


class ErrorPages:
    """The error pages of a site: of a status and a directory, the page's path."""

    def __init__(self, pages: Mapping[tuple[int, bytes], bytes]) -> None:
        """Take the pages as they are; directories end with their slash."""
        self.pages = pages
        # As deep as the deepest directory; the root is the first level.
        self._levels = max((directory.count(b"/") for _status, directory in pages), default=0)

    def nearest(self, status: int, path: bytes) -> bytes | None:
        """Return the page of a status in the deepest directory that has one above a path.

        Takes as many lookups as the deepest directory with a page has levels, however deep the
        path is.
        """
        directory = b"/".join(path.split(b"/", self._levels)[:-1]) + b"/"
        while directory:
            page = self.pages.get((status, directory))
            if page is not None:
                return page
            directory = layout.parent_of(directory)
        return None


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
    if not (400 <= status <= 599 and is_canonical(path) and directory):
        raise WebrootError(f"{path[:100]!r} cannot be the error page of a {status}")
    if (status, directory) in pages:
        raise WebrootError(f"{path[:100]!r} is a second error page of a {status}")
    pages[status, directory] = path
