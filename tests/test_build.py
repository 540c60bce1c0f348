"""Whole builds: what each thing answers, and how it lies in the file."""

import json
import os
from pathlib import Path

import pytest

from ashttpd.webroot.reader import Webroot
from mkroot.build import Options
from mkroot.tree import Symlinks, TreeOptions
from mkroot.tree import Tree as Walked
from mkroot.verify import verify
from tests.trees import (
    Tree,
    make,
    nest,
    plant,
    python,
    removed_at_the_end,
)
from tests.webroots import body_of, opened, paths_in, resource_at

LISTED = Options(listing=True, compress=())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return plant(tmp_path / "source", {})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A place for a webroot in a directory of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "site.webroot"


def head_of(webroot: Webroot, path: bytes, variant: int = 0) -> bytes:
    resource = resource_at(webroot, path)
    return webroot.head_block(resource, resource.variants[variant])


def test_every_file_is_found_with_its_content(source: Path, output: Path) -> None:
    plant(source, {b"a.txt": b"one", b"d": {b"empty": b"", b"large": b"x" * 100_000}})
    progress = make(source, output)
    assert (progress.urls, progress.files, progress.bytes) == (6, 3, 100_003)
    with opened(output) as webroot:
        assert paths_in(webroot) == [b"/", b"/a.txt", b"/d", b"/d/", b"/d/empty", b"/d/large"]
        assert body_of(webroot, b"/a.txt") == b"one"
        assert body_of(webroot, b"/d/empty") == b""
        assert body_of(webroot, b"/d/large") == b"x" * 100_000
        assert list(verify(webroot)) == []


def test_a_directory_without_its_slash_redirects_and_keeps_the_query(
    source: Path, output: Path
) -> None:
    plant(source, {b"d": {b"e": {}}})
    make(source, output)
    with opened(output) as webroot:
        for path, location in ((b"/d", b"d/"), (b"/d/e", b"e/")):
            resource = resource_at(webroot, path)
            assert (resource.status, resource.location) == (301, location)
            assert resource.keep_query


def test_a_directory_without_an_index_page_answers_404(source: Path, output: Path) -> None:
    plant(source, {b"d": {b"file": b""}})
    make(source, output)
    with opened(output) as webroot:
        assert resource_at(webroot, b"/").status == 404
        assert resource_at(webroot, b"/d/").status == 404
        assert resource_at(webroot, b"/d/file").status == 200


def test_an_index_page_answers_for_its_directory_and_for_itself(source: Path, output: Path) -> None:
    plant(source, {b"d": {b"index.html": b"<p>index", b"0-before": b"", b"z": b""}})
    make(source, output)
    with opened(output) as webroot:
        directory, page = resource_at(webroot, b"/d/"), resource_at(webroot, b"/d/index.html")
        assert directory.status == 200
        assert directory.variants == page.variants
        assert body_of(webroot, b"/d/") == b"<p>index"


def test_the_first_index_name_that_is_there_is_taken(source: Path, output: Path) -> None:
    plant(
        source,
        {
            b"both": {b"default.html": b"last", b"index.html": b"first"},
            b"own": {b"index.html": b"default", b"welcome": b"own", b"start": b"other"},
        },
    )
    make(source, output)
    with opened(output) as webroot:
        assert body_of(webroot, b"/both/") == b"first"
        assert body_of(webroot, b"/own/") == b"default"
    make(source, output, Options(indexes=("nothing", "welcome", "start")))
    with opened(output) as webroot:
        assert resource_at(webroot, b"/both/").status == 404
        assert body_of(webroot, b"/own/") == b"own"


def test_a_directory_with_an_index_name_is_no_index(source: Path, output: Path) -> None:
    plant(source, {b"index.html": {b"x": b""}, b"index.htm": b"this one"})
    make(source, output)
    with opened(output) as webroot:
        assert body_of(webroot, b"/") == b"this one"
        assert resource_at(webroot, b"/index.html").status == 301


