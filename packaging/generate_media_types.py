"""Makes mkroot/media_types.tsv from three registries and the choices written down here.

    npm pack mime-db@1.54.0
    python packaging/generate_media_types.py mime-db-1.54.0.tgz HTTPD_MIME_TYPES NGINX_MIME_TYPES

The last two are docs/conf/mime.types of Apache httpd and conf/mime.types of nginx. All three are
pinned by digest, so the result is the same whoever generates it. Where mime-db names several types
of equal standing for one suffix, the choice must be in CHOICES: nothing is guessed. Where a
choice is a type that no registry has for the suffix, the reason must be in REASONS.

Beside the table it writes packaging/registries.tsv, what the registries say of each suffix, so that
a test can hold the table against them without fetching anything.
"""

import hashlib
import json
import re
import sys
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from mkroot.media_types import compresses

MIME_DB_VERSION = "1.54.0"
DB_JSON_SHA256 = "96b8a5746867c832ab56743c05e46e73c9facb04879677df0b356f20496cb6cd"
# Of 2024-09-12, and of 2026-08-21.
HTTPD_SHA256 = "7dd357d465816f595db1aa5f1d9f5d51482dccd46615e4ff5a8b6c4c0e8e3f94"
NGINX_SHA256 = "6f95d1d7d75e3c072907d845622a69d23110d1266c16ff122b3109b8b21f3ae9"

ROOT = Path(__file__).parent.parent

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
    "flac": "audio/flac",
    "vcard": "text/vcard",
    "vcf": "text/vcard",  # RFC 6350 section 10.1; text/x-vcard is of before its registration
    "mml": "application/mathml+xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "jrd": "application/jrd+json",  # RFC 7033 section 10.2
    "jwk": "application/jwk+json",  # RFC 7517 section 8.5
    "jwks": "application/jwk-set+json",
    "xrd": "application/xrd+xml",  # RFC 6415 section 2
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
    "feather": "application/vnd.apache.arrow.file",
    "pbf": "application/x-protobuf",
    "terrain": "application/vnd.quantized-mesh",
    # Without a registration, and a device or program acts on the type: with another one it shows
    # or saves what it should install, open or connect to. mkroot.sniff tells the two meanings of
    # .manifest, .plist and .pls apart. The types of .ipa and .mobileprovision do not matter: what
    # names them installs them; nor that of .onc, which is imported from a disk.
    "acsm": "application/vnd.adobe.adept+xml",
    "appimage": "application/vnd.appimage",
    "eap-config": "application/eap-config",  # Android offers it to geteduroam by its type
    "flatpak": "application/vnd.flatpak",
    "flatpakref": "application/vnd.flatpak.ref",
    "flatpakrepo": "application/vnd.flatpak.repo",
    "ica": "application/x-ica",
    "manifest": "application/x-ms-manifest",
    "mobileconfig": "application/x-apple-aspen-config",
    "osdx": "application/opensearchdescription+xml",
    "ovpn": "application/x-openvpn-profile",
    "pkpasses": "application/vnd.apple.pkpasses",
    "plist": "application/xml",
    "pls": "audio/x-scpls",
    "rdp": "application/x-rdp",
    "snap": "application/vnd.snap",
    "sswan": "application/vnd.strongswan.profile",  # likewise, to strongSwan
    "vsix": "application/vsix",
    "vsto": "application/x-ms-vsto",
    # Compressed files are served as what they are: the suffix is no Content-Encoding.
    "br": BINARY,  # brotli has no signature and no type
    "tbz": "application/x-bzip2",
    "tbz2": "application/x-bzip2",
    "tgz": "application/gzip",
    "txz": "application/x-xz",
    "tzst": "application/zstd",
    "lz4": "application/x-lz4",
    "z": "application/x-compress",
    # mime-db has a rarer meaning, or a type that no reader of it knows.
    "org": "text/x-org",
    **dict.fromkeys(SOURCES, TEXT),
}

SOURCE_REASON = "source text is shown, not saved: a browser has no use for the type of a program"

# Why a suffix has a type that none of the registries has for it.
REASONS: Mapping[str, str] = {
    **dict.fromkeys(SOURCES, SOURCE_REASON),
    "cjs": "RFC 9239 section 6: one type for every kind of script",
    "deb": "registered with IANA as application/vnd.debian.binary-package",
    "flac": "RFC 9639 section 10.1 registers audio/flac",
    "manifest": "ClickOnce installs by this type; a cache manifest is told by its first line",
    "mml": "registered by MathML 3.0 section 6.2.3; text/mathml never was",
    "pls": "players open playlists by this type; a lexicon (PLS) is told by its being XML",
    "vcf": "RFC 6350 section 10.1 registers text/vcard",
    "yaml": "RFC 9512 section 2.1 registers application/yaml",
    "yml": "RFC 9512 section 2.1 registers application/yaml",
}

