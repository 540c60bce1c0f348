"""The C extensions, each of which the package can do without.

All else about the package stands in pyproject.toml. An extension that cannot be built, for want of
a compiler or of a library, is left out and said so: the server then works without it, slower or
with an engine less. With ASHTTPD_REQUIRE_EXTENSIONS=1 in the environment it is an error instead.
"""

import os
import struct
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# The only list of extensions: a line each, the file and the variable of its cffi builder.
BUILDERS = [
    "ashttpd/http/build_scan.py:ffibuilder",
    "ashttpd/epoll/build_turn.py:ffibuilder",
    "ashttpd/uring/build_uring.py:ffibuilder",
    "ashttpd/aio/build_aio.py:ffibuilder",
]

REQUIRED = os.environ.get("ASHTTPD_REQUIRE_EXTENSIONS") == "1"

# Each line begins alike so that it can be found in the long log of an installer.
MESSAGE = """\
ashttpd: {name} could not be built: {reason}
ashttpd: {outcome}
ashttpd: It takes a C compiler, the headers of Python and, for an engine, those of its library.
ashttpd: `packaging/system-packages build` installs them or names the packages; then install again.
"""


NEEDED_BITS = 64


def refuse_narrow(bits: int) -> None:
    """Raise SystemExit unless Python, and with it what is built for it, has pointers of 64 bits.

    The extensions hand addresses, sizes and offsets of files over as 64 bits, and maps of large
    files would not fit in less.
    """
    if bits != NEEDED_BITS:
        raise SystemExit(
            f"ashttpd: this Python is of {bits} bits, and ashttpd takes one of {NEEDED_BITS}"
        )


class BuildExtensions(build_ext):
    """Builds what can be built; says what could not be, why, and what to do about it."""

    def build_extension(self, ext: Extension) -> None:
        """Build one extension, or leave it out unless all are required."""
        # What setuptools copies into the source tree afterwards may then be absent.
        ext.optional = not REQUIRED
        try:
            super().build_extension(ext)
        except (BaseError, CCompilerError, OSError) as exc:
            if REQUIRED:
                outcome = "ASHTTPD_REQUIRE_EXTENSIONS=1 makes that an error."
            else:
                outcome = "It is left out; the server works without it."
            message = MESSAGE.format(name=ext.name, reason=exc, outcome=outcome)
            if REQUIRED:
                raise SystemExit(message) from exc
            sys.stderr.write(message)


if __name__ == "__main__":
    refuse_narrow(8 * struct.calcsize("P"))
    setup(cffi_modules=BUILDERS, cmdclass={"build_ext": BuildExtensions})
