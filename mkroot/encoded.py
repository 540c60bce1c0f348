"""Files whose bytes are a coded copy of what they stand for: which ones, and in which coding."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mkroot.encode import CODINGS
from mkroot.media_types import compile_glob

# The format is defined as gzip (SVG 2 section 6.1), and no browser takes it without
# Content-Encoding. A plain SVG under such a name is taken as well.
_DEFAULT_RULES: Final = (("*.svgz", "gzip"),)
# Of the last rule that matches: the file is what it is.
NO_CODING: Final = "identity"
# Suffixes of a coding, and Unity's for any. What stands before them tells the media type.
_SUFFIX: Final = re.compile(rb"(.*[^/])\.(?:gz|br|zst|unityweb)", re.DOTALL | re.IGNORECASE)
# Those that stand for two.
_TAR_SUFFIXES: Final = (b"tgz", b"tzst")


def parse_rule(text: str) -> tuple[str, str]:
    """Return glob and coding of GLOB=CODING; raises ValueError."""
    glob, equals, coding = text.rpartition("=")
    if not equals or not glob or coding not in (*CODINGS, NO_CODING):
        known = ", ".join((*CODINGS, NO_CODING))
        raise ValueError(f"{text!r} is not GLOB=CODING, as in '*.unityweb=br'; codings: {known}")
    return glob, coding


@dataclass(frozen=True, slots=True)
class Coding:
    """The coding of a file, which may be NO_CODING.

    `is_certain` where the operator said so, and not the name alone.
    """

    name: str
    is_certain: bool


class EncodedRules:
    """Which files are in which coding; globs are those of MediaTypes, the last match wins."""

    def __init__(self, rules: Sequence[tuple[str, str]] = ()) -> None:
        """Compile pairs of glob and coding."""
        self._rules = [
            (compile_glob(glob, coding), Coding(coding, is_certain=(glob, coding) in rules))
            for glob, coding in reversed((*_DEFAULT_RULES, *rules))
        ]

    def maybe_coding(self, path: bytes) -> Coding | None:
        """Return the coding of the file at a path inside of the tree, None for none."""
        coding = self.maybe_rule(path)
        return None if coding is None or coding.name == NO_CODING else coding

    def maybe_rule(self, path: bytes) -> Coding | None:
        """Return what the last rule says that matches, NO_CODING too; None where none does."""
        return next((coding for matches, coding in self._rules if matches(path)), None)


def exact_glob(path: bytes) -> bytes:
    """Return a glob that matches the file at a path inside of the tree, in no other directory.

    Wildcards in the path itself stay such.
    """
    return path if b"/" in path else b"/" + path


def inner_name(path: bytes) -> bytes:
    """Return the name that tells what is inside of a coded file: `x.js` of `x.js.gz`."""
    stem, _dot, suffix = path.rpartition(b".")
    if suffix.lower() in _TAR_SUFFIXES and stem and not stem.endswith(b"/"):
        return stem + b".tar"
    match = _SUFFIX.fullmatch(path)
    return match[1] if match else path


@dataclass(frozen=True, slots=True)
class GivenCopy:
    """A copy that the tree has: its coding, and how to read it, as often as is asked."""

    coding: str
    chunks: Callable[[], Iterator[bytes]]


def rules_of(meta: Mapping[str, object]) -> EncodedRules:
    """Return the rules that a webroot's metadata names; such as are none are left out."""
    options = meta.get("options")
    texts = options.get("encoded") if isinstance(options, dict) else None
    rules = []
    for text in texts if isinstance(texts, list) else ():
        try:
            rules.append(parse_rule(str(text)))
        except ValueError:
            continue
    return EncodedRules(rules)
