"""Files that are in a coding already, by the operator's word, and by standing beside their file."""

import gzip
import random
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mkroot.build import Options
from mkroot.decode import MAX_RATIO
from mkroot.encode import CODINGS, MAX_BYTES
from mkroot.encoded import EncodedRules, inner_name, parse_rule
from mkroot.errors import BuildError
from mkroot.inspect import Extraction, diff
from mkroot.verify import verify
from tests.conftest import Engine
from tests.decoders import DECODE
from tests.servers import Server, put
from tests.trees import Tree, harvest, make, plant, python
from tests.webroots import opened, paths_in, resource_at

SCRIPT = b"".join(b"console.log(%d);\n" % number for number in range(400))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg">' + b'<rect width="9"/>' * 50 + b"</svg>"
# A copy that is not the one that a build makes.
GIVEN = gzip.compress(SCRIPT, 1, mtime=0)


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


TILE = random.Random(2).randbytes(10_000)
ENCODED = Options(encoded=(("*.gz", "gzip"), ("*.br", "br"), ("*.pbf", "gzip"), ("*.zst", "zstd")))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "site"


def built(tmp_path: Path, output: Path, tree: Tree, options: Options | None = None) -> list[str]:
    """Build a tree; returns the warnings."""
    return make(plant(tmp_path / "source", tree), output, options).warnings


def variants_of(output: Path, path: bytes) -> dict[str, tuple[str, bytes]]:
    """Type and body of each variant by its coding."""
    with opened(output) as webroot:
        assert list(verify(webroot)) == []
        return {
            variant.coding: (
                variant.media_type,
                webroot.read(variant.body_offset, variant.body_length),
            )
            for variant in resource_at(webroot, path).variants
        }


# By the operator's word.


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("*.gz=gzip", ("*.gz", "gzip")),
        ("a=b/*.x=br", ("a=b/*.x", "br")),
        ("*=identity", ("*", "identity")),
    ],
)
def test_a_rule_is_split_at_its_last_equals_sign(text: str, rule: tuple[str, str]) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "*.gz", "=gzip", "*.gz=", "*.gz=deflate", "*.gz=GZIP", "gzip"]
)
def test_a_rule_that_is_none_is_refused_with_an_example_and_the_codings(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not GLOB=CODING.*gzip, br, zstd, identity"
    ) as refused:
        parse_rule(text)
    assert repr(text) in str(refused.value)


def test_the_last_rule_that_matches_wins() -> None:
    rules = EncodedRules([("*.gz", "gzip"), ("raw/*", "identity"), ("raw/x.gz", "br")])
    found = {path: rules.maybe_coding(path) for path in (b"a.gz", b"raw/a.gz", b"raw/x.gz", b"a")}
    names = {path: coding and coding.name for path, coding in found.items()}
    assert names == {b"a.gz": "gzip", b"raw/a.gz": None, b"raw/x.gz": "br", b"a": None}


@pytest.mark.parametrize(
    ("path", "inner"),
    [
        (b"a/x.js.gz", b"a/x.js"),
        (b"x.wasm.br", b"x.wasm"),
        (b"x.data.UNITYWEB", b"x.data"),
        (b"x.json.zst", b"x.json"),
        (b"tiles/0.pbf", b"tiles/0.pbf"),
        (b"a/.gz", b"a/.gz"),
        (b"x.gz.gz", b"x.gz"),
        (b"a/x.tgz", b"a/x.tar"),
        (b"a/.tgz", b"a/.tgz"),
    ],
)
def test_the_name_of_what_is_inside_lacks_the_suffix_of_the_coding(
    path: bytes, inner: bytes
) -> None:
    assert inner_name(path) == inner


@pytest.mark.parametrize(
    ("name", "coding", "media_type"),
    [
        ("x.js.gz", "gzip", "text/javascript; charset=utf-8"),
        ("x.framework.js.br", "br", "text/javascript; charset=utf-8"),
        ("x.json.zst", "zstd", "application/json"),
        ("x.pbf", "gzip", "application/x-protobuf"),
    ],
)
def test_a_file_in_a_coding_is_typed_by_its_inner_name_and_kept_as_the_copy(
    tmp_path: Path, output: Path, name: str, coding: str, media_type: str
) -> None:
    given = GIVEN if coding == "gzip" else CODINGS[coding](SCRIPT)
    assert built(tmp_path, output, {name.encode(): given}, ENCODED) == []
    variants = variants_of(output, b"/" + name.encode())
    assert list(variants) == ["identity", "gzip", "br", "zstd"]
    assert variants["identity"] == (media_type, SCRIPT)
    assert variants[coding] == (media_type, given)
    for other in CODINGS:
        assert DECODE[other](variants[other][1]) == SCRIPT


