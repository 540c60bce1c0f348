"""Whole builds that fail: what is said, and that the old file stays and no litter."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from mkroot.build import Options, Progress, build
from mkroot.content import Content
from mkroot.encoded import EncodedRules
from mkroot.errors import BuildError
from mkroot.media_types import MediaTypes
from mkroot.remarks import Remarks
from mkroot.verify import verify
from tests.trees import (
    ROOT,
    make,
    opened_directory,
    plain_environment,
    plant,
    python,
    without_privileges,
)
from tests.webroots import body_of, leftovers, opened, paths_in, resource_at

LISTED = Options(listing=True)
# Too large to wait for its record in memory.
LARGE = b"\xff" * (3 << 20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return plant(tmp_path / "source", {})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A place for a webroot in a directory of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "site.webroot"


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


@pytest.mark.parametrize("change", ["grows", "shrinks", "is touched", "is exchanged"])
@pytest.mark.parametrize("size", [10, 4_000_000])
def test_a_file_that_changes_while_it_is_read_is_an_error_that_names_it(
    source: Path, change: str, size: int
) -> None:
    plant(source, {b"file": b"x" * size})
    file = source / "file"
    # Long ago, so that a coarse clock of the file system cannot hide the change.
    os.utime(file, (1, 1))
    with opened_directory(source) as directory:
        content = Content(
            directory, b"file", MediaTypes(()), Remarks(lambda _warning: None), EncodedRules()
        )
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


def test_a_file_that_never_stops_growing_is_given_up(source: Path) -> None:
    plant(source, {b"log": b"x" * 100})
    with opened_directory(source) as directory:
        content = Content(
            directory, b"log", MediaTypes(()), Remarks(lambda _warning: None), EncodedRules()
        )
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
    # A large file goes into the file at once, behind all that was waiting.
    plant(source, {b"a.bin": LARGE, b"gone": b""})

    def remove(_progress: Progress) -> None:
        (source / "gone").unlink(missing_ok=True)

    def run() -> None:
        (source / "gone").touch()
        build(source, output, Options(), remove)

    assert_fails_and_leaves_the_old_file(output, BuildError, "gone: No such file", run)


def test_a_fifo_in_the_place_of_a_file_is_an_error_and_no_wait(source: Path, output: Path) -> None:
    plant(source, {b"a.bin": LARGE, b"file": b""})

    def exchange(progress: Progress) -> None:
        if progress.urls == 1:
            (source / "file").unlink()
            os.mkfifo(source / "file")

    with pytest.raises(BuildError, match="file: not a regular file any more"):
        build(source, output, Options(), exchange)
    assert os.listdir(output.parent) == []


def test_a_directory_that_vanishes_is_an_error_that_names_it(source: Path, output: Path) -> None:
    plant(source, {b"a.bin": LARGE, b"gone": {b"b.bin": LARGE}})

    def remove(progress: Progress) -> None:
        if progress.urls == 1:
            (source / "gone" / "b.bin").unlink()
            (source / "gone").rmdir()

    with pytest.raises(BuildError, match=r"^gone: No such file"):
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
            partial(make, tmp_path / name, output),
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
    with pytest.raises(BuildError, match=f"out: its folder {tmp_path}/missing: No such file"):
        make(source, tmp_path / "missing" / "out")
    assert not (tmp_path / "missing").exists()


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
    assert error.startswith(f"mkroot: {disk}/out: No space left on device: ")
    assert re.search(rf"\d+,\d+ bytes were written, .* {disk} has [\d,]+ bytes free$", error)
    assert (names, content) == ("out", "old")


def test_a_full_disk_for_temporary_files_leaves_the_old_file(source: Path, output: Path) -> None:
    plant(source, {b"x" * 250: {b"%0250d" % number: b"" for number in range(2000)}})
    said = on_a_full_disk(
        output.parent,
        f"! TMPDIR=$0 $PYTHON -m mkroot {source} {source}.out 2>&1",
    )
    assert said.startswith(
        "mkroot: the temporary file of records (TMPDIR): No space left on device"
    )
    assert f"the file system of {output.parent} has " in said
    assert said.count("\n") == 1
    assert not os.path.exists(f"{source}.out")


def test_digests_that_find_no_room_on_the_disk_are_an_error_of_one_line(
    source: Path, output: Path
) -> None:
    plant(source, {b"%04d" % number: b"" for number in range(1000)})
    # The cache of the digests is large enough for half a million; it is made small here.
    done = python("-c", LIMITED.format(preparation="spill._CACHE_KIB = 1"), source, output)
    assert done.returncode == 1
    assert done.stderr.startswith(b"mkroot: the temporary database of digests in /")
    assert b" bytes free: " in done.stderr
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
