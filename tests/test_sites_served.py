"""How changes of a vhosts directory become live on a running server."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.conftest import Engine
from tests.servers import Server, eventually, put, request
from tests.vhosts import Place

# A change is promised to be live within a second. Four times that is allowed for: the rest is for a
# machine that runs more than these tests.
LIVE__SECONDS: Final = 4.0


@pytest.fixture
def running(place: Place, engine: Engine) -> Iterator[Server]:
    place.link("a.example", "one", 20 << 20)
    place.link("steady.example", "steady")
    with engine.serving(place.vhosts) as server:
        yield server
        assert server.get("/", "steady.example").body == b"steady"


def _says(server: Server, text: str) -> float:
    """Wait until the site answers with a text (or status); returns how long that took."""

    def answered() -> bool:
        response = server.get("/", "a.example")
        return text in (response.body.decode(), str(response.status))

    return eventually(answered)


def test_every_kind_of_change_is_live_within_a_second(place: Place, running: Server) -> None:
    slowest = 0.0
    place.link("a.example", "two")
    slowest = max(slowest, _says(running, "two"))
    os.rename(place.webroot("three", "three"), place.vhosts / "a.example")
    slowest = max(slowest, _says(running, "three"))
    place.webroot("target", "four")
    put(place.vhosts, "a.example", place.webroots / "target")
    slowest = max(slowest, _says(running, "four"))
    # Nothing happens in the directory itself: inotify does not tell of this one.
    os.rename(place.webroot("new", "five"), place.webroots / "target")
    slowest = max(slowest, _says(running, "five"))
    (place.vhosts / "a.example").unlink()
    slowest = max(slowest, _says(running, "404"))
    shutil.copy(place.webroot("six", "six"), place.vhosts / "a.example")
    slowest = max(slowest, _says(running, "six"))
    assert slowest < LIVE__SECONDS


def test_a_directory_that_was_made_anew_is_followed_within_a_second(
    place: Place, running: Server
) -> None:
    aside = place.webroots / "aside"
    place.vhosts.rename(aside)
    running.log.wait_for("the sites stay as they were")
    assert running.get("/", "a.example").body == b"one"
    place.vhosts.mkdir()
    place.link("a.example", "two")
    put(place.vhosts, "steady.example", aside / "steady.example")
    assert _says(running, "two") < LIVE__SECONDS
    place.link("a.example", "three")
    assert _says(running, "three") < LIVE__SECONDS


def test_a_response_under_way_is_finished_from_the_site_it_began_with(
    place: Place, running: Server
) -> None:
    with running.connect(receive_bytes=4096) as slow:
        slow.send(request("/large.bin", "a.example"))
        head = slow.read_head()
        place.link("a.example", "two", 20 << 20)
        _says(running, "two")
        (place.webroots / "a.example-one").unlink()
        body = slow.read_bytes(int(head.fields["content-length"]))
        assert body == b"one".ljust(16, b".") * (20 << 16)
        response = slow.get("/large.bin", "a.example")
        assert response.body == b"two".ljust(16, b".") * (20 << 16)
    eventually(lambda: not any("a.example-one" in name for name in running.open_files()))


@pytest.mark.parametrize("damage", ["truncate", "overwrite", "empty"])
def test_a_webroot_damaged_in_place_ends_its_responses_and_no_other(
    place: Place, running: Server, damage: str
) -> None:
    webroot = place.webroots / "a.example-one"
    size = webroot.stat().st_size
    with running.connect(receive_bytes=4096) as slow, running.connect() as other:
        slow.send(request("/large.bin", "a.example"))
        head = slow.read_head()
        if damage == "truncate":
            os.truncate(webroot, 1 << 20)
        elif damage == "empty":
            os.truncate(webroot, 0)
        else:
            with webroot.open("r+b") as file:
                file.write(os.urandom(size))
        running.log.wait_for("a.example: overwritten or truncated in place")
        body = slow.read_rest()
        assert len(body) < int(head.fields["content-length"])
        running.log.wait_for("connection closed, the response is cut off")
        assert other.get("/", "a.example").status == 503
        assert other.get("/", "steady.example").body == b"steady"
        place.link("a.example", "two")
        _says(running, "two")


def test_a_thousand_sites_are_served_and_a_change_of_one_is_live_within_a_second(
    place: Place, engine: Engine
) -> None:
    webroot = place.webroot("common", "common")
    for number in range(1000):
        put(place.vhosts, f"site{number}.example", webroot)
    with engine.serving(place.vhosts) as server:
        assert server.get("/", "site0.example").body == b"common"
        assert server.get("/", "site999.example").body == b"common"
        put(place.vhosts, "site500.example", place.webroot("own", "own"))
        start = time.monotonic()
        eventually(lambda: server.get("/", "site500.example").body == b"own")
        assert time.monotonic() - start < LIVE__SECONDS


def test_new_bytes_under_the_old_size_and_times_never_have_the_old_tag(
    place: Place, running: Server
) -> None:
    before = running.get("/large.bin", "a.example")
    webroot = place.webroots / "a.example-one"
    times = webroot.stat()
    other = place.webroot("other", "two", 20 << 20).read_bytes()
    assert len(other) == times.st_size
    with webroot.open("r+b") as file:
        file.write(other)
    os.utime(webroot, ns=(times.st_atime_ns, times.st_mtime_ns))
    running.log.wait_for("a.example: overwritten or truncated in place")
    _says(running, "two")
    after = running.get("/large.bin", "a.example")
    assert after.body.startswith(b"two")
    assert after.fields["etag"] != before.fields["etag"]


def test_links_that_ln_replaces_are_followed_and_its_temporary_names_are_no_sites(
    place: Place, running: Server
) -> None:
    webroots = [place.webroot(text, text) for text in ("two", "three")]
    for turn in range(50):
        target = webroots[turn % 2]
        subprocess.run(["ln", "-sfn", target, place.vhosts / "a.example"], check=True)
    _says(running, "three")
    names = re.findall(r"(\S+): (?:serving|removed|refused)", running.log.text)
    assert set(names) == {"a.example", "steady.example"}
