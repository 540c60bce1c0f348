"""Counts the names that a build leaves out without asking, for one phrase at its end."""

from collections import Counter
from typing import Final

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
        way_out = "; --dotfiles takes dot names" if self._dots else ""
        return f"left out: {', '.join(parts)}{way_out}"

    def _shown(self) -> str:
        # By name where they are equally frequent: the order of a directory has no meaning.
        often = sorted(self._names.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_NAMES]
        others = self._dots - sum(count for _name, count in often)
        shown = [f"{_shortened(name)} {count:,}" for name, count in often]
        return ", ".join(shown + ([f"others {others:,}"] if others else []))


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _shortened(name: bytes) -> str:
    shown = show(name[:SHOWN_NAME_BYTES])
    return shown if len(name) <= SHOWN_NAME_BYTES else shown + "…"
