"""A site's own error pages: which files they are, what is written of them, which one is nearest."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.rules import ErrorPages
from mkroot.beneath import Level, Root
from mkroot.build import Options
from mkroot.directory import Directory
from mkroot.error_pages import ErrorPageRules
from mkroot.errors import BuildError
from mkroot.tree import Symlinks, TreeOptions
from mkroot.verify import verify
from mkroot.writer import Writer
from tests.trees import Tree, make, plant
from tests.webroots import body_of, opened, resource_at, take_apart

ALONE: Final = (400, 403, 404, 405, 412, 416, 417, 500, 501, 502, 503, 504)
MIB: Final = 1 << 20


def error_pages_of(tree: Tree, directory: Path) -> dict[tuple[int, bytes], bytes]:
    make(plant(directory / "source", tree), directory / "out")
    with opened(directory / "out") as webroot:
        assert list(verify(webroot)) == []
        return dict(webroot.error_pages.pages)


@pytest.mark.parametrize("status", ALONE)
def test_a_file_named_for_a_status_is_the_error_page_of_its_directory(
    tmp_path: Path, status: int
) -> None:
    name = b"%d.html" % status
    tree: Tree = {name: b"<p>root", b"a": {b"b": {name: b"<p>deep"}}}
    assert error_pages_of(tree, tmp_path) == {
        (status, b"/"): b"/" + name,
        (status, b"/a/b/"): b"/a/b/" + name,
    }


@pytest.mark.parametrize(
    "name",
    [
        *(
            b"200.html",
            b"301.html",
            b"399.html",
            b"418.html",
            b"499.html",
            b"600.html",
            b"999.html",
        ),
        *(
            b"404.htm",
            b"404.HTML",
            b"404",
            b"404.html.txt",
            b"0404.html",
            b"x404.html",
            b"4xx.html",
        ),
        *(b"50X.html", b"50.html", b"40x.html", b"\xd9\xa4\xd9\xa0\xd9\xa4.html"),
    ],
)
def test_any_other_name_is_just_a_name(tmp_path: Path, name: bytes) -> None:
    assert error_pages_of({name: b"<p>page"}, tmp_path) == {}


def test_a_page_for_the_servers_troubles_gives_way_to_one_for_a_status(tmp_path: Path) -> None:
    tree: Tree = {b"50x.html": b"<p>all", b"503.html": b"<p>one", b"a": {b"50x.html": b"<p>a"}}
    assert error_pages_of(tree, tmp_path) == {
        (500, b"/"): b"/50x.html",
        (502, b"/"): b"/50x.html",
        (503, b"/"): b"/503.html",
        (504, b"/"): b"/50x.html",
        **{(status, b"/a/"): b"/a/50x.html" for status in (500, 502, 503, 504)},
    }


def test_an_error_page_is_an_ordinary_url_too(tmp_path: Path) -> None:
    series: Tree = {b"%d.html" % number: b"<p>%d" % number for number in range(398, 420)}
    make(plant(tmp_path / "source", {b"issues": series}), tmp_path / "out")
    with opened(tmp_path / "out") as webroot:
        for number in range(398, 420):
            path = b"/issues/%d.html" % number
            assert resource_at(webroot, path).status == 200
            assert body_of(webroot, path) == b"<p>%d" % number


def test_a_directory_of_that_name_is_no_error_page(tmp_path: Path) -> None:
    assert error_pages_of({b"403.html": {b"x": b""}}, tmp_path) == {}


@pytest.mark.parametrize("symlinks", [Symlinks.FOLLOW, Symlinks.REDIRECT])
def test_a_symlink_of_that_name_is_the_page_that_it_leads_to(
    tmp_path: Path, symlinks: Symlinks
) -> None:
    source = plant(tmp_path / "source", {b"a.html": b"<p>a", b"d": {b"404.html": b"<p>d"}})
    (source / "404.html").symlink_to("a.html")
    (source / "link").symlink_to("d")
    make(source, tmp_path / "out", Options(tree=TreeOptions(symlinks=symlinks)))
    with opened(tmp_path / "out") as webroot:
        pages = {(404, b"/"), (404, b"/d/"), (404, b"/link/")}
        assert set(webroot.error_pages.pages) == pages
        assert body_of(webroot, b"/404.html") == b"<p>a"
        assert body_of(webroot, b"/link/404.html") == b"<p>d"


def test_the_order_of_files_does_not_change_what_is_written(tmp_path: Path) -> None:
    tree: Tree = {b"404.html": b"1", b"a": {b"404.html": b"2", b"50x.html": b"3"}, b"403.html": b""}
    for name, backwards in (("one", False), ("other", True)):
        make(plant(tmp_path / f"{name}.source", tree, backwards=backwards), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


# Never opened either.
NOWHERE = Root.__new__(Root)


def directory_of(path: bytes) -> Directory:
    """A directory that is not opened: its path decides."""
    return Directory(NOWHERE, Level(b"", None, -1, (0, 0)), path)


def test_of_too_many_error_pages_the_deepest_are_left_out_and_the_user_is_told() -> None:
    warnings: list[str] = []
    pages = ErrorPageRules(warnings.append)
    # From the deepest to the root, 800 of each level: about three times what there is room for.
    paths = [
        b"/%d" % number + b"/x" * depth + b"/"
        for depth in range(40, 0, -1)
        for number in range(800)
    ]
    for path in [*paths, b"/"]:
        pages.add(directory_of(path), b"404.html")
    rules = pages.rules()
    everything = sorted((path.count(b"/"), path + b"404.html") for path in [*paths, b"/"])
    kept = [path for _depth, path in everything[: len(rules)]]
    assert rules == [(404, path) for path in kept]
    size = 4 + sum(8 + len(path) for path in kept)
    assert size <= MIB < size + 8 + len(everything[len(rules)][1])
    assert len(warnings) == 1
    assert f" {len(everything) - len(rules):,} too many" in warnings[0]


def test_as_many_error_pages_as_there_is_room_for_say_nothing() -> None:
    warnings: list[str] = []
    pages = ErrorPageRules(warnings.append)
    for number in range(40_000):
        pages.add(directory_of(b"/%05d/" % number), b"404.html")
    assert len(pages.rules()) == 40_000
    assert warnings == []


def write(file: Path, paths: dict[bytes, int], error_pages: list[tuple[int, bytes]]) -> Path:
    """Write a webroot that has paths with their status, and claims about its error pages."""
    with file.open("w+b") as stream:
        writer = Writer(stream)
        try:
            for path, status in sorted(paths.items()):
                writer.add(path, status, [])
            writer.finish({}, error_pages)
        finally:
            writer.close()
    return file


def test_more_rules_than_a_webroot_holds_are_refused_by_the_writer(tmp_path: Path) -> None:
    # 17 rules, each of 8 bytes and a path, fill the section; no path alone could.
    size = (MIB - 4) // 17 - 8
    paths = [b"/%02d/" % number + b"x" * (size - 4) for number in range(17)]
    paths[-1] += b"x" * (MIB - 4 - 17 * (size + 8))
    write(tmp_path / "out", {}, [(404, path) for path in paths])
    with opened(tmp_path / "out") as webroot:
        assert webroot.sections[b"RULE"].length == MIB
        assert sorted(webroot.error_pages.pages.values()) == paths
    paths[-1] += b"x"
    with pytest.raises(BuildError, match="1048577 bytes of rules, more than 1048576"):
        write(tmp_path / "out", {}, [(404, path) for path in paths])


@pytest.mark.parametrize("paths", [{}, {b"/404.html": 403}, {b"/404.html": 404}])
def test_an_error_page_that_is_no_page_is_an_error_and_named_by_verify(
    tmp_path: Path, paths: dict[bytes, int]
) -> None:
    write(tmp_path / "out", paths, [(404, b"/404.html")])
    with opened(tmp_path / "out") as webroot:
        assert webroot.error_page(403, b"/x") is None
        with pytest.raises(WebrootError, match=r"^/404\.html is the error page of a 404, but no"):
            webroot.error_page(404, b"/x")
        assert any("/404.html is the error page" in fault for fault in verify(webroot))


def pages_in(*directories: bytes) -> ErrorPages:
    return ErrorPages({(404, directory): directory + b"404.html" for directory in directories})


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        (b"/", b"/"),
        (b"/x", b"/"),
        (b"/x/y/z/", b"/"),
        (b"//", b"/"),
        (b"//docs/x", b"/"),
        (b"/docs", b"/"),
        (b"/docs/", b"/docs/"),
        (b"/docs/x", b"/docs/"),
        (b"/docs/a/", b"/docs/"),
        (b"/docs/a/b", b"/docs/"),
        (b"/docs/a/b/", b"/docs/a/b/"),
        (b"/docs/a/b/c/d/e", b"/docs/a/b/"),
        (b"/docs/a/bb/c", b"/docs/"),
        (b"/docs2/x", b"/"),
        (b"*", b"/"),
        (b"example.com:80", b"/"),
        (b"/" + b"x/" * 4000, b"/"),
        (b"/docs/a/b/" + b"x/" * 4000, b"/docs/a/b/"),
    ],
)
def test_the_page_nearest_to_a_path_is_found(path: bytes, nearest: bytes) -> None:
    pages = pages_in(b"/", b"/docs/", b"/docs/a/b/")
    assert pages.nearest(404, path) == nearest + b"404.html"
    assert pages.nearest(403, path) is None


class Counted(Mapping[tuple[int, bytes], bytes]):
    """Counts how often it is asked."""

    def __init__(self, pages: Mapping[tuple[int, bytes], bytes]) -> None:
        self._pages = pages
        self.asked = 0

    def __getitem__(self, key: tuple[int, bytes]) -> bytes:
        self.asked += 1
        return self._pages[key]

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self._pages)

    def __len__(self) -> int:
        return len(self._pages)


@pytest.mark.parametrize("path", [b"/x", b"/" + b"x/" * 4000, b"/docs/a/x/" + b"y/" * 4000])
def test_a_deep_path_costs_no_more_lookups_than_the_deepest_error_page_has_levels(
    path: bytes,
) -> None:
    counted = Counted(pages_in(b"/", b"/docs/a/").pages)
    pages = ErrorPages(counted)
    assert pages.nearest(500, path) is None
    assert counted.asked <= 1
    nearest = b"/docs/a/" if path.startswith(b"/docs/a/") else b"/"
    assert pages.nearest(404, path) == nearest + b"404.html"
    assert 1 <= counted.asked <= 3


def test_a_path_costs_one_lookup_however_many_lengths_the_directories_have() -> None:
    counted = Counted(pages_in(b"/", *(b"/" + b"q" * size + b"/" for size in range(1, 1400))).pages)
    pages = ErrorPages(counted)
    for path, nearest in ((b"/q/" * 1000, b"/q/"), (b"/z" * 1000, b"/"), (b"//" * 1000, b"/")):
        counted.asked = 0
        assert pages.nearest(404, path) == nearest + b"404.html"
        assert counted.asked == 1


SEGMENTS: Final = st.lists(st.sampled_from([b"", b"a", b"b", b"aa"]), max_size=6)
DIRECTORIES: Final = SEGMENTS.map(lambda names: b"/" + b"".join(name + b"/" for name in names))


@given(
    directories=st.sets(DIRECTORIES, max_size=6),
    directory=DIRECTORIES,
    name=st.sampled_from([b"", b"a"]),
)
def test_the_nearest_page_is_in_the_longest_directory_that_the_path_starts_with(
    directories: set[bytes], directory: bytes, name: bytes
) -> None:
    path = directory + name
    fitting = [each for each in directories if path.startswith(each)]
    expected = max(fitting, key=len) + b"404.html" if fitting else None
    assert pages_in(*directories).nearest(404, path) == expected


def test_the_rules_of_a_site_without_error_pages_are_four_zero_bytes(tmp_path: Path) -> None:
    make(plant(tmp_path / "source", {b"a": b""}), tmp_path / "out")
    assert take_apart((tmp_path / "out").read_bytes()).part(b"RULE").data == bytes(4)


def test_a_record_of_an_error_has_no_body(tmp_path: Path) -> None:
    make(plant(tmp_path / "source", {b"a": {}}), tmp_path / "out")
    with opened(tmp_path / "out") as webroot:
        assert resource_at(webroot, b"/a/").variants == ()
        assert resource_at(webroot, b"/a/").status == 404


def test_the_greatest_length_of_rules_is_that_of_the_format() -> None:
    assert layout.MAX_RULES_BYTES == MIB


def test_a_page_deep_down_costs_a_path_elsewhere_no_lookup_for_each_level() -> None:
    """Once each level was looked up, of a path of 8,000 bytes: 12 ms for every 404."""
    deep = b"/" + b"a/" * 4_000
    pages = Counted(pages_in(deep, b"/").pages)
    rules = ErrorPages(pages)
    assert rules.nearest(404, b"/" + b"b/" * 4_000 + b"x") == b"/404.html"
    assert rules.nearest(404, deep[:-2] + b"x") == b"/404.html"
    assert rules.nearest(404, deep + b"b/x") == deep + b"404.html"
    assert pages.asked <= 5
    assert rules.nearest(500, deep) is None
    assert pages.asked <= 5


def test_a_page_at_every_level_is_found_from_below() -> None:
    rules = pages_in(*(b"/" * length for length in range(1, 1_400)))
    assert rules.nearest(404, b"/" * 2_000) == b"/" * 1_399 + b"404.html"
    assert rules.nearest(404, b"/" * 7 + b"x") == b"/" * 7 + b"404.html"