# Formats that programs read at random places, by ranges: databases, columns, archives, disk images,
# pyramids of images. Their readers learn the length from one answer and ask for parts with another,
# and the two must be of the same representation; so there is only one, without a coding.
RANDOM_ACCESS = frozenset(
    {
        *("application/geopackage+sqlite3", "application/vnd.sqlite3", "application/vnd.dbf"),
        *("application/x-msaccess", "application/vnd.apache.arrow.file"),
        *("application/vnd.apache.parquet", "application/vnd.pmtiles", "application/x-hdf"),
        *("application/x-netcdf", "image/fits", "image/tiff", "image/tiff-fx", "image/jp2"),
        *("image/jpx", "application/dicom", "application/pdf", "application/mp4"),
        *("application/mxf", "application/ogg", "application/vnd.rn-realmedia"),
        *("application/x-tar", "application/x-cpio", "application/x-ustar", "application/x-gtar"),
        *("application/zip", "application/java-archive", "application/x-7z-compressed"),
        *("application/vnd.rar", "application/x-rar-compressed", "application/x-xpinstall"),
        *("application/vnd.android.package-archive", "application/vnd.comicbook-rar"),
        *("application/vnd.ms-cab-compressed", "application/vnd.debian.binary-package"),
        *("application/appx", "application/appxbundle", "application/msix"),
        *("application/msixbundle", "application/vsix", "application/vnd.appimage"),
        *("application/vnd.snap", "application/vnd.google-earth.kmz"),
        *("application/vnd.apple.pkpass", "application/vnd.apple.pkpasses"),
        *("application/x-apple-diskimage", "application/x-iso9660-image"),
        *("application/x-virtualbox-hdd", "application/x-virtualbox-ova"),
        *("application/x-virtualbox-vdi", "application/x-virtualbox-vhd"),
        "application/x-virtualbox-vmdk",
    }
)
_RANDOM_FAMILIES = ("audio/", "video/")
_RANDOM_ENDS = ("+zip", "+sqlite3", "-zip-compressed", "-archive+zip")

# mime-db is silent or wrong about these; so is the family rule of mkroot.media_types.
COMPRESSIBLE: Mapping[str, bool] = {
    # Bytes of which nobody knows more, most of them downloads that are compressed already.
    BINARY: False,
    "application/vnd.mapbox-vector-tile": True,
    "application/vnd.quantized-mesh": True,
    "application/vnd.strongswan.profile": True,
    "application/eap-config": True,
    "application/x-apple-aspen-config": True,
    "application/x-ms-manifest": True,
    "application/x-openvpn-profile": True,
    "application/x-protobuf": True,
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


def copies(essence: str, db: Mapping[str, Entry]) -> str:
    """Whether bodies of `essence` have coded copies: yes, no for what saves nothing, or never.

    `never` is for what is read at random places. Else our word counts first, then mime-db's, then
    that of its family.
    """
    random_access = essence.startswith(_RANDOM_FAMILIES) or essence.endswith(_RANDOM_ENDS)
    if random_access or essence in RANDOM_ACCESS:
        return "never"
    packs = COMPRESSIBLE.get(essence)
    if packs is None:
        packs = db.get(essence, Entry()).get("compressible", compresses(essence))
    return "yes" if packs else "no"


def render(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """The text of the table: a line per (suffix, essence, copies, reason), sorted by suffix."""
    head = (
        f"# mime-db {MIME_DB_VERSION} and the choices in packaging/generate_media_types.py;"
        " generated, do not edit.\n"
        "# mime-db: Copyright (c) 2014 Jonathan Ong, 2015-2022 Douglas Christopher Wilson;"
        " MIT license.\n"
        "# suffix\tessence\tcopies: yes, no, or never (read at random places)"
        "\twhy no registry's type\n"
    )
    return head + "".join("\t".join(row).rstrip("\t") + "\n" for row in sorted(rows))


def render_registries(claims: Mapping[str, Iterable[str]]) -> str:
    """The text of what the registries say: a line per suffix, with all its types."""
    head = (
        f"# What mime-db {MIME_DB_VERSION}, Apache httpd (2024-09-12) and nginx (2026-08-21) call"
        " each suffix.\n# Written by packaging/generate_media_types.py; generated, do not edit.\n"
    )
    return head + "".join(
        f"{suffix}\t{' '.join(sorted(set(types)))}\n" for suffix, types in sorted(claims.items())
    )


def read_pinned(path: str, sha256: str) -> str:
    """A file's text; ValueError when it is not the pinned one."""
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ValueError(f"{path}: has SHA-256 {digest}, pinned is {sha256}")
    return data.decode("ascii")


def collect_claims(db: Mapping[str, Entry], httpd: str, nginx: str) -> dict[str, list[str]]:
    """Suffix to the types that the registries have for it, all in lower case."""
    lines = [line for line in httpd.splitlines() if not line.startswith("#")]
    block = re.search(r"\{(.*)\}", nginx, re.DOTALL)
    lines += block[1].split(";") if block else []
    # A line is a type and its suffixes.
    fields = [line.lower().split() for line in lines if line.strip()]
    fields += [[essence.lower(), *entry.get("extensions", ())] for essence, entry in db.items()]
    claims: dict[str, list[str]] = {}
    for essence, *suffixes in fields:
        for suffix in suffixes:
            claims.setdefault(suffix, []).append(essence)
    return claims


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


def main(tarball: str, httpd: str, nginx: str) -> None:
    """Writes the table and what the registries say."""
    db = read_db(tarball)
    claims = collect_claims(db, read_pinned(httpd, HTTPD_SHA256), read_pinned(nginx, NGINX_SHA256))
    rows = [
        (suffix, essence, copies(essence, db), REASONS.get(suffix, "") if suffix in claims else "")
        for suffix, essence in choose_types(db).items()
    ]
    (ROOT / "mkroot" / "media_types.tsv").write_text(render(rows), "ascii")
    (ROOT / "packaging" / "registries.tsv").write_text(render_registries(claims), "ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
