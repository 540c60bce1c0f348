"""Names and first bytes to Content-Type, over real files, by hand-written expectation."""

import runpy
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mkroot.media_types import TABLE, WELL_KNOWN, MediaType, MediaTypes, Utf8Check

DATA = Path(__file__).parent / "data" / "media"
REGISTRIES = Path(__file__).parent.parent / "packaging" / "registries.tsv"
GENERATOR = Path(__file__).parent.parent / "packaging" / "generate_media_types.py"
HEAD_BYTES = 1 << 16

TYPES = MediaTypes()

OPEN_XML = "application/vnd.openxmlformats-officedocument"
ODF_TEXT = "application/vnd.oasis.opendocument.text"

# file, by its name, by its content alone (the same file without a suffix)
FILES = [
    ("add.wasm", "application/wasm", "application/wasm"),
    ("app.min.css", "text/css; charset=utf-8", "text/plain; charset=utf-8"),
    ("app.min.css.map", "application/json", "text/plain; charset=utf-8"),
    ("app.min.js", "text/javascript; charset=utf-8", "text/plain; charset=utf-8"),
    ("app.min.js.map", "application/json", "text/plain; charset=utf-8"),
    ("book.epub", "application/epub+zip", "application/epub+zip"),
    ("box.deb", "application/vnd.debian.binary-package", "application/octet-stream"),
    ("box.glb", "model/gltf-binary", "model/gltf-binary"),
    ("box.gltf", "model/gltf+json", "text/plain; charset=utf-8"),
    ("box.jar", "application/java-archive", "application/octet-stream"),
    ("box.obj", "model/obj", "text/plain; charset=utf-8"),
    ("box.otf", "font/otf", "font/otf"),
    ("box.ply", "application/octet-stream", "application/octet-stream"),
    ("box.ps", "application/postscript", "text/plain; charset=utf-8"),
    ("box.stl", "model/stl", "application/octet-stream"),
    ("box.ttc", "font/collection", "font/ttf"),
    ("box.ttf", "font/ttf", "font/ttf"),
    ("box.woff", "font/woff", "font/woff"),
    ("box.woff2", "font/woff2", "font/woff2"),
    ("cert.cer", "application/pkix-cert", "application/octet-stream"),
    ("clip.3gp", "video/3gpp", "video/3gpp"),
    ("clip.avi", "video/x-msvideo", "video/x-msvideo"),
    ("clip.flv", "video/x-flv", "video/x-flv"),
    ("clip.mkv", "video/x-matroska", "video/x-matroska"),
    ("clip.mov", "video/quicktime", "video/quicktime"),
    ("clip.mp4", "video/mp4", "video/mp4"),
    ("clip.mpg", "video/mpeg", "video/mpeg"),
    ("clip.ogv", "video/ogg", "video/ogg"),
    ("clip.ts", "video/mp2t", "application/octet-stream"),
    ("clip.webm", "video/webm", "video/webm"),
    ("de.mo", "application/octet-stream", "application/octet-stream"),
    ("dot.avif", "image/avif", "image/avif"),
    ("dot.bmp", "image/bmp", "image/bmp"),
    ("dot.gif", "image/gif", "image/gif"),
    ("dot.heic", "image/heic", "image/heic"),
    ("dot.ico", "image/vnd.microsoft.icon", "image/vnd.microsoft.icon"),
    ("dot.jp2", "image/jp2", "image/jp2"),
    ("dot.jpg", "image/jpeg", "image/jpeg"),
    ("dot.jxl", "image/jxl", "image/jxl"),
    ("dot.pcx", "image/vnd.zbrush.pcx", "application/octet-stream"),
    ("dot.pdf", "application/pdf", "application/pdf"),
    ("dot.png", "image/png", "image/png"),
    ("dot.ppm", "image/x-portable-pixmap", "image/x-portable-pixmap"),
    ("dot.tga", "image/x-tga", "image/x-tga"),
    ("dot.tiff", "image/tiff", "image/tiff"),
    ("dot.webp", "image/webp", "image/webp"),
    ("greet.cjs", "text/javascript; charset=utf-8", "text/plain; charset=utf-8"),
    ("greet.mjs", "text/javascript; charset=utf-8", "text/plain; charset=utf-8"),
    ("letter.odt", ODF_TEXT, ODF_TEXT),
    ("note.br", "application/octet-stream", "application/octet-stream"),
    ("note.bz2", "application/x-bzip2", "application/x-bzip2"),
    ("note.tar", "application/x-tar", "application/x-tar"),
    ("note.tar.gz", "application/gzip", "application/gzip"),
    ("note.txt", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
    ("note.txt.gz", "application/gzip", "application/gzip"),
    ("note.xz", "application/x-xz", "application/x-xz"),
    ("note.zip", "application/zip", "application/zip"),
    ("note.zst", "application/zstd", "application/zstd"),
    ("page.svgz", "image/svg+xml", "application/gzip"),
    ("sheet.xlsx", f"{OPEN_XML}.spreadsheetml.sheet", f"{OPEN_XML}.spreadsheetml.sheet"),
    ("spin.apng", "image/apng", "image/png"),
    ("tiny.sqlite", "application/vnd.sqlite3", "application/vnd.sqlite3"),
    ("tone.aac", "audio/aac", "audio/aac"),
    ("tone.aiff", "audio/x-aiff", "audio/x-aiff"),
    ("tone.flac", "audio/flac", "audio/flac"),
    ("tone.m4a", "audio/mp4", "audio/mp4"),
    ("tone.mp3", "audio/mpeg", "audio/mpeg"),
    ("tone.ogg", "audio/ogg", "audio/ogg"),
    ("tone.opus", "audio/ogg", "audio/ogg"),
    ("tone.wav", "audio/wav", "audio/wav"),
    ("tone.weba", "audio/webm", "video/webm"),
]

XML = b'<?xml version="1.0"?>\n<!-- made by hand -->\n'
ATOM = b'<feed xml:lang="en" xmlns="http://www.w3.org/2005/Atom"></feed>'
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'
HTML = "<!doctype html>\n<title>Grüße</title>\n<p>Grüße"
ES_CLASS = b"export class A { static b = 1; }\nconst s = '<html>';\n"
ICS = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"
C_SOURCE = b"#include <stdio.h>\n\nint main(void)\n{\n\treturn 0;\n}\n"

TEXTS = [
    ("index.html", HTML.encode(), "text/html; charset=utf-8"),
    ("INDEX.HTM", HTML.encode(), "text/html; charset=utf-8"),
    ("index.html", b"\xef\xbb\xbf" + HTML.encode(), "text/html; charset=utf-8"),
    ("index.html", HTML.encode("latin-1"), "text/html"),
    ("index.html", HTML.encode("utf-16"), "text/html"),
    ("index.html", "<p>\u6587\u5b57".encode("iso2022_jp"), "text/html"),
    ("page.xhtml", XML + b"<html/>", "application/xhtml+xml"),
    ("fragment", b"<p>not a page</p>", "text/plain; charset=utf-8"),
    ("page.html.bak", HTML.encode(), "text/plain; charset=utf-8"),
    ("note.txt", "Grüße".encode("latin-1"), "text/plain"),
    ("note.txt", "Grüße".encode("utf-16"), "text/plain"),
    ("UNSUFFIXED", "Grüße und ein wenig mehr Text\n".encode("latin-1"), "text/plain"),
    ("UNSUFFIXED", "Grüße\n".encode("utf-16"), "text/plain"),
    ("class.js", ES_CLASS, "text/javascript; charset=utf-8"),
    ("class", ES_CLASS, "text/plain; charset=utf-8"),
    ("app.js", b"", "text/javascript; charset=utf-8"),
    ("empty", b"", "text/plain; charset=utf-8"),
    ("sub/.nojekyll", b"", "text/plain; charset=utf-8"),
    (".html", b"<p>a name, no suffix", "text/plain; charset=utf-8"),
    ("data.json", b'{"a": 1}', "application/json"),
    ("data", b'{"a": 1}', "text/plain; charset=utf-8"),
    ("site.webmanifest", b'{"name": "a"}', "application/manifest+json"),
    ("place.geojson", b"{}", "application/geo+json"),
    ("modules.importmap", b"{}", "application/importmap+json"),
    ("rows.jsonl", b"{}\n{}\n", "application/jsonl"),
    ("conf.yaml", b"a: 1\n", "application/yaml"),
    ("conf.toml", b"a = 1\n", "application/toml"),
    ("README.md", b"# Title\n", "text/markdown; charset=utf-8"),
    ("dot.svg", SVG, "image/svg+xml"),
    ("dot", SVG, "text/plain; charset=utf-8"),
    ("sitemap.xml", XML + b"<urlset/>", "application/xml"),
    ("feed.xml", XML + b'<rss version="2.0"><channel/></rss>', "application/rss+xml"),
    ("feed.xml", XML + ATOM, "application/atom+xml"),
    ("feed.xml", b"<feed xmlns='urn:other'/>", "application/xml"),
    ("feed.rss", b"<rss/>", "application/rss+xml"),
    ("feed.atom", ATOM, "application/atom+xml"),
    ("table.csv", b"a,b\r\n1,2\r\n", "text/csv; charset=utf-8"),
    ("table.tsv", b"a\tb\n", "text/tab-separated-values; charset=utf-8"),
    ("party.ics", ICS, "text/calendar; charset=utf-8"),
    ("subs.vtt", b"WEBVTT\n", "text/vtt; charset=utf-8"),
    ("live.m3u8", b"#EXTM3U\n", "application/vnd.apple.mpegurl"),
    ("greet.ts", b"export const a: number = 1\n", "text/plain; charset=utf-8"),
    ("greet.d.ts", b"declare const a: number\n", "text/plain; charset=utf-8"),
    ("G.ts", b"G" * 400, "text/plain; charset=utf-8"),
    ("main.c", C_SOURCE, "text/x-c; charset=utf-8"),
    ("main", C_SOURCE, "text/plain; charset=utf-8"),
    ("lib.rs", b"fn main() {}\n", "text/plain; charset=utf-8"),
    ("setup.py", b"import os\n", "text/plain; charset=utf-8"),
    ("install", b"#!/bin/sh\nset -e\n", "text/plain; charset=utf-8"),
    ("install.sh", b"#!/bin/sh\nset -e\n", "text/plain; charset=utf-8"),
    ("LICENSE", b"Permission is hereby granted\n", "text/plain; charset=utf-8"),
    ("Makefile", b"all:\n\tcc main.c\n", "text/plain; charset=utf-8"),
    ("change.patch", b"--- a\n+++ b\n@@ -1 +1 @@\n-a\n+b\n", "text/plain; charset=utf-8"),
    ("jquery.min.js?v=1", b"var a\n", "text/plain; charset=utf-8"),
    ("v1.2.3", b"\x00\x01\x02\x03" * 9, "application/octet-stream"),
    # Two meanings of a suffix.
    ("Setup.exe.manifest", XML + b"<assembly/>", "application/x-ms-manifest"),
    ("site.manifest", b'{"name": "x", "start_url": "/"}', "application/manifest+json"),
    ("offline.manifest", b"CACHE MANIFEST\n/a\n", "text/cache-manifest; charset=utf-8"),
    ("radio.pls", b"[playlist]\nFile1=a\n", "audio/x-scpls"),
    ("words.pls", XML + b"<lexicon/>", "application/pls+xml"),
    ("wifi.eap-config", XML, "application/eap-config"),
    ("vpn.sswan", b"{}", "application/vnd.strongswan.profile"),
    ("page.sxg", b"sxg1-b3\0\0\0", "application/signed-exchange;v=b3"),
    ("master.sxg", b"PK\x03\x04", "application/vnd.sun.xml.writer.global"),
    ("app.plist", XML + b"<plist/>", "application/xml"),
    ("Info.plist", b"bplist00\xd1\x01\x02", "application/octet-stream"),
    # Types on which a consumer acts.
    ("wifi.mobileconfig", XML + b"<plist/>", "application/x-apple-aspen-config"),
    ("app.flatpakref", b"[Flatpak Ref]\n", "application/vnd.flatpak.ref"),
    ("repo.flatpakrepo", b"[Flatpak Repo]\n", "application/vnd.flatpak.repo"),
    ("vpn.ovpn", b"client\n", "application/x-openvpn-profile"),
    ("card.vcf", b"BEGIN:VCARD\r\n", "text/vcard; charset=utf-8"),
    ("card.VCARD", b"BEGIN:VCARD\r\n", "text/vcard; charset=utf-8"),
    ("setup.application", XML + b"<assembly/>", "application/x-ms-application"),
    ("addin.vsto", XML + b"<assembly/>", "application/x-ms-vsto"),
    ("app.appinstaller", XML + b"<AppInstaller/>", "application/appinstaller"),
    ("start.jnlp", XML + b"<jnlp/>", "application/x-java-jnlp-file"),
    ("desk.rdp", b"full address:s:a\r\n", "application/x-rdp"),
    ("desk.ica", b"[Encoding]\r\n", "application/x-ica"),
    ("book.acsm", XML + b"<fulfillmentToken/>", "application/vnd.adobe.adept+xml"),
    ("search.osdx", XML + b"<OpenSearchDescription/>", "application/opensearchdescription+xml"),
    ("proxy.pac", b"function FindProxyForURL(){}", "application/x-ns-proxy-autoconfig"),
    ("tile.pbf", b"\x1a\x03abc", "application/x-protobuf"),
    ("a.d/file", b"\x00\x01\x02\x03" * 9, "application/octet-stream"),
]


def is_utf8(content: bytes) -> bool:
    """The slow obvious version of Utf8Check."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def served_as(path: str, content: bytes, types: MediaTypes = TYPES) -> str:
    """The Content-Type of a file, asked for as the builder does."""
    head = content[:HEAD_BYTES]
    check = is_utf8(content) if types.needs_utf8_check(path.encode(), head) else None
    return types.classify(path.encode(), head, check).header().decode("ascii")


@pytest.mark.parametrize(("name", "by_name", "by_content"), FILES)
def test_a_real_file_gets_the_type_of_its_suffix(name: str, by_name: str, by_content: str) -> None:
    content = (DATA / name).read_bytes()
    assert served_as(f"some/dir.d/{name}", content) == by_name
    assert served_as(name.upper(), content) == by_name


@pytest.mark.parametrize(("name", "by_name", "by_content"), FILES)
def test_a_real_file_without_suffix_gets_a_safe_type(
    name: str, by_name: str, by_content: str
) -> None:
    assert served_as("some/dir.d/download", (DATA / name).read_bytes()) == by_content


def test_every_shipped_file_is_expected_to_be_something() -> None:
    assert {path.name for path in DATA.iterdir()} == {name for name, _, _ in FILES} | {"README.md"}


@pytest.mark.parametrize(("path", "content", "expected"), TEXTS)
def test_text_gets_its_type_and_a_charset_only_when_it_is_utf8(
    path: str, content: bytes, expected: str
) -> None:
    assert served_as(path, content) == expected


def test_nobody_having_looked_at_the_bytes_means_no_charset() -> None:
    assert TYPES.classify(b"index.html", b"<p>", None) == MediaType("text/html", None, True)


def test_only_types_with_a_charset_ask_for_the_whole_content() -> None:
    assert TYPES.needs_utf8_check(b"a.css", b"")
    assert TYPES.needs_utf8_check(b"LICENSE", b"text")
    assert not TYPES.needs_utf8_check(b"LICENSE", b"\0")
    assert not TYPES.needs_utf8_check(b"a.json", b"{}")
    assert not TYPES.needs_utf8_check(b"a.ts", b"\x47\x40\x11\x10")
    assert not MediaTypes([("*.css", "text/css")]).needs_utf8_check(b"a.css", b"")


WELL_KNOWN_NAMES = [
    ("apple-app-site-association", b'{"applinks":{}}', "application/json"),
    (".well-known/apple-app-site-association", b'{"applinks":{}}', "application/json"),
    # Signed, as it was before iOS 9.
    (".well-known/apple-app-site-association", b"\x30\x82\x01\x00", "application/json"),
    (".well-known/openid-configuration", b"{}", "application/json"),
    (".well-known/openid-configuration/tenant", b"{}", "application/json"),
    (".well-known/oauth-authorization-server/a/b", b"{}", "application/json"),
    (".well-known/oauth-protected-resource", b"{}", "application/json"),
    (".well-known/matrix/client", b"{}", "application/json"),
    (".well-known/webfinger", b"{}", "application/jrd+json"),
    (".well-known/api-catalog", b"{}", "application/linkset+json"),
    (".well-known/traffic-advice", b"[]", "application/trafficadvice+json"),
    (".well-known/host-meta", XML + b"<XRD/>", "application/xrd+xml"),
    (".well-known/host-meta.json", b"{}", "application/json"),
    (".well-known/jwks", b"{}", "application/json"),
    (".well-known/jwks.json", b"{}", "application/json"),
    (".well-known/assetlinks.json", b"[]", "application/json"),
    (".well-known/gpc.json", b"{}", "application/json"),
    (".well-known/nodeinfo", b"{}", "application/json"),
    (".well-known/security.txt", b"Contact: a\n", "text/plain; charset=utf-8"),
    (".well-known/dnt-policy.txt", b"policy\n", "text/plain; charset=utf-8"),
    (".well-known/mta-sts.txt", b"version: STSv1\n", "text/plain; charset=utf-8"),
    (".well-known/change-password", HTML.encode(), "text/html; charset=utf-8"),
    (".well-known/acme-challenge/a-B_1", b"a-B_1.c", "text/plain; charset=utf-8"),
    (
        ".well-known/private-token-issuer-directory",
        b"{}",
        "application/private-token-issuer-directory",
    ),
    (".well-known/acme-challenge/a.js", b"a.c", "text/plain; charset=utf-8"),
    (".well-known/pki-validation/f1.txt", b"proof\n", "text/plain; charset=utf-8"),
    (".well-known/openpgpkey/hu/iy9q119", b"GIF89a", "application/octet-stream"),
    (".well-known/openpgpkey/site.example/hu/iy9q", b"\x99\x01", "application/octet-stream"),
    (".well-known/openpgpkey/policy", b"", "text/plain; charset=utf-8"),
    ("wpad.dat", b"function FindProxyForURL(){}", "application/x-ns-proxy-autoconfig"),
    # By content, where the name is not in the table.
    (".well-known/something-new", b' \n{"a": 1}', "application/json"),
    (".well-known/deep/er/something", b"[1]", "application/json"),
    (".well-known/proof", b"abc\n", "text/plain; charset=utf-8"),
    (".well-known/proof", HTML.encode(), "text/plain; charset=utf-8"),
    (".well-known/data.txt", b"{}", "text/plain; charset=utf-8"),
    # At other places these are names like any other.
    ("docs/.well-known/openid-configuration", b"{}", "text/plain; charset=utf-8"),
    ("docs/apple-app-site-association", b"{}", "text/plain; charset=utf-8"),
    ("openid-configuration", b"{}", "text/plain; charset=utf-8"),
    ("data", b"{}", "text/plain; charset=utf-8"),
]


@pytest.mark.parametrize(("path", "content", "expected"), WELL_KNOWN_NAMES)
def test_a_well_known_name_has_its_type_at_its_place(
    path: str, content: bytes, expected: str
) -> None:
    assert served_as(path, content) == expected


def test_a_type_of_the_operator_wins_over_a_well_known_name() -> None:
    path = ".well-known/webfinger"
    types = MediaTypes([(path, "application/json")])
    assert served_as(path, b"{}", types) == "application/json"


def test_every_row_of_well_known_names_has_a_glob_a_type_and_a_source() -> None:
    rows = [line.split("\t") for line in WELL_KNOWN.read_text("ascii").splitlines()[2:]]
    assert len({glob for glob, *_ in rows}) == len(rows) > 40
    for glob, essence, source in rows:
        assert glob.startswith((".well-known/", "/"))
        MediaTypes([(glob, essence)])
        assert source


PAGE = b"<!DOCTYPE html>\n<html><head><title>t</title></head><body><p>hello</p></body></html>\n"
OLD_PAGE = b"<?xml version='1.0'?>\n<!-- saved -->\n<HTML lang='en'><body></body></HTML>\n"


@pytest.mark.parametrize("page", [PAGE, OLD_PAGE, b"\xef\xbb\xbf" + PAGE])
@pytest.mark.parametrize(
    "name", ["Amazon.com", "index.php", "view.asp", "a.aspx", "b.jsp", "c.cgi"]
)
def test_a_whole_page_under_the_name_of_a_program_is_a_page(name: str, page: bytes) -> None:
    assert served_as(f"wiki/{name}", page) == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "name",
    [
        *("Node.js", "note.txt", "dot.svg", "data.json", "C.md", "Mr.T", "U.S", "GNU.org"),
        *("Main_Page", "ASP.NET", "St._Louis", "page.html.bak", "table.csv", "upload.bin"),
    ],
)
def test_a_page_under_a_name_that_an_upload_may_have_never_becomes_active(name: str) -> None:
    served = served_as(f"uploads/{name}", PAGE)
    assert not served.startswith(("text/html", "application/xhtml"))


@pytest.mark.parametrize(
    "source",
    [
        *(b"<?php echo 1; ?>", PAGE + b"<?php echo 1; ?>", PAGE + b"<?= 1 ?>", PAGE + b"<? f() ?>"),
        *(PAGE + b"<cfquery name='q'>", PAGE + b"<CFOUTPUT>", PAGE + b"<jsp:scriptlet>"),
        *(PAGE + b'<script language="php">f()</script>', PAGE + b"<SCRIPT LANGUAGE = PHP>"),
        *(PAGE + b"<asp:Label/>", PAGE + b"<script runat='server'>", PAGE + b"<% f() %>"),
    ],
)
def test_the_source_of_a_program_that_makes_pages_is_text(source: bytes) -> None:
    assert served_as("index.php", source) == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "compressible"),
    [
        *[("a.html", True), ("a.svg", True), ("a.wasm", True), ("a.ttf", True), ("a.json", True)],
        *[("a.map", True), ("a.ico", True), ("a.rs", True), ("a.mvt", True), ("a.pbf", True)],
        *[("a.woff2", False), ("a.png", False), ("a.mp4", False), ("a.gz", False)],
        *[
            ("a.bin", False),
            ("a.docx", False),
            ("a.pdf", False),
            ("a.zip", False),
        ],
    ],
)
def test_compressible_says_whether_trying_is_worth_it(path: str, compressible: bool) -> None:
    assert TYPES.classify(path.encode(), b"", None).compressible is compressible


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        *[("*.foo", "a.foo", True), ("*.foo", "deep/er/a.foo", True), ("*.foo", "a.FOO", False)],
        *[("*.foo", "a.foo/b", False), ("*.foo", "a.foox", False)],
        *[("docs/*.txt", "docs/a.txt", True), ("docs/*.txt", "docs/b/a.txt", False)],
        *[("docs/*.txt", "x/docs/a.txt", False), ("/*.txt", "a.txt", True)],
        *[("/*.txt", "docs/a.txt", False), ("docs/**", "docs/b/a.txt", True)],
        *[("docs/**/a.txt", "docs/a.txt", True), ("docs/**/a.txt", "docs/b/c/a.txt", True)],
        *[("**/a.txt", "a.txt", True), ("?.txt", "a.txt", True), ("a?b", "a/b", False)],
        *[("[slug].x", "s.x", False), ("[slug].x", "[slug].x", True), ("a.x", "abx", False)],
    ],
)
def test_a_glob_matches_as_documented(glob: str, path: str, matches: bool) -> None:
    types = MediaTypes([(glob, "application/x-mine")])
    assert (served_as(path, b"x", types) == "application/x-mine") is matches


def test_a_glob_matches_names_that_are_not_utf8() -> None:
    types = MediaTypes([("*.foo", "application/x-mine")])
    assert types.classify(b"\xff\n.foo", b"", None).header() == b"application/x-mine"


def test_the_last_override_that_matches_wins() -> None:
    types = MediaTypes([("*.a", "text/x-one"), ("*.a", "text/x-two"), ("b.*", "text/x-three")])
    assert served_as("a.a", b"", types) == "text/x-two"
    assert served_as("b.a", b"", types) == "text/x-three"
    assert served_as("b.css", b"", types) == "text/x-three"


def test_an_override_is_sent_as_written_and_understood_all_the_same() -> None:
    written = 'Text/HTML ; Charset="ISO-8859-1"; x="a;b"'
    media = MediaTypes([("*.a", written)]).classify(b"x.a", b"", True)
    assert media.header() == written.encode()
    assert (media.essence, media.charset, media.compressible) == ("text/html", "iso-8859-1", True)


def test_an_override_with_an_unknown_type_compresses_as_its_family_does() -> None:
    types = MediaTypes([("*.a", "application/x-mine+json"), ("*.b", "image/x-mine")])
    assert types.classify(b"x.a", b"", None).compressible
    assert not types.classify(b"x.b", b"", None).compressible


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        *[("", "8.3.1"), ("text", "8.3.1"), ("text/", "8.3.1"), ("/html", "8.3.1")],
        *[("text/html ", "8.3.1"), (" text/html", "8.3.1"), ("text/h tml", "8.3.1")],
        *[("text/html\r\nX: y", "8.3.1"), ("text/html\n", "8.3.1"), ("text/ümlaut", "8.3.1")],
        *[("text/html;a", "5.6.6"), ("text/html;a =b", "5.6.6"), ('text/html;a="b', "5.6.6")],
        *[("text/html;a=b\n", "5.6.6"), ("text/html;a=ü", "5.6.6"), ("a/b;c=d e", "5.6.6")],
    ],
)
def test_a_type_that_is_none_is_refused_with_glob_value_and_rule(value: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as refused:
        MediaTypes([("*.foo", value)])
    assert "'*.foo'" in str(refused.value)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("value", ["a/b;", "a/b;;c=d", 'a/b; c="\\"d"', "a/b\t;\tc=d", "a/b+c"])
def test_every_form_the_grammar_has_is_taken(value: str) -> None:
    assert served_as("x.foo", b"", MediaTypes([("*.foo", value)])) == value


def test_an_empty_glob_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'': 'text/css' has an empty pattern"):
        MediaTypes([("", "text/css")])


def test_describe_names_what_the_decisions_depend_on() -> None:
    described = TYPES.describe()
    assert described.keys() == {"libmagic", "media-types"}
    assert float(described["libmagic"]) > 5
    assert described["media-types"].startswith("mime-db 1.54.0, sha256 ")


def test_a_missing_libmagic_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "magic", None)
    types = MediaTypes()
    assert served_as("a.css", b"", types) == "text/css; charset=utf-8"
    assert served_as("LICENSE", b"text", types) == "text/plain; charset=utf-8"
    with pytest.raises(ImportError, match=r"libmagic1.*python-magic"):
        types.classify(b"unknown", b"\0", False)


def test_libmagic_giving_up_makes_a_file_just_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    class GaveUpError(Exception):
        pass

    class Magic:
        def __init__(self, mime: bool) -> None:
            assert mime

        def from_buffer(self, head: bytes) -> str:
            raise GaveUpError(head)

    fake = SimpleNamespace(Magic=Magic, MagicException=GaveUpError, version=lambda: 544)
    monkeypatch.setitem(sys.modules, "magic", fake)
    types = MediaTypes()
    assert served_as("unknown", b"\0", types) == "application/octet-stream"
    assert types.describe()["libmagic"] == "5.44"


def test_a_coloured_log_is_still_utf8() -> None:
    assert served_as("build.log", b"\x1b[31mred\x1b[0m\n") == "text/plain; charset=utf-8"


@given(st.binary(max_size=60), st.binary(max_size=400), st.sampled_from([True, False, None]))
@example(b"a.xml", b"<!--" * 1000, None)
@example(b"a.xml", b"<!--a-->" * 500 + b"<x", None)
@example(b".", b"", None)
@example(b"/", b"%PDF-", True)
def test_any_bytes_get_a_type_and_a_charset_only_when_valid(
    path: bytes, head: bytes, utf8: bool | None
) -> None:
    media = TYPES.classify(path, head, utf8)
    assert media.header().startswith(media.essence.encode())
    assert media.charset == ("utf-8" if b"charset=utf-8" in media.header() else None)
    assert utf8 or media.charset is None


@given(st.binary(max_size=400), st.sampled_from(["", "<html>", "<svg>", "<?xml ", "#!/bin/sh\n"]))
def test_content_alone_never_makes_a_file_active(tail: bytes, start: str) -> None:
    content = start.encode() + tail
    essence = TYPES.classify(b"upload", content, is_utf8(content)).essence
    assert essence == "text/plain" or not essence.startswith("text/")
    assert not essence.endswith(("xml", "javascript", "json"))


@given(
    st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode)),
    st.lists(st.integers(0, 40), max_size=8),
)
@example("\ufeff\U0001f600".encode(), [1, 2, 4, 5, 6])
@example(b"\xed\xa0\x80", [1, 2])
@example(b"\xf0\x9f\x98", [])
def test_utf8_check_agrees_with_decode_however_content_is_cut(
    content: bytes, cuts: list[int]
) -> None:
    check = Utf8Check()
    for start, stop in pairwise(sorted([0, *cuts, len(content)])):
        check.feed(content[start:stop])
    assert check.valid() is is_utf8(content)


def test_the_table_is_what_the_generator_prints_for_its_rows() -> None:
    generator = runpy.run_path(str(GENERATOR))
    text = TABLE.read_text("ascii")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    padded = [(*row, "")[:4] for row in rows]
    assert generator["render"](padded) == text
    types = {suffix: essence for suffix, essence, *_ in rows}
    assert len(types) == len(rows) > 1239
    assert generator["CHOICES"].items() <= types.items()
    copies = {essence: word for _, essence, word, *_ in rows}
    for essence, packs in generator["COMPRESSIBLE"].items():
        assert copies[essence] == ("yes" if packs else "no")
    for essence in generator["RANDOM_ACCESS"] & copies.keys():
        assert copies[essence] == "never"


def test_a_type_that_no_registry_has_for_a_suffix_has_a_reason_and_only_such_a_type() -> None:
    lines = REGISTRIES.read_text("ascii").splitlines()
    claims = dict(line.split("\t") for line in lines if not line.startswith("#"))
    rows = [line.split("\t") for line in TABLE.read_text("ascii").splitlines()[3:]]
    assert claims.keys() <= {row[0] for row in rows}
    for suffix, essence, _copies, *reason in rows:
        differs = suffix in claims and essence.lower() not in claims[suffix].split()
        assert bool(reason) is differs, f"{suffix} is {essence}, elsewhere {claims.get(suffix)}"


def test_every_row_of_the_table_is_a_lower_case_suffix_and_a_valid_type() -> None:
    rows = [line.split("\t") for line in TABLE.read_text("ascii").splitlines()[3:]]
    parsed = MediaTypes([(f"{suffix}.x", essence) for suffix, essence, *_ in rows])
    for suffix, essence, copies, *_ in rows:
        assert suffix
        assert suffix == suffix.lower()
        assert "." not in suffix
        assert copies in ("yes", "no", "never")
        assert ";" not in essence
        assert parsed.classify(f"{suffix}.x".encode(), b"", None).essence == essence


def test_the_generator_refuses_to_guess_between_equals() -> None:
    choose = runpy.run_path(str(GENERATOR))["choose_types"]
    claims = {"a/b": {"source": "iana", "extensions": ["q9"]}}
    assert choose(claims)["q9"] == "a/b"
    assert choose({**claims, "a/c": {"extensions": ["q9"]}})["q9"] == "a/b"
    with pytest.raises(ValueError, match="'q9': no choice made between"):
        choose({**claims, "a/c": {"source": "iana", "extensions": ["q9"]}})