def test_a_listing_is_html_and_json_chosen_by_accept(source: Path, output: Path) -> None:
    plant(source, {b"b": {}, b"a": b"123", b"\xff": b""})
    os.utime(source / "a", ns=(0, 1_700_000_000_999_999_999))
    make(source, output, LISTED)
    with opened(output) as webroot:
        resource = resource_at(webroot, b"/")
        types = [variant.media_type for variant in resource.variants]
        assert types == ["text/html; charset=utf-8", "application/json"]
        assert resource.status == 200
        for number in range(2):
            assert b"\r\nVary: Accept\r\n" in head_of(webroot, b"/", number)
        listing = json.loads(body_of(webroot, b"/", 1))
        assert [(entry["href"], entry["size"]) for entry in listing["entries"]] == [
            ("b/", 0),
            ("a", 3),
            ("%FF", 0),
        ]
        # The clock of the listing counts whole seconds, and rounds none up.
        assert listing["entries"][1]["modified"] == "2023-11-14T22:13:20Z"
        assert b'href="%FF"' in body_of(webroot, b"/")


def test_an_index_page_comes_before_a_listing(source: Path, output: Path) -> None:
    plant(source, {b"index.html": b"<p>mine"})
    make(source, output, LISTED)
    with opened(output) as webroot:
        assert [v.media_type for v in resource_at(webroot, b"/").variants] == [
            "text/html; charset=utf-8"
        ]
        assert body_of(webroot, b"/") == b"<p>mine"


def test_a_redirecting_symlink_answers_302_and_has_no_size_of_its_own_in_a_listing(
    source: Path, output: Path
) -> None:
    plant(source, {b"d": {}, b"file": b"12345"})
    (source / "to-d").symlink_to("d")
    (source / "to-file").symlink_to("file")
    make(source, output, Options(tree=TreeOptions(symlinks=Symlinks.REDIRECT), listing=True))
    with opened(output) as webroot:
        link = resource_at(webroot, b"/to-d")
        assert (link.status, link.location, link.keep_query) == (302, b"/d/", True)
        sizes = {e["name"]: e["size"] for e in json.loads(body_of(webroot, b"/", 1))["entries"]}
        # A directory's size is the file system's, and would differ on another machine.
        assert sizes == {"d": 0, "file": 5, "to-d": 0, "to-file": 5}


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        (b"a b", b"a%20b"),
        (b"100%", b"100%25"),
        (b"%2e%2e", b"%252e%252e"),
        (b"what?", b"what%3F"),
        (b"a#b", b"a%23b"),
        ("é".encode(), b"%C3%A9"),
        (b"\xff\xfe", b"%FF%FE"),
        (b"a\r\nSet-Cookie: x", b"./a%0D%0ASet-Cookie:%20x"),
        (b"\\\\host", b"%5C%5Chost"),
        (b"...", b"..."),
        (b"~a;b=c,d@e", b"~a;b=c,d@e"),
        (b"x" * 255, b"x" * 255),
        (b"\xf0" * 255, b"%F0" * 255),
    ],
)
def test_an_awkward_name_is_found_as_it_is_and_redirected_to_percent_encoded(
    source: Path, output: Path, name: bytes, encoded: bytes
) -> None:
    plant(source, {name: {name: b"content"}})
    make(source, output, Options(tree=TreeOptions(dotfiles=True), listing=True))
    with opened(output) as webroot:
        assert body_of(webroot, b"/" + name + b"/" + name) == b"content"
        assert resource_at(webroot, b"/" + name).location == encoded + b"/"
        assert list(verify(webroot)) == []


def test_a_tree_deeper_than_the_kernel_takes_paths_is_built(source: Path, output: Path) -> None:
    names = [b"%d" % (level % 10) * 255 for level in range(40)]
    path = b"/" + b"/".join(names) + b"/file"
    with removed_at_the_end(source):
        plant(source, nest(names, {b"file": b"far down"}))
        make(source, output, LISTED)
    with opened(output) as webroot:
        assert body_of(webroot, path) == b"far down"


def test_a_path_that_no_request_can_name_ends_the_build_with_its_bound(
    source: Path, output: Path
) -> None:
    with removed_at_the_end(source):
        plant(source, nest([b"d" * 255] * 256, {b"f": b"far down"}))
        done = python("-m", "mkroot", "--quiet", source, output)
    assert done.returncode == 1
    assert b"a path of 65,537 bytes, more than 65,536" in done.stderr
    assert not output.exists()


