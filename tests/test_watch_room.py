"""More sites than the limit of open files has room for: which are refused, and what still works."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ashttpd.vhosts.directory import Directory
from ashttpd.vhosts.room import DEPLOY_PLACES, Room
from ashttpd.vhosts.watch import Watch
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
from tests.servers import eventually
from tests.vhosts import Place, text_of


def _open_webroots(place: Place) -> int:
    """How many descriptors of this process are webroots of a place."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing itself
            count += os.readlink(f"/proc/self/fd/{fd}").startswith(str(place.webroots))
    return count


def _follow(watch: Watch, host: str, text: str) -> None:
    """Check again and again until a site says something."""

    def says() -> bool:
        watch.check()
        return text_of(watch, host) == text

    eventually(says)


def test_a_site_without_room_is_refused_unopened_and_served_when_another_has_gone(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    watch.room = Room(2 + DEPLOY_PLACES, 64)
    for name in ("a.example", "b.example", "c.example"):
        place.link(name, "one")
        watch.check()
    assert _open_webroots(place) == 2
    assert text_of(watch, "c.example") == "404"
    said = "c.example: refused, nothing is served: 2 webroots are open, and the limit of 64 open"
    assert said in caplog.text
    assert "raise it and start again (ulimit -Hn" in caplog.text
    # Deploys have places of their own.
    for text in ("two", "three"):
        place.link("a.example", text)
        watch.check()
        assert text_of(watch) == text
    (place.vhosts / "a.example").unlink()
    _follow(watch, "c.example", "one")


def test_a_replaced_webroot_counts_until_it_has_been_sent(place: Place, watch: Watch) -> None:
    place.link("a.example", "one")
    watch.check()
    watch.room = Room(2, 64)
    place.link("a.example", "two")
    watch.check()
    sent = watch.current.webroots["a.example"]
    place.link("a.example", "three")
    watch.check()
    place.link("a.example", "four")
    watch.check()
    assert text_of(watch) == "three"
    del sent
    _follow(watch, "a.example", "four")


def test_many_sites_without_room_take_one_line(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    watch.room = Room(DEPLOY_PLACES, 64)
    webroot = place.webroot("one", "one")
    for number in range(50):
        (place.vhosts / f"{number}.example").symlink_to(webroot)
    for _ in range(3):
        watch.check()
    assert caplog.text.count("refused") == 1
    assert _open_webroots(place) == 0


def test_what_fails_gives_its_place_and_its_file_back(place: Place, watch: Watch) -> None:
    def refuse(_webroot: Webroot) -> None:
        raise WebrootError("of a test")

    watch.room = Room(2 + DEPLOY_PLACES, 64)
    watch.check_webroot = refuse
    place.link("a.example", "one")
    (place.vhosts / "b.example").write_text("no webroot")
    watch.check()
    eventually(lambda: _open_webroots(place) == 0)
    watch.check_webroot = lambda _webroot: None
    place.link("a.example", "two")
    _follow(watch, "a.example", "two")


@pytest.fixture
def few_files() -> Iterator[None]:
    """A low limit of open files."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("few_files")
def test_names_are_seen_to_go_while_all_descriptors_are_taken(place: Place) -> None:
    for name in ("a.example", "b.example"):
        (place.vhosts / name).touch()
    directory = Directory(place.vhosts)
    directory.read(has_sites=False)
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        assert len(taken) < 256
        for name in ("a.example", "b.example"):
            assert name in directory.read(has_sites=True).hosts
            (place.vhosts / name).unlink()
            assert name not in directory.read(has_sites=True).hosts
    finally:
        for fd in taken:
            os.close(fd)
