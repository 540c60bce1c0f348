"""Whatever was done to a webroot, it is refused, or what it answers is right.

Where every checksum was made right again nobody can tell what is right: then nothing but
WebrootError may come of it, in bounded time and memory.
"""

import mmap
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from ashttpd.answers import Answers
from ashttpd.http.dates import second_of
from ashttpd.http.target import encode_path
from ashttpd.sites import Sites
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.layout import SUPERBLOCK_SIZE
from ashttpd.webroot.reader import Webroot
from fuzz.damage import LIES, believe, edit
from fuzz.shared import shared
from fuzz.sites import render
from mkroot.build import Options
from mkroot.inspect import Extraction
from mkroot.verify import verify
from tests.streams import parse_responses
from tests.trees import make, plant
from tests.webroots import SMALL, SMALL_PATHS, faults, take_apart

SECOND: Final = second_of(0)
FIELDS: Final = (b"", b"Rbytes=1-2,5-6\n", b"Aapplication/json\n", b"N*\n", b"Dsha-256=1\n")
KEYS: Final = tuple(
    b"1k-GET " + encode_path(path) + b"\nHa\n" + field for path in SMALL_PATHS for field in FIELDS
)
# What no file of a few kilobytes may take. Time is that of the processor, so a busy machine is
# none the slower.
ROOM_BYTES: Final = 256 << 20
SOON_SECONDS: Final = 10.0


@shared
@contextmanager
def whole() -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """Build a webroot; gives its bytes, and its answers."""
    with tempfile.TemporaryDirectory(prefix="ashttpd-fuzz-") as directory:
        source = plant(Path(directory) / "source", SMALL)
        make(source, Path(directory) / "out", Options(listing=True))
        webroot = Webroot(str(Path(directory) / "out"))
        assert list(verify(webroot)) == []
        yield Path(webroot.path).read_bytes(), answers_of(webroot)
        webroot.close()


def answers_of(webroot: Webroot) -> dict[bytes, bytes]:
    find = Answers(Sites({"__default__": webroot})).find
    return {key: render(find(key, SECOND)) for key in KEYS}


@contextmanager
def put_down(content: bytes) -> Iterator[Path]:
    """Give a file of memory with this content."""
    fd = os.memfd_create("webroot")
    try:
        os.write(fd, content)
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@contextmanager
def bounded() -> Iterator[None]:
    """Hold what is done to little memory and little time."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + ROOM_BYTES, hard))
    start = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.process_time() - start < SOON_SECONDS


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a webroot with some bytes other than they were."""
    content = whole()[0]
    # Half of the edits spare the superblock, whose checksum stands before all else.
    spared = draw(st.sampled_from([0, SUPERBLOCK_SIZE]))
    rest = bytearray(content[spared:])
    for _ in range(draw(st.integers(1, 3))):
        edit(draw, rest)
    return content[:spared] + bytes(rest)


@st.composite
def lying(draw: st.DrawFn) -> bytes:
    """Draw a webroot whose content is wrong and whose checksums are right."""
    draft = deepcopy(take_apart(whole()[0]))
    lies = draw(st.lists(st.sampled_from(LIES), min_size=1, max_size=3))
    for lie in sorted(lies, key=LIES.index):
        lie(draw, draft)
    if draw(st.booleans()):
        believe(draft)
    return draft.packed()


@given(damaged())
def test_damage_is_found_and_never_answered(content: bytes) -> None:
    intact, expected = whole()
    with put_down(content) as path, bounded():
        try:
            webroot = Webroot(str(path))
        except WebrootError:
            assert content != intact
            return
        answers = answers_of(webroot)
        assert (list(verify(webroot)) == []) == (content == intact)
        webroot.close()
    for key, answer in answers.items():
        assert answer == expected[key] or answer.startswith(b"HTTP/1.1 500 ")


@given(lying())
def test_a_lie_with_right_checksums_is_a_webroot_error_or_a_whole_answer(content: bytes) -> None:
    with put_down(content) as path, bounded():
        faults(path)
        with suppress(WebrootError):
            webroot = Webroot(str(path))
            answers = answers_of(webroot)
            webroot.close()
            # Whatever the file says: each answer ends where it says, and none ends the connection.
            parse_responses(["GET"] * len(answers), b"".join(answers.values()))


@given(lying())
def test_extracting_a_lie_writes_into_its_directory_only(content: bytes) -> None:
    with put_down(content) as path, tempfile.TemporaryDirectory() as directory:
        try:
            webroot = Webroot(str(path))
        except WebrootError:
            return
        # A name may be longer than the file system takes.
        with bounded(), suppress(WebrootError, OSError):
            Extraction(webroot, Path(directory) / "copy").run()
        webroot.close()
        assert os.listdir(directory) in ([], ["copy"])
