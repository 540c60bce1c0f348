"""The command line of the builder: parses, checks, shows progress, and says what is wrong."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as ProgressBar

from ashttpd.commandline import FAILED, Parser, path_from, print_out
from ashttpd.standard import keep_standard_descriptors
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
from mkroot import __version__, inspect
from mkroot.build import DEFAULT_INDEXES, Options, Progress, build
from mkroot.encode import CODINGS
from mkroot.encoded import parse_rule
from mkroot.errors import BuildError, show
from mkroot.listing import ListingError, human_size
from mkroot.media_types import MediaTypes
from mkroot.output import names_directory
from mkroot.tree import Symlinks, TreeOptions
from mkroot.verify import verify

_DESCRIPTION: Final = """\
Compile a directory into a webroot, one file that ashttpd serves. OUTPUT is replaced in one step
when all is written; a build that fails leaves it as it was. OUTPUT is a regular file: a device, a
FIFO, a socket or a directory is refused; of a symlink the file that it leads to is replaced."""

_EPILOG: Final = """\
examples:
  mkroot ./public example.com.webroot
  mkroot --listing --type '*.foo=text/x-foo' ./downloads downloads.webroot
  mkroot --verify *.webroot
  mkroot --cat site.webroot /docs/ | less

exit status: 0; 1 for a failed build, a damaged webroot or a difference; 2 for a wrong command
line."""


def _type(text: str) -> tuple[str, str]:
    """Split GLOB=TYPE at the first `=` behind which a media type stands.

    A glob may hold any number of `=`, and so may the parameters of a type; but no type goes on
    with `=` behind its subtype, so that at most one place fits (RFC 9110 section 8.3.1).
    """
    places = [place for place, character in enumerate(text) if character == "=" and place]
    reasons = []
    for place in places:
        glob, value = text[:place], text[place + 1 :]
        try:
            MediaTypes([(glob, value)])
        except ValueError as error:
            reasons.append(str(error))
        else:
            return glob, value
    if reasons:
        raise argparse.ArgumentTypeError(reasons[0])
    raise argparse.ArgumentTypeError(f"{text!r} is not GLOB=TYPE, as in '*.foo=text/x-foo'")


def _encoded(text: str) -> tuple[str, str]:
    try:
        return parse_rule(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _index(text: str) -> str:
    if not text or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a file")
    return text


def _codings(text: str) -> tuple[str, ...]:
    named = set() if text == "none" else set(text.split(","))
    unknown = named - set(CODINGS)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not none, or a list of {', '.join(CODINGS)} as in gzip,br"
        )
    # Not in the order of the list: it has no meaning, and would change the file.
    return tuple(coding for coding in CODINGS if coding in named)


def make_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="mkroot",
        usage="mkroot [options] SOURCE OUTPUT\n"
        "       mkroot --verify FILE... | --list FILE | --info FILE | --cat FILE URL\n"
        "       mkroot --extract FILE DIR | --diff OLD NEW",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "--symlinks",
        choices=[choice.value for choice in Symlinks],
        default=Symlinks.FOLLOW.value,
        help="what becomes of symlinks inside of SOURCE: they are followed (default), become "
        "redirects, with all below a linked directory, or are left out; one that leads out of "
        "SOURCE is an error, unless skipped",
    )
    parser.add_argument(
        "--dotfiles",
        action="store_true",
        help="take names that start with a dot, too (.well-known is always taken)",
    )
    parser.add_argument(
        "--index",
        metavar="NAME",
        type=_index,
        action="append",
        help="file to serve under its directory's URL, the first that is there; may be given "
        f"several times (default: {', '.join(DEFAULT_INDEXES)})",
    )
    parser.add_argument(
        "--listing",
        action="store_true",
        help="make listings, HTML and JSON, for directories without an index (default: 404)",
    )
    parser.add_argument(
        "--listing-template",
        metavar="FILE",
        type=path_from,
        help="Jinja2 template of the HTML listing",
    )
    parser.add_argument(
        "--last-modified",
        action="store_true",
        help="send files' times of modification as Last-Modified; without it the entity tag is the "
        "only validator, and the same contents give the same bytes whatever their times",
    )
    parser.add_argument(
        "--type",
        metavar="GLOB=TYPE",
        type=_type,
        action="append",
        default=[],
        help="media type of what matches, as it is to be sent; the last that matches wins; "
        "GLOB may hold = too",
    )
    _add_codings(parser)
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--version", action="version", version=f"mkroot {__version__}")
    _add_actions(parser)
    return parser


def _add_codings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compress",
        metavar="LIST|none",
        type=_codings,
        default=tuple(CODINGS),
        help="codings of the compressed copies that are made of text and the like, separated by "
        f"commas (default: {','.join(CODINGS)})",
    )
    parser.add_argument(
        "--precompressed",
        choices=("use", "serve"),
        default="use",
        help="what becomes of X.gz, X.br and X.zst beside X: where it unpacks to X, it is used as "
        "its copy and is no URL (default), or it is served like any other file",
    )
    parser.add_argument(
        "--encoded",
        metavar="GLOB=CODING",
        type=_encoded,
        action="append",
        default=[],
        help="files that are in a coding already (gzip, br, zstd), such as Unity builds and "
        "gzipped map tiles: they are served with it, decoded for clients that lack it, and typed "
        "by the name without .gz, .br, .zst or .unityweb; identity: as they are; the last that "
        "matches wins (built in: *.svgz=gzip)",
    )


def _add_actions(parser: argparse.ArgumentParser) -> None:
    other = parser.add_argument_group("looking into webroots").add_mutually_exclusive_group()
    for name, text in (
        ("verify", "read every byte of each FILE and name all that is damaged"),
        ("list", "list the URLs with status, length, entity tag, media type"),
        ("info", "show site id, sizes and how it was built"),
        ("cat", "write the body of URL"),
        ("extract", "write the files into DIR, which has to be empty or missing"),
        ("diff", "list the URLs that were removed (-), added (+) or changed (~)"),
    ):
        other.add_argument(f"--{name}", dest="action", action="store_const", const=name, help=text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    keep_standard_descriptors()
    if isinstance(sys.stdout, TextIOWrapper):
        # A path need not be text in the terminal's encoding, and is worth no failure.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            print_out()
    except BrokenPipeError:
        return 0  # Who reads us had enough.
    except OSError as error:
        print(f"mkroot: {_explain(error)}", file=sys.stderr)
    except (BuildError, ListingError, LookupError, ImportError, ValueError) as error:
        print(f"mkroot: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("mkroot: interrupted", file=sys.stderr)
    return FAILED


def _explain(error: OSError) -> str:
    """Return what the machine says as our own messages are: the file, then the reason."""
    if error.strerror is None:
        return str(error)
    if isinstance(error.filename, str | bytes):
        return f"{show(os.fsencode(error.filename))}: {error.strerror}"
    return error.strerror


# What each action takes; one more of the last where it ends with dots.
_OPERANDS: Final = {
    None: "SOURCE OUTPUT",
    "verify": "FILE...",
    "list": "FILE",
    "info": "FILE",
    "cat": "FILE URL",
    "extract": "FILE DIR",
    "diff": "OLD NEW",
}
# Actions that are of no use without a standard output; of others, the exit status is.
_PRINTING: Final = ("list", "info", "cat")


def _check_operands(parser: Parser, action: str | None, given: Sequence[str]) -> None:
    operands = _OPERANDS[action]
    wanted = len(operands.split())
    if len(given) == wanted or (operands.endswith("...") and len(given) > wanted):
        names = operands.removesuffix("...").split()
        names += names[-1:] * (len(given) - wanted)
        for name, operand in zip(names, given, strict=True):
            # As of a variable that is not set; a Path would take it for the working directory.
            if not operand:
                parser.error(f"{name} is empty; is a variable not set?")
        return
    what = "a build" if action is None else f"--{action}"
    shown = f": {' '.join(map(repr, given))}" if given else ""
    parser.error(f"{what} takes {operands}, and not {len(given)} operands{shown}")


def _run(arguments: Sequence[str] | None) -> int:
    parser = make_parser()
    # Options may stand between the paths too.
    options = parser.parse_operands(arguments, "paths")
    _check_operands(parser, options.action, options.paths)
    # The interpreter has no such object where the shell was told to close it.
    if options.action in _PRINTING and sys.stdout is None:
        raise BuildError("the standard output is closed")
    commands: dict[str | None, Callable[[argparse.Namespace], int]] = {
        None: _build,
        "verify": _verify,
        "list": _list,
        "info": _info,
        "cat": _cat,
        "extract": _extract,
        "diff": _diff,
    }
    return commands[options.action](options)


def _open(path: str) -> Webroot:
    try:
        return Webroot(path)
    except WebrootError as error:
        raise BuildError(f"{path}: {error}") from error


# Digits of a number of seconds in 64 bits. More of them are no date, and text in a message.
_MAX_DATE_DIGITS: Final = 19


def _latest_date() -> int | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if len(text) > _MAX_DATE_DIGITS:
        raise BuildError(
            f"SOURCE_DATE_EPOCH has {len(text):,} characters, more than the {_MAX_DATE_DIGITS} of "
            "a number of seconds"
        )
    if not (text.isascii() and text.isdigit()):
        raise BuildError(f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds")
    return int(text)


def _build(options: argparse.Namespace) -> int:
    _refuse_no_file(options.paths[1])
    source, output = map(Path, options.paths)
    settings = Options(
        tree=TreeOptions(Symlinks(options.symlinks), options.dotfiles),
        indexes=tuple(options.index or DEFAULT_INDEXES),
        listing=options.listing or options.listing_template is not None,
        listing_template=options.listing_template,
        types=tuple(options.type),
        compress=options.compress,
        encoded=tuple(options.encoded),
        use_precompressed=options.precompressed == "use",
        last_modified=options.last_modified,
        latest_date=_latest_date(),
    )
    started = time.monotonic()
    console = Console(stderr=True)
    with ExitStack() as stack:
        shown = console.is_terminal and not options.quiet
        tell = _show_progress(stack, console) if shown else _tell_nobody
        progress = build(source, output, settings, tell)
    if options.quiet:
        return 0
    for warning in progress.warnings:
        print(f"mkroot: {warning}", file=sys.stderr)
    if progress.unsaid:
        print(f"mkroot: and {progress.unsaid:,} more warnings", file=sys.stderr)
    seconds = time.monotonic() - started
    print(
        f"{output}: {progress.urls:,} URLs of {progress.files:,} files, "
        f"{human_size(progress.bytes)}, {human_size(progress.saved)} saved by dedup, "
        f"{seconds:.1f} s, site id {progress.site_id[:12]}"
        + (progress.left_out and f"; {progress.left_out}")
    )
    return 0


def _refuse_no_file(output: str) -> None:
    """Raise BuildError for an OUTPUT that means no file, which a Path does not tell any more."""
    if output == "-":
        raise BuildError(
            "-: OUTPUT is put in place in one step, which the standard output cannot be; "
            "name a file (./- for one of this name)"
        )
    if names_directory(output):
        raise BuildError(f"{output}: a directory; name a file in it")


def _tell_nobody(_progress: Progress) -> None:
    pass


def _show_progress(stack: ExitStack, console: Console) -> Callable[[Progress], None]:
    """Show a bar until the stack unwinds; returns what to tell of the progress."""
    bar = stack.enter_context(
        ProgressBar(
            SpinnerColumn(),
            TextColumn("{task.fields[urls]:,} URLs"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
        )
    )
    task = bar.add_task("build", total=None, urls=0)
    shown = 0.0

    def tell(progress: Progress) -> None:
        # A million updates would cost more than the build.
        nonlocal shown
        now = time.monotonic()
        if now - shown >= 0.1:
            shown = now
            bar.update(task, completed=progress.bytes, urls=progress.urls)

    return tell


def _verify(options: argparse.Namespace) -> int:
    damaged = 0
    for path in options.paths:
        faults = 0
        try:
            webroot = Webroot(path)
            for fault in verify(webroot):
                faults += 1
                print(f"{path}: damaged: {fault}")
        except WebrootError as error:
            faults += 1
            print(f"{path}: damaged: {error}")
        except OSError as error:
            faults += 1
            print(f"{path}: cannot be read: {error.strerror or error}")
        else:
            if not faults and not options.quiet:
                print(f"{path}: OK, site id {webroot.site_id}, {webroot.resource_count:,} URLs")
        damaged += bool(faults)
    return FAILED if damaged else 0


def _list(options: argparse.Namespace) -> int:
    webroot = _open(options.paths[0])
    try:
        for line in inspect.list_resources(webroot):
            print(line)
    except WebrootError as error:
        raise BuildError(f"{webroot.path}: {error}") from error
    return 0


def _info(options: argparse.Namespace) -> int:
    webroot = _open(options.paths[0])
    try:
        for name, value in inspect.describe(webroot):
            print(f"{name:<18} {value}")
    except WebrootError as error:
        raise BuildError(f"{webroot.path}: {error}") from error
    return 0


def _cat(options: argparse.Namespace) -> int:
    path, url = options.paths
    try:
        inspect.cat(_open(path), url, sys.stdout.buffer)
    except WebrootError as error:
        raise BuildError(f"{path}: {error}") from error
    return 0


def _extract(options: argparse.Namespace) -> int:
    path, directory = options.paths
    extraction = inspect.Extraction(_open(path), Path(directory))
    try:
        extraction.run()
    except WebrootError as error:
        raise BuildError(f"{path}: {error}") from error
    if not options.quiet:
        print(f"{directory}: {extraction.files:,} files")
    return 0


def _diff(options: argparse.Namespace) -> int:
    old, new = map(_open, options.paths)
    differences = 0
    try:
        for line in inspect.diff(old, new):
            differences += 1
            print(line)
    except WebrootError as error:
        raise BuildError(f"{old.path}, {new.path}: {error}") from error
    return FAILED if differences else 0
