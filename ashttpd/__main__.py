"""Lets `python -m ashttpd` be the program."""

import sys

from ashttpd.cli import main

if __name__ == "__main__":
    sys.exit(main())
