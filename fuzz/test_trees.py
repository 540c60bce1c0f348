"""Any tree that is built is found again, whole, and nothing else is found."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import entity_tag
from mkroot.build import Options
from mkroot.inspect import Extraction, list_resources
from mkroot.verify import verify
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

# Each example builds a site.
FEW = settings(max_examples=max(1, settings().max_examples // 3))
AWKWARD: Tree = {
    b"a": {b"index.html": b"<p>a", b"b": b"same"},
    b"a-b": b"same",
    b"a0.css": b"same",
    b"\xff?#%": {b"deep": {b"er": b"x" * 65_536}},
    b"z": {},
}


@contextmanager
def built(tree: Tree, *, listing: bool) -> Iterator[tuple[Webroot, Path]]:
    """Build a tree; gives the open webroot, and a directory to work in."""
    with removed_at_the_end(Path(tempfile.mkdtemp(prefix="ashttpd-fuzz-"))) as directory:
        source = plant(directory / "source", tree)
        # It need not survive a power cut.
        with patch("mkroot.output.os.fsync"):
            make(source, directory / "out", Options(listing=listing))
        with opened(directory / "out") as webroot:
            yield webroot, directory


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
            assert resource.status in (200, 404)
        else:
            assert (resource.status, resource.location[-1:]) == (301, b"/")
        for variant in resource.variants:
            head = webroot.head_block(resource, variant)
            assert head.endswith(b"\r\nContent-Length: %d\r\n\r\n" % variant.body_length)
            if resource.status == 200:
                assert head.startswith(b"ETag: " + entity_tag(variant.sha256))


@FEW
@example(tree=AWKWARD, listing=True, absent=[b"b"])
@example(tree={}, listing=False, absent=[b""])
@given(tree=TREES, listing=st.booleans(), absent=st.lists(NAMES, max_size=5))
def test_every_url_of_any_tree_is_found_and_no_other(
    tree: Tree, listing: bool, absent: list[bytes]
) -> None:
    with built(tree, listing=listing) as (webroot, _directory):
        check_every_url(webroot, tree)
        assert list(verify(webroot)) == []
        known = set(paths_in(webroot))
        tried = {prefix + name for name in absent for prefix in (b"/", *known)}
        for path in (tried | {b"", b"//", b"nothing"}) - known:
            assert webroot.lookup(path) is None


@FEW
@example(tree=AWKWARD)
@given(tree=TREES)
def test_extracting_gives_any_tree_back(tree: Tree) -> None:
    with built(tree, listing=True) as (webroot, directory):
        extraction = Extraction(webroot, directory / "copy")
        extraction.run()
        assert harvest(os.fsencode(directory / "copy")) == tree
        assert extraction.files == len(list(files_of(tree)))


@FEW
@given(tree=TREES)
def test_a_listing_of_urls_has_one_line_of_six_fields_per_variant(tree: Tree) -> None:
    with built(tree, listing=False) as (webroot, _directory):
        lines = list(list_resources(webroot))
        # An error has none, and a line nevertheless.
        assert len(lines) == sum(len(r.variants) or 1 for _offset, r in webroot.resources())
    for line in lines:
        assert line.isascii()
        assert line.isprintable() or line.replace("\t", "").isprintable()
        assert line.count("\t") == (6 if line.startswith("301") else 5)