def test_five_thousand_levels_are_built_and_extracted_with_few_descriptors(
    source: Path, output: Path
) -> None:
    program = (
        "import resource, sys; from mkroot.cli import main;"
        "limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit));"
        "sys.exit(main(sys.argv[1:]))"
    )
    copy = output.parent / "copy"
    with removed_at_the_end(source), removed_at_the_end(copy):
        plant(source, nest([b"d"] * 5000, {b"file": b"far down"}))
        done = python("-c", program, "--quiet", source, output)
        assert (done.returncode, done.stderr) == (0, b"")
        done = python("-c", program, "--quiet", "--extract", output, copy)
        assert (done.returncode, done.stderr) == (0, b"")
        found = sum(1 for node in Walked(os.fsencode(copy), TreeOptions(), print).walk())
        assert found == 10_002
    with opened(output) as webroot:
        assert body_of(webroot, b"/d" * 5000 + b"/file") == b"far down"


def test_an_empty_tree_is_a_site_of_one_url(source: Path, output: Path) -> None:
    make(source, output)
    with opened(output) as webroot:
        assert paths_in(webroot) == [b"/"]
        assert list(verify(webroot)) == []


# How it lies in the file.


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1])
def test_bodies_from_64_kib_on_start_at_a_page_with_their_head_right_before(
    source: Path, output: Path, size: int
) -> None:
    plant(source, {b"a": b"odd", b"b": os.urandom(size), b"c": b"odd too", b"d": os.urandom(size)})
    make(source, output)
    with opened(output) as webroot:
        for path in (b"/b", b"/d"):
            (variant,) = resource_at(webroot, path).variants
            assert variant.head_offset + variant.head_length == variant.body_offset
            if size >= 65_536:
                assert variant.body_offset % 4096 == 0
            else:
                assert variant.head_offset % 64 == 0
        assert list(verify(webroot)) == []


@pytest.mark.parametrize("size", [10, 300_000])
def test_equal_contents_are_stored_once(source: Path, output: Path, size: int) -> None:
    content = os.urandom(size)
    plant(source, {b"a": content, b"b": b"between", b"c": content})
    os.link(source / "a", source / "d")
    progress = make(source, output)
    assert progress.saved == 2 * size
    assert output.stat().st_size < size + 20_000
    with opened(output) as webroot:
        first = resource_at(webroot, b"/a").variants
        assert resource_at(webroot, b"/c").variants == first
        assert resource_at(webroot, b"/d").variants == first
        assert list(verify(webroot)) == []


@pytest.mark.parametrize("size", [10, 300_000])
def test_equal_contents_of_different_types_share_the_body_and_not_the_head(
    source: Path, output: Path, size: int
) -> None:
    content = b"x" * size
    plant(source, {b"a.txt": content, b"b.css": content, b"c.css": content})
    make(source, output)
    with opened(output) as webroot:
        text, style, again = (
            resource_at(webroot, path).variants[0] for path in (b"/a.txt", b"/b.css", b"/c.css")
        )
        assert text.body_offset == style.body_offset
        assert text.head_offset + text.head_length == text.body_offset
        assert style.head_offset > style.body_offset
        assert style == again
        assert b"\r\nContent-Type: text/css" in head_of(webroot, b"/b.css")
        assert list(verify(webroot)) == []


def test_a_sparse_file_stays_sparse(source: Path, output: Path) -> None:
    plant(source, {b"before": b"x"})
    size = 64 << 20
    with (source / "image").open("wb") as file:
        file.write(b"start")
        file.truncate(size)
    if (source / "image").stat().st_blocks * 512 > size // 2:
        pytest.skip("the file system here has no sparse files")
    make(source, output)
    assert output.stat().st_size > size
    assert output.stat().st_blocks * 512 < 4 << 20
    with opened(output) as webroot:
        (variant,) = resource_at(webroot, b"/image").variants
        assert variant.body_length == size
        assert webroot.read(variant.body_offset, 6) == b"start\0"
        assert list(verify(webroot)) == []


