"""The command line of the server: parses, checks, and says what is wrong with it."""

import argparse
import logging
from collections.abc import Sequence
from stat import S_ISDIR
from typing import Final

from ashttpd import __version__
from ashttpd.budget import FilesError
from ashttpd.commandline import Parser, not_empty, path_from
from ashttpd.config import AUTO, MODELS, NAMES_OF_2010, Config, default_threads
from ashttpd.engine import UnusableError
from ashttpd.errorlog import ErrorLog, logging_errors
from ashttpd.listen import Address, AddressError, parse_address
from ashttpd.logfile import LogFileError
from ashttpd.options import add_limits, limits_of, number_from, seconds_from
from ashttpd.server import run
from ashttpd.show import reason, show
from ashttpd.standard import keep_standard_descriptors

log = logging.getLogger(__name__)

DEFAULT_BIND: Final = Address("127.0.0.1", 8080)
DEFAULT_DRAIN_SECONDS: Final = 30.0
MAX_THREADS: Final = 256

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

exit status: 0 after a drain; 1 when the server cannot start, or ends because of an error of its
own; 2 for a wrong command line."""


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _processes(text: str) -> int:
    if text != "1":
        raise argparse.ArgumentTypeError(
            f"{text!r}: this version runs in one process; leave it out, or say 1"
        )
    return 1


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="ashttpd",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("vhosts", metavar="VHOSTS", type=path_from, help="directory of webroots")
    parser.add_argument(
        "--model",
        choices=(*MODELS, *NAMES_OF_2010),
        default=AUTO,
        help="how bytes are moved: uring is one loop over io_uring (Linux 6.0), aio one loop that "
        "has the kernel read files meanwhile, threads a pool of threads that may block on files, "
        "but never on clients; auto (the default) is uring where it works, else threads. The "
        "names of 2010 say --io, too: sync and sendfile are threads with read and sendfile, async "
        "and dio are aio with auto and direct, async-sendfile is uring. docs/models.md says which "
        "one to choose",
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
        type=number_from(1, MAX_THREADS),
        default=default_threads(),
        help="workers of the pool, each of which may wait for a disk (default: %(default)s here)",
    )
    parser.add_argument(
        "--io",
        choices=tuple(io for choices in MODELS.values() for io in choices),
        help="how large bodies are read; with threads: sendfile (the default) or read, through our "
        "memory; with aio: auto (the default) sends what the kernel has in memory and reads the "
        "rest with O_DIRECT, buffered reads all through the kernel's memory, direct nothing",
    )
    parser.add_argument(
        "--access-log",
        metavar="PATH|-|off",
        type=not_empty,
        default="off",
        help="where to append a line per request in combined format; - is the standard output "
        "(default: off)",
    )
    parser.add_argument(
        "--drain-seconds",
        metavar="S",
        type=seconds_from(0),
        default=DEFAULT_DRAIN_SECONDS,
        help="how long responses under way may take after SIGTERM (default: %(default)g)",
    )
    parser.add_argument("--version", action="version", version=f"ashttpd {__version__}")
    add_limits(parser)
    return parser


def _choose_engine(parser: argparse.ArgumentParser, model: str, io: str | None) -> tuple[str, str]:
    """Return an engine and its way of reading; ends the program where they do not go together."""
    if model in NAMES_OF_2010:
        named = NAMES_OF_2010[model]
        if io not in (None, named[1]):
            meant = " --io ".join(filter(None, named))
            parser.error(f"--model {model} is --model {meant}, not --io {io}")
        return named
    known = MODELS[model]
    if io not in (None, *known):
        parser.error(
            f"--io {io} is not for --model {model}, which has {', '.join(known) or 'none'}"
        )
    return model, io or "".join(known[:1])


def _config(options: argparse.Namespace, model: str, io: str) -> Config:
    return Config(
        vhosts=options.vhosts,
        model=model,
        addresses=tuple(options.bind or [DEFAULT_BIND]),
        threads=options.threads,
        io=io,
        access_log=None if options.access_log == "off" else options.access_log,
        drain_seconds=options.drain_seconds,
        limits=limits_of(options),
    )


def _serve(error_log: ErrorLog, options: argparse.Namespace, model: str, io: str) -> int:
    """Run the server; returns the exit status. What keeps it from starting is said in a line."""
    try:
        # Raises OSError for one that does not exist, or may not be looked at.
        if not S_ISDIR(options.vhosts.stat().st_mode):
            error_log.say(f"ashttpd: {show(str(options.vhosts))}: not a directory")
            return 1
        return run(_config(options, model, io))
    except UnusableError as error:
        error_log.say(
            f"ashttpd: the {model} engine cannot run here: {show(str(error))}. "
            "Or use --model threads"
        )
    except LogFileError as error:
        error_log.say(f"ashttpd: --access-log: {show(str(error))}")
    except (AddressError, FilesError, OSError) as error:
        error_log.say(f"ashttpd: {show(reason(error))}")
    except Exception:
        log.critical("ashttpd ends: this is a bug", exc_info=True)
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    keep_standard_descriptors()
    parser = make_parser()
    options = parser.parse_args(arguments)
    model, io = _choose_engine(parser, options.model, options.io)
    with logging_errors() as error_log:
        return _serve(error_log, options, model, io)
