"""What a user is told about files: each oddity by itself, and what comes in crowds as a sum."""

from collections.abc import Callable, Iterator
from typing import Final

from mkroot.errors import show
from mkroot.media_types import MediaType
from mkroot.signatures import is_hidden_page, is_unlabelled_gzip, maybe_warning

# More names would not be read; the first ones show where to look.
MAX_NAMED: Final = 20


class _Sum:
    """Files of one kind: how many there are, and the names of the first."""

    def __init__(self, one: str, many: str) -> None:
        self._one = one
        self._many = many
        self._count = 0
        self._names: list[str] = []

    def add(self, path: bytes) -> None:
        self._count += 1
        if len(self._names) < MAX_NAMED:
            self._names.append(show(path))

    def lines(self) -> Iterator[str]:
        """Yield the sentence, or nothing where there was no such file."""
        if self._count:
            more = self._count - len(self._names)
            named = ", ".join(self._names) + (f" and {more:,} more" if more else "")
            text = self._one if self._count == 1 else f"{self._count:,} {self._many}"
            yield f"{text}: {named}"


class Remarks:
    """Looks at each file of a build; `warn` is told of what is odd about a single one."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """Nothing seen yet."""
        self._warn = warn
        self._gzip = _Sum(
            "1 file has gzip inside under a name that says otherwise, and is served as it stands "
            "(--encoded 'GLOB=gzip' serves what is inside)",
            "files have gzip inside under names that say otherwise, and are served as they stand "
            "(--encoded 'GLOB=gzip' serves what is inside)",
        )
        self._copies = _Sum(
            "1 file is used as the compressed copy of the file beside it; it has no URL of its own "
            "(--precompressed serve gives it one)",
            "files are used as the compressed copies of the files beside them; they have no URLs "
            "of their own (--precompressed serve gives them some)",
        )
        self._pages = _Sum(
            "1 file has an HTML page inside and is served as another type, since its name does not "
            "say HTML (--type 'GLOB=text/html; charset=utf-8' makes it a page)",
            "files have an HTML page inside and are served as another type, since their names do "
            "not say HTML (--type 'GLOB=text/html; charset=utf-8' makes them pages)",
        )

    def look(self, path: bytes, head: bytes, media: MediaType) -> None:
        """Look at a file served as `media` whose content begins with `head`."""
        if is_unlabelled_gzip(head, media):
            self._gzip.add(path)
            return
        if is_hidden_page(head, media):
            self._pages.add(path)
        warning = maybe_warning(path, head, media)
        if warning is not None:
            self._warn(warning)

    def found_copy(self, path: bytes) -> None:
        """Note that a file is a copy of another."""
        self._copies.add(path)

    def sums(self) -> Iterator[str]:
        """Yield a sentence for each kind of which there were files."""
        for kind in (self._copies, self._gzip, self._pages):
            yield from kind.lines()
