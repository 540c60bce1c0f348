"""What the writer takes the reader finds; fuzz/test_trees.py says it of whole trees."""

from pathlib import Path

import pytest

from ashttpd.webroot import layout
from mkroot.errors import BuildError
from mkroot.writer import Writer
from tests.webroots import opened


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
