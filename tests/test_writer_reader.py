"""What the writer takes the reader finds; fuzz/test_trees.py says it of whole trees."""

from pathlib import Path

import pytest

from ashttpd.webroot import layout
from mkroot.errors import BuildError
from mkroot.headers import HeadBlock, content_head, status_head
from mkroot.verify import verify
from mkroot.writer import HEAD_ROOM_BYTES, Writer
from tests.webroots import opened, resource_at


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
        writer.add(b"/" + b"x" * 65_535, 404, [])
        with pytest.raises(
            BuildError, match=r"^/yx{98}…: a path of 65,537 bytes, more than 65,536$"
        ):
            writer.add(b"/y" + b"x" * 65_535, 404, [])
        writer.close()


def test_a_location_longer_than_a_record_may_hold_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+b") as file:
        writer = Writer(file)
        page = writer.store([b"elsewhere"], lambda _digest, size: status_head(b"text/plain", size))
        writer.add(b"/a", 302, [page], b"/" + b"x" * 65_535)
        with pytest.raises(
            BuildError, match=r"^/b: a redirect to a location of 65,537 bytes, more than 65,536$"
        ):
            writer.add(b"/b", 302, [page], b"/y" + b"x" * 65_535)
        writer.finish({})
        writer.close()
    with opened(tmp_path / "out") as webroot:
        assert list(verify(webroot)) == []
        assert len(resource_at(webroot, b"/a").location) == 65_536


def test_more_variants_than_a_record_may_have_are_refused(tmp_path: Path) -> None:
    def head(digest: bytes, length: int) -> HeadBlock:
        return content_head(b"text/plain", digest, length, vary=(b"Accept-Encoding",))

    with (tmp_path / "out").open("w+b") as file:
        writer = Writer(file)
        variants = [writer.store([b"x"], head)] * 33
        writer.add(b"/a", 200, variants[:32])
        with pytest.raises(BuildError, match=r"^/b: 33 variants, more than 32$"):
            writer.add(b"/b", 200, variants)
        writer.finish({})
        writer.close()
    with opened(tmp_path / "out") as webroot:
        assert list(verify(webroot)) == []
        assert len(resource_at(webroot, b"/a").variants) == 32


def test_no_head_that_a_builder_has_room_for_is_beyond_the_formats_bound() -> None:
    assert HEAD_ROOM_BYTES <= layout.MAX_HEAD_BLOCK_BYTES
