"""What the builder writes the reader finds, and extracting gives the tree back."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ashttpd.webroot import layout
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import entity_tag
from mkroot.build import Options
from mkroot.errors import BuildError
from mkroot.inspect import Extraction, list_resources
from mkroot.verify import verify
from mkroot.writer import Writer
from tests.trees import (
    NAMES,
    TREES,
    Tree,
    files_of,
    harvest,
    make,
    paths_of,
    plant,
    removed_at_the_end,
)
from tests.webroots import body_of, opened, paths_in, resource_at

FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
AWKWARD: Tree = {
    b"a": {b"index.html": b"<p>a", b"b": b"same"},
    b"a-b": b"same",
    b"a0.css": b"same",
    b"\xff?#%": {b"deep": {b"er": b"x" * 65_536}},
    b"z": {},
}


def check_every_url(webroot: Webroot, tree: Tree) -> None:
    paths = sorted(paths_of(tree))
    assert paths_in(webroot) == paths
    contents = dict(files_of(tree))
    for path in paths:
        resource = resource_at(webroot, path)
        assert resource.path == path
        if path in contents:
            assert resource.status == 200
            assert body_of(webroot, path) == contents[path]
        elif path.endswith(b"/"):
            assert resource.status in (200, 403)
        else:
            assert (resource.status, resource.location[-1:]) == (301, b"/")
        for variant in resource.variants:
            head = webroot.head_block(variant)
            assert head.endswith(b"\r\nContent-Length: %d\r\n\r\n" % variant.body_length)
            if resource.status == 200:
                assert head.startswith(b"ETag: " + entity_tag(variant.sha256))


@FEW
@example(tree=AWKWARD, listing=True, absent=[b"b"])
@example(tree={}, listing=False, absent=[b""])
@given(tree=TREES, listing=st.booleans(), absent=st.lists(NAMES, max_size=5))
def test_every_url_of_any_tree_is_found_and_no_other(
    tree: Tree, listing: bool, absent: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with removed_at_the_end(tmp_path_factory.mktemp("build")) as directory:
        make(plant(directory / "source", tree), directory / "out", Options(listing=listing))
        with opened(directory / "out") as webroot:
            check_every_url(webroot, tree)
            assert list(verify(webroot)) == []
            known = set(paths_in(webroot))
            tried = {prefix + name for name in absent for prefix in (b"/", *known)}
            for path in (tried | {b"", b"//", b"nothing"}) - known:
                assert webroot.lookup(path) is None


@FEW
@example(tree=AWKWARD)
@given(tree=TREES)
def test_extracting_gives_any_tree_back(
    tree: Tree, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with removed_at_the_end(tmp_path_factory.mktemp("extract")) as directory:
        make(plant(directory / "source", tree), directory / "out", Options(listing=True))
        with opened(directory / "out") as webroot:
            extraction = Extraction(webroot, directory / "copy")
            extraction.run()
        assert harvest(os.fsencode(directory / "copy")) == tree
        assert extraction.files == len(list(files_of(tree)))


@FEW
@given(tree=TREES)
def test_a_listing_of_urls_has_one_line_of_six_fields_per_url(
    tree: Tree, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with removed_at_the_end(tmp_path_factory.mktemp("list")) as directory:
        options = Options(compress=())
        make(plant(directory / "source", tree), directory / "out", options)
        with opened(directory / "out") as webroot:
            lines = list(list_resources(webroot))
    assert len(lines) == len(list(paths_of(tree)))
    for line in lines:
        assert line.isascii()
        assert line.isprintable() or line.replace("\t", "").isprintable()
        assert line.count("\t") == (6 if line.startswith("301") else 5)


def test_an_index_of_a_hundred_thousand_urls_is_found_within_few_probes(tmp_path: Path) -> None:
    paths = sorted(b"/%d" % (number * 7919) for number in range(100_000))
    with (tmp_path / "out").open("w+b") as file:
        writer = Writer(file)
        for path in paths:
            writer.add(path, 404, [])
        writer.finish({})
        writer.close()
    with opened(tmp_path / "out") as webroot:
        assert webroot.resource_count == 100_000
        assert webroot.superblock.longest_probe < 64
        slots = [slot for slot in webroot.slots() if slot[1]]
        assert [hashed for hashed, _record in slots] == sorted(map(layout.path_hash, paths))


def test_paths_that_come_out_of_order_are_our_own_fault(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+b") as file:
        writer = Writer(file)
        writer.add(b"/b", 404, [])
        for path in (b"/a", b"/b"):
            with pytest.raises(AssertionError):
                writer.add(path, 404, [])
        writer.close()


def test_a_path_longer_than_a_record_may_hold_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+b") as file:
        writer = Writer(file)
        writer.add(b"/" + b"x" * (layout.MAX_PATH_BYTES - 1), 404, [])
        with pytest.raises(BuildError, match="a path of more than 1048576 bytes"):
            writer.add(b"/y" + b"x" * (layout.MAX_PATH_BYTES - 1), 404, [])
        writer.close()
