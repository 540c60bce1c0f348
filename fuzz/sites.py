"""Two real sites with the same URLs and other content, and requests that know what is there."""

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final
from unittest.mock import patch

from hypothesis import strategies as st

from ashttpd.http.plan import Extent, Plan
from ashttpd.webroot.resource import entity_tag
from fuzz.shared import shared
from fuzz.strategies import NOW, site_requests
from mkroot.build import Options
from tests.trees import Tree, make, plant
from tests.webroots import opened

NAMES: Final = ("one", "other")
HOST: Final = b"site.example"
# On both sides of what a memo keeps with its head, and of what an engine sends at once.
_EDGE: Final = 1 << 16
_LARGE: Final = 3 << 20


def _tree(name: str) -> Tree:
    """Return files of many types and sizes, each telling its site."""
    word = name.encode("ascii")
    noise = random.Random(name).randbytes(_LARGE)
    return {
        b"index.html": b"<!DOCTYPE html><title>" + word + b"</title>",
        b"hello.txt": b"hello from " + word,
        b"empty.txt": b"",
        b"style.css": b"." + word + b" { margin: 0 }\n" * 200,
        b"data.json": b'{"site": "' + word + b'"}' + b" " * 1000,
        b"docs": {b"index.html": b"<p>" + word, b"a b%.txt": word},
        b"list": {word + b".txt": word, b"deep": {b"x.js": b"//" + word}},
        b"edge.bin": noise[:_EDGE],
        b"edge+1.bin": noise[: _EDGE + 1],
        b"large.bin": noise,
    }


_PRESENT: Final = (
    *(b"/", b"/hello.txt", b"/empty.txt", b"/style.css", b"/data.json", b"/docs", b"/docs/"),
    *(b"/list", b"/list/", b"/edge.bin", b"/edge%2b1.bin", b"/large.bin"),
)
TARGETS: Final = (
    *_PRESENT,
    *(b"/docs/a%20b%25.txt", b"/docs/./../hello.txt", b"/list/deep/?q", b"/hel%6Co.txt?x=/../"),
    *(b"/docs?a=b&c", b"/none", b"/%2F", b"/%00", b"/%zz", b"//", b"*", b"/../.."),
    *(b"/hello.txt/", b"/404.html", b"/list/none"),
    *(b"http://site.example/style.css", b"http://none.example/", b"HTTP://SITE.EXAMPLE:80?q"),
)


@shared
@contextmanager
def webroots() -> Iterator[dict[str, Path]]:
    """Build both sites, once; returns their webroots by name."""
    with tempfile.TemporaryDirectory(prefix="ashttpd-fuzz-") as directory:
        built = {}
        for name in NAMES:
            source = plant(Path(directory) / f"{name}.source", _tree(name))
            for above, _directories, files in os.walk(source):
                for file in files:
                    os.utime(Path(above) / file, (NOW, NOW))
            built[name] = Path(directory) / name
            # It need not survive a power cut.
            with patch("mkroot.output.os.fsync"):
                make(source, built[name], Options(listing=True, last_modified=True))
        yield built


@cache
def entity_tags() -> list[bytes]:
    """Return the tags of all that the sites have."""
    tags = set()
    for path in webroots().values():
        with opened(path) as webroot:
            for _offset, resource in webroot.resources():
                tags |= {entity_tag(variant.sha256) for variant in resource.variants}
    return sorted(tags)


# What most clients ask most of the time.
PLAIN_REQUESTS: Final = st.sampled_from(_PRESENT).map(
    lambda target: b"GET " + target + b" HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n"
)
# Whole requests with their bodies; the sites are built when the first is drawn.
REQUESTS: Final[st.SearchStrategy[bytes]] = st.deferred(
    lambda: site_requests(HOST, TARGETS, entity_tags())
)


def render(plan: Plan) -> bytes:
    """Return the bytes of a response."""
    pieces = (
        os.pread(piece.file.fd, piece.length, piece.offset) if isinstance(piece, Extent) else piece
        for piece in plan.body
    )
    response = plan.head + b"".join(pieces)
    assert len(response) == plan.size
    return response
