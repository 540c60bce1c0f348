"""Compressed copies: they decode to the body, are kept when they are worth it, and are the same
whatever the number of processors."""

import os
import random
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashttpd.webroot.reader import Webroot
from mkroot import encode, pipeline
from mkroot.build import Options
from mkroot.cli import main
from mkroot.encode import CODINGS, MIN_BYTES, Encoder, is_worth_it
from mkroot.verify import verify
from tests.decoders import DECODE
from tests.trees import make, plant
from tests.webroots import body_of, opened, resource_at

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b"line %d of a text that repeats itself\n" % number for number in range(500))
NOISE = random.Random(1).randbytes(5_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return plant(tmp_path / "source", {})


def codings_of(webroot: Webroot, path: bytes) -> list[str]:
    return [variant.coding for variant in resource_at(webroot, path).variants]


@pytest.mark.parametrize("coding", CODINGS)
@given(content=st.binary() | st.builds(lambda b, n: b * n, st.binary(), st.integers(0, 1000)))
def test_every_copy_decodes_to_the_body_and_is_always_the_same(coding: str, content: bytes) -> None:
    copy = CODINGS[coding](content)
    assert DECODE[coding](copy) == content
    assert CODINGS[coding](content) == copy


def test_a_copy_in_gzip_says_nothing_of_time_name_or_system() -> None:
    # RFC 1952 section 2.3: flags and time are zero, the system is "unknown".
    copy = CODINGS["gzip"](TEXT)
    assert (copy[:8], copy[9]) == (b"\x1f\x8b\x08\0\0\0\0\0", 255)


def test_a_window_of_zstd_is_no_larger_than_every_client_takes() -> None:
    # RFC 9659 section 3: 8 MiB. What is larger than that has a window of its own size or less.
    copy = CODINGS["zstd"](b"0123456789abcdef" * (1 << 20))
    descriptor = zstd.get_frame_info(copy)
    assert descriptor.decompressed_size == 16 << 20
    # RFC 8878 section 3.1.1.1.2: exponent and mantissa of the window's size.
    assert copy[4] & 0x20 == 0, "a frame of one segment has no window descriptor"
    exponent, mantissa = copy[5] >> 3, copy[5] & 7
    assert (1 << 10 + exponent) + ((1 << 10 + exponent) >> 3) * mantissa <= 8 << 20


@pytest.mark.parametrize(
    ("length", "encoded", "worth"),
    [(300, 236, True), (300, 237, False), (10_000, 9_500, True), (10_000, 9_501, False)],
)
def test_a_copy_is_kept_when_it_saves_64_bytes_and_5_percent(
    length: int, encoded: int, worth: bool
) -> None:
    assert is_worth_it(length, encoded) is worth


def test_copies_of_text_are_stored_and_decode_to_it(source: Path, tmp_path: Path) -> None:
    plant(source, {b"a.html": TEXT, b"d": {b"index.html": TEXT[:-1]}})
    make(source, tmp_path / "out")
    with opened(tmp_path / "out") as webroot:
        assert list(verify(webroot)) == []
        for path, content in ((b"/a.html", TEXT), (b"/d/", TEXT[:-1])):
            assert codings_of(webroot, path) == ["identity", "gzip", "br", "zstd"]
            for coding, decode in DECODE.items():
                assert decode(body_of(webroot, path, coding=coding)) == content
        assert (
            resource_at(webroot, b"/d/").variants == resource_at(webroot, b"/d/index.html").variants
        )


def test_each_copy_has_a_tag_of_its_own_and_names_its_coding(source: Path, tmp_path: Path) -> None:
    plant(source, {b"a.html": TEXT})
    make(source, tmp_path / "out")
    with opened(tmp_path / "out") as webroot:
        page = resource_at(webroot, b"/a.html")
        variants = page.variants
        heads = {variant.coding: webroot.head_block(page, variant) for variant in variants}
    assert len({head.split(b"\r\n")[0] for head in heads.values()}) == 4
    for coding, head in heads.items():
        assert b"\r\nVary: Accept-Encoding\r\n" in head
        named = b"\r\nContent-Encoding: " + coding.encode() + b"\r\n" in head
        assert named == (coding != "identity")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"a.png", TEXT),  # a type that is compressed already
        (b"a.html", NOISE),  # a type that compresses, and bytes that do not
        (b"a.txt", TEXT[: MIN_BYTES - 1]),
        (b"a.txt", b""),
    ],
)
def test_what_does_not_compress_has_no_copies_and_no_vary(
    source: Path, tmp_path: Path, name: bytes, content: bytes
) -> None:
    plant(source, {name: content})
    make(source, tmp_path / "out")
    with opened(tmp_path / "out") as webroot:
        resource = resource_at(webroot, b"/" + name)
        (variant,) = resource.variants
        assert variant.coding == "identity"
        assert b"Vary" not in webroot.head_block(resource, variant)


def test_a_body_of_256_bytes_is_compressed(source: Path, tmp_path: Path) -> None:
    plant(source, {b"a.txt": b"x" * MIN_BYTES})
    make(source, tmp_path / "out")
    with opened(tmp_path / "out") as webroot:
        assert codings_of(webroot, b"/a.txt") == ["identity", "gzip", "br", "zstd"]