def test_a_type_of_the_operator_wins_over_the_inner_name(tmp_path: Path, output: Path) -> None:
    types = (("*.js", "text/x-inner"), ("own/*", "text/x-own"))
    options = Options(encoded=ENCODED.encoded, types=types)
    built(tmp_path, output, {b"x.js.gz": GIVEN, b"own": {b"x.js.gz": GIVEN}}, options)
    assert variants_of(output, b"/x.js.gz")["identity"][0] == "text/x-inner"
    assert variants_of(output, b"/own/x.js.gz")["identity"][0] == "text/x-own"


def test_what_does_not_compress_has_the_given_copy_and_no_other(
    tmp_path: Path, output: Path
) -> None:
    given = packed(TILE)
    options = Options(encoded=(("*.data.gz", "gzip"),))
    built(tmp_path, output, {b"x.data.gz": given}, options)
    media_type = "application/octet-stream"
    expected = {"identity": (media_type, TILE), "gzip": (media_type, given)}
    assert variants_of(output, b"/x.data.gz") == expected


@pytest.mark.parametrize("size", [1, MAX_BYTES // (1 << 20) + 1])
def test_a_body_of_any_size_is_unpacked_in_bounded_memory(
    tmp_path: Path, output: Path, size: int
) -> None:
    line = random.Random(3).randbytes(1 << 14)
    content = line * (64 * size)
    given = gzip.compress(content, 1, mtime=0)
    built(tmp_path, output, {b"x.data.gz": given}, ENCODED)
    variants = variants_of(output, b"/x.data.gz")
    assert {coding: body for coding, (_, body) in variants.items()} == {
        "identity": content,
        "gzip": given,
    }


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.js.gz", b"no gzip at all", "does not begin as gzip"),
        ("a.js.gz", GIVEN[:-5], "ends too early for gzip"),
        ("a.js.gz", GIVEN + GIVEN, "has bytes behind the end of its gzip"),
        ("a.js.br", GIVEN, "is damaged or no br"),
        ("a.js.zst", GIVEN, "does not begin as zstd"),
        ("a.js.gz", packed(bytes(20 << 20)), "more than 200 times as much"),
        ("logo.svgz", packed(SVG)[:-5], "ends too early for gzip"),
    ],
    ids=["text", "cut", "twice", "br", "zstd", "bomb", "svgz"],
)
def test_what_is_not_in_the_coding_ends_the_build_with_name_reason_and_way_out(
    tmp_path: Path, output: Path, name: str, content: bytes, reason: str
) -> None:
    with pytest.raises(BuildError) as failed:
        built(tmp_path, output, {b"d": {name.encode(): content}}, ENCODED)
    assert str(failed.value).startswith(f"d/{name}: ")
    assert reason in str(failed.value)
    assert f"--encoded d/{name}=identity takes it as it is" in str(failed.value)
    assert not output.exists()
    escape = Options(encoded=(*ENCODED.encoded, (f"d/{name}", "identity")))
    make(tmp_path / "source", output, escape)
    assert variants_of(output, f"/d/{name}".encode())["identity"][1] == content


def test_the_way_out_for_one_file_changes_no_other_of_its_name(
    tmp_path: Path, output: Path
) -> None:
    plain: Tree = {b"2.pbf": TILE}
    tree: Tree = {b"1": plain, b"2": {b"2.pbf": packed(TILE)}, **plain}
    encoded = [("*.pbf", "gzip")]
    for name in ("1/2.pbf", "/2.pbf"):
        with pytest.raises(BuildError) as failed:
            built(tmp_path, output, tree, Options(encoded=tuple(encoded)))
        assert f"--encoded {name}=identity takes it as it is, if it stands behind" in str(
            failed.value
        )
        encoded.append((name, "identity"))
        shutil.rmtree(tmp_path / "source")
    built(tmp_path, output, tree, Options(encoded=tuple(encoded)))
    assert "gzip" not in variants_of(output, b"/1/2.pbf")
    assert variants_of(output, b"/2/2.pbf")["gzip"][1] == packed(TILE)
    assert variants_of(output, b"/2/2.pbf")["identity"][1] == TILE


