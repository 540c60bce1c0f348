"""Makes mkroot/media_types.tsv from a mime-db release and the choices written down here.

    npm pack mime-db@1.54.0
    python packaging/generate_media_types.py mime-db-1.54.0.tgz > mkroot/media_types.tsv

The release is pinned by digest, so the table is the same whoever generates it. Where mime-db names
several types of equal standing for one suffix, the choice must be in CHOICES: nothing is guessed.
"""

import hashlib
import json
import sys
import tarfile
from collections.abc import Iterable, Mapping
from typing import TypedDict

from mkroot.media_types import compresses

MIME_DB_VERSION = "1.54.0"
DB_JSON_SHA256 = "96b8a5746867c832ab56743c05e46e73c9facb04879677df0b356f20496cb6cd"

# A registration counts for more than what a server happens to configure.
STANDING = {"iana": 0, "apache": 1, "nginx": 2, None: 3}

TEXT = "text/plain"
BINARY = "application/octet-stream"

# A source language without a registered type is text/plain: an invented name would tell a browser
# nothing, and application/* would make it download what a reader wants to see. Those listed have
# another answer in mime-db, or are so common that their content need not be looked at.
SOURCES = (
    *("bat", "csh", "sh", "php", "pl", "pm", "tcl", "py", "pyi", "rb", "go", "rs", "dart"),
    *("ts", "mts", "cts", "tsx", "vue"),  # .ts and .mts: mkroot.sniff tells video from TypeScript
    *("latex", "tex", "texi", "texinfo", "rst", "po", "diff", "patch"),
)

CHOICES: Mapping[str, str] = {
    # Two registrations for one suffix: the one a browser has a use for.
    "3gpp": "video/3gpp",
    "ac": "application/pkix-attr-cert",
    "bdoc": "application/bdoc",
    "asc": "application/pgp-signature",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpg4": "video/mp4",
    "mpp": "application/vnd.ms-project",
    "rtf": "application/rtf",
    "sub": "text/vnd.dvb.subtitle",
    "wav": "audio/wav",
    "wmz": "application/x-ms-wmz",
    "xml": "application/xml",  # RFC 7303 section 9.1; text/xml is its alias
    "xsl": "application/xslt+xml",
    # RFC 9239 section 6: one type for every kind of script, whatever its module system.
    "cjs": "text/javascript",
    "js": "text/javascript",
    "mjs": "text/javascript",
    # Registered since, or registered and not attached to the suffix by mime-db.
    "deb": "application/vnd.debian.binary-package",
    "flac": "audio/flac",  # RFC 9639 section 10.1
    "mml": "application/mathml+xml",
    "yaml": "application/yaml",  # RFC 9512 section 2.1
    "yml": "application/yaml",
    "sqlite": "application/vnd.sqlite3",
    "sqlite3": "application/vnd.sqlite3",
    "gpkg": "application/geopackage+sqlite3",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
    "zst": "application/zstd",  # RFC 8878 section 7.1
    # Without a registration, in wide use on the web.
    "importmap": "application/importmap+json",
    "topojson": "application/json",
    "jsonl": "application/jsonl",
    "ndjson": "application/x-ndjson",
    "jsonc": TEXT,  # comments: a JSON parser refuses it
    "pmtiles": "application/vnd.pmtiles",
    # Compressed files are served as what they are: the suffix is no Content-Encoding.
    "br": BINARY,  # brotli has no signature and no type
    "svgz": "application/gzip",
    "tbz": "application/x-bzip2",
    "tbz2": "application/x-bzip2",
    "tgz": "application/gzip",
    "txz": "application/x-xz",
    "tzst": "application/zstd",
    "lz4": "application/x-lz4",
    "z": "application/x-compress",
    # mime-db has a rarer meaning, or a type that no reader of it knows.
    "org": "text/x-org",
    "rpm": "application/x-rpm",
    **dict.fromkeys(SOURCES, TEXT),
}

# mime-db is silent or wrong about these; so is the family rule of mkroot.media_types.
COMPRESSIBLE: Mapping[str, bool] = {
    "application/geopackage+sqlite3": True,
    # Bytes of which nobody knows more, most of them downloads that are compressed already.
    BINARY: False,
    "application/vnd.apache.arrow.file": True,
    "application/vnd.sqlite3": True,
    "font/collection": True,
}


class Entry(TypedDict, total=False):
    """What mime-db says of one type, as far as it matters here."""

    source: str
    compressible: bool
    extensions: list[str]


def choose_types(db: Mapping[str, Entry]) -> dict[str, str]:
    """Suffix to essence for every suffix of `db` and of CHOICES.

    Raises ValueError for a suffix with two types of equal standing and no choice between them.
    """
    claims: dict[str, list[tuple[int, str]]] = {}
    for essence, entry in db.items():
        for suffix in entry.get("extensions", ()):
            claims.setdefault(suffix, []).append((STANDING[entry.get("source")], essence))
    chosen = dict(CHOICES)
    for suffix, ranked in claims.items():
        if suffix in chosen:
            continue
        best = min(ranked)[0]
        finalists = [essence for standing, essence in ranked if standing == best]
        if len(finalists) > 1:
            raise ValueError(f"suffix {suffix!r}: no choice made between {finalists}")
        chosen[suffix] = finalists[0]
    return chosen


def compressibility(essence: str, db: Mapping[str, Entry]) -> bool:
    """Whether `essence` is worth compressing: our word, else mime-db's, else its family's."""
    if essence in COMPRESSIBLE:
        return COMPRESSIBLE[essence]
    return db.get(essence, Entry()).get("compressible", compresses(essence))


def render(rows: Iterable[tuple[str, str, bool]]) -> str:
    """The text of the table: a line per (suffix, essence, compressible), sorted by suffix."""
    head = (
        f"# mime-db {MIME_DB_VERSION} and the choices in packaging/generate_media_types.py;"
        " generated, do not edit.\n"
        "# mime-db: Copyright (c) 2014 Jonathan Ong, 2015-2022 Douglas Christopher Wilson;"
        " MIT license.\n"
        "# suffix\tessence\tcompressible\n"
    )
    return head + "".join(
        f"{suffix}\t{essence}\t{'yes' if packs else 'no'}\n"
        for suffix, essence, packs in sorted(rows)
    )


def read_db(tarball: str) -> dict[str, Entry]:
    """mime-db's data out of its npm tarball; ValueError when it is not the pinned release."""
    with tarfile.open(tarball) as archive:
        member = archive.extractfile("package/db.json")
        data = member.read() if member else b""
    digest = hashlib.sha256(data).hexdigest()
    if digest != DB_JSON_SHA256:
        raise ValueError(f"{tarball}: db.json has SHA-256 {digest}, pinned is {DB_JSON_SHA256}")
    db: dict[str, Entry] = json.loads(data)
    return db


def main(tarball: str) -> None:
    """Prints the table made from `tarball`."""
    db = read_db(tarball)
    chosen = choose_types(db)
    sys.stdout.write(
        render(
            (suffix, essence, compressibility(essence, db)) for suffix, essence in chosen.items()
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
