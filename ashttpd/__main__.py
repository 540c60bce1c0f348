"""The way in, for `ashttpd` and `python -m ashttpd`: what must hold before anything is imported."""

import signal
import sys


def main() -> int:
    """Run the server; returns the exit status."""
    # The imports take a moment. A SIGHUP that comes by then, of a logrotate that runs while the
    # server starts, would end it. There is no log to open anew yet; `run` takes the signal over.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from ashttpd.cli import main as run_cli

    return run_cli()


if __name__ == "__main__":
    sys.exit(main())