# SVG under its compressed suffix.


def test_svgz_is_unpacked_and_an_image(tmp_path: Path, output: Path) -> None:
    given = packed(SVG)
    assert built(tmp_path, output, {b"logo.svgz": given}) == []
    variants = variants_of(output, b"/logo.svgz")
    assert {media_type for media_type, _ in variants.values()} == {"image/svg+xml"}
    assert variants["identity"][1] == SVG
    assert variants["gzip"][1] == given
    assert list(variants) == ["identity", "gzip", "br", "zstd"]


def test_a_plain_svg_under_the_compressed_suffix_is_taken_as_it_is(
    tmp_path: Path, output: Path
) -> None:
    assert built(tmp_path, output, {b"logo.svgz": SVG, b"none.svgz": b""}) == []
    assert variants_of(output, b"/logo.svgz")["identity"] == ("image/svg+xml", SVG)
    assert variants_of(output, b"/none.svgz")["identity"] == ("image/svg+xml", b"")


def test_a_plain_svg_under_the_compressed_suffix_is_extracted_as_it_was(
    tmp_path: Path, output: Path
) -> None:
    # The equal file has copies, which are not those of the misnamed one.
    tree: Tree = {b"a.svg": SVG, b"b.svgz": SVG, b"c.svgz": packed(SVG), b"d.svg": SVG}
    built(tmp_path, output, tree)
    with opened(output) as webroot:
        Extraction(webroot, tmp_path / "copy").run()
    assert harvest(bytes(tmp_path / "copy")) == tree


# Copies beside their file.

COPIES: Tree = {
    b"app.js": SCRIPT,
    b"app.js.gz": GIVEN,
    b"app.js.br": CODINGS["br"](SCRIPT),
    b"app.js.zst": CODINGS["zstd"](SCRIPT),
    b"app.js-": b"between them",
}


def test_a_copy_beside_its_file_is_its_copy_and_no_url(tmp_path: Path, output: Path) -> None:
    (said,) = built(tmp_path, output, COPIES)
    assert said.startswith("3 files are used as the compressed copies of the files beside them")
    assert "--precompressed serve" in said
    with opened(output) as webroot:
        assert paths_in(webroot) == [b"/", b"/app.js", b"/app.js-"]
    variants = variants_of(output, b"/app.js")
    bodies = {coding: body for coding, (_, body) in variants.items()}
    assert bodies == {
        "identity": SCRIPT,
        "gzip": GIVEN,
        "br": COPIES[b"app.js.br"],
        "zstd": COPIES[b"app.js.zst"],
    }


def test_copies_are_urls_when_they_are_to_be_served(tmp_path: Path, output: Path) -> None:
    assert built(tmp_path, output, COPIES, Options(use_precompressed=False)) == []
    with opened(output) as webroot:
        assert b"/app.js.gz" in paths_in(webroot)
    assert variants_of(output, b"/app.js")["gzip"][1] != GIVEN
    assert variants_of(output, b"/app.js.gz") == {"identity": ("application/gzip", GIVEN)}


def test_copies_that_are_missing_are_made_and_given_ones_need_no_option(
    tmp_path: Path, output: Path
) -> None:
    built(tmp_path, output, {b"app.js": SCRIPT, b"app.js.gz": GIVEN})
    assert list(variants_of(output, b"/app.js")) == ["identity", "gzip", "br", "zstd"]
    make(tmp_path / "source", output, Options(compress=()))
    assert list(variants_of(output, b"/app.js")) == ["identity", "gzip"]
    assert variants_of(output, b"/app.js")["gzip"][1] == GIVEN