def test_a_listing_has_copies_of_both_media_types(source: Path, tmp_path: Path) -> None:
    plant(source, {b"%d" % number: b"" for number in range(50)})
    make(source, tmp_path / "out", Options(listing=True, compress=("gzip",)))
    with opened(tmp_path / "out") as webroot:
        found = [(v.media_type, v.coding) for v in resource_at(webroot, b"/").variants]
        assert found == [
            ("text/html; charset=utf-8", "identity"),
            ("text/html; charset=utf-8", "gzip"),
            ("application/json", "identity"),
            ("application/json", "gzip"),
        ]
        listing = resource_at(webroot, b"/")
        for variant in listing.variants:
            assert b"\r\nVary: Accept, Accept-Encoding\r\n" in webroot.head_block(listing, variant)


def test_equal_files_share_their_copies_and_are_compressed_once(
    source: Path, tmp_path: Path
) -> None:
    # Between them something that is too large to wait, so that the first is in the file by then.
    plant(source, {b"a.html": TEXT, b"b.bin": NOISE * 1000, b"c.html": TEXT, b"d.css": TEXT})
    with patch.object(Encoder, "submit", autospec=True, side_effect=Encoder.submit) as submit:
        make(source, tmp_path / "out")
    assert [call.args[1] for call in submit.call_args_list] == [TEXT]
    with opened(tmp_path / "out") as webroot:
        assert list(verify(webroot)) == []
        first, third, fourth = (
            resource_at(webroot, path) for path in (b"/a.html", b"/c.html", b"/d.css")
        )
        assert first.variants == third.variants
        offsets = [v.body_offset for v in first.variants]
        assert offsets == [v.body_offset for v in fourth.variants]
        for variant in fourth.variants:
            assert b"Content-Type: text/css" in webroot.head_block(fourth, variant)


def test_the_number_of_processors_and_the_room_change_nothing_of_the_file(
    source: Path, tmp_path: Path
) -> None:
    shuffle = random.Random(2)
    plant(
        source,
        {
            b"%d.%b" % (number, suffix): TEXT[: shuffle.randrange(len(TEXT))]
            for number in range(60)
            for suffix in (b"html", b"png")
        }
        | {b"large.bin": NOISE * 1000, b"large.txt": TEXT * 100},
    )
    make(source, tmp_path / "a", Options(listing=True))
    with (
        patch("mkroot.encode.os.sched_getaffinity", return_value={0, 1, 2, 3, 4, 5, 6}),
        patch.object(pipeline, "WAITING_RECORDS", 3),
        patch.object(pipeline, "WAITING_BYTES", 10_000),
    ):
        make(source, tmp_path / "b", Options(listing=True))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_too_large_to_be_compressed_in_memory_is_stored_as_it_is(
    source: Path, tmp_path: Path
) -> None:
    plant(source, {b"a.html": TEXT, b"b.txt": TEXT * 150, b"c.txt": TEXT * 100, b"d": {b"x": b""}})
    with patch.object(pipeline, "MAX_BYTES", len(TEXT) * 110):
        make(source, tmp_path / "out", Options(listing=True))
    with opened(tmp_path / "out") as webroot:
        assert list(verify(webroot)) == []
        assert body_of(webroot, b"/b.txt") == TEXT * 150
        assert codings_of(webroot, b"/b.txt") == ["identity"]
        assert codings_of(webroot, b"/c.txt") == ["identity", "gzip", "br", "zstd"]


def test_a_listing_too_large_to_be_compressed_is_stored_in_the_order_of_its_types(
    source: Path, tmp_path: Path
) -> None:
    plant(source, {b"%0200d" % number: b"" for number in range(3_000)})
    with (
        patch.object(pipeline, "MAX_BYTES", 100_000),
        patch.object(pipeline, "STREAM_BYTES", 100_000),
    ):
        make(source, tmp_path / "out", Options(listing=True))
    with opened(tmp_path / "out") as webroot:
        assert list(verify(webroot)) == []
        assert codings_of(webroot, b"/") == ["identity", "identity"]


@pytest.mark.parametrize(
    ("text", "codings"),
    [("none", ()), ("gzip", ("gzip",)), ("br,gzip", ("gzip", "br")), ("zstd,zstd", ("zstd",))],
)
def test_compress_names_the_codings(
    source: Path, tmp_path: Path, text: str, codings: tuple[str, ...]
) -> None:
    plant(source, {b"a.html": TEXT})
    assert main(["--quiet", "--compress", text, str(source), str(tmp_path / "out")]) == 0
    with opened(tmp_path / "out") as webroot:
        assert codings_of(webroot, b"/a.html") == ["identity", *codings]


@pytest.mark.parametrize("text", ["", "gzip,", "deflate", "gzip,none", "GZIP", "gzip br"])
def test_a_coding_that_is_not_known_is_refused(
    source: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--compress", text, os.fspath(source), str(tmp_path / "out")])
    assert exit_.value.code == 2
    assert f"{text!r} is not none, or a list of gzip, br, zstd" in capsys.readouterr().err


def test_the_metadata_name_the_codings_and_the_versions_of_what_made_them(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(source, tmp_path / "out")
    assert main(["--info", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    for name, version in encode.versions().items():
        assert f"'{name}': '{version}'" in said
    assert "'compress': ['gzip', 'br', 'zstd']" in said
