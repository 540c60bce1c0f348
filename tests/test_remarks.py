"""What is said of many files of one kind: once, with a count, names and the option that helps."""

import gzip
from pathlib import Path

import pytest

from mkroot.build import MAX_WARNINGS, Options
from mkroot.remarks import MAX_NAMED
from tests.trees import Tree, make, plant

PAGE = b"<!DOCTYPE html><html><head><title>t</title></head><body><p>hello</p></body></html>\n"
WIKI = ("Main_Page", "Node.js", "Vue.js", "ASP.NET", "Mr.T", "U.S", "GNU.org", "C.md", "St._Louis")


def warnings_of(directory: Path, tree: Tree, options: Options | None = None) -> list[str]:
    source = plant(directory / "source", tree)
    return make(source, directory / "out", options).warnings


def test_pages_that_are_not_served_as_such_are_named_in_one_line_with_the_option(
    tmp_path: Path,
) -> None:
    tree: Tree = {b"wiki": {name.encode(): PAGE for name in WIKI} | {b"Amazon.com": PAGE}}
    (warning,) = warnings_of(tmp_path, tree)
    assert warning.startswith("9 files have an HTML page inside and are served as another type")
    assert "--type 'GLOB=text/html; charset=utf-8'" in warning
    assert all(f"wiki/{name}" in warning for name in WIKI)
    assert "Amazon.com" not in warning


def test_nothing_is_said_of_pages_whose_type_the_operator_has_chosen(tmp_path: Path) -> None:
    tree: Tree = {b"wiki": {name.encode(): PAGE for name in WIKI}}
    for types in ((("wiki/*", "text/html; charset=utf-8"),), (("wiki/*", "text/plain"),)):
        assert warnings_of(tmp_path / types[0][1][5:9], tree, Options(types=types)) == []


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        *[("data.json", True), ("tile.mvt", True), ("tile.pbf", True), ("page.html", True)],
        *[("hills.terrain", True), ("dot.png", True)],
        *[("data.json.gz", False), ("a.tgz", False), ("sheet.gnumeric", False), ("a.z", False)],
        # Formats that are gzip inside, which their programs unpack.
        *[("a.apk", False), ("a.ipk", False), ("a.emz", False), ("a.abw", False)],
        *[("a.mgz", False), ("a.wmz", False), ("a.wrl", False), ("a.xpi", False)],
        # Nothing in these names speaks against gzip.
        *[("download", False), ("initrd.img", False), ("en.pf_meta", False)],
    ],
)
def test_gzip_under_a_name_that_says_otherwise_is_said_with_the_option(
    tmp_path: Path, name: str, warned: bool
) -> None:
    warnings = warnings_of(tmp_path, {name.encode(): gzip.compress(b"{}" * 50, mtime=0)})
    if warned:
        (warning,) = warnings
        assert warning.startswith("1 file has gzip inside under a name that says otherwise")
        assert "--encoded 'GLOB=gzip'" in warning
        assert warning.endswith(f": {name}")
    else:
        assert warnings == []


def test_a_sum_names_the_first_files_and_counts_the_others(tmp_path: Path) -> None:
    tree: Tree = {b"%04d" % number: PAGE for number in range(1500)}
    (warning,) = warnings_of(tmp_path, tree)
    assert warning.startswith("1,500 files ")
    assert warning.endswith(f"{MAX_NAMED - 1:04d} and {1500 - MAX_NAMED:,} more")


def test_a_sum_is_said_however_many_other_warnings_there_are(tmp_path: Path) -> None:
    tree: Tree = {b"%d.png" % number: b"no picture" for number in range(MAX_WARNINGS + 5)}
    warnings = warnings_of(tmp_path, {**tree, b"page": PAGE})
    assert len(warnings) == MAX_WARNINGS + 1
    assert "1 file has an HTML page inside" in warnings[-1]


def test_a_name_in_a_sum_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, {b"\x1b[2J\xff": PAGE})
    assert warning.isprintable()
