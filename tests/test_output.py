"""Where a webroot is put: over a regular file or nothing, and never over anything else."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ashttpd.webroot.resource import Resource
from mkroot.build import Options, Progress, build
from mkroot.disk import reason_of
from mkroot.errors import BuildError
from mkroot.inspect import Extraction
from mkroot.verify import verify
from tests.trees import harvest, make, plant, python, without_privileges
from tests.webroots import leftovers, opened

IS: dict[str, Callable[[int], bool]] = {
    "device": stat.S_ISCHR,
    "disk": stat.S_ISBLK,
    "fifo": stat.S_ISFIFO,
    "socket": stat.S_ISSOCK,
    "directory": stat.S_ISDIR,
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return plant(tmp_path / "source", {b"index.html": b"<p>hi"})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A place for a webroot in a directory of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "site.webroot"


def make_special(path: Path, kind: str) -> None:
    """Make something that is no regular file; devices of our own, which only root may make."""
    if kind in ("device", "disk") and os.geteuid() != 0:
        pytest.skip("only root may make a device")
    if kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    elif kind == "disk":
        # No disk has this number, so that nothing can be written to it.
        os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(240, 99))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.fspath(path))
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", IS)
def test_what_is_no_regular_file_is_refused_by_name_and_stays(
    source: Path, output: Path, kind: str
) -> None:
    make_special(output, kind)
    done = python("-m", "mkroot", source, output)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(f"mkroot: {output}: a ".encode())
    assert done.stderr.count(b"\n") == 1
    assert IS[kind](output.lstat().st_mode)
    assert leftovers(output) == []


@pytest.mark.parametrize("kind", IS)
def test_a_symlink_to_what_is_no_regular_file_is_refused_by_name_and_both_stay(
    source: Path, output: Path, kind: str
) -> None:
    make_special(output.parent / "special", kind)
    output.symlink_to("special")
    with pytest.raises(BuildError, match=rf"{output}: a symlink to a "):
        make(source, output)
    assert output.is_symlink()
    assert IS[kind](output.stat().st_mode)
    assert leftovers(output) == ["special"]


def test_what_is_no_regular_file_is_refused_before_the_tree_is_read(
    tmp_path: Path, output: Path
) -> None:
    os.mkfifo(output)
    with pytest.raises(BuildError, match="a FIFO, and no file that can be replaced"):
        make(tmp_path / "nowhere", output)


@pytest.mark.parametrize("target", ["real", "dangling", "folder/real"])
def test_a_symlink_stays_and_the_file_that_it_leads_to_is_replaced(
    source: Path, output: Path, tmp_path: Path, target: str
) -> None:
    # As the README deploys: vhosts/example.com -> ../site.webroot.
    (tmp_path / "folder").mkdir()
    real = tmp_path / target
    if target != "dangling":
        real.write_bytes(b"what was served before")
    output.symlink_to(f"../{target}")
    chain = output.parent / "chain"
    chain.symlink_to(output.name)
    make(source, chain)
    assert os.readlink(output) == f"../{target}"
    assert not real.is_symlink()
    with opened(real) as webroot:
        assert list(verify(webroot)) == []
    assert leftovers(output) == ["chain"]


def test_a_symlink_that_leads_into_the_source_is_refused(source: Path, output: Path) -> None:
    output.symlink_to(source / "out")
    with pytest.raises(BuildError, match="lies inside of"):
        make(source, output)
    assert os.listdir(source) == ["index.html"]


def test_a_file_system_without_free_inodes_is_told_from_a_full_one() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def reason(files: int, available: int) -> str:
        return reason_of(
            full, os.statvfs_result((4096, 4096, 9, 9, 9, files, 0, available, 0, 255))
        )

    assert reason(1_000, 0).endswith(": none of its 1,000 inodes is free")
    assert reason(1_000, 1) == reason(0, 0) == "No space left on device"


@pytest.mark.parametrize("text", ["missing/", "missing/.", "file/"])
def test_a_symlink_by_the_name_of_a_directory_is_refused(
    source: Path, output: Path, text: str
) -> None:
    (output.parent / "file").write_bytes(b"old")
    (output.parent / "link").symlink_to(text)
    output.symlink_to("link")
    with pytest.raises(BuildError, match=f"{output}: a symlink to a directory; name a file in it"):
        make(source, output)
    assert (output.parent / "file").read_bytes() == b"old"
    assert not (output.parent / "missing").exists()


def test_a_symlink_that_leads_round_is_refused(source: Path, output: Path) -> None:
    output.symlink_to(output.name)
    with pytest.raises(BuildError, match=r"site\.webroot: a symlink that leads back to itself"):
        make(source, output)


@pytest.mark.parametrize("target", ["/proc/self/fd/1", "/proc/self/fd/{fd}"])
def test_a_symlink_to_what_a_process_has_open_is_refused(
    source: Path, output: Path, target: str
) -> None:
    with (output.parent / "log").open("wb") as log:
        output.symlink_to(target.format(fd=log.fileno()))
        with pytest.raises(
            BuildError, match=r"a symlink to what a process has open, .*; name a file$"
        ):
            make(source, output)
    assert (output.parent / "log").read_bytes() == b""


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "symlink"])
def test_what_takes_the_place_while_the_site_is_built_is_refused_and_stays(
    source: Path, output: Path, kind: str
) -> None:
    output.write_bytes(b"what was served before")

    def exchange(_progress: Progress) -> None:
        if output.is_file() and not output.is_symlink():
            output.unlink()
            if kind == "symlink":
                output.symlink_to("/dev/full")
            else:
                make_special(output, kind)

    with pytest.raises(BuildError, match=f"{output}: a "):
        build(source, output, Options(), exchange)
    assert not output.is_file()
    assert leftovers(output) == []


def test_a_folder_that_is_exchanged_while_the_site_is_built_gets_nothing(
    source: Path, output: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()

    def exchange(_progress: Progress) -> None:
        if not output.parent.is_symlink():
            output.parent.rename(tmp_path / "moved")
            output.parent.symlink_to("other")

    build(source, output, Options(), exchange)
    assert os.listdir(tmp_path / "other") == []
    assert os.listdir(tmp_path / "moved") == ["site.webroot"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("-", "-: OUTPUT is put in place in one step, which the standard output cannot be"),
        ("folder/", "folder/: a directory; name a file in it"),
        (".", "a directory; name a file in it"),
        ("x" * 256, "x: File name too long"),
        ("missing/out", "its folder {tmp}/missing: No such file or directory"),
        ("source/index.html/out", "its folder {tmp}/source/index.html: Not a directory"),
    ],
)
def test_a_name_that_is_no_place_for_a_file_is_refused_by_name(
    source: Path, tmp_path: Path, name: str, reason: str
) -> None:
    program = f"import os; os.chdir({str(tmp_path)!r})\n" + (
        "import sys; from mkroot.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = python("-c", program, "source", name)
    assert done.returncode == 1
    assert reason.format(tmp=tmp_path) in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert os.listdir(tmp_path) == ["source"]


def test_a_file_whose_name_is_a_dash_can_be_asked_for(source: Path, tmp_path: Path) -> None:
    program = f"import os; os.chdir({str(tmp_path)!r})\n" + (
        "import sys; from mkroot.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    assert python("-c", program, "source", "./-").returncode == 0
    assert sorted(os.listdir(tmp_path)) == ["-", "source"]


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    plant(tmp_path, {b"source": {b"a": b""}, b"closed": {}})
    (tmp_path / "closed").chmod(0o555)
    with (
        without_privileges(tmp_path),
        pytest.raises(BuildError, match=f"^closed/out: its folder {tmp_path}/closed: Permission"),
    ):
        make(Path("source"), Path("closed/out"))


# The same for what is written when a site is extracted.


def extract_while(webroot_path: Path, directory: Path, change: Callable[[Resource], None]) -> None:
    """Extract a webroot, and change things before each resource is written."""
    with opened(webroot_path) as webroot:
        read = webroot.resources

        def resources() -> Iterator[tuple[int, Resource]]:
            for offset, resource in read():
                change(resource)
                yield offset, resource

        webroot.resources = resources  # type: ignore[method-assign]  # a fake clock of changes
        Extraction(webroot, directory).run()


@pytest.mark.parametrize("victim", ["d", "d/e", "d/e/file", "copy"])
def test_nothing_is_extracted_through_a_symlink_that_is_put_in_the_way(
    tmp_path: Path, victim: str
) -> None:
    plant(tmp_path, {b"source": {b"d": {b"e": {b"file": b"1"}}, b"z": b"2"}, b"outside": {}})
    make(tmp_path / "source", tmp_path / "webroot")
    copy = tmp_path / "copy"
    place = copy if victim == "copy" else copy / victim
    before = {"copy": b"/d/", "d": b"/d/", "d/e": b"/d/e/", "d/e/file": b"/d/e/file"}[victim]

    def change(resource: Resource) -> None:
        if resource.path == before:
            if place.exists():
                place.rename(place.with_name("moved"))
            place.symlink_to(tmp_path / "outside")

    if victim == "copy":
        # It was opened before, and is written wherever it is now.
        extract_while(tmp_path / "webroot", copy, change)
    else:
        with pytest.raises(BuildError, match=f"^{copy}/{victim}"):
            extract_while(tmp_path / "webroot", copy, change)
    assert os.listdir(tmp_path / "outside") == []


def test_a_file_of_the_name_of_the_directory_to_extract_to_is_named(
    source: Path, tmp_path: Path
) -> None:
    make(source, tmp_path / "webroot")
    (tmp_path / "file").write_bytes(b"")
    done = python("-m", "mkroot", "--extract", tmp_path / "webroot", tmp_path / "file")
    assert done.returncode == 1
    assert done.stderr == f"mkroot: {tmp_path}/file: Not a directory\n".encode()
    assert harvest(os.fsencode(tmp_path / "source")) == {b"index.html": b"<p>hi"}
