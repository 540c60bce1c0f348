"""How every program of the project reads its command line: it guesses nothing, and is brief.

What a program prints to its standard output it has printed, or it ends with an error.
An option is written in full, since an abbreviation would mean another option in a later version.
A usage error is one line: the option, the value, and the way out.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any, Final, NoReturn

FAILED: Final = 1
USAGE: Final = 2
_UNKNOWN: Final = "unrecognized arguments: "


def not_empty(text: str) -> str:
    """Return the text of an argument; raises ArgumentTypeError for none.

    An empty path means the working directory to many calls, and comes from a variable that is not
    set.
    """
    if not text:
        raise argparse.ArgumentTypeError("'' is empty; is a variable not set?")
    return text


def path_from(text: str) -> Path:
    """Return a path that an argument names; raises ArgumentTypeError for an empty text."""
    return Path(not_empty(text))


def print_out(text: str = "", file: IO[str] | None = None) -> None:
    """Print to a file, or to the standard output, and write that out; raises OSError."""
    try:
        print(text, end="", file=file, flush=True)
    except OSError:
        # Or the interpreter would try again on its way out, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), (file or sys.stdout).fileno())
        raise


class Parser(argparse.ArgumentParser):
    """An ArgumentParser without abbreviations, whose errors are one line."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of an ArgumentParser."""
        super().__init__(allow_abbrev=False, **settings)

    def parse_operands(self, arguments: Sequence[str] | None, name: str) -> argparse.Namespace:
        """Parse options and operands in any order; what stands behind `--` are operands.

        `name` is the list of operands. `parse_intermixed_args` takes `--` away and then takes
        operands for options.
        """
        given = list(sys.argv[1:] if arguments is None else arguments)
        end = given.index("--") if "--" in given else len(given)
        options = self.parse_intermixed_args(given[:end])
        getattr(options, name).extend(given[end + 1 :])
        return options

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end the program with USAGE."""
        said = _blame_options(message)
        said += self._suggestion(said)
        # A value may hold anything, and has to stay on the line.
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)
        self.exit(USAGE, f"{self.prog}: {shown}; {self.prog} --help shows all options\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print a message; where the standard output does not take it, end with FAILED.

        ArgumentParser ignores every error. A pipe without a reader is none: the reader had enough.
        """
        file = file or sys.stderr
        try:
            print_out(message, file)
        except OSError as error:
            if file is sys.stdout and not isinstance(error, BrokenPipeError):
                self.exit(FAILED, f"{self.prog}: {error.strerror}\n")

    def _suggestion(self, message: str) -> str:
        """Name the option that an unknown one was meant to be, where one is near."""
        for word in message.removeprefix(_UNKNOWN).split() if message.startswith(_UNKNOWN) else ():
            name = word.partition("=")[0]
            if name.startswith("-"):
                options = list(self._option_string_actions)
                begun = [option for option in options if option.startswith(name)]
                near = begun or get_close_matches(name, options, n=1)
                if near:
                    return f" (did you mean {' or '.join(near)}?)"
        return ""


def _blame_options(message: str) -> str:
    """Leave operands out of a message about unknown options: those made them seem too many."""
    if not message.startswith(_UNKNOWN):
        return message
    words = message.removeprefix(_UNKNOWN).split(" ")
    options = [word for word in words if word.startswith("-") and word != "-"]
    return _UNKNOWN + " ".join(options or words)
