"""Lets `python -m mkroot` be the program."""

import sys

from mkroot.cli import main

if __name__ == "__main__":
    sys.exit(main())
