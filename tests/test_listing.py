"""Listings: hostile names come out harmless, links exact, both forms alike, in bounded memory."""

import json
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mkroot.listing import (
    CHUNK_CHARACTERS,
    MAX_CRUMBS,
    Entry,
    Listing,
    ListingError,
    human_size,
    iso_date,
    order,
    visible,
)

LISTING = Listing()
DIRECTORY = b"/a b/\xff:c/"
BASE = "https://site.example/a%20b/%FF:c/"


def is_name(name: bytes) -> bool:
    return name not in (b"", b".", b"..") and not {0, ord("/")} & set(name)


NAMES = st.binary(max_size=255).filter(is_name)
SPELLED_NAMES = st.text(max_size=60).map(lambda name: name.encode("utf-8", "ignore"))
ENTRIES = st.builds(
    lambda name, is_dir, size, modified: Entry(name, is_dir, 0 if is_dir else size, modified),
    NAMES | SPELLED_NAMES.filter(is_name),
    st.booleans(),
    st.integers(0, 2**63),
    st.none() | st.integers(-(2**63), 2**63),
)

HOSTILE = (
    b"<script>alert(1)",
    b'"><img src=x onerror=alert(1)>',
    b"<!--",
    b"\"onmouseover='alert(1)'",
    b"&lt;b&gt;&amp;",
    b"{{ 7 * 7 }}{% raw %}",
    b"javascript:alert(1)",
    b"a:b",
    b"...",
    b"%2e%2e",
    b"?query#fragment",
    b"\\\\server\\share",
    b"line\r\nbreak\ttab\x1b[31m",
    "photo\u202egnp.exe".encode(),
    b"caf\xe9",
    b" two  spaces ",
    b"x" * 255,
)


@dataclass
class Link:
    href: str
    name: str = ""
    size: int = 0
    date: str | None = None


@dataclass
class Page(HTMLParser):
    """What a browser would see: the links of the listing, the tags, the attributes."""

    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    links: list[Link] = field(default_factory=list)
    crumbs: list[Link] = field(default_factory=list)
    words: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.path: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.attributes.update(found)
        if tag != "meta":
            self.path.append(tag)
        if tag == "a":
            (self.crumbs if "nav" in self.path else self.links).append(Link(found["href"] or ""))
        if tag == "data" and "tbody" in self.path:
            self.links[-1].size = int(found["value"] or "")
        if tag == "time":
            self.links[-1].date = found["datetime"]

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data
        if "a" in self.path and self.path[-1] == "bdi":
            (self.crumbs if "nav" in self.path else self.links)[-1].name += data


def draw(*entries: Entry, path: bytes = DIRECTORY) -> Page:
    page = Page()
    page.feed(b"".join(LISTING.html(path, entries)).decode())
    page.close()
    assert page.path == []
    return page


def load(*entries: Entry) -> Any:  # the untyped result of json.loads is what is examined
    return json.loads(b"".join(LISTING.json(DIRECTORY, entries)))


def file(name: bytes, size: int = 1, modified: int | None = None) -> Entry:
    return Entry(name, is_dir=False, size=size, modified=modified)


def resolve(href: str, base: str = BASE) -> bytes:
    # urljoin still divides parameters from a path, as RFC 3986 no longer does: it loses a last ";".
    parts = urlsplit(urljoin(base, href.replace(";", "%3B")))
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == (
        "https",
        "site.example",
        "",
        "",
    )
    return unquote_to_bytes(parts.path)