def test_an_index_page_and_a_listing_know_the_copies(tmp_path: Path, output: Path) -> None:
    page = b"<!DOCTYPE html><title>t</title>" + b"<p>a paragraph" * 100
    given = gzip.compress(page, 1, mtime=0)
    tree: Tree = {b"d": {b"index.html": page, b"index.html.gz": given}, **COPIES}
    built(tmp_path, output, tree, Options(listing=True))
    assert variants_of(output, b"/d/")["gzip"][1] == given
    assert variants_of(output, b"/d/") == variants_of(output, b"/d/index.html")
    with opened(output) as webroot:
        listed = [v for v in resource_at(webroot, b"/").variants if v.coding == "identity"]
        for variant in listed:
            assert b"app.js.gz" not in webroot.read(variant.body_offset, variant.body_length)


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        (packed(SCRIPT[:-1]), "unpacks to something else"),
        (packed(SCRIPT + b"\n"), "unpacks to something else"),
        (packed(SCRIPT.replace(b"7", b"8")), "unpacks to something else"),
        (packed(bytes(64 << 20)), "unpacks to something else"),
        (GIVEN[:-5], "ends too early for gzip"),
        (GIVEN + GIVEN, "has bytes behind the end of its gzip"),
        (b"no gzip", "does not begin as gzip"),
        (b"", "ends too early for gzip, after 0 bytes"),
    ],
    ids=["shorter", "longer", "other", "bomb", "cut", "twice", "text", "empty"],
)
def test_a_stale_copy_is_a_file_of_its_own_and_is_said(
    tmp_path: Path, output: Path, copy: bytes, reason: str
) -> None:
    tree: Tree = {b"d": {b"app.js": SCRIPT, b"app.js.gz": copy}}
    said = built(tmp_path, output, tree)[0]
    assert said.startswith(f"d/app.js.gz: {reason}")
    assert said.endswith(", so it is no copy of app.js and has a URL of its own")
    assert variants_of(output, b"/d/app.js.gz")["identity"][1] == copy
    assert DECODE["gzip"](variants_of(output, b"/d/app.js")["gzip"][1]) == SCRIPT


def test_what_is_read_at_random_places_has_no_copy_beside_it(tmp_path: Path, output: Path) -> None:
    database = b"SQLite format 3\0" + bytes(9000)
    tree: Tree = {b"a.db": database, b"a.db.gz": packed(database), b"b.tar": TILE}
    assert built(tmp_path, output, {**tree, b"b.tar.gz": packed(TILE)}) == []
    for path in (b"/a.db", b"/a.db.gz", b"/b.tar", b"/b.tar.gz"):
        assert list(variants_of(output, path)) == ["identity"]


def test_a_directory_a_lone_file_and_a_copy_of_a_copy_are_no_copies(
    tmp_path: Path, output: Path
) -> None:
    tree: Tree = {
        b"a": b"text",
        b"a.gz": {b"x": b""},
        b"b.gz": GIVEN,
        b".gz": GIVEN,
        b"c.js": SCRIPT,
        b"c.js.gz": GIVEN,
        b"c.js.gz.br": CODINGS["br"](GIVEN),
    }
    built(tmp_path, output, tree)
    with opened(output) as webroot:
        urls = [b"/", b"/a", b"/a.gz", b"/a.gz/", b"/a.gz/x", b"/b.gz", b"/c.js", b"/c.js.gz.br"]
        assert paths_in(webroot) == urls


def test_the_operators_coding_of_a_file_goes_before_its_being_a_copy(
    tmp_path: Path, output: Path
) -> None:
    built(tmp_path, output, {b"app.js": SCRIPT, b"app.js.gz": GIVEN}, ENCODED)
    with opened(output) as webroot:
        assert paths_in(webroot) == [b"/", b"/app.js", b"/app.js.gz"]
    assert variants_of(output, b"/app.js.gz")["gzip"][1] == GIVEN


def test_a_copy_that_the_operator_takes_as_it_is_stays_a_url(tmp_path: Path, output: Path) -> None:
    options = Options(encoded=(("Packages.gz", "identity"),))
    tree: Tree = {
        b"Packages": SCRIPT,
        b"Packages.gz": GIVEN,
        b"app.js": SCRIPT,
        b"app.js.gz": GIVEN,
    }
    built(tmp_path, output, tree, options)
    with opened(output) as webroot:
        assert paths_in(webroot) == [b"/", b"/Packages", b"/Packages.gz", b"/app.js"]
    assert variants_of(output, b"/Packages.gz") == {"identity": ("application/gzip", GIVEN)}


