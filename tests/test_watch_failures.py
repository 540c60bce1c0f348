"""What fails in one site, in the directory or in the server leaves all the rest alone."""

import errno
import os
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from ashttpd.vhosts import entry, files
from ashttpd.vhosts.entry import MOST_RETRY_SECONDS, judge
from ashttpd.vhosts.files import TICK_SECONDS, identify
from ashttpd.vhosts.jobs import Look
from ashttpd.vhosts.watch import Watch
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
from tests.servers import put
from tests.vhosts import Place, text_of


@pytest.fixture
def two(place: Place, watch: Watch) -> Watch:
    """A watch that serves two sites."""
    place.link("a.example", "one")
    place.link("b.example", "one")
    watch.check()
    return watch


def _fail_fstat(
    monkeypatch: pytest.MonkeyPatch, fd: int, error: Callable[[], BaseException]
) -> None:
    real = os.fstat

    def fstat(asked: int) -> os.stat_result:
        if asked == fd:
            raise error()
        return real(asked)

    monkeypatch.setattr("ashttpd.vhosts.files.os.fstat", fstat)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_an_open_file_that_cannot_be_looked_at_is_told_of_once_and_stops_no_change(
    place: Place,
    two: Watch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    fd = two.current.webroots["a.example"].fd
    message = os.strerror(number)
    with monkeypatch.context() as broken:
        _fail_fstat(broken, fd, lambda: OSError(number, message))
        for _ in range(3):
            assert two.check() is False
        place.link("b.example", "two")
        assert two.check() is True
    assert caplog.text.count(f"a.example: its open file: {message}") == 1
    assert (text_of(two), text_of(two, "b.example")) == ("one", "two")
    caplog.set_level("INFO")
    two.check()
    assert "a.example: its open file is well again" in caplog.text
    with monkeypatch.context() as broken:
        _fail_fstat(broken, fd, lambda: OSError(number, message))
        two.check()
    assert caplog.text.count(f"a.example: its open file: {message}") == 2


def test_a_new_file_is_served_though_the_open_one_cannot_be_looked_at(
    place: Place, two: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = two.current.webroots["a.example"].fd
    _fail_fstat(monkeypatch, fd, lambda: OSError(errno.ESTALE, "Stale file handle"))
    place.link("a.example", "two")
    assert two.check() is True
    assert text_of(two) == "two"


def _fail_stat(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == name and follow_symlinks:
            raise error
        return real(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_target_that_cannot_be_looked_at_is_told_of_once_for_each_reason(
    place: Place,
    two: Watch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    monkeypatch.setattr("ashttpd.vhosts.refusal.REFUSAL_SECONDS", 0.0)
    caplog.set_level("INFO")
    for _ in range(2):
        with monkeypatch.context() as broken:
            _fail_stat(broken, "a.example", OSError(number, os.strerror(number)))
            for _ in range(3):
                assert two.check() is False
            place.link("b.example", "two")
            two.check()
        with monkeypatch.context() as broken:
            _fail_stat(broken, "a.example", OSError(errno.ENOTCONN, "Transport endpoint"))
            two.check()
        assert two.check() is False
    assert caplog.text.count(f"one: {os.strerror(number)}") == 2
    assert caplog.text.count("one: Transport endpoint") == 2
    assert caplog.text.count("a.example: well again; it is served as before") == 2
    assert (text_of(two), text_of(two, "b.example")) == ("one", "two")


def test_links_that_lead_to_too_long_names_in_circles_and_through_files_are_refused_each_once(
    place: Place, two: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    (place.vhosts / "long.example").symlink_to("x" * 300)
    (place.vhosts / "circle.example").symlink_to("circle.example")
    (place.vhosts / "through.example").symlink_to("a.example/x")
    for _ in range(3):
        two.check()
    for name in ("long", "circle", "through"):
        assert caplog.text.count(f"{name}.example: refused, nothing is served") == 1
    place.link("b.example", "two")
    assert two.check() is True


def test_a_name_that_goes_between_the_listing_and_the_look_is_no_failure(place: Place) -> None:
    look = Look("a.example", place.vhosts / "a.example", None)
    look.run()
    assert look.target is None
    (place.vhosts / "a.example").symlink_to("nowhere")
    look.run()
    assert isinstance(look.target, FileNotFoundError)


# A bug of ours.


def test_a_bug_in_opening_one_site_is_told_once_with_its_traceback_and_stops_no_other(
    place: Place, two: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = Webroot
    broken = place.link("a.example", "two")

    def opened(path: str) -> Webroot:
        if Path(path).resolve() == broken:
            raise ZeroDivisionError("a bug")
        return real(path)

    monkeypatch.setattr(files, "Webroot", opened)
    for _ in range(3):
        assert two.check() is False
    assert caplog.text.count("a.example: refused, the old one stays: a bug; this is a bug of") == 1
    assert caplog.text.count("ZeroDivisionError: a bug") == 1
    place.link("b.example", "two")
    assert two.check() is True
    assert (text_of(two), text_of(two, "b.example")) == ("one", "two")
    place.link("a.example", "three")
    assert two.check() is True
    assert text_of(two) == "three"


def test_a_bug_in_looking_at_one_site_is_told_once_and_stops_no_other(
    place: Place, two: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _fail_stat(monkeypatch, "a.example", ZeroDivisionError("a bug"))
    _fail_fstat(
        monkeypatch, two.current.webroots["a.example"].fd, lambda: ZeroDivisionError("another")
    )
    for _ in range(3):
        two.check()
    assert caplog.text.count("a.example: refused, the old one stays: a bug; this is a bug of") == 1
    assert caplog.text.count("a.example: its open file: another") == 1
    place.link("b.example", "two")
    assert two.check() is True


def test_a_bug_in_deciding_about_one_site_is_told_once_and_stops_no_other(
    place: Place, two: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = entry.Entry._is_served

    def is_served(self: entry.Entry, found: files.Identity) -> bool:
        if self.name == "a.example":
            raise ZeroDivisionError("a bug")
        return real(self, found)

    monkeypatch.setattr(entry.Entry, "_is_served", is_served)
    for _ in range(3):
        two.check()
    assert caplog.text.count("a.example: refused, the old one stays: a bug; this is a bug of") == 1
    place.link("b.example", "two")
    assert two.check() is True


def test_what_an_engine_refuses_is_not_served_and_the_others_are(
    place: Place, two: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    def check(webroot: Webroot) -> None:
        if "two" in webroot.path or "a.example" in webroot.path:
            raise WebrootError("takes no O_DIRECT")

    two.check_webroot = check
    place.link("a.example", "two")
    place.link("b.example", "three")
    assert two.check() is True
    assert "a.example: refused, the old one stays: takes no O_DIRECT" in caplog.text
    assert (text_of(two), text_of(two, "b.example")) == ("one", "three")


# When a refused file is opened again.


def test_what_the_machine_cannot_read_is_tried_again_after_delays_that_double_up_to_a_bound(
    place: Place,
) -> None:
    identity = identify(place.vhosts.stat())
    error = OSError(errno.EIO, "Input/output error")
    delays = []
    verdict = None
    for _ in range(8):
        verdict = judge(verdict, identity, error, 100.0)
        delays.append(verdict.again - 100.0)
    assert delays[:4] == pytest.approx([0, 0.4, 0.8, 1.6])
    assert delays[-1] == MOST_RETRY_SECONDS
    other = identify(place.webroots.stat())
    assert judge(verdict, other, error, 100.0).again == 100.0


def test_what_is_wrong_is_opened_once_more_after_a_tick_and_then_no_more(place: Place) -> None:
    identity = identify(place.vhosts.stat())
    error = WebrootError("damaged")
    verdict = judge(None, identity, error, 100.0)
    assert verdict.again == 100.0 + TICK_SECONDS
    assert judge(verdict, identity, error, 103.0).again == inf


# The directory.


def test_a_listing_that_fails_half_way_keeps_all_sites_and_is_told_once(
    place: Place, two: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def listdir(_path: Path) -> list[str]:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("ashttpd.vhosts.directory.os.listdir", listdir)
        for _ in range(3):
            assert two.check() is False
    assert caplog.text.count("vhosts directory: Input/output error") == 1
    assert text_of(two) == "one"
    place.link("b.example", "two")
    assert two.check() is True


def test_files_are_followed_while_the_directory_is_away(place: Place, two: Watch) -> None:
    """What is written in place is distrusted, whatever became of the directory."""
    webroot = place.webroots / "a.example-one"
    place.vhosts.rename(place.webroots / "away")
    os.truncate(webroot, 100)
    assert two.check() is True
    assert text_of(two) == "503"


def test_a_directory_that_was_replaced_by_an_empty_one_keeps_its_sites_until_it_has_names(
    place: Place, two: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    aside = place.webroots / "aside"
    place.vhosts.rename(aside)
    place.vhosts.mkdir()
    for _ in range(3):
        assert two.check() is False
    assert caplog.text.count("was replaced by one without hosts; the sites stay") == 1
    assert text_of(two) == "one"
    place.link("c.example", "three")
    assert two.check() is True
    assert (text_of(two), text_of(two, "c.example")) == ("404", "three")


def test_a_directory_that_was_emptied_loses_its_sites(place: Place, two: Watch) -> None:
    for path in place.vhosts.iterdir():
        path.unlink()
    assert two.check() is True
    assert (text_of(two), text_of(two, "b.example")) == ("404", "404")


# What is told of changes.


def test_a_change_is_told_again_until_that_succeeds_and_only_then_logged(
    place: Place, two: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    calls = []

    def on_change() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ZeroDivisionError("a bug")

    two.on_change = on_change
    put(place.vhosts, "a.example", place.webroot("two", "two"))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            two.check()
        assert "a.example: replaced" not in caplog.text
    two.check()
    assert "a.example: replaced" in caplog.text
    two.check()
    assert len(calls) == 3


def test_a_change_is_told_to_nothing_that_is_closed(place: Place, two: Watch) -> None:
    calls: list[int] = []
    two.on_change = lambda: calls.append(1)
    two.close()
    place.link("a.example", "two")
    assert two.check() is True
    assert not calls
