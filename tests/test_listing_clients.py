"""Programs that read listings as directories: fsspec, zarr and GDAL, each asked for all it sees."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from mkroot.build import Options, build
from tests.servers import Server, put, serving
from tests.trees import Tree, plant, python

# A raster of 2 by 2 pixels, and what stands beside it: without them a pixel has the size 1.
MAKE_DATA: Final = """
import sys, warnings
import numpy, rasterio, zarr
warnings.simplefilter("ignore")
directory = sys.argv[1]
shape = {"width": 2, "height": 2, "count": 1, "dtype": "uint8"}
for name in ("map", "R&D's", "http"):
    with rasterio.open(f"{directory}/{name}.tif", "w", driver="GTiff", **shape) as raster:
        raster.write(numpy.ones((1, 2, 2), "uint8"))
group = zarr.open_group(f"{directory}/store.zarr", mode="w")
group.create_array("numbers", data=numpy.arange(4))
group.create_group("inner")
"""
TREE: Final[Tree] = {
    b"map.tfw": b"0.5\n0\n0\n-0.5\n10\n20\n",
    b"map.tif.aux.xml": b"<PAMDataset><Metadata><MDI key='of'>tests</MDI></Metadata></PAMDataset>",
    b"top.csv": b"a,b\n",
    # What HTML escapes, and what looks like a whole URL.
    b"odd": {b"R&D": {b"a&b.csv": b"1", b"it's.csv": b"2"}, b"http_server.py": b"3"},
    b"R&D's.tfw": b"0.5\n0\n0\n-0.5\n10\n20\n",
    b"http.tfw": b"0.5\n0\n0\n-0.5\n10\n20\n",
    b"one": {b"two": {b"three": {b"a:b.txt": b"colon", b"c d.txt": b"space"}, b"e": b"last"}},
}
ODD_FILES: Final = [
    f"{name}.{suffix}" for name in ("R%26D%27s", "http", "map") for suffix in ("tfw", "tif")
]
WALK: Final = """
import json, sys
import fsspec
files = fsspec.filesystem("http", skip_instance_cache=True)
base = sys.argv[1]
seen = [[where[len(base):].strip("/"), sorted(d), sorted(f)] for where, d, f in files.walk(base)]
listed = files.ls(base + "one/two/", detail=False)
print(json.dumps([seen, sorted(name[len(base):] for name in listed)]))
"""
MEMBERS: Final = """
import json, sys
import zarr
group = zarr.open_group(sys.argv[1] + "store.zarr", mode="r", use_consolidated=False)
print(json.dumps(sorted(name for name, _ in group.members())))
"""
EXISTS: Final = """
import json, sys
import fsspec
files = fsspec.filesystem("http")
print(json.dumps([files.exists(sys.argv[1] + "one/"), files.glob(sys.argv[1] + "*.tif")]))
"""
READ: Final = """
import json, sys
import fsspec
files = fsspec.filesystem("http")
read = [files.cat_file(f) for where, _, found in files.walk(sys.argv[1] + "odd/", detail=True)
        for f in found.values() for f in [f["name"]]]
print(json.dumps(sorted(content.decode() for content in read)))
"""
OPEN_ODD: Final = """
import json, sys
import rasterio
found = []
for name in ("R%26D%27s", "http"):
    with rasterio.open(f"/vsicurl/{sys.argv[1]}{name}.tif") as raster:
        found.append(raster.res)
print(json.dumps(found))
"""
OPEN_RASTER: Final = """
import json, sys
import rasterio
with rasterio.open("/vsicurl/" + sys.argv[1] + "map.tif") as raster:
    print(json.dumps([raster.res, raster.tags().get("of")]))
"""


@pytest.fixture(scope="module")
def webroots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same data with listings and without."""
    directory = tmp_path_factory.mktemp("data")
    source = plant(directory / "source", TREE)
    made = python("-c", MAKE_DATA, source)
    assert (made.returncode, made.stderr) == (0, b"")
    options = {"listed": Options(listing=True), "bare": Options()}
    for name, chosen in options.items():
        build(source, directory / name, chosen, lambda _progress: None)
    return {name: directory / name for name in options}


@pytest.fixture(scope="module")
def data_server(
    webroots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of one engine: what a listing says is the builder's doing."""
    vhosts = tmp_path_factory.mktemp("vhosts")
    put(vhosts, "localhost", webroots["listed"])
    put(vhosts, "127.0.0.1", webroots["bare"])
    with serving(vhosts) as running:
        yield running


def told(program: str, server: Server, host: str = "localhost") -> Any:  # of json.loads
    """What a client's program prints about a site."""
    done = python("-c", program, f"http://{host}:{server.port}/")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_fsspec_walks_through_listings_and_comes_to_an_end(data_server: Server) -> None:
    seen, listed = told(WALK, data_server)
    # The client has links as a set, in no order.
    assert sorted(entry for entry in seen if not entry[0].startswith("store.zarr")) == [
        ["", ["odd", "one", "store.zarr"], [*ODD_FILES, "map.tif.aux.xml", "top.csv"]],
        ["odd", ["R%26D"], ["http_server.py"]],
        ["odd/R%26D", [], ["a%26b.csv", "it%27s.csv"]],
        ["one", ["two"], []],
        ["one/two", ["three"], ["e"]],
        ["one/two/three", [], ["a:b.txt", "c%20d.txt"]],
    ]
    assert listed == ["one/two/e", "one/two/three/"]


def test_fsspec_reads_names_that_html_escapes_or_that_look_like_urls(data_server: Server) -> None:
    assert told(READ, data_server) == ["1", "2", "3"]


def test_gdal_finds_the_files_beside_rasters_of_such_names(data_server: Server) -> None:
    assert told(OPEN_ODD, data_server) == [[0.5, 0.5], [0.5, 0.5]]


def test_zarr_finds_the_members_of_a_group_in_its_listing(data_server: Server) -> None:
    assert told(MEMBERS, data_server) == ["inner", "numbers"]


def test_gdal_finds_the_files_beside_a_raster_in_its_listing(data_server: Server) -> None:
    assert told(OPEN_RASTER, data_server) == [[0.5, 0.5], "tests"]


def test_without_a_listing_gdal_asks_for_the_files_beside_a_raster(data_server: Server) -> None:
    assert told(OPEN_RASTER, data_server, "127.0.0.1") == [[0.5, 0.5], "tests"]


def test_a_directory_without_an_index_page_is_not_there_for_fsspec(data_server: Server) -> None:
    assert told(EXISTS, data_server, "127.0.0.1") == [False, []]


def test_a_group_without_a_listing_has_no_members_for_zarr(data_server: Server) -> None:
    assert told(MEMBERS, data_server, "127.0.0.1") == []
