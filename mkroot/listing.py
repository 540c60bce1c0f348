"""Listings of directories that have no index page, as an HTML page and as JSON.

It owns how a listing looks and knows nothing of trees, files or webroots: entries are handed in,
sorted. Both forms go through as streams, so a million entries need no more memory than ten.

**Links and text.** A name is bytes. Its link is the name percent-encoded, with a slash behind that
of a directory. `./` stands only before a name with a colon, where `a:b` would be a scheme (RFC 3986
section 4.2), and before one that begins with `http`, which fsspec takes for a whole URL: several
clients that read listings drop or misread a link that begins with `./`. A link holds no character
that HTML escapes, for the same clients take it as it stands in the page. Its
text is UTF-8, with every byte that is not shown as `\\xNN`: unlike U+FFFD that keeps two broken
names apart. The page also shows control characters and those that reorder text (U+202E and its kin)
as `\\uNNNN`, because escaping makes them safe but not honest. In JSON they are ordinary
JSON escapes.

**JSON.** Integers are exact; `modified` is UTC or null:

    {"path": "/music/", "entries": [
    {"name": "live", "href": "live/", "type": "directory", "size": 0, "modified": null},
    {"name": "a", "href": "a", "type": "file", "size": 7, "modified": "2024-05-17T08:30:00Z"}
    ], "totals": {"directories": 1, "files": 1, "bytes": 7}}

**A template of one's own** is Jinja2 in UTF-8 and is given:

    path      text of the directory's path, such as "/music/live/"
    parent    link to the directory above, None at the top of the site
    crumbs    the directories from the top of the site to this one: .name ("" for the top), .href
    entries   the rows: .name (text), .href, .is_dir, .size (bytes, 0 for a directory), .modified
              ("2024-05-17T08:30:00Z" or None); a stream, to be looped over once
    totals    .directories, .files and .bytes, known only after the loop over entries has ended

and two filters, `human_size` ("1.2 MB") and `grouped` ("1,234,567"). Undefined names are errors.
The template is sandboxed, and has no way to switch escaping off (no `safe`, no `autoescape`), to
read other files, or to come out differently the second time (no `random`, no `lipsum`).

**Security.** The built-in page has no script, loads nothing and is safe without a policy. The
Content-Security-Policy that fits is `default-src 'none'; style-src 'unsafe-inline'; base-uri
'none'; form-action 'none'`. Its style holds no variable, so the `'sha256-...'` of the text between
the style tags can stand in for `'unsafe-inline'`.
"""

import json
import re
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ashttpd.http.target import encode_path

DEFAULT_TEMPLATE = Path(__file__).with_name("templates") / "listing.html"

# Large enough that the writer's calls cost nothing per row, small enough to stay in cache.
CHUNK_CHARACTERS = 64 * 1024

# Controls, line separators, and all that steers the bidirectional algorithm (Unicode UAX #9).
# The joiners U+200C and U+200D stay: Persian and emoji need them.
_DECEIVING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# Directories named in the breadcrumbs of a page, the nearest ones, besides the top of the site.
# Each link goes up from the page by `../`, so without a bound a page at depth n has n * n / 2 of
# those: 37 MB at 5,000 levels.
MAX_CRUMBS = 32

