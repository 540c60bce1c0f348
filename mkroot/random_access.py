"""Tells from the first bytes whether a file is read at random places, by ranges.

Databases, columnar and archive formats, disk images, rasters, media. A reader of such a file learns
its length from one answer and asks for parts with others. The answers fit together only if there is
one representation, so such a file gets no coded copy, whatever its type.
"""

import re
from typing import Final

from mkroot.sniff import looks_like_text

# Some signatures are words. A text may begin with one, but holds no byte of a binary file.
_PROBE_BYTES: Final = 4096

# At the first byte; the names are those of the formats.
_START: Final = re.compile(
    rb"SQLite format 3\0"
    rb"|.{4}Standard (?:Jet|ACE) DB\0"
    rb"|.{8}DUCK"  # DuckDB
    rb"|PAR[1E]"  # Parquet
    rb"|ORC"
    rb"|Obj\x01"  # Avro
    rb"|ARROW1\0\0|FEA1"  # Arrow file, Feather
    rb"|\x89HDF\r\n\x1a\n|\x0e\x03\x13\x01"  # HDF5 (netCDF-4), HDF4
    rb"|CDF[\x01\x02\x05]"  # netCDF
    rb"|GRIB|BUFR"
    rb"|\x93NUMPY"
    rb"|GGUF"
    rb"|.{5}\0\0\0\{\""  # safetensors: a length of 64 bits, then JSON
    rb"|LASF"  # point clouds
    rb"|fgb\x03fgb"  # FlatGeobuf
    rb"|PMTiles"
    rb"|\0\0\x27\x0a"  # shapefile
    rb"|(?:II[*+]\0|MM\0[*+])"  # TIFF
    rb"|\0\0\0\x0cjP  "  # JPEG 2000
    rb"|PK(?:\x03\x04|\x05\x06|\x07\x08)"  # ZIP and what is made of it
    rb"|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|xar!|MSCF"
    rb"|07070[127]"  # cpio
    rb"|!<arch>\n"
    rb"|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # compound files: MSI, DOC
    rb"|QFI\xfb|KDMV|COWD|conectix|vhdxfile|WIM|MSWIM\0\0\0"  # disk images
    rb"|<<< .{1,60}>>>\n"  # VirtualBox
    rb"|hsqs|sqsh"  # SquashFS
    rb"|.{4}ftyp|.{4}(?:moov|mdat)"  # MP4 and QuickTime
    rb"|\x1a\x45\xdf\xa3|OggS|RIFF|RF64"  # Matroska and WebM, Ogg, WAV and AVI
    rb"|SIMPLE  = {20}T"  # FITS
    rb"|%PDF-",
    re.DOTALL,
)
# Formats whose files may be all of ASCII.
_TEXTUAL: Final = (b"SIMPLE  =", b"%PDF-")
# Further in: offset and signature. Those of file systems are behind room for a boot sector.
_INSIDE: Final = (
    (257, b"ustar"),  # tar
    (32_769, b"CD001"),  # ISO 9660
    (512, b"EFI PART"),  # a partitioned disk
    (1080, b"\x53\xef"),  # ext2 to ext4
    (1024, b"\xe2\xe1\xf5\xe0"),  # EROFS
    (510, b"\x55\xaa"),  # a boot sector
)


def is_read_at_random(head: bytes) -> bool:
    """Whether a file that begins with `head` is of such a format; `head` is up to 64 KiB of it.

    About 1 µs for most files.
    """
    starts = _START.match(head) is not None
    if not starts and not any(head.startswith(mark, offset) for offset, mark in _INSIDE):
        return False
    return head.startswith(_TEXTUAL) or not looks_like_text(head[:_PROBE_BYTES])
