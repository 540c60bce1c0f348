"""Whole builds: what each thing answers, how it lies in the file, and what fails safely."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from ashttpd.webroot.reader import Webroot
from mkroot.build import Options, Progress, build
from mkroot.content import Content
from mkroot.errors import BuildError
from mkroot.media_types import MediaTypes
from mkroot.tree import Directory, Symlinks, TreeOptions
from mkroot.verify import verify
from tests.trees import (
    ROOT,
    Tree,
    make,
    nest,
    plain_environment,
    plant,
    python,
    removed_at_the_end,
    without_privileges,
)
from tests.webroots import body_of, leftovers, opened, paths_in, resource_at

LISTED = Options(listing=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return plant(tmp_path / "source", {})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A place for a webroot in a directory of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "site.webroot"


def head_of(webroot: Webroot, path: bytes, variant: int = 0) -> bytes:
    return webroot.head_block(resource_at(webroot, path).variants[variant])


def assert_fails_and_leaves_the_old_file(
    output: Path, error: type[Exception], match: str, action: Callable[[], object]
) -> None:
    """The action fails, an old file stays as it is, and a missing one stays missing."""
    for old in (None, b"what was served before"):
        if old is not None:
            output.write_bytes(old)
        with pytest.raises(error, match=match):
            action()
        assert leftovers(output) == []
        assert (output.read_bytes() if output.exists() else None) == old


# What each thing becomes.


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
        for path in (b"/d", b"/d/e"):
            resource = resource_at(webroot, path)
            assert (resource.status, resource.location) == (301, path + b"/")
            assert resource.keep_query


def test_a_directory_without_an_index_answers_403(source: Path, output: Path) -> None:
    plant(source, {b"d": {b"file": b""}})
    make(source, output)
    with opened(output) as webroot:
        assert resource_at(webroot, b"/").status == 403
        assert resource_at(webroot, b"/d/").status == 403
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
        assert resource_at(webroot, b"/both/").status == 403
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
            ("./b/", 0),
            ("./a", 3),
            ("./%FF", 0),
        ]
        # The clock of the listing counts whole seconds, and rounds none up.
        assert listing["entries"][1]["modified"] == "2023-11-14T22:13:20Z"
        assert b'href="./%FF"' in body_of(webroot, b"/")


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
        (b"a b", b"/a%20b"),
        (b"100%", b"/100%25"),
        (b"%2e%2e", b"/%252e%252e"),
        (b"what?", b"/what%3F"),
        (b"a#b", b"/a%23b"),
        ("é".encode(), b"/%C3%A9"),
        (b"\xff\xfe", b"/%FF%FE"),
        (b"a\r\nSet-Cookie: x", b"/a%0D%0ASet-Cookie:%20x"),
        (b"\\\\host", b"/%5C%5Chost"),
        (b"...", b"/..."),
        (b"~a;b=c,d@e", b"/~a;b=c,d@e"),
        (b"x" * 255, b"/" + b"x" * 255),
        (b"\xf0" * 255, b"/" + b"%F0" * 255),
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


def test_a_thousand_levels_are_built_within_the_usual_limit_of_descriptors(
    source: Path, output: Path
) -> None:
    with removed_at_the_end(source):
        plant(source, nest([b"d"] * 1000, {b"file": b"far down"}))
        program = (
            "import resource, sys; from mkroot.cli import main;"
            "limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, limit));"
            "sys.exit(main(sys.argv[1:]))"
        )
        done = python("-c", program, "--quiet", source, output)
    assert (done.returncode, done.stderr) == (0, b"")
    with opened(output) as webroot:
        assert body_of(webroot, b"/d" * 1000 + b"/file") == b"far down"


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
        assert b"\r\nContent-Type: text/css" in webroot.head_block(style)
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


# What fails, and leaves everything as it was.


@pytest.mark.parametrize("change", ["grows", "shrinks", "is touched", "is exchanged"])
@pytest.mark.parametrize("size", [10, 4_000_000])
def test_a_file_that_changes_while_it_is_read_is_an_error_that_names_it(
    source: Path, change: str, size: int
) -> None:
    plant(source, {b"file": b"x" * size})
    file = source / "file"
    # Long ago, so that a coarse clock of the file system cannot hide the change.
    os.utime(file, (1, 1))
    directory = Directory(os.open(source, os.O_RDONLY), b"/", (0, 0))
    try:
        content = Content(directory, b"file", MediaTypes(()), lambda _warning: None)
        chunks = content.chunks()
        next(chunks)
        if change == "grows":
            with file.open("ab") as stream:
                stream.write(b"y")
        elif change == "shrinks":
            os.truncate(file, size - 1)
        elif change == "is touched":
            os.utime(file, (2, 2))
        else:
            (source / "other").write_bytes(b"z" * size)
            os.rename(source / "other", file)
        with pytest.raises(BuildError, match="file: changed while it was read"):
            for _ in chunks:
                pass
    finally:
        os.close(directory.fd)


def test_a_file_that_never_stops_growing_is_given_up(source: Path) -> None:
    plant(source, {b"log": b"x" * 100})
    directory = Directory(os.open(source, os.O_RDONLY), b"/", (0, 0))
    try:
        content = Content(directory, b"log", MediaTypes(()), lambda _warning: None)
        taken = 0

        def follow() -> None:
            nonlocal taken
            for _ in content.chunks():
                taken += 1
                assert taken < 10, "reads as long as somebody writes"
                with (source / "log").open("ab") as log:
                    log.write(b"one more line\n")

        with pytest.raises(BuildError, match="log: changed while it was read"):
            follow()
    finally:
        os.close(directory.fd)


def test_a_build_meeting_a_change_leaves_the_old_file(source: Path, output: Path) -> None:
    plant(source, {b"a": b"", b"large": b"x" * (3 << 20)})

    def change(_frame: FrameType, event: str, function: object) -> None:
        if event == "c_return" and function is os.read:
            with (source / "large").open("ab") as large:
                large.write(b"y")

    def run() -> None:
        sys.setprofile(change)
        try:
            make(source, output)
        finally:
            sys.setprofile(None)

    assert_fails_and_leaves_the_old_file(
        output, BuildError, "large: changed while it was read", run
    )


def test_a_file_that_vanishes_is_an_error_that_names_it(source: Path, output: Path) -> None:
    plant(source, {b"a": b"", b"gone": b""})

    def remove(progress: Progress) -> None:
        if progress.urls == 2:
            (source / "gone").unlink(missing_ok=True)

    def run() -> None:
        (source / "gone").touch()
        build(source, output, Options(), remove)

    assert_fails_and_leaves_the_old_file(output, BuildError, "gone: No such file", run)


def test_a_fifo_in_the_place_of_a_file_is_an_error_and_no_wait(source: Path, output: Path) -> None:
    plant(source, {b"a": b"", b"file": b""})

    def exchange(progress: Progress) -> None:
        if progress.urls == 2:
            (source / "file").unlink()
            os.mkfifo(source / "file")

    with pytest.raises(BuildError, match="file: not a regular file any more"):
        build(source, output, Options(), exchange)
    assert os.listdir(output.parent) == []


def test_a_directory_that_vanishes_is_an_error_that_names_it(source: Path, output: Path) -> None:
    plant(source, {b"a": b"", b"gone": {}})

    def remove(progress: Progress) -> None:
        if progress.urls == 3:
            (source / "gone").rmdir()

    with pytest.raises(BuildError, match="source/gone: No such file"):
        build(source, output, Options(), remove)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    plant(tmp_path / "source", {b"secret": b""})
    (tmp_path / "source" / "secret").chmod(0)
    with (
        without_privileges(tmp_path),
        pytest.raises(BuildError, match=r"^secret: Permission denied$"),
    ):
        make(Path("source"), Path("output"))
    assert os.listdir(tmp_path) == ["source"]


def test_a_listing_of_what_may_not_be_looked_at_blames_the_file(tmp_path: Path) -> None:
    plant(tmp_path / "source", {b"d": {b"file": b""}})
    # Names can be read, what they name cannot.
    (tmp_path / "source" / "d").chmod(0o444)
    if os.geteuid() == 0:
        os.chown(tmp_path / "source" / "d", 65534, 65534)
    with (
        without_privileges(tmp_path),
        pytest.raises(OSError, match=r"Permission denied: '/d/file'"),
    ):
        make(Path("source"), Path("output"), LISTED)
    (tmp_path / "source" / "d").chmod(0o700)


def test_a_source_that_is_no_directory_is_refused(tmp_path: Path, output: Path) -> None:
    plant(tmp_path, {b"file": b""})
    for name, reason in (("file", "Not a directory"), ("nowhere", "No such file or directory")):
        assert_fails_and_leaves_the_old_file(
            *(output, BuildError, f"{name}: {reason}"),
            lambda name=name: make(tmp_path / name, output),  # type: ignore[misc]
        )
        output.unlink()


@pytest.mark.parametrize("place", ["out", "d/out", "../alias/out", "d/../out"])
def test_an_output_inside_of_the_source_is_refused(source: Path, place: str) -> None:
    plant(source, {b"d": {}})
    (source.parent / "alias").symlink_to("source/d")
    with pytest.raises(BuildError, match="lies inside of"):
        make(source, source / place)
    assert os.listdir(source) == ["d"]
    assert os.listdir(source / "d") == []


def test_an_output_beside_a_source_of_similar_name_is_written(tmp_path: Path) -> None:
    plant(tmp_path, {b"site": {b"a": b""}, b"site-2": {}})
    make(tmp_path / "site", tmp_path / "site-2" / "out")
    with opened(tmp_path / "site-2" / "out") as webroot:
        assert paths_in(webroot) == [b"/", b"/a"]


def test_an_output_directory_that_is_missing_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        make(source, tmp_path / "missing" / "out")
    assert not (tmp_path / "missing").exists()


def test_an_output_that_is_a_directory_is_an_error_without_litter(
    source: Path, output: Path
) -> None:
    output.mkdir()
    with pytest.raises(OSError, match=r"Is a directory|exists|not empty"):
        make(source, output)
    assert leftovers(output) == []
    assert os.listdir(output) == []


@pytest.mark.parametrize("name", [b"x" * 255, "€".encode() * 85, b"\xff" * 255])
def test_an_output_with_the_longest_name_is_written(
    source: Path, output: Path, name: bytes
) -> None:
    output = output.parent / os.fsdecode(name)
    make(source, output)
    make(source, output)
    assert leftovers(output) == []
    assert output.stat().st_size > 4096


def test_a_replaced_file_goes_on_living_for_who_has_it_open(source: Path, output: Path) -> None:
    plant(source, {b"a": b"old"})
    make(source, output)
    with opened(output) as before:
        (source / "a").write_bytes(b"new")
        make(source, output)
        assert body_of(before, b"/a") == b"old"
        with opened(output) as after:
            assert body_of(after, b"/a") == b"new"
            assert after.site_id != before.site_id


@pytest.mark.parametrize("old", [None, b"what was served before"])
def test_a_build_that_is_killed_leaves_the_old_file_and_no_litter(
    source: Path, output: Path, old: bytes | None
) -> None:
    plant(source, {b"a": os.urandom(5_000_000), b"b": b""})
    if old is not None:
        output.write_bytes(old)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mkroot.build import Options, build\n"
        "def tell(progress):\n"
        "    if progress.urls == 2:\n"
        "        print('halfway', flush=True)\n"
        "        sys.stdin.read()\n"
        "build(Path(sys.argv[1]), Path(sys.argv[2]), Options(), tell)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, source, output],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"halfway\n"
        process.kill()
    assert leftovers(output) == []
    assert (output.read_bytes() if output.exists() else None) == old


# Runs mkroot while no file may grow beyond 8 KiB; what measures the coverage writes one too.
LIMITED = """
import resource, sys
from mkroot import cli, spill
_soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
{preparation}
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
status = cli.main(sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
sys.exit(status)
"""


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_file_that_may_not_grow_any_more_leaves_the_old_file(
    source: Path, output: Path, size: int
) -> None:
    plant(source, {b"%02d" % number: os.urandom(size) for number in range(40)})
    output.write_bytes(b"what was served before")
    done = python("-c", LIMITED.format(preparation=""), source, output)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"mkroot: ")
    assert b"File too large" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert output.read_bytes() == b"what was served before"
    assert leftovers(output) == []


def on_a_full_disk(disk: Path, *commands: str) -> str:
    """Run shell commands with a file system of 1 MiB at `disk`; returns what they print."""
    inside = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    mount = "mount -t tmpfs -o size=1m none $0"
    done = subprocess.run([*inside, mount, disk], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.decode().strip()}")
    done = subprocess.run(
        [*inside, " && ".join((mount, *commands)), disk],
        check=True,
        cwd=ROOT,
        env=plain_environment() | {"PYTHON": sys.executable},
        capture_output=True,
    )
    return done.stdout.decode()


def test_a_full_disk_leaves_the_old_file_and_no_litter(source: Path, output: Path) -> None:
    plant(source, {b"a": os.urandom(700_000), b"b": os.urandom(700_000)})
    disk = output.parent
    said = on_a_full_disk(
        disk,
        "printf old > $0/out",
        f"! $PYTHON -m mkroot {source} $0/out 2>&1",
        "ls -A $0",
        "cat $0/out",
    )
    error, names, content = said.split("\n")
    assert error.startswith("mkroot: ")
    assert "No space left on device" in error
    assert (names, content) == ("out", "old")


def test_a_full_disk_for_temporary_files_leaves_the_old_file(source: Path, output: Path) -> None:
    plant(source, {b"x" * 250: {b"%0250d" % number: b"" for number in range(2000)}})
    said = on_a_full_disk(
        output.parent,
        f"! TMPDIR=$0 $PYTHON -m mkroot {source} {source}.out 2>&1",
    )
    assert said.startswith("mkroot: ")
    assert "No space left on device" in said
    assert said.count("\n") == 1
    assert not os.path.exists(f"{source}.out")


def test_digests_that_find_no_room_on_the_disk_are_an_error_of_one_line(
    source: Path, output: Path
) -> None:
    plant(source, {b"%04d" % number: b"" for number in range(1000)})
    # The cache of the digests is large enough for half a million; it is made small here.
    done = python("-c", LIMITED.format(preparation="spill._CACHE_KIB = 1"), source, output)
    assert done.returncode == 1
    assert done.stderr.startswith(b"mkroot: ")
    assert done.stderr.count(b"\n") == 1
    assert os.listdir(output.parent) == []


# Options that a webroot cannot hold.


@pytest.mark.parametrize("length", [2_000, 65_000, 70_000])
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_media_type_too_long_for_a_head_is_refused_for_every_file(
    source: Path, output: Path, length: int, size: int
) -> None:
    plant(source, {b"a.foo": b"x" * size})
    options = Options(types=(("*.foo", f'text/foo; a="{"x" * length}"'),))
    with pytest.raises(BuildError, match=r"^text/foo.* head of \d+ bytes, more than 2048$"):
        make(source, output, options)
    assert os.listdir(output.parent) == []


def test_a_media_type_that_is_just_short_enough_is_served(source: Path, output: Path) -> None:
    plant(source, {b"a.foo": b"x"})
    value = f'text/foo; a="{"x" * 1_700}"'
    make(source, output, Options(types=(("*.foo", value),)))
    with opened(output) as webroot:
        assert resource_at(webroot, b"/a.foo").variants[0].media_type == value
        assert list(verify(webroot)) == []


def test_a_media_type_with_a_tab_is_refused_for_no_webroot_holds_it(
    source: Path, output: Path
) -> None:
    plant(source, {b"a.foo": b"x"})
    options = Options(types=(("*.foo", "text/foo;\tcharset=utf-8"),))
    with pytest.raises(BuildError, match=r"text/foo;.*: a media type with what is not printable"):
        make(source, output, options)