# What a URL may hold and HTML escapes. Programs that read listings take links as they stand, and
# ask for `&amp;`.
_UNESCAPED = {ord("&"): "%26", ord("'"): "%27"}

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing, as the scan found it."""

    name: bytes  # any bytes but NUL and /; never empty, "." or ".."
    is_dir: bool
    size: int  # bytes, 0 for directories
    modified: int | None  # seconds since the epoch, UTC; None when dates are left out


@dataclass(frozen=True, slots=True)
class Crumb:
    """A directory on the way from the top of the site, as a template sees it."""

    name: str
    href: str


@dataclass(frozen=True, slots=True)
class Row:
    """An entry, as a template sees it."""

    name: str
    href: str
    is_dir: bool
    size: int
    modified: str | None


_ROW_FIELDS = frozenset(field.name for field in fields(Row))


class ListingError(Exception):
    """A listing template is wrong; the message names its file, line and the reason."""


# Trying a new template on one entry of each kind finds its faults before a long build starts.
_SAMPLE = (
    Entry(b"directory", is_dir=True, size=0, modified=0),
    Entry(b"file", is_dir=False, size=1, modified=None),
)


class Listing:
    """The two forms of a listing, made with one template."""

    def __init__(self, template: Path | None = None) -> None:
        """Compile `template`, or the built-in page, and try it on a sample directory.

        Raises ListingError for a broken template and OSError for one that cannot be read.
        """
        self._file = template or DEFAULT_TEMPLATE
        source = self._file.read_bytes()
        try:
            self._template = _compile(source.decode(), str(self._file))
        except UnicodeDecodeError as exc:
            line = source.count(b"\n", 0, exc.start) + 1
            raise ListingError(f"{self._file}:{line}: not UTF-8: {exc.reason}") from exc
        except Exception as exc:
            raise _blame(self._file, exc) from exc
        for directory in (b"/", b"/sample/"):
            b"".join(self.html(directory, _SAMPLE))

    def html(self, path: bytes, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The page of the directory `path` (canonical, decoded, such as b"/a b/c/").

        `entries` come in the order they shall appear in and are read once, as the page is drawn.
        Yields UTF-8 in chunks of 64 KiB or more, the last one excepted. Raises ListingError when
        the template fails; an OSError or MemoryError met while reading `entries` passes unchanged.
        """
        totals = SimpleNamespace()
        crumbs = _crumbs(path)
        pieces = self._template.generate(
            path=visible(text(path)),
            parent=crumbs[-2].href if len(crumbs) > 1 else None,
            crumbs=crumbs,
            entries=_rows(entries, totals),
            totals=totals,
        )
        try:
            yield from _joined(pieces)
        except (OSError, MemoryError):
            raise
        except Exception as exc:
            raise _blame(self._file, exc) from exc

    def json(self, path: bytes, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The same listing as JSON in ASCII; arguments and chunks are those of `html`.

        Raises nothing but what reading `entries` raises.
        """
        return _joined(_json_pieces(path, entries))


def order(entry: Entry) -> tuple[bool, bytes, bytes]:
    """The sort key of a listing: directories first, then names whatever their case."""
    # Bytes know only ASCII case, so the order depends on no locale and no version of Unicode.
    return not entry.is_dir, entry.name.lower(), entry.name


def text(name: bytes) -> str:
    """The text of a name or path: UTF-8, with each byte that is not as `\\xNN`."""
    return name.decode("utf-8", "backslashreplace")


def visible(name: str) -> str:
    """`name` with each control or reordering character shown as `\\uNNNN`."""
    return _DECEIVING.sub(lambda match: f"\\u{ord(match[0]):04x}", name)


def human_size(size: int) -> str:
    """A size in bytes for people: decimal units (SI), two digits or three, "1.2 MB"."""
    for power, unit in enumerate(("B", "kB", "MB", "GB", "TB", "PB")):
        scale = 1000**power
        tenths = (size * 10 + scale // 2) // scale
        if power and tenths < 100:
            return f"{tenths // 10}.{tenths % 10} {unit}"
        whole = (size + scale // 2) // scale
        if whole < 1000:
            return f"{whole} {unit}"
    return f"{grouped(whole)} PB"


def grouped(number: int) -> str:
    """A number with its thousands set apart: "1,234,567"."""
    return f"{number:,}"


def iso_date(modified: int | None) -> str | None:
    """Seconds since the epoch as "2024-05-17T08:30:00Z"; None outside the years 1 to 9999."""
    if modified is None:
        return None
    try:
        return f"{(_EPOCH + timedelta(seconds=modified)).isoformat()}Z"
    except OverflowError:
        return None


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, spared the questions about our own rows: half the time of a large listing."""

    def getattr(self, obj: object, attribute: str) -> object:
        if type(obj) is Row and attribute in _ROW_FIELDS:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)


