"""The command line of the server: parses, checks, and says what is wrong with it."""

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ashttpd import __version__
from ashttpd.config import Config, default_threads
from ashttpd.http.limits import Limits
from ashttpd.listen import Address, AddressError, parse_address
from ashttpd.server import run
from ashttpd.threads.bodies import SEND_BODY

DEFAULT_BIND: Final = Address("127.0.0.1", 8080)
DEFAULT_DRAIN_SECONDS: Final = 30.0
MAX_THREADS: Final = 256
# Deadlines are looked at once a second; less than this would end connections that are in use.
MIN_SECONDS: Final = 0.1
MAX_SECONDS: Final = 86_400

_DESCRIPTION: Final = """\
Serve every webroot of a directory, each under its file's name as the host name:

  vhosts/example.com        http://example.com/
  vhosts/*.example.com      every subdomain that has no file of its own
  vhosts/__default__        all other hosts

Build a webroot with mkroot. Usually a file in VHOSTS is a symlink to one. To deploy a
site, rename a new webroot over the old one, or move the symlink: the new site is live within a
second, without a restart, and what is being sent is finished from the old one."""

_EPILOG: Final = """\
examples:
  mkroot ./public site.webroot
  mkdir vhosts && ln -s ../site.webroot vhosts/__default__
  ashttpd ./vhosts                                   serve on http://127.0.0.1:8080/
  ashttpd --bind 0.0.0.0:80 --bind '[::]:80' --access-log /var/log/ashttpd.log /srv/vhosts

signals:
  SIGTERM, SIGINT   take no new connections, finish the responses under way, exit 0
  SIGHUP            open the access log anew, after it was rotated

exit status: 0 after a drain, 1 when the server cannot start, 2 for a wrong command line."""


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _number_of_seconds(text: str, least: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not least <= seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {least:g} to {MAX_SECONDS}"
        )
    return seconds


def _drain_seconds(text: str) -> float:
    return _number_of_seconds(text, 0)


def _seconds(text: str) -> float:
    return _number_of_seconds(text, MIN_SECONDS)


def _threads(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MAX_THREADS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_THREADS}")
    return int(text)


def _processes(text: str) -> int:
    if text != "1":
        raise argparse.ArgumentTypeError(
            f"{text!r}: this version runs in one process; leave it out, or say 1"
        )
    return 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="ashttpd",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("vhosts", metavar="VHOSTS", type=Path, help="directory of webroots")
    parser.add_argument(
        "--model",
        choices=("threads", "uring", "aio"),
        default="threads",
        help="how bytes are moved: threads (the default, and the only one of this version) is a "
        "pool of threads that may block on files, but never on clients",
    )
    parser.add_argument(
        "--bind",
        metavar="HOST:PORT",
        type=_address,
        action="append",
        help="address to listen on; may be given several times; port 0 takes a free one "
        f"(default: {DEFAULT_BIND.host}:{DEFAULT_BIND.port})",
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=_processes,
        default=1,
        help="number of processes; only 1 in this version",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=_threads,
        default=default_threads(),
        help="workers of the pool, each of which may wait for a disk (default: %(default)s here)",
    )
    parser.add_argument(
        "--io",
        choices=tuple(SEND_BODY),
        default="sendfile",
        help="how large bodies reach a socket (default: %(default)s)",
    )
    parser.add_argument(
        "--access-log",
        metavar="PATH|-|off",
        default="off",
        help="where to append a line per request in combined format; - is the standard output "
        "(default: off)",
    )
    parser.add_argument(
        "--drain-seconds",
        metavar="S",
        type=_drain_seconds,
        default=DEFAULT_DRAIN_SECONDS,
        help="how long responses under way may take after SIGTERM (default: %(default)g)",
    )
    _add_limits(parser)
    parser.add_argument("--version", action="version", version=f"ashttpd {__version__}")
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    limits = Limits()
    for name, default, text in (
        ("idle", limits.idle_seconds, "a connection may wait for its next request"),
        ("head", limits.head_seconds, "a request's head may take to come"),
        ("stall", limits.stall_seconds, "a client may take nothing of a response"),
    ):
        parser.add_argument(
            f"--{name}-seconds",
            metavar="S",
            type=_seconds,
            default=default,
            help=f"how long {text} (default: %(default)g)",
        )


def _config(options: argparse.Namespace) -> Config:
    return Config(
        vhosts=options.vhosts,
        addresses=tuple(options.bind or [DEFAULT_BIND]),
        threads=options.threads,
        io=options.io,
        access_log=None if options.access_log == "off" else options.access_log,
        drain_seconds=options.drain_seconds,
        limits=Limits(
            idle_seconds=options.idle_seconds,
            head_seconds=options.head_seconds,
            stall_seconds=options.stall_seconds,
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    options = make_parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    if options.model != "threads":
        print(
            f"ashttpd: the {options.model} engine is not in this version; use --model threads",
            file=sys.stderr,
        )
        return 1
    try:
        if not options.vhosts.is_dir():
            print(f"ashttpd: {options.vhosts}: not a directory", file=sys.stderr)
            return 1
        return run(_config(options))
    except (AddressError, OSError) as error:
        print(f"ashttpd: {error}", file=sys.stderr)
        return 1
