"""What lies below a directory is opened there, whatever is exchanged for a symlink meanwhile."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mkroot import beneath
from mkroot.build import Options, Progress, build
from mkroot.errors import BuildError
from mkroot.tree import Symlinks, Tree, TreeOptions
from tests.trees import make, opened_directory, plant
from tests.webroots import body_of, leftovers, opened

SECRET = b"what lies outside of the tree"
# Goes into the file as it is read, and is told as progress before what comes behind it is opened.
LARGE = b"\xff" * (3 << 20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree, and a secret beside it."""
    plant(tmp_path, {b"outside": {b"page.html": SECRET, b"index.html": SECRET}})
    return plant(
        tmp_path / "source",
        {
            b"a.bin": LARGE,
            b"d": {b"page.html": b"<p>page", b"index.html": b"<p>index"},
            b"page.html": b"<p>page",
            b"real": {b"page.html": b"<p>real", b"index.html": b"<p>real"},
        },
    )


def exchange(place: Path, target: str) -> None:
    """Put a symlink in the place of something."""
    place.rename(place.with_name("." + place.name))
    place.symlink_to(target)


def build_while(source: Path, output: Path, change: Callable[[], None], options: Options) -> None:
    """Build, and change the tree when its top has been read and its first file written."""
    changed = False

    def tell(_progress: Progress) -> None:
        nonlocal changed
        if not changed:
            changed = True
            change()

    build(source, output, options, tell)
    assert changed


def swap_file(source: Path) -> None:
    exchange(source / "page.html", "../outside/page.html")


def swap_directory(source: Path) -> None:
    exchange(source / "d", "../outside")


def swap_for_a_symlink_that_stays_inside(source: Path) -> None:
    exchange(source / "page.html", "real/page.html")


def swap_for_a_magic_link(source: Path) -> None:
    exchange(source / "page.html", "/proc/self/exe")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (swap_file, "page.html: not a regular file any more"),
        (swap_directory, "d: not a directory any more"),
        (swap_for_a_symlink_that_stays_inside, "page.html: not a regular file any more"),
        (swap_for_a_magic_link, "page.html: not a regular file any more"),
    ],
)
@pytest.mark.parametrize("listing", [False, True])
def test_what_is_exchanged_for_a_symlink_after_it_was_looked_at_is_an_error_that_names_it(
    source: Path, tmp_path: Path, change: Callable[[Path], None], reason: str, listing: bool
) -> None:
    output = tmp_path / "out"
    with pytest.raises(BuildError, match=f"{reason}$"):
        build_while(source, output, lambda: change(source), Options(listing=listing))
    assert not output.exists()


@pytest.mark.parametrize("name", ["to-file", "to-directory", "to-below"])
def test_a_symlink_that_is_exchanged_leads_to_where_it_led_when_it_was_looked_at(
    source: Path, tmp_path: Path, name: str
) -> None:
    target = {"to-file": "real/page.html", "to-directory": "real", "to-below": "real/page.html"}
    outside = {"to-file": "../outside/page.html", "to-directory": "../outside"}
    (source / name).symlink_to(target[name])

    def change() -> None:
        if name == "to-below":
            # Not the symlink is exchanged, but a directory on the way to its target.
            exchange(source / "real", "../outside")
            return
        (source / name).unlink()
        (source / name).symlink_to(outside[name])

    output = tmp_path / "out"
    if name == "to-below":
        with pytest.raises(BuildError, match=r"real: not a directory any more$"):
            build_while(source, output, change, Options())
        return
    build_while(source, output, change, Options())
    with opened(output) as webroot:
        path = b"/to-file" if name == "to-file" else b"/to-directory/page.html"
        assert body_of(webroot, path) == b"<p>real"
    assert SECRET not in output.read_bytes()


def test_the_size_of_what_lies_outside_is_not_listed(source: Path, tmp_path: Path) -> None:
    with opened_directory(source) as directory:
        Tree(os.fsencode(source), TreeOptions(), lambda _warning: None).read(directory)
        swap_file(source)
        assert directory.status(b"page.html").st_size != len(SECRET)


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket"])
def test_what_a_symlink_led_to_is_judged_when_it_is_opened(
    source: Path, tmp_path: Path, kind: str
) -> None:
    (source / "to-file").symlink_to("z")
    (source / "z").write_bytes(b"")

    def change() -> None:
        (source / "z").unlink()
        if kind == "fifo":
            os.mkfifo(source / "z")
        elif kind == "directory":
            (source / "z").mkdir()
        else:
            os.mknod(source / "z", 0o140666)

    with pytest.raises(BuildError, match="not a regular file any more"):
        build_while(source, tmp_path / "out", change, Options())
    assert leftovers(tmp_path / "out") == ["outside", "source"]


@pytest.mark.parametrize("symlinks", [Symlinks.FOLLOW, Symlinks.REDIRECT])
@pytest.mark.parametrize(
    "target", ["/proc/self/fd/{fd}", "/proc/self/cwd/page.html", "/proc/self/root{source}/real"]
)
def test_a_symlink_through_a_magic_link_is_refused_even_where_it_leads_inside(
    source: Path,
    tmp_path: Path,
    target: str,
    symlinks: Symlinks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(source)
    fd = os.open(source / "page.html", os.O_RDONLY)
    try:
        (source / "magic").symlink_to(target.format(fd=fd, source=source))
        options = Options(tree=TreeOptions(symlinks=symlinks))
        with pytest.raises(BuildError, match=r"magic: a symlink that leads nowhere: .* /proc"):
            make(source, tmp_path / "out", options)
    finally:
        os.close(fd)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_without_openat2_a_symlink_leads_to_the_tree_or_is_refused(
    source: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_path: bytes, _dir_fd: int, _flags: int, _resolve: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(beneath, "_openat2", missing)
    (source / "inside").symlink_to("real/page.html")
    make(source, tmp_path / "out")
    with opened(tmp_path / "out") as webroot:
        assert body_of(webroot, b"/inside") == b"<p>real"
    (source / "leaving").symlink_to("../outside/page.html")
    with pytest.raises(BuildError, match=r"leaving: a symlink out of the tree, to .*/outside/page"):
        make(source, tmp_path / "out")


def test_a_name_that_only_looks_like_the_top_is_outside(source: Path, tmp_path: Path) -> None:
    plant(tmp_path / "source-2", {b"page.html": SECRET})
    (source / "leaving").symlink_to("../source-2/page.html")
    with pytest.raises(BuildError, match="leaving: a symlink out of the tree"):
        make(source, tmp_path / "out")
