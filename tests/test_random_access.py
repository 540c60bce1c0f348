"""What is read at random places has no coded copies, whatever its name, its type and its size."""

import sqlite3
import struct
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkroot.build import Options
from mkroot.media_types import MediaTypes
from mkroot.random_access import is_read_at_random
from tests.trees import make, plant
from tests.webroots import opened, resource_at

TYPES = MediaTypes()
# So that a copy would save much.
EMPTY = bytes(100_000)


def database(directory: Path) -> bytes:
    connection = sqlite3.connect(directory / "database")
    connection.execute("CREATE TABLE words (word TEXT)")
    connection.executemany("INSERT INTO words VALUES (?)", [("the same word",)] * 5000)
    connection.commit()
    connection.close()
    return (directory / "database").read_bytes()


def archive() -> bytes:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo("zeros")
        entry.size = len(EMPTY)
        tar.addfile(entry, BytesIO(EMPTY))
    return file.getvalue()


def stored_zip() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("text", b"the same word\n" * 5000)
    return file.getvalue()


HEADS = {
    "parquet": b"PAR1\x15\x04",
    "orc": b"ORC\x08\x03",
    "arrow": b"ARROW1\0\0",
    "feather": b"FEA1",
    "avro": b"Obj\x01\x04\x16avro.schema",
    "duckdb": struct.pack("<Q", 7) + b"DUCK",
    "hdf5": b"\x89HDF\r\n\x1a\n\0",
    "netcdf": b"CDF\x01\0\0",
    "grib": b"GRIB\0\0\0\x02",
    "fits": b"SIMPLE  =                    T / a standard FITS file".ljust(2880),
    "npy": b"\x93NUMPY\x01\0",
    "gguf": b"GGUF\x03\0\0\0",
    "safetensors": struct.pack("<Q", 40) + b'{"a":{"dtype":"F32"}}',
    "las": b"LASF\0\0",
    "flatgeobuf": b"fgb\x03fgb\0",
    "pmtiles": b"PMTiles\x03",
    "shapefile": b"\0\0\x27\x0a",
    "geotiff": b"II*\0\x08\0\0\0",
    "bigtiff": b"MM\0+\0\x08",
    "jpeg2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "mp4": b"\0\0\0\x20ftypisom",
    "matroska": b"\x1a\x45\xdf\xa3",
    "wav": b"RIFF\0\0\0\0WAVE",
    "pdf": b"%PDF-1.7\n",
    "7z": b"7z\xbc\xaf\x27\x1c\0\x04",
    "cpio": b"070701\0",
    "qcow2": b"QFI\xfb\0\0\0\x03",
    "vmdk": b"KDMV\x01\0\0\0",
    "vhd": b"conectix\0\0",
    "vdi": b"<<< Oracle VM VirtualBox Disk Image >>>\n\0",
    "squashfs": b"hsqs\0\0",
    "iso": bytes(32_769) + b"CD001\x01",
    "disk": bytes(510) + b"\x55\xaaEFI PART",
    "ext4": bytes(1080) + b"\x53\xef",
}
# By name only: what suffix has copies when its content is text is not the question here.
NAMES = [
    *("a.sqlite", "a.sqlite3", "a.gpkg", "a.parquet", "a.arrow", "a.feather", "a.pmtiles", "a.nc"),
    *("a.hdf", "a.tar", "a.zip", "a.epub", "a.kmz", "a.jar", "a.tif", "a.vmdk", "a.vdi", "a.ova"),
    *("a.pdf", "a.mp4", "a.webm", "a.mp3", "a.wav", "a.dbf", "a.mdb", "a.usdz", "a.fits"),
]


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_such_a_format_is_told_by_its_first_bytes_under_any_name_and_type(head: bytes) -> None:
    content = (head + EMPTY)[: 1 << 16]
    assert is_read_at_random(content)
    for name in (b"download", b"a.txt", b"a.json", b"a.wasm", b"a.unknown"):
        for types in (TYPES, MediaTypes([("**", "text/plain")])):
            media = types.classify(name, content, None)
            assert (media.compressible, media.random_access) == (False, True)


@pytest.mark.parametrize("name", NAMES)
def test_such_a_format_is_told_by_its_suffix(name: str) -> None:
    media = TYPES.classify(name.encode(), b"", None)
    assert (media.compressible, media.random_access) == (False, True)


@pytest.mark.parametrize(
    "text",
    [b"PAR1 is a word", b"ORC and elf", b"RIFF raff", b"GRIB\n", b"WIM\n", b"WIMBLEDON", b"OggS\n"],
)
def test_text_that_begins_like_such_a_format_is_text(text: bytes) -> None:
    assert not is_read_at_random(text * 1000)
    assert TYPES.classify(b"a.txt", text, True).compressible


@given(st.text(max_size=300))
def test_no_text_but_pdf_and_fits_is_read_at_random(text: str) -> None:
    content = text.encode("utf-8", "ignore").translate(None, bytes(range(9)))
    if not content.startswith((b"%PDF-", b"SIMPLE")):
        assert not is_read_at_random(content) or not content.isascii()


@pytest.mark.parametrize("name", ["data.sqlite", "data", "data.json", "data.txt", "data.db"])
def test_a_build_makes_no_copy_of_a_database_an_archive_or_a_zip(tmp_path: Path, name: str) -> None:
    bodies = (database(tmp_path), archive(), stored_zip())
    tree = {b"%d" % number: {name.encode(): body} for number, body in enumerate(bodies)}
    source = plant(tmp_path / "source", {**tree, b"text.txt": b"the same word\n" * 500})
    make(source, tmp_path / "out", Options())
    with opened(tmp_path / "out") as webroot:
        for number in range(len(bodies)):
            resource = resource_at(webroot, f"/{number}/{name}".encode())
            (variant,) = resource.variants
            assert variant.coding == "identity"
            assert b"\r\nVary:" not in webroot.head_block(resource, variant)
        assert len(resource_at(webroot, b"/text.txt").variants) == 4
