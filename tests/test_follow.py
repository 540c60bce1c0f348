"""The thread that follows the sites, and what wakes it: neither ever ends by itself."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from inotify_simple import INotify

from ashttpd.vhosts.follow import Changes, Follower
from ashttpd.vhosts.watch import Watch
from tests.servers import eventually
from tests.vhosts import Place, text_of

# Longer than any of these tests may take: a wait for so long ends because something happened.
FOREVER = 1e6


@pytest.fixture
def changes(place: Place) -> Iterator[Changes]:
    found = Changes(place.vhosts)
    found.wait(0)
    yield found
    found.close()


def test_a_wait_ends_with_a_change_of_the_directory_or_when_it_is_woken(
    place: Place, changes: Changes
) -> None:
    assert changes.wait(0) is False
    (place.vhosts / "a.example").touch()
    assert changes.wait(FOREVER) is True
    assert changes.wait(0) is False
    changes.wake()
    changes.wake()
    assert changes.wait(FOREVER) is False
    assert changes.wait(0) is False


@pytest.mark.parametrize("how", ["renamed", "removed", "symlink"])
def test_whichever_directory_has_the_name_is_watched(place: Place, how: str) -> None:
    directory = place.vhosts
    if how == "symlink":
        directory = place.webroots / "link"
        directory.symlink_to(place.vhosts)
    changes = Changes(directory)
    changes.wait(0)
    if how == "renamed":
        directory.rename(place.webroots / "aside")
        directory.mkdir()
    elif how == "removed":
        directory.rmdir()
        changes.wait(0)
        directory.mkdir()
    else:
        other = place.webroots / "other"
        other.mkdir()
        directory.unlink()
        directory.symlink_to(other)
    while changes.wait(0):
        pass
    (directory / "a.example").touch()
    assert changes.wait(FOREVER) is True
    changes.close()


def test_what_was_closed_is_woken_in_vain(place: Place) -> None:
    changes = Changes(place.vhosts)
    changes.close()
    changes.wake()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
def test_without_inotify_a_wait_ends_by_the_clock_and_that_is_told_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def add_watch(_self: INotify, _path: str, _mask: int) -> int:
        raise OSError(number, os.strerror(number))

    changes = Changes(place.vhosts)
    with monkeypatch.context() as broken:
        broken.setattr(INotify, "add_watch", add_watch)
        broken.setattr("ashttpd.vhosts.follow.RETRY_SECONDS", 0.0)
        for _ in range(3):
            assert changes.wait(0) is True
    assert caplog.text.count(f"inotify: {os.strerror(number)}") == 1
    # As soon as there is room again.
    changes.wait(0)
    (place.vhosts / "a.example").touch()
    assert changes.wait(FOREVER) is True
    changes.close()


def test_an_inotify_that_fails_is_replaced(
    place: Place, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_self: INotify, timeout: int) -> list[object]:
        raise OSError(errno.EBADF, f"Bad file descriptor, within {timeout} ms")

    with monkeypatch.context() as broken:
        broken.setattr(INotify, "read", read)
        broken.setattr("ashttpd.vhosts.follow.RETRY_SECONDS", 0.0)
        assert changes.wait(0) is True
    changes.wait(0)
    (place.vhosts / "a.example").touch()
    assert changes.wait(FOREVER) is True


@pytest.fixture
def follower(place: Place, watch: Watch) -> Iterator[Follower]:
    found = Follower(watch, place.vhosts)
    yield found
    found.stop()


def test_a_change_that_cannot_be_told_is_told_again_and_the_thread_goes_on(
    place: Place, watch: Watch, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    calls = []

    def on_change() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ZeroDivisionError("a bug")

    watch.on_change = on_change
    place.link("a.example", "one")
    follower.start()
    eventually(lambda: "a.example: serving" in caplog.text)
    assert caplog.text.count("sites: this is a bug of ashttpd; trying again") == 1
    assert len(calls) == 3
    place.link("a.example", "two")
    eventually(lambda: text_of(watch) == "two")


def test_whatever_a_look_raises_the_thread_goes_on(
    place: Place,
    watch: Watch,
    follower: Follower,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks = []

    def read_names(_names: list[str]) -> None:
        looks.append(1)
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as broken:
        broken.setattr("ashttpd.vhosts.directory.read_names", read_names)
        follower.start()
        eventually(lambda: len(looks) == 3)
    place.link("a.example", "one")
    eventually(lambda: text_of(watch) == "one")
    assert caplog.text.count("ZeroDivisionError: a bug") == 1


def test_a_follower_that_has_stopped_changes_nothing(
    place: Place, watch: Watch, follower: Follower
) -> None:
    place.link("a.example", "one")
    follower.start()
    eventually(lambda: text_of(watch) == "one")
    before = set(os.listdir("/proc/self/fd"))
    follower.stop()
    assert len(before - set(os.listdir("/proc/self/fd"))) == 2
    place.link("a.example", "two")
    assert text_of(watch) == "one"


def test_a_directory_that_hangs_does_not_hold_up_the_end(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, hangs = threading.Event(), threading.Event()

    def listdir(_path: Path) -> list[str]:
        hangs.set()
        go_on.wait()
        return []

    monkeypatch.setattr("ashttpd.vhosts.directory.os.listdir", listdir)
    monkeypatch.setattr("ashttpd.vhosts.follow.END_SECONDS", 0.0)
    follower = Follower(watch, place.vhosts)
    follower.start()
    hangs.wait()
    follower.stop()
    go_on.set()
    eventually(lambda: not any(t.name == "sites" for t in threading.enumerate()))
    follower.stop()