def template(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.html"
    path.write_text(text)
    return path


def test_hostile_names_add_no_tag_and_no_attribute_to_the_page() -> None:
    harmless = draw(file(b"harmless"))
    hostile = draw(*map(file, HOSTILE))
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes


def test_a_hostile_path_adds_no_tag_and_no_attribute_to_the_page() -> None:
    harmless = draw(file(b"harmless"), path=b"/x/y/")
    hostile = draw(file(b"harmless"), path=b"/" + b"/".join(HOSTILE) + b"/")
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes


def test_the_page_has_no_script_and_loads_nothing() -> None:
    page = draw(*map(file, HOSTILE))
    source = b"".join(LISTING.html(DIRECTORY, [file(b"a")]))
    assert not page.tags & {"script", "link", "img", "svg", "iframe", "form", "base", "object"}
    assert not page.attributes & {"src", "srcset", "style"}
    assert not [name for name in page.attributes if name.startswith("on")]
    for loader in (b"url(", b"@import", b"//"):
        assert loader not in source


def test_the_style_is_the_same_on_every_page_so_that_a_policy_can_name_its_hash() -> None:
    first = b"".join(LISTING.html(b"/", []))
    second = b"".join(LISTING.html(DIRECTORY, map(file, HOSTILE)))
    style = first[first.index(b"<style>") : first.index(b"</style>")]
    assert style in second


def test_characters_that_deceive_are_shown_as_escapes() -> None:
    (_, link) = draw(file("photo\u202egnp.exe\r\n".encode())).links
    assert link.name == "photo\\u202egnp.exe\\u000d\\u000a"


def test_a_byte_that_is_not_utf8_is_shown_in_hexadecimal() -> None:
    (_, link) = draw(file(b"caf\xe9")).links
    assert link.name == "caf\\xe9"
    assert link.href == "caf%E9"


@pytest.mark.parametrize(
    ("name", "href"),
    [
        (b"plain", "plain"),
        (b"...", "..."),
        (b"c d?#%", "c%20d%3F%23%25"),
        (b"a:b", "./a:b"),
        (b":", "./:"),
        (b"javascript:alert(1)", "./javascript:alert(1)"),
    ],
)
def test_a_link_is_the_plain_name_unless_a_colon_would_make_it_a_scheme(
    name: bytes, href: str
) -> None:
    (_, directory, plain) = draw(Entry(name, is_dir=True, size=0, modified=None), file(name)).links
    assert (directory.href, plain.href) == (f"{href}/", href)


def test_href_is_the_first_attribute_of_each_link() -> None:
    # GDAL looks for no other form, and takes the directory for an empty one without a word.
    source = b"".join(LISTING.html(DIRECTORY, [file(b"a"), Entry(b"d", True, 0, None)]))
    assert source.count(b"<a ") == source.count(b"<a href=") == 5


@pytest.mark.parametrize("path", [b"/", b"/a/", DIRECTORY, b"/a/b/c/d/"])
def test_only_the_parent_and_the_entries_have_links_that_look_like_entries(path: bytes) -> None:
    # fsspec takes each quoted link for an entry, but for ../, and would walk in circles.
    source = b"".join(LISTING.html(path, [file(b"a")])).decode()
    parent = ["../"] if path != b"/" else []
    assert re.findall(r"<a\s[^>]*href=[\"']([^\"']+)", source) == [*parent, "a"]


@given(NAMES, st.booleans())
@example(b"a:b", False)
@example(b";", False)
@example(b"%2e%2e", False)
@example(b"...", True)
@example(b"\\\\server", True)
def test_every_link_resolves_to_the_exact_name(name: bytes, is_dir: bool) -> None:
    (_, link) = draw(Entry(name, is_dir, 0, None)).links
    (entry,) = load(Entry(name, is_dir, 0, None))["entries"]
    assert entry["href"] == link.href
    assert resolve(link.href) == DIRECTORY + name + b"/" * is_dir


@given(st.lists(NAMES, max_size=5))
def test_crumbs_and_parent_resolve_to_the_directories_above(names: list[bytes]) -> None:
    path = b"".join(b"/" + name for name in names) + b"/"
    base = "https://site.example" + "".join(f"%{b:02X}" if b != 47 else "/" for b in path)
    page = draw(path=path)
    above = [b"".join(b"/" + name for name in names[:n]) + b"/" for n in range(len(names) + 1)]
    assert [resolve(crumb.href, base) for crumb in page.crumbs] == above[:-1]
    assert [resolve(link.href, base) for link in page.links] == above[:-1][-1:]


@pytest.mark.parametrize("deep", [MAX_CRUMBS - 1, MAX_CRUMBS, MAX_CRUMBS + 1, 3000])
def test_far_below_the_top_the_crumbs_are_the_top_and_the_nearest_directories(deep: int) -> None:
    path = b"/d" * deep + b"/"
    page = draw(path=path)
    found = [resolve(crumb.href, "https://site.example" + path.decode()) for crumb in page.crumbs]
    nearest = [b"/d" * depth + b"/" for depth in range(max(0, deep + 1 - MAX_CRUMBS), deep)]
    assert found[-len(nearest) :] == nearest
    assert found[0] == b"/"
    assert len(found) - len(nearest) == {MAX_CRUMBS - 1: 0, MAX_CRUMBS: 1}.get(deep, 2)


@given(st.lists(ENTRIES, max_size=8))
def test_json_and_html_tell_the_same(entries: list[Entry]) -> None:
    links = draw(*entries).links[1:]
    listing = load(*entries)
    assert [visible(entry["name"]) for entry in listing["entries"]] == [x.name for x in links]
    assert [entry["href"] for entry in listing["entries"]] == [x.href for x in links]
    assert [entry["size"] for entry in listing["entries"]] == [x.size for x in links]
    assert [entry["modified"] for entry in listing["entries"]] == [x.date for x in links]
    assert [entry["type"] == "directory" for entry in listing["entries"]] == [
        entry.is_dir for entry in entries
    ]
    assert listing["totals"] == {
        "directories": sum(entry.is_dir for entry in entries),
        "files": sum(not entry.is_dir for entry in entries),
        "bytes": sum(entry.size for entry in entries),
    }


def test_json_keeps_the_true_name_and_is_ascii_on_the_wire() -> None:
    name = 'a"\\\u202eö\n'
    wire = b"".join(LISTING.json(b"/", [file(name.encode())]))
    assert wire.isascii()
    assert json.loads(wire)["entries"][0]["name"] == name


def test_json_has_one_line_for_each_entry() -> None:
    lines = b"".join(LISTING.json(b"/", [file(b"a\nb"), file(b"c")])).splitlines()
    assert len(lines) == 4


def test_an_empty_directory_says_so() -> None:
    assert "This directory is empty." in draw().words
    assert load()["entries"] == []


def test_totals_are_spelled_out_below_the_rows() -> None:
    page = draw(Entry(b"d", is_dir=True, size=0, modified=None), file(b"a", 1500), file(b"b", 0))
    assert "1 directory,\n2 files,\n1.5 kB in files." in page.words


def test_the_order_is_directories_first_then_names_whatever_their_case() -> None:
    entries = [file(b"b"), file(b"A"), file(b"a"), Entry(b"z", is_dir=True, size=0, modified=None)]
    assert [entry.name for entry in sorted(entries, key=order)] == [b"z", b"A", b"a", b"b"]


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (14_823_948_231, "15 GB"),
        (2**60, "1,153 PB"),
    ],
)
def test_sizes_are_rounded_to_the_unit_that_fits(size: int, shown: str) -> None:
    assert human_size(size) == shown


