"""Warnings for files that are not what their suffix says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkroot.media_types import MediaType, MediaTypes
from mkroot.signatures import maybe_warning

DATA = Path(__file__).parent / "data" / "media"
TYPES = MediaTypes()
FILES = sorted(path.name for path in DATA.iterdir())


def warning(path: bytes, content: bytes) -> str | None:
    """The warning for a file of unknown encoding."""
    return maybe_warning(path, content, TYPES.classify(path, content, None))


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_under_its_own_suffix_raises_no_warning(name: str) -> None:
    assert warning(name.encode(), (DATA / name).read_bytes()) is None


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("a.png", "dot.jpg", "a.png: served as image/png, but has the signature of image/jpeg"),
        ("a.jpg", "dot.webp", "a.jpg: served as image/jpeg, but has the signature of image/webp"),
        ("a.woff2", "box.ttf", "a.woff2: served as font/woff2, but has the signature of font/"),
        ("a.mp4", "clip.webm", "a.mp4: served as video/mp4, but has the signature of audio/webm"),
        ("a.pdf", "note.txt", "a.pdf: served as application/pdf, but is text"),
        ("a.wasm", "box.stl", "a.wasm: served as application/wasm, but starts with the bytes "),
    ],
)
def test_a_file_under_a_foreign_suffix_is_named_with_what_it_is(
    path: str, source: str, said: str
) -> None:
    warned = warning(path.encode(), (DATA / source).read_bytes())
    assert warned is not None
    assert warned.startswith(said)


def test_an_empty_image_and_a_git_lfs_pointer_are_noticed() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    way_out = " (--type /a.gif=TYPE says what it is)"
    assert warning(b"a.gif", b"") == f"a.gif: served as image/gif, but is empty{way_out}"
    assert warning(b"a.gif", pointer) == f"a.gif: served as image/gif, but is text{way_out}"


def test_a_file_name_cannot_write_to_the_terminal() -> None:
    warned = warning(b"\x1b[2J\xff.png", b"")
    assert warned is not None
    assert warned.isprintable()


@pytest.mark.parametrize(
    ("content", "warns"),
    [
        (b"<p>\xe9", True),
        (b"<META http-equiv=a content='text/html; CHARSET=latin1'><p>\xe9", False),
        (b"<meta charset=latin1><p>\xe9", False),
        (b" " * 1024 + b"<meta charset=latin1><p>\xe9", True),
        ("<p>é".encode("utf-16"), False),
    ],
)
def test_html_of_an_unnamed_encoding_is_noticed(content: bytes, warns: bool) -> None:
    assert (maybe_warning(b"a", content, MediaType("text/html", None, True)) is not None) is warns


def test_html_known_to_be_utf8_raises_no_warning() -> None:
    assert maybe_warning(b"a", b"<p>", MediaType("text/html", "utf-8", True)) is None


@given(st.binary(max_size=20), st.binary(max_size=300))
def test_any_bytes_give_a_printable_warning_or_none(path: bytes, head: bytes) -> None:
    for suffix in (b".png", b".html", b".mp4", b".pdf"):
        warned = warning(path + suffix, head)
        assert warned is None or warned.isprintable()
