"""Deploying under load: no request fails, and every response is wholly of one version."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import Engine
from tests.servers import Server, build_site, eventually, put, skip_for_lack

SWAPS: Final = 200
PAGES: Final = ("index.html", "page.html", "style.css", "large.bin")
# On both sides of what is kept in memory.
SIZES: Final = (500, 20_000, 3_000, 300_000)


def _content(version: str) -> dict[str, bytes]:
    """Pages that say their version in every line; the versions differ in length too."""
    line = f"{version} {'x' * len(version)}\n".encode()
    return {page: line * (size // len(line)) for page, size in zip(PAGES, SIZES, strict=True)}


VERSIONS: Final = {name: _content(name) for name in ("one", "second")}


@pytest.fixture
def webroots(tmp_path: Path) -> dict[str, Path]:
    return {name: build_site(VERSIONS[name], tmp_path / name) for name in VERSIONS}


@pytest.fixture
def swapped(engine: Engine, webroots: dict[str, Path], tmp_path: Path) -> Iterator[Server]:
    vhosts = tmp_path / "vhosts"
    vhosts.mkdir()
    put(vhosts, "__default__", webroots["one"])
    with engine.serving(vhosts) as running:
        yield running


def _watch(
    server: Server, tags: dict[str, dict[str, str]], stop: threading.Event, seen: list[str]
) -> None:
    """Fetch all pages over and over; what is seen is each one's version, or what was wrong."""
    with server.connect() as client:
        while not stop.is_set():
            for page in PAGES:
                response = client.get(f"/{page}", "any.example")
                version = next(
                    (name for name, pages in VERSIONS.items() if pages[page] == response.body),
                    f"{page}: {response.status}, a body of no version: {response.body[:100]!r}",
                )
                if version in tags and response.fields["etag"] != tags[version][page]:
                    version = f"{page}: the body of {version} with another entity tag"
                seen.append(version)


def _is_in(seen: list[str], start: int, version: str) -> bool:
    return version in seen[start:]


def test_200_swaps_under_load_fail_no_request_and_mix_no_versions(
    swapped: Server, webroots: dict[str, Path]
) -> None:
    wrk = shutil.which("wrk")
    if wrk is None:
        skip_for_lack("wrk is not installed")
    assert wrk is not None
    tags: dict[str, dict[str, str]] = {}
    for version, webroot in webroots.items():
        put(swapped.vhosts, f"{version}.example", webroot)
    swapped.log.wait_for("second.example: serving")
    for version in VERSIONS:
        host = f"{version}.example"
        tags[version] = {page: swapped.get(f"/{page}", host).fields["etag"] for page in PAGES}

    stop = threading.Event()
    seen: list[str] = []
    watching = threading.Thread(target=_watch, args=(swapped, tags, stop, seen))
    load = subprocess.Popen(
        [wrk, "-t1", "-c20", "-d60s", f"http://127.0.0.1:{swapped.port}/page.html"],
        stdout=subprocess.PIPE,
        text=True,
    )
    watching.start()
    try:
        for swap in range(SWAPS):
            version = ("second", "one")[swap % 2]
            put(swapped.vhosts, "__default__", webroots[version])
            # Each swap is seen by somebody before the next comes.
            before = len(seen)
            swapped.log.wait_for_count("__default__: replaced", swap + 1)
            eventually(partial(_is_in, seen, before, version))
            assert load.poll() is None
    finally:
        stop.set()
        # wrk sums up when it is interrupted.
        load.send_signal(2)
        report, _ = load.communicate(timeout=20)
        watching.join()
    assert set(seen) == set(VERSIONS)
    assert "Socket errors" not in report, report
    assert "Non-2xx" not in report, report
    assert "requests in" in report, report


def test_once_a_swap_is_told_nobody_gets_the_old_however_often_it_was_asked_for(
    swapped: Server, webroots: dict[str, Path]
) -> None:
    with swapped.connect() as client:
        for swap in range(4):
            old, new = (("one", "second"), ("second", "one"))[swap % 2]
            put(swapped.vhosts, "__default__", webroots[new])
            either = (VERSIONS[old]["page.html"], VERSIONS[new]["page.html"])

            def is_told(swaps: int = swap + 1, either: tuple[bytes, bytes] = either) -> bool:
                assert client.get("/page.html").body in either
                return swapped.log.text.count("__default__: replaced") == swaps

            # Asked over and over, so that within the second it is answered from nearest at hand.
            eventually(is_told)
            assert client.get("/page.html").body == VERSIONS[new]["page.html"]