def test_a_copy_of_a_large_body_leaves_nothing_behind_the_first(source: Path, output: Path) -> None:
    # The copy is written before it is known for one; what follows has a hole in that place.
    plant(source, {b"a": b"\xff" * 3_000_000, b"b": b"\xff" * 3_000_000, b"c": b"\0" * 3_000_000})
    make(source, output)
    with opened(output) as webroot:
        assert body_of(webroot, b"/c") == b"\0" * 3_000_000
        assert list(verify(webroot)) == []


# The same tree gives the same bytes.


def test_order_of_creation_and_times_do_not_change_a_byte(tmp_path: Path, output: Path) -> None:
    tree: Tree = {
        b"%d" % number: {b"x": b"%d" % (number % 7), b"index.html": b"<p>" + b"y" * (number << 12)}
        for number in range(30)
    }
    tree = {**tree, b"a-b": b"", b"a": {b"b.css": b"5"}}
    first = plant(tmp_path / "first", tree)
    make(first, output)
    expected = output.read_bytes()
    second = plant(tmp_path / "second", {b"%d" % number: b"" for number in range(500)})
    for name in list(second.iterdir()):
        name.unlink()
    plant(second, tree, backwards=True)
    os.utime(second / "a-b", (1, 1))
    make(second, output)
    assert output.read_bytes() == expected


def test_another_python_process_gives_the_same_bytes(source: Path, output: Path) -> None:
    plant(source, {b"%d" % number: {b"x": b"", b"y.css": b"a"} for number in range(20)})
    files = []
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "TZ": f"UTC+{seed}"}
        options = ("--listing", "--quiet")
        done = python("-m", "mkroot", *options, source, output, environment=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        files.append(output.read_bytes())
    assert files[0] == files[1]


def test_dates_of_a_listing_are_not_later_than_asked(source: Path, output: Path) -> None:
    plant(source, {b"old": b"", b"new": b""})
    os.utime(source / "old", (1_000_000_000, 1_000_000_000))
    os.utime(source / "new", (1_700_000_000, 1_700_000_000))
    done = python(
        *("-m", "mkroot", "--listing", source, output),
        environment={"SOURCE_DATE_EPOCH": "1600000000"},
    )
    assert done.returncode == 0
    with opened(output) as webroot:
        entries = json.loads(body_of(webroot, b"/", 1))["entries"]
    assert {entry["name"]: entry["modified"] for entry in entries} == {
        "old": "2001-09-09T01:46:40Z",
        "new": "2020-09-13T12:26:40Z",
    }


def test_times_of_files_are_recorded_on_demand_and_not_later_than_asked(
    source: Path, output: Path
) -> None:
    times = {b"before": -1.5, b"old": 1.9, b"new": 1_700_000_000}
    plant(source, dict.fromkeys(times, b"the same") | {b"d": {b"index.html": b""}, b"empty": {}})
    for name, time in times.items():
        os.utime(os.fsencode(source) + b"/" + name, (time, time))
    os.utime(source / "d/index.html", (7, 7))
    make(source, output, Options(last_modified=True))
    with opened(output) as webroot:
        assert {path: resource_at(webroot, path).modified for path in paths_in(webroot)} == {
            b"/": None,
            b"/before": None,
            b"/d": None,
            b"/d/": 7,
            b"/d/index.html": 7,
            b"/empty": None,
            b"/empty/": None,
            b"/new": 1_700_000_000,
            b"/old": 1,
        }
    make(source, output, Options(last_modified=True, latest_date=5))
    with opened(output) as webroot:
        assert resource_at(webroot, b"/new").modified == 5
    make(source, output)
    with opened(output) as webroot:
        assert resource_at(webroot, b"/new").modified is None


def test_a_time_that_no_date_can_name_is_not_recorded(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No common file system can hold the year 10000.
    monkeypatch.setattr("mkroot.build.MAX_MODIFIED", 1000)
    plant(source, {b"a": b"", b"b": b""})
    os.utime(source / "a", (1000, 1000))
    os.utime(source / "b", (1001, 1001))
    make(source, output, Options(last_modified=True))
    with opened(output) as webroot:
        assert [resource_at(webroot, path).modified for path in (b"/a", b"/b")] == [1000, None]