def test_dates_are_utc_and_those_no_calendar_holds_are_left_out() -> None:
    assert iso_date(1_715_934_600) == "2024-05-17T08:30:00Z"
    assert iso_date(-1) == "1969-12-31T23:59:59Z"
    assert iso_date(2**63) is iso_date(2**40) is iso_date(-(2**63)) is None


def many(count: int) -> Iterator[Entry]:
    return (file(b"file-%07d.txt" % number, number, number) for number in range(count))


@pytest.mark.parametrize("form", [LISTING.html, LISTING.json])
def test_a_directory_larger_than_the_memory_allowed_streams_through(form: Any) -> None:
    tracemalloc.start()
    try:
        sizes = [len(chunk) for chunk in form(DIRECTORY, many(20_000))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert min(sizes[:-1]) >= CHUNK_CHARACTERS
    assert peak < 1_000_000 < sum(sizes) / 2


@pytest.mark.parametrize("form", [LISTING.html, LISTING.json])
def test_the_first_chunk_comes_before_the_last_entry_is_read(form: Any) -> None:
    entries = many(10_000)
    assert len(list(islice(form(DIRECTORY, entries), 1))) == 1
    assert next(entries, None) is not None


@pytest.mark.parametrize("form", ["html", "json"])
def test_the_same_entries_give_the_same_bytes(form: str) -> None:
    entries = list(many(3_000))
    first = list(getattr(Listing(), form)(DIRECTORY, entries))
    assert list(getattr(Listing(), form)(DIRECTORY, iter(entries))) == first


def test_a_template_of_ones_own_replaces_the_page(tmp_path: Path) -> None:
    text = "{{ path }}\n{% for e in entries %}\n{{ e.name }}\n{% endfor %}\n{{ totals.files }}\n"
    listing = Listing(template(tmp_path, text))
    assert b"".join(listing.html(b"/a/", [file(b"<b>", 7)])) == b"/a/\n&lt;b&gt;\n1\n"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{% for %}", "Expected an expression"),
        ("{% if path %}", "end of template"),
        ("{{ path | nonsense }}", "nonsense"),
        ("{{ nonsense }}", "'nonsense' is undefined"),
        ("{{ totals.files }}", "no attribute 'files'"),
        ("{% for entry in entries %}{{ entry.colour }}{% endfor %}", "'colour'"),
        ("{{ 1 // (crumbs | length - 1) }}", "ZeroDivisionError"),
        ("{% include 'other.html' %}", "no loader"),
        ("{{ path | safe }}", "safe"),
        ("{% autoescape false %}{{ path }}{% endautoescape %}", "escaping cannot be switched"),
        ("{{ path.__class__.__mro__ }}", "unsafe"),
        ("{{ path | random }}", "random"),
        ("{{ lipsum() }}", "lipsum"),
    ],
)
def test_a_broken_template_is_refused_at_once_with_file_line_and_reason(
    tmp_path: Path, broken: str, reason: str
) -> None:
    path = template(tmp_path, f"one\ntwo\n{broken}")
    with pytest.raises(ListingError) as caught:
        Listing(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert reason in str(caught.value)


def test_a_template_that_fails_on_some_entry_only_fails_there(tmp_path: Path) -> None:
    text = "{% for entry in entries %}\n{{ 1 // (entry.size - 5) }}\n{% endfor %}"
    path = template(tmp_path, text)
    listing = Listing(path)
    with pytest.raises(ListingError, match=r":2: ZeroDivisionError"):
        list(listing.html(b"/", [file(b"five", 5)]))


def test_a_template_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "own.html"
    path.write_bytes(b"one\n\xff")
    with pytest.raises(ListingError, match=r"own\.html:2: not UTF-8"):
        Listing(path)


def test_a_template_too_deep_for_the_compiler_is_refused(tmp_path: Path) -> None:
    deep = "{% for x in crumbs %}" * 30 + "{% endfor %}" * 30
    with pytest.raises(ListingError, match="too many statically nested blocks"):
        Listing(template(tmp_path, deep))


def test_a_missing_template_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Listing(tmp_path / "absent.html")


def test_an_oserror_while_reading_entries_is_not_blamed_on_the_template() -> None:
    def failing() -> Iterator[Entry]:
        yield file(b"a")
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(LISTING.html(b"/", failing()))
