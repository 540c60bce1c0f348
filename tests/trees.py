"""Trees of files for the builder's tests: made by hand, or by hypothesis, valid ones first."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from hypothesis import strategies as st

from mkroot.beneath import Root, Trail
from mkroot.build import Options, Progress, build
from mkroot.directory import Directory

ROOT: Final = Path(__file__).parent.parent

# A name is bytes, as it is to the kernel; a directory is a mapping.
Tree = Mapping[bytes, "bytes | Tree"]


def plant(directory: Path, tree: Tree, *, backwards: bool = False) -> Path:
    """Make a directory hold a tree; paths may be longer than the kernel takes at once."""
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    open_directories = [(fd, tree)]
    while open_directories:
        fd, content = open_directories.pop()
        for name in sorted(content, reverse=backwards):
            child = content[name]
            if isinstance(child, bytes):
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=fd)
                with os.fdopen(file, "wb") as stream:
                    stream.write(child)
            else:
                os.mkdir(name, dir_fd=fd)
                opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                open_directories.append((opened, child))
        os.close(fd)
    return directory


def nest(names: list[bytes], innermost: Tree) -> Tree:
    """Return the directories of these names, each in the one before."""
    tree = innermost
    for name in reversed(names):
        tree = {name: tree}
    return tree


def harvest(directory: bytes) -> Tree:
    """Return the tree that a directory holds."""
    tree: dict[bytes, bytes | Tree] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            path = os.path.join(directory, entry.name)
            tree[entry.name] = (
                harvest(path) if entry.is_dir() else Path(os.fsdecode(path)).read_bytes()
            )
    return tree


def paths_of(tree: Tree, above: bytes = b"/") -> Iterator[bytes]:
    """Yield the canonical path of each URL that a tree without dot files has, in no order."""
    yield above
    for name, child in tree.items():
        yield above + name
        if not isinstance(child, bytes):
            yield from paths_of(child, above + name + b"/")


def files_of(tree: Tree, above: bytes = b"/") -> Iterator[tuple[bytes, bytes]]:
    """Yield the path and the content of each file."""
    for name, child in tree.items():
        if isinstance(child, bytes):
            yield above + name, child
        else:
            yield from files_of(child, above + name + b"/")


def make(source: Path, output: Path, options: Options | None = None) -> Progress:
    """Build a webroot and tell nobody."""
    return build(source, output, options or Options(), lambda _progress: None)


@contextmanager
def opened_directory(path: Path) -> Iterator[Directory]:
    """A directory as the walk has it, before its names were read."""
    with closing(Root(os.fsencode(path))) as root, closing(Trail(root)) as trail:
        yield Directory(root, trail.last, b"/")


@contextmanager
def removed_at_the_end(directory: Path) -> Iterator[Path]:
    """For trees that are too deep for pytest to clear away."""
    try:
        yield directory
    finally:
        subprocess.run(["rm", "-rf", "--", directory], check=True)


@contextmanager
def without_privileges(directory: Path) -> Iterator[None]:
    """Be a user to whom permissions apply, with `directory` to work in."""
    is_root = os.geteuid() == 0
    before = Path.cwd()
    os.chdir(directory)
    if is_root:
        os.chown(directory, 65534, 65534)
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        os.chdir(before)


def python(
    *arguments: str | bytes | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run Python from the top of the project and collect what it says."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=plain_environment() | dict(environment or {}),
        capture_output=True,
        timeout=60,
        check=False,
    )


def plain_environment() -> dict[str, str]:
    """The environment without what changes how Python writes or what a build gives."""
    unwanted = ("PYTHONUNBUFFERED", "SOURCE_DATE_EPOCH", "FORCE_COLOR", "NO_COLOR")
    return {name: value for name, value in os.environ.items() if name not in unwanted}


# Names that a careless builder trips over: order around the slash, escapes, dots, broken UTF-8.
_AWKWARD_NAMES: Final = (
    *(b"a", b"a-b", b"a0", b"a.html", b"a!", b"index.html", b"index.htm", b"...", b"..a"),
    *(
        b" ",
        b"%2e%2e",
        b"%",
        b"?",
        b"#",
        b"a b",
        b"\n",
        b"\xff",
        b"\xc3\xa9",
        b"x" * 255,
        b"~",
        b":",
    ),
)
_ORDINARY: Final = st.binary(min_size=1, max_size=12).map(
    lambda name: name.replace(b"\0", b"0").replace(b"/", b"_")
)
# Dot files are left out, so a tree that is to be found again has none.
NAMES: Final = (st.sampled_from(_AWKWARD_NAMES) | _ORDINARY).map(
    lambda name: b"_" + name[:254] if name.startswith(b".") else name
)
CONTENTS: Final = (
    st.binary(max_size=40)
    | st.sampled_from((b"", b"same", b"<!DOCTYPE html>"))
    | st.builds(
        lambda byte, length: byte * length,
        st.sampled_from((b"\0", b"x", b"\xff")),
        st.integers(65_530, 65_545),
    )
)
TREES: Final[st.SearchStrategy[Tree]] = st.dictionaries(
    NAMES,
    st.recursive(
        CONTENTS, lambda children: st.dictionaries(NAMES, children, max_size=5), max_leaves=12
    ),
    max_size=5,
)
