"""The standard descriptors of a program that was started without some of them."""

import os
import sys


def keep_standard_descriptors() -> None:
    """Occupy the descriptors 0, 1 and 2 where they are closed; to be called first of all.

    Otherwise a file or a client's socket would get such a number, and with it whatever a library
    writes there. O_PATH (open(2)) takes the number only: reads and writes still fail with EBADF.

    Without a standard error, messages go nowhere; print(3) would send them to the standard output.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/", os.O_PATH)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it is for the rest of the program
