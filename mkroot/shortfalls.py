"""Counts what a visitor will not get although it is in the tree, for a phrase at a build's end."""

from collections import Counter
from typing import Final

from ashttpd.http.limits import Limits
from ashttpd.http.target import encode_path
from mkroot.errors import show

# A phrase that is read: the names that are left out most often, each up to a length.
SHOWN_NAMES: Final = 5
SHOWN_NAME_BYTES: Final = 40
# Different names that are counted apart; a tree may have a million, each once.
MAX_NAMES: Final = 1_000


class LeftOut:
    """What was left out so far, in bounded memory."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._names: Counter[bytes] = Counter()
        self._dots = 0
        self._symlinks = 0

    def add_dot_name(self, name: bytes) -> None:
        """Count a name that starts with a dot."""
        self._dots += 1
        if name in self._names or len(self._names) < MAX_NAMES:
            self._names[name] += 1

    def add_symlink(self) -> None:
        """Count a symlink that was skipped."""
        self._symlinks += 1

    def describe(self) -> str:
        """Return the phrase, empty where nothing was left out."""
        parts = []
        if self._dots:
            parts.append(f"{_plural(self._dots, 'dot name')} ({self._shown()})")
        if self._symlinks:
            parts.append(_plural(self._symlinks, "symlink"))
        if not parts:
            return ""
        them = "dot names" if self._symlinks else "them"
        way_out = f"; --dotfiles takes {them}" if self._dots else ""
        return f"left out: {', '.join(parts)}{way_out}"

    def _shown(self) -> str:
        # By name where they are equally frequent: the order of a directory has no meaning.
        often = sorted(self._names.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_NAMES]
        others = self._dots - sum(count for _name, count in often)
        shown = [f"{_shortened(name)} {count:,}" for name, count in often]
        return ", ".join(shown + ([f"others {others:,}"] if others else []))


# What a server takes as a target unless it is told otherwise.
MAX_TARGET_BYTES: Final = Limits().target_bytes
# No byte of a path is longer in its URL than this: %XX.
_ENCODED_BYTES: Final = 3
SHOWN_URL_BYTES: Final = 100


class LongUrls:
    """URLs that a server with its default limits answers with 414, by their number."""

    def __init__(self) -> None:
        """Start with none."""
        self.count = 0
        self._first = b""
        self._longest = 0

    def add(self, path: bytes) -> None:
        """Look at the canonical path of a URL."""
        if len(path) * _ENCODED_BYTES <= MAX_TARGET_BYTES:
            return
        url = encode_path(path)
        if len(url) > MAX_TARGET_BYTES:
            self._first = self._first if self.count else url
            self._longest = max(self._longest, len(url))
            self.count += 1

    def describe(self) -> str:
        """Return the warning; there has to be one."""
        return (
            f"{_plural(self.count, 'URL')} of more than {MAX_TARGET_BYTES:,} bytes, up to "
            f"{self._longest:,}: ashttpd answers 414 unless its --target-bytes and --head-bytes "
            f"allow for it; the first is {self._first[:SHOWN_URL_BYTES].decode('ascii')}…"
        )


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _shortened(name: bytes) -> str:
    shown = show(name[:SHOWN_NAME_BYTES])
    return shown if len(name) <= SHOWN_NAME_BYTES else shown + "…"
