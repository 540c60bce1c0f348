"""What a visitor will not get although it is in the tree: it is counted, and said in a phrase."""

import os
from pathlib import Path

import pytest

from ashttpd.http.limits import Limits
from mkroot.build import Options
from mkroot.shortfalls import MAX_NAMES, SHOWN_NAMES, LeftOut, LongUrls
from mkroot.tree import Symlinks, TreeOptions
from tests.trees import make, nest, plant, python, removed_at_the_end

FOLDER = b"x" * 255


def test_the_last_line_of_a_build_counts_dot_names_by_kind(tmp_path: Path) -> None:
    # A Zarr store of format 2, in a checkout.
    store = {b".zarray": b"{}", b".zattrs": b"{}", b"0.0": b"data"}
    tree = {b".git": {b"config": b"", b"HEAD": b""}, b"a": store, b"b": store}
    source = plant(tmp_path / "source", {**tree, b".well-known": {b".hidden": b""}})
    done = python("-m", "mkroot", source, tmp_path / "out")
    assert done.stdout.splitlines()[-1].endswith(
        b"; left out: 6 dot names (.zarray 2, .zattrs 2, .git 1, .hidden 1); --dotfiles takes them"
    )
    done = python("-m", "mkroot", "--dotfiles", source, tmp_path / "out")
    assert b"left out" not in done.stdout
    done = python("-m", "mkroot", "--quiet", source, tmp_path / "out")
    assert (done.stdout, done.stderr) == (b"", b"")


def test_skipped_symlinks_are_counted(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", {b"a": b"", b".b": b""})
    for number in range(3):
        (source / f"link-{number}").symlink_to("a")
    options = Options(tree=TreeOptions(symlinks=Symlinks.SKIP))
    assert make(source, tmp_path / "out", options).left_out == (
        "left out: 1 dot name (.b 1), 3 symlinks; --dotfiles takes dot names"
    )


def test_a_million_different_names_are_a_short_phrase_in_bounded_memory() -> None:
    left_out = LeftOut()
    for number in range(2 * MAX_NAMES):
        left_out.add_dot_name(b".%d" % number)
    left_out.add_dot_name(b".0")
    left_out.add_dot_name(b"." + b"\n" * 254)
    phrase = left_out.describe()
    others = 2 * MAX_NAMES + 2 - (SHOWN_NAMES - 1) - 2
    assert phrase.startswith(f"left out: {2 * MAX_NAMES + 2:,} dot names (.0 2, .1 1, ")
    assert phrase.endswith(f", others {others:,}); --dotfiles takes them")
    assert len(left_out._names) == MAX_NAMES
    left_out = LeftOut()
    left_out.add_dot_name(b"." + b"\n" * 254)
    assert len(left_out.describe()) < 200
    assert left_out.describe().isprintable()


def test_nothing_left_out_is_no_phrase() -> None:
    assert LeftOut().describe() == ""


@pytest.mark.parametrize(
    ("folders", "name_bytes", "warned"),
    [([FOLDER] * 31, 255, False), ([FOLDER] * 31 + [b"z"], 254, True)],
)
def test_a_url_that_a_server_refuses_by_default_is_a_warning(
    tmp_path: Path, folders: list[bytes], name_bytes: int, warned: bool
) -> None:
    url_bytes = 1 + sum(len(folder) + 1 for folder in folders) + name_bytes
    assert url_bytes == Limits().target_bytes + warned
    with removed_at_the_end(tmp_path / "source") as source:
        plant(source, nest(folders, {b"y" * name_bytes: b""}))
        warnings = make(source, tmp_path / "out").warnings
    assert bool(warnings) == warned
    if warned:
        assert warnings[0].startswith("1 URL of more than 8,192 bytes, up to 8,193: ashttpd ")
        assert "--target-bytes" in warnings[0]
        assert len(warnings[0]) < 400


def test_long_urls_are_counted_as_they_are_asked_for() -> None:
    urls = LongUrls()
    urls.add(b"/" + b"%" * (Limits().target_bytes // 3))
    assert urls.count == 0
    urls.add(b"/" + b"%" * (Limits().target_bytes // 3 + 1))
    urls.add(b"/" + os.urandom(Limits().target_bytes))
    assert urls.count == 2
    assert urls.describe().startswith("2 URLs of more than 8,192 bytes, up to ")