def _compile(source: str, file: str) -> Template:
    environment = _Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"human_size": human_size, "grouped": grouped}
    for name in ("safe", "random"):
        del environment.filters[name]
    del environment.globals["lipsum"]
    tree = environment.parse(source, filename=file)
    for node in tree.find_all(nodes.EvalContextModifier):
        raise TemplateSyntaxError("escaping cannot be switched", node.lineno)
    # Through from_code, because from_string would leave the file's name out of tracebacks.
    code = environment.compile(tree, filename=file)
    return Template.from_code(environment, code, environment.make_globals(None))


def _blame(file: Path, exc: Exception) -> ListingError:
    """The ListingError for `exc`: Jinja2 gives tracebacks the template's own lines."""
    if isinstance(exc, TemplateSyntaxError):
        return ListingError(f"{file}:{exc.lineno}: {exc.message}")
    frames = traceback.walk_tb(exc.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == str(file)]
    where = f"{file}:{lines[-1]}" if lines else f"{file}"
    return ListingError(f"{where}: {type(exc).__name__}: {exc}")


def _crumbs(path: bytes) -> list[Crumb]:
    names = path.split(b"/")[:-1]
    deepest = len(names) - 1
    shown = list(range(max(0, len(names) - MAX_CRUMBS), len(names)))
    crumbs = [Crumb(visible(text(names[depth])), _up(deepest - depth)) for depth in shown]
    if shown[0] > 0:
        between = [Crumb("…", _up(deepest - shown[0] + 1))] if shown[0] > 1 else []
        crumbs[:0] = [Crumb("", _up(deepest)), *between]
    return crumbs


def _up(levels: int) -> str:
    return "../" * levels or "./"


def _href(entry: Entry) -> str:
    link = encode_path(entry.name).decode("ascii").translate(_UNESCAPED) + "/" * entry.is_dir
    return f"./{link}" if ":" in link or link.startswith("http") else link


def _counted(entries: Iterable[Entry], totals: SimpleNamespace) -> Iterator[Entry]:
    """Pass `entries` on, then set `totals`: read too early they are an error, not wrong."""
    directories = files = size = 0
    for entry in entries:
        yield entry
        if entry.is_dir:
            directories += 1
        else:
            files += 1
            size += entry.size
    totals.directories, totals.files, totals.bytes = directories, files, size


def _rows(entries: Iterable[Entry], totals: SimpleNamespace) -> Iterator[Row]:
    for entry in _counted(entries, totals):
        name, date = visible(text(entry.name)), iso_date(entry.modified)
        yield Row(name, _href(entry), entry.is_dir, entry.size, date)


def _json_pieces(path: bytes, entries: Iterable[Entry]) -> Iterator[str]:
    totals = SimpleNamespace()
    yield f'{{"path": {json.dumps(text(path))}, "entries": ['
    comma = "\n"
    for entry in _counted(entries, totals):
        line = {
            "name": text(entry.name),
            "href": _href(entry),
            "type": "directory" if entry.is_dir else "file",
            "size": entry.size,
            "modified": iso_date(entry.modified),
        }
        yield f"{comma}{json.dumps(line)}"
        comma = ",\n"
    yield f'\n], "totals": {json.dumps(vars(totals))}}}\n'


def _joined(pieces: Iterable[str]) -> Iterator[bytes]:
    """The pieces as UTF-8, joined into chunks of at least CHUNK_CHARACTERS but for the last."""
    held: list[str] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= CHUNK_CHARACTERS:
            yield "".join(held).encode()
            held.clear()
            length = 0
    if held:
        yield "".join(held).encode()
