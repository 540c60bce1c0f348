"""Section RULE: the error pages of a site, and which of them is the nearest to a path."""

import struct
from collections.abc import Mapping

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError, show
from ashttpd.webroot.sections import is_canonical


class ErrorPages:
    """The error pages of a site: of a status and a directory, the page's path."""

    def __init__(self, pages: Mapping[tuple[int, bytes], bytes]) -> None:
        """Take the pages as they are; directories end with their slash."""
        self.pages = pages
        # How long the directories are that have a page for a status, the longest first.
        lengths: dict[int, set[int]] = {}
        for status, directory in pages:
            lengths.setdefault(status, set()).add(len(directory))
        self._lengths = {status: sorted(of, reverse=True) for status, of in lengths.items()}

    def nearest(self, status: int, path: bytes) -> bytes | None:
        """Return the page of a status in the deepest directory that has one above a path.

        Only directories as long as one that has a page are looked up, however deep the path is. Of
        those there are fewer than 1,500, since all directories together are no longer than
        `layout.MAX_RULES_BYTES`.
        """
        for length in self._lengths.get(status, ()):
            if path[length - 1 : length] == b"/":
                page = self.pages.get((status, path[:length]))
                if page is not None:
                    return page
        return self.pages.get((status, b"/"))


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