def test_a_copy_that_unpacks_to_its_file_is_its_copy_whatever_it_saves(
    tmp_path: Path, output: Path
) -> None:
    zeros = b"0\n" * (12 << 20)
    copy = zlib.compress(zeros, 9, wbits=31)
    assert len(copy) * MAX_RATIO < len(zeros)
    tree: Tree = {b"zeros.txt": zeros, b"zeros.txt.gz": copy}
    said = built(tmp_path, output, tree, Options(compress=()))
    assert not any("no copy of" in warning for warning in said)
    assert variants_of(output, b"/zeros.txt")["gzip"][1] == copy


def test_an_equal_file_without_a_copy_gets_the_copies_that_a_build_makes(
    tmp_path: Path, output: Path
) -> None:
    tree: Tree = {b"a.js": SCRIPT, b"a.js.gz": GIVEN, b"b.js": SCRIPT}
    built(tmp_path, output, tree)
    assert variants_of(output, b"/a.js")["gzip"][1] == GIVEN
    assert variants_of(output, b"/b.js")["gzip"][1] == CODINGS["gzip"](SCRIPT)
    assert variants_of(output, b"/a.js")["br"] == variants_of(output, b"/b.js")["br"]


# There and back.


def test_what_is_extracted_is_in_the_coding_it_was_in_and_builds_the_same_site(
    tmp_path: Path, output: Path
) -> None:
    tree: Tree = {
        b"x.js.gz": GIVEN,
        b"logo.svgz": packed(SVG),
        b"plain.txt": b"text\n" * 200,
        b"tiles": {b"0.pbf": packed(TILE)},
    }
    built(tmp_path, output, tree, ENCODED)
    with opened(output) as webroot:
        Extraction(webroot, tmp_path / "copy").run()
        assert harvest(bytes(tmp_path / "copy")) == tree
        make(tmp_path / "copy", tmp_path / "again", ENCODED)
        with opened(tmp_path / "again") as again:
            assert again.site_id == webroot.site_id
            assert list(diff(webroot, again)) == []


def test_the_command_line_takes_both_options_and_says_what_is_wrong(
    tmp_path: Path, output: Path
) -> None:
    source = plant(tmp_path / "source", {b"x.js.gz": GIVEN, b"y.js": SCRIPT, b"y.js.gz": GIVEN})
    options = ("--encoded", "x.js.gz=gzip", "--precompressed", "serve")
    done = python("-m", "mkroot", *options, source, output)
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(variants_of(output, b"/x.js.gz")) == ["identity", "gzip", "br", "zstd"]
    assert list(variants_of(output, b"/y.js.gz")) == ["identity"]
    listed = python("-m", "mkroot", "--info", output).stdout.decode()
    assert "'encoded': ['x.js.gz=gzip']" in listed
    assert "'precompressed': 'serve'" in listed
    refused = python("-m", "mkroot", "--encoded", "*.gz=lzma", source, output)
    assert refused.returncode == 2
    assert b"'*.gz=lzma' is not GLOB=CODING" in refused.stderr


# Over HTTP.


@pytest.fixture(scope="module")
def coded_server(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("coded")
    tree: Tree = {b"x.js.gz": GIVEN, b"y.js": SCRIPT, b"y.js.gz": GIVEN}
    options = Options(encoded=(("x.*", "gzip"),), compress=())
    make(plant(directory / "source", tree), directory / "webroot", options)
    (directory / "vhosts").mkdir()
    put(directory / "vhosts", "site.example", directory / "webroot")
    with engine.serving(directory / "vhosts") as running:
        yield running


@pytest.mark.parametrize("target", ["/x.js.gz", "/y.js"])
def test_a_client_gets_the_given_bytes_or_what_they_stand_for(
    coded_server: Server, target: str
) -> None:
    with coded_server.connect() as client:
        coded = client.get(target, "site.example", "Accept-Encoding: gzip")
        plain = client.get(target, "site.example")
        for response in (coded, plain):
            assert response.status == 200
            assert response.fields["content-type"] == "text/javascript; charset=utf-8"
            assert response.fields["vary"] == "Accept-Encoding"
        assert (coded.fields["content-encoding"], coded.body) == ("gzip", GIVEN)
        assert ("content-encoding" not in plain.fields, plain.body) == (True, SCRIPT)
