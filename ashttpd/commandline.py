"""How every program of the project reads its command line: it guesses nothing, and is brief.

An option is written in full, since an abbreviation would mean another option in a later version.
A usage error is one line: the option, the value, and the way out.
"""

import argparse
from difflib import get_close_matches
from typing import Any, Final, NoReturn

USAGE: Final = 2
_UNKNOWN: Final = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """An ArgumentParser without abbreviations, whose errors are one line."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of an ArgumentParser."""
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end the program with USAGE."""
        said = message + self._suggestion(message)
        # A value may hold anything, and has to stay on the line.
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)
        self.exit(USAGE, f"{self.prog}: {shown}; {self.prog} --help shows all options\n")

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
