"""The walk: paths in ascending order, what belongs to a site, what is refused by which name."""

import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from mkroot.errors import BuildError
from mkroot.tree import Kind, Symlinks, Tree, TreeOptions
from tests.trees import TREES, nest, paths_of, plant, removed_at_the_end, without_privileges
from tests.trees import Tree as Content

REDIRECT = TreeOptions(symlinks=Symlinks.REDIRECT)
SKIP = TreeOptions(symlinks=Symlinks.SKIP)


def walk(root: Path, options: TreeOptions | None = None) -> list[bytes]:
    warnings: list[str] = []
    tree = Tree(os.fsencode(root), options or TreeOptions(), warnings.append)
    paths = [node.path for node in tree.walk()]
    assert warnings == []
    return paths


def locations(root: Path) -> dict[bytes, bytes]:
    tree = Tree(os.fsencode(root), REDIRECT, lambda _warning: None)
    return {node.path: node.location for node in tree.walk() if node.kind is Kind.LINK}


def test_names_around_the_slash_come_in_the_order_of_their_urls(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            b"a": {b"b": b"", b"-": b""},
            b"a!": b"",
            b"a-b": b"",
            b"a.html": b"",
            b"a0": b"",
            b"aa": {},
        },
    )
    assert walk(tmp_path) == [
        *(b"/", b"/a", b"/a!", b"/a-b", b"/a.html", b"/a/", b"/a/-", b"/a/b", b"/a0", b"/aa"),
        b"/aa/",
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(tree={b"a": {b"a": {}, b"a-": b""}, b"a-": {b"0": b""}, b"a0": b"", b"A": b""})
@given(tree=TREES)
def test_any_tree_gives_each_of_its_urls_once_in_ascending_order(
    tree: Content, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("tree")
    with removed_at_the_end(plant(directory, tree)):
        assert walk(directory) == sorted(paths_of(tree))


def test_a_tree_planted_backwards_is_walked_in_the_same_order(tmp_path: Path) -> None:
    tree: Content = {b"%03d" % number: b"" for number in range(300)}
    forwards = walk(plant(tmp_path / "forwards", tree))
    assert walk(plant(tmp_path / "backwards", tree, backwards=True)) == forwards
    assert forwards == sorted(forwards)


def test_dot_files_are_left_out_except_well_known(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            b".git": {b"config": b""},
            b".htpasswd": b"",
            b".well-known": {b"security.txt": b"", b".hidden": b""},
            b"a": {b".b": b""},
        },
    )
    assert walk(tmp_path) == [
        *(b"/", b"/.well-known", b"/.well-known/", b"/.well-known/security.txt", b"/a", b"/a/")
    ]


def test_dot_files_are_taken_when_asked_for(tmp_path: Path) -> None:
    plant(tmp_path, {b".git": {b"config": b""}, b"..a": b""})
    paths = walk(tmp_path, TreeOptions(dotfiles=True))
    assert paths == [b"/", b"/..a", b"/.git", b"/.git/", b"/.git/config"]


def test_a_symlink_to_a_file_inside_is_followed(tmp_path: Path) -> None:
    plant(tmp_path, {b"d": {b"real": b""}})
    (tmp_path / "link").symlink_to("d/real")
    assert walk(tmp_path) == [b"/", b"/d", b"/d/", b"/d/real", b"/link"]


def test_a_symlink_to_a_directory_inside_is_followed(tmp_path: Path) -> None:
    plant(tmp_path, {b"d": {b"real": b""}})
    (tmp_path / "link").symlink_to(tmp_path / "d")
    assert walk(tmp_path)[-3:] == [b"/link", b"/link/", b"/link/real"]


def test_a_source_that_is_a_symlink_itself_is_walked(tmp_path: Path) -> None:
    plant(tmp_path / "real", {b"a": b""})
    (tmp_path / "real" / "b").symlink_to("a")
    (tmp_path / "source").symlink_to("real")
    assert walk(tmp_path / "source") == [b"/", b"/a", b"/b"]


@pytest.mark.parametrize("target", ["../outside", "/etc/hostname", "..", "d/../../source-2/x"])
@pytest.mark.parametrize("options", [TreeOptions(), REDIRECT], ids=["follow", "redirect"])
def test_a_symlink_out_of_the_tree_is_refused_by_name(
    tmp_path: Path, target: str, options: TreeOptions
) -> None:
    plant(tmp_path, {b"outside": b"secret", b"source": {b"d": {}}, b"source-2": {b"x": b""}})
    (tmp_path / "source" / "leaving").symlink_to(target)
    with pytest.raises(BuildError, match=r"^leaving: a symlink out of the tree"):
        walk(tmp_path / "source", options)


def test_a_symlink_that_leaves_by_way_of_another_is_refused_by_name(tmp_path: Path) -> None:
    plant(tmp_path, {b"outside": {b"x": b""}, b"source": {}})
    (tmp_path / "source" / "z").symlink_to("../outside")
    (tmp_path / "source" / "a").symlink_to("z/x")
    with pytest.raises(BuildError, match=r"^[az]: a symlink out of the tree"):
        walk(tmp_path / "source")


def test_skipped_symlinks_may_lead_anywhere(tmp_path: Path) -> None:
    plant(tmp_path / "source", {b"a": b""})
    for number, target in enumerate(("/etc", "a", "nowhere", "link-3", ".")):
        (tmp_path / "source" / f"link-{number}").symlink_to(target)
    assert walk(tmp_path / "source", SKIP) == [b"/", b"/a"]


@pytest.mark.parametrize("options", [TreeOptions(), REDIRECT], ids=["follow", "redirect"])
def test_a_dangling_symlink_is_refused_by_name(tmp_path: Path, options: TreeOptions) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(BuildError, match=r"^dangling: a symlink that leads nowhere"):
        walk(tmp_path, options)


@pytest.mark.parametrize("target", [".", "..", "../../a"])
def test_a_symlink_to_a_directory_around_it_is_refused_by_name(tmp_path: Path, target: str) -> None:
    plant(tmp_path, {b"a": {b"b": {}}})
    (tmp_path / "a" / "b" / "round").symlink_to(target)
    with pytest.raises(BuildError, match="a/b/round: a symlink to a directory that contains it"):
        walk(tmp_path)


def test_two_directories_that_link_to_each_other_are_refused(tmp_path: Path) -> None:
    plant(tmp_path, {b"a": {}, b"b": {}})
    (tmp_path / "a" / "b").symlink_to("../b")
    (tmp_path / "b" / "a").symlink_to("../a")
    with pytest.raises(BuildError, match="a/b/a: a symlink to a directory that contains it"):
        walk(tmp_path)


def test_symlinks_that_lead_to_each_other_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(BuildError, match=r"^[ab]: a symlink that leads nowhere"):
        walk(tmp_path)


def test_a_chain_of_a_thousand_symlinks_is_refused_by_name(tmp_path: Path) -> None:
    plant(tmp_path, {b"0": b""})
    for number in range(1100):
        (tmp_path / str(number + 1)).symlink_to(str(number))
    with pytest.raises(BuildError, match="a symlink that leads nowhere: Too many levels"):
        walk(tmp_path)


def test_redirecting_symlinks_lead_to_the_url_of_what_they_mean(tmp_path: Path) -> None:
    plant(tmp_path, {b"d": {b"a b?": b""}})
    (tmp_path / "file").symlink_to("d/a b?")
    (tmp_path / "absolute").symlink_to(tmp_path / "d" / "a b?")
    (tmp_path / "directory").symlink_to("d")
    (tmp_path / "chain").symlink_to("directory/a b?")
    assert locations(tmp_path) == {
        b"/absolute": b"/d/a%20b%3F",
        b"/chain": b"/d/a%20b%3F",
        b"/directory": b"/d/",
        b"/directory/": b"/d/",
        b"/directory/a b?": b"/d/a%20b%3F",
        b"/file": b"/d/a%20b%3F",
    }


def test_all_below_a_redirecting_symlink_leads_to_where_it_is_without_symlinks(
    tmp_path: Path,
) -> None:
    plant(tmp_path, {b"v1": {b"css": {b"a.css": b""}}, b"v2": {b"b.js": b""}})
    (tmp_path / "latest").symlink_to("v1")
    (tmp_path / "v1" / "next").symlink_to("../v2")
    (tmp_path / "v1" / "file").symlink_to("css/a.css")
    found = locations(tmp_path)
    assert {path: to for path, to in found.items() if path.startswith(b"/latest")} == {
        b"/latest": b"/v1/",
        b"/latest/": b"/v1/",
        b"/latest/css": b"/v1/css/",
        b"/latest/css/": b"/v1/css/",
        b"/latest/css/a.css": b"/v1/css/a.css",
        b"/latest/file": b"/v1/css/a.css",
        b"/latest/next": b"/v2/",
        b"/latest/next/": b"/v2/",
        b"/latest/next/b.js": b"/v2/b.js",
    }
    assert walk(tmp_path, REDIRECT) == sorted(walk(tmp_path, REDIRECT))


def test_a_redirecting_symlink_to_a_directory_around_it_is_entered_once(tmp_path: Path) -> None:
    plant(tmp_path, {b"d": {b"a": b""}})
    (tmp_path / "d" / "top").symlink_to("..")
    assert locations(tmp_path) == {
        b"/d/top": b"/",
        b"/d/top/": b"/",
        b"/d/top/d": b"/d/",
        b"/d/top/d/": b"/d/",
        b"/d/top/d/a": b"/d/a",
        b"/d/top/d/top": b"/",
        b"/d/top/d/top/": b"/",
    }


def link_each_to_all_others(directory: Path, count: int) -> None:
    """Make directories of one file each, and in each a symlink to every other one."""
    plant(directory, {b"d%d" % number: {b"file": b""} for number in range(count)})
    for here in range(count):
        for there in set(range(count)) - {here}:
            (directory / f"d{here}" / f"to{there}").symlink_to(f"../d{there}")


def test_directories_that_link_to_each_other_are_entered_once_below_each_redirect(
    tmp_path: Path,
) -> None:
    count = 5
    link_each_to_all_others(tmp_path, count)
    found = locations(tmp_path)
    # Below each link its directory, and each of them once more; two URLs for each link in it.
    assert len(found) <= count * (count - 1) * (count + 1) * 2 * count
    for number in range(1, count):
        assert b"/d%d/file" % number in {
            location for path, location in found.items() if path.startswith(b"/d0/to1/")
        }


def test_the_directories_of_a_linked_one_are_all_there_whatever_it_links_to(tmp_path: Path) -> None:
    plant(tmp_path, {b"releases": {b"1": {b"a": b""}, b"2": {b"a": b""}}})
    for name in ("earliest", "latest"):
        (tmp_path / "releases" / f"0-{name}").symlink_to("1" if name == "earliest" else "2")
    (tmp_path / "current").symlink_to("releases")
    found = locations(tmp_path)
    for linked, number in ((b"1", b"1"), (b"2", b"2"), (b"0-earliest", b"1"), (b"0-latest", b"2")):
        assert found[b"/current/" + linked + b"/a"] == b"/releases/" + number + b"/a"


def test_what_is_left_out_behind_a_redirect_is_said_of_its_own_directory_alone(
    tmp_path: Path,
) -> None:
    plant(tmp_path, {b"v1": {b".git": {}, b".hidden": b""}})
    os.mkfifo(tmp_path / "v1" / "fifo")
    (tmp_path / "v1" / "to").symlink_to(".hidden")
    for name in ("latest", "old"):
        (tmp_path / name).symlink_to("v1")
    warnings: list[str] = []
    tree = Tree(os.fsencode(tmp_path), REDIRECT, warnings.append)
    list(tree.walk())
    assert tree.left_out.describe().startswith("left out: 2 dot names (.git 1, .hidden 1)")
    assert sorted(warnings) == [
        "v1/fifo: left out, no regular file",
        "v1/to: a redirect to /v1/.hidden, which is left out; --dotfiles takes it",
    ]


def test_a_redirect_to_what_is_left_out_is_a_warning(tmp_path: Path) -> None:
    plant(tmp_path, {b".releases": {b"3": {b"a": b""}}})
    (tmp_path / "current").symlink_to(".releases/3")
    warnings: list[str] = []
    list(Tree(os.fsencode(tmp_path), REDIRECT, warnings.append).walk())
    assert warnings == [
        "current: a redirect to /.releases/3, which is left out; --dotfiles takes it"
    ]


def test_what_is_no_regular_file_is_left_out_with_a_warning_that_names_it(tmp_path: Path) -> None:
    plant(tmp_path, {b"file": b"", b"sub": {}})
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "sub" / "link").symlink_to("../fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / "socket"))
    expected = {f"{name}: left out, no regular file" for name in ("fifo", "socket", "sub/link")}
    if os.geteuid() == 0:
        os.mknod(tmp_path / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        expected.add("device: left out, no regular file")
    warnings: list[str] = []
    tree = Tree(os.fsencode(tmp_path), TreeOptions(), warnings.append)
    assert [node.path for node in tree.walk()] == [b"/", b"/file", b"/sub", b"/sub/"]
    assert len(warnings) == len(expected)
    assert set(warnings) == expected


def test_a_directory_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    plant(tmp_path / "source", {b"closed": {b"x": b""}})
    (tmp_path / "source" / "closed").chmod(0)
    with (
        without_privileges(tmp_path),
        pytest.raises(BuildError, match=r"^closed: Permission denied"),
    ):
        walk(Path("source"))
    (tmp_path / "source" / "closed").chmod(0o700)


def test_five_thousand_levels_are_walked_with_few_descriptors(tmp_path: Path) -> None:
    with removed_at_the_end(tmp_path / "deep") as root:
        plant(root, nest([b"d"] * 5000, {b"file": b""}))
        before = len(os.listdir("/proc/self/fd"))
        open_descriptors = 0
        paths = []
        for node in Tree(os.fsencode(root), TreeOptions(), lambda _warning: None).walk():
            paths.append(len(node.path))
            if len(paths) % 500 == 0:
                open_descriptors = max(open_descriptors, len(os.listdir("/proc/self/fd")))
    # Each level has a URL with and one without its slash; no path is an extension too many.
    assert paths == [*range(1, 10_002), 10_005]
    assert open_descriptors - before < 100


def test_directories_behind_many_levels_are_found_again(tmp_path: Path) -> None:
    tree: Content = {}
    for level in range(300):
        tree = {b"d": tree, b"z": {b"%d" % level: b""}}
    with removed_at_the_end(tmp_path / "deep") as root:
        plant(root, tree)
        assert walk(root) == sorted(paths_of(tree))


def test_links_on_the_way_down_are_found_again(tmp_path: Path) -> None:
    names = [b"%03d" % number for number in range(100)]
    plant(tmp_path, {name: {b"z": b""} for name in names} | {b"last": {b"file": b""}})
    for name, below in zip(names, [*names[1:], b"last"], strict=True):
        os.symlink(b"../" + below, os.fsencode(tmp_path) + b"/" + name + b"/link")
    paths = walk(tmp_path)
    assert b"/000" + b"/link" * 100 + b"/file" in paths
    assert {b"/000" + b"/link" * depth + b"/z" for depth in range(100)} <= set(paths)
    assert paths == sorted(paths)


def test_a_directory_that_is_exchanged_while_those_below_are_read_is_an_error(
    tmp_path: Path,
) -> None:
    with removed_at_the_end(tmp_path / "deep") as root:
        plant(root, nest([b"d"] * 200, {b"file": b""}))
        walked = Tree(os.fsencode(root), TreeOptions(), lambda _warning: None).walk()
        while next(walked).name != b"file":
            pass
        moved = root / "d" / "moved"
        (root / "d" / "d").rename(moved)
        (root / "d" / "d" / "d").mkdir(parents=True)
        (moved / "d" / "d").rename(root / "d" / "d" / "d" / "d")
        with pytest.raises(BuildError, match="d: another directory has taken its place"):
            next(walked)


def test_a_thousand_levels_are_walked(tmp_path: Path) -> None:
    with removed_at_the_end(tmp_path / "deep") as root:
        plant(root, nest([b"d"] * 1000, {b"file": b""}))
        paths = walk(root)
    assert len(paths) == 2002
    assert paths[-1] == b"/d" * 1000 + b"/file"
    assert paths == sorted(paths)


def test_paths_longer_than_the_kernel_takes_are_walked(tmp_path: Path) -> None:
    names = [b"%d" % (level % 10) * 255 for level in range(40)]
    with removed_at_the_end(tmp_path / "deep") as root:
        plant(root, nest(names, {b"file": b""}))
        paths = walk(root)
    assert paths[-1] == b"/" + b"/".join(names) + b"/file"
    assert len(paths[-1]) > 10_000


def test_a_symlink_deeper_than_the_kernel_takes_paths_is_refused_by_name(tmp_path: Path) -> None:
    names = [b"n" * 255] * 20
    with removed_at_the_end(tmp_path / "deep") as root:
        plant(root, nest(names, {b"file": b""}))
        fd = os.open(root, os.O_RDONLY)
        for name in names:
            child = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = child
        os.symlink(b"file", b"link", dir_fd=fd)
        os.close(fd)
        with pytest.raises(BuildError, match="n/link: a symlink that is too deep"):
            walk(root)


def test_no_descriptor_is_left_open_by_a_walk_that_fails(tmp_path: Path) -> None:
    plant(tmp_path, {b"a": {b"b": {}}})
    (tmp_path / "a" / "b" / "z").symlink_to("nowhere")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(BuildError):
        walk(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == len(before)
