"""Webroots that are written to in place while they are served."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ashttpd.vhosts.files import TICK_SECONDS, Held, WrittenError, identify, open_webroot, recheck
from ashttpd.vhosts.watch import Watch
from ashttpd.webroot.reader import Webroot
from tests.servers import put
from tests.vhosts import Place, half_of, text_of


def test_a_webroot_that_is_overwritten_in_place_is_not_trusted_any_more(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    webroot = place.link("a.example", "one", 1 << 20)
    watch.check()
    assert text_of(watch) == "one"
    old = watch.current.webroots["a.example"]
    with webroot.open("r+b") as file:
        file.write(b"no webroot any more")
    assert watch.check() is True
    assert old.revoked
    assert "a.example: overwritten or truncated in place" in caplog.text
    assert text_of(watch) == "503"
    assert watch.check() is False
    place.link("a.example", "two")
    assert watch.check() is True
    assert text_of(watch) == "two"


def test_a_webroot_that_is_overwritten_is_noticed_though_its_name_leads_elsewhere_by_then(
    place: Place, watch: Watch
) -> None:
    webroot = place.link("a.example", "one", 1 << 20)
    watch.check()
    old = watch.current.webroots["a.example"]
    half, _rest = half_of(place)
    put(place.vhosts, "a.example", half)
    watch.check()
    assert not old.revoked
    os.truncate(webroot, 1000)
    assert watch.check() is True
    assert old.revoked
    assert text_of(watch) == "503"


# With size and times as they were.


def _overwrite(target: Path, source: Path) -> None:
    """Write a file's bytes over another one in place, and put its times back (`cp -p`)."""
    before = target.stat()
    assert source.stat().st_size == before.st_size
    shutil.copyfile(source, target)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert target.stat().st_ino == before.st_ino
    assert target.stat().st_mtime_ns == before.st_mtime_ns


def test_another_site_under_the_old_size_and_times_is_noticed_and_served_with_its_own_tags(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    webroot = place.link("a.example", "one", 1 << 20)
    watch.check()
    assert text_of(watch) == "one"
    old = watch.current.webroots["a.example"]
    _overwrite(webroot, place.webroot("two", "two", 1 << 20))
    assert watch.check() is True
    assert old.revoked
    assert "a.example: overwritten or truncated in place" in caplog.text
    assert text_of(watch) == "two"


def test_the_same_site_under_the_old_size_and_times_stays(place: Place, watch: Watch) -> None:
    webroot = place.link("a.example", "one", 1 << 20)
    watch.check()
    served = watch.current
    _overwrite(webroot, place.webroot("again", "one", 1 << 20))
    for _ in range(3):
        assert watch.check() is False
    assert watch.current is served
    assert not served.webroots["a.example"].revoked


def test_what_is_no_webroot_under_the_old_size_and_times_is_not_trusted(
    place: Place, watch: Watch
) -> None:
    webroot = place.link("a.example", "one")
    watch.check()
    other = place.webroots / "other"
    other.write_bytes(bytes(webroot.stat().st_size))
    _overwrite(webroot, other)
    assert watch.check() is True
    assert text_of(watch) == "503"


def test_a_section_table_of_another_site_under_the_old_superblock_is_not_trusted(
    place: Place, watch: Watch
) -> None:
    webroot = place.link("a.example", "one")
    watch.check()
    other = place.webroots / "other"
    superblock = webroot.read_bytes()[:4096]
    other.write_bytes(superblock + place.webroot("two", "two").read_bytes()[4096:])
    _overwrite(webroot, other)
    assert watch.check() is True
    assert text_of(watch) == "503"


# Within one tick of the file system's clock, which leaves all times as they were.


def _hold(path: Path) -> Held:
    return open_webroot(path, lambda _webroot: None)


def _without_a_tick(held: Held, path: Path) -> Held:
    """Return what would be held, had what was written since come within the same tick."""
    return replace(held, identity=identify(path.stat()), since=time.monotonic())


def test_a_write_within_the_tick_in_which_the_file_was_opened_is_noticed(place: Place) -> None:
    path = place.webroot("one", "one")
    held = _hold(path)
    _overwrite(path, place.webroot("two", "two"))
    with pytest.raises(WrittenError):
        recheck(_without_a_tick(held, path))


def test_a_file_is_compared_until_a_tick_has_passed_and_not_after_that(place: Place) -> None:
    path = place.webroot("one", "one")
    held = _hold(path)
    assert recheck(held) == held
    settled = recheck(replace(held, since=held.since - TICK_SECONDS))
    assert settled.is_settled
    # Not even a read of it is needed any more.
    assert recheck(settled) is settled
    _overwrite(path, place.webroot("two", "two"))
    blind = replace(_without_a_tick(held, path), is_settled=True)
    assert recheck(blind) is blind


def test_a_changed_mode_begins_a_new_tick(place: Place) -> None:
    path = place.webroot("one", "one")
    held = replace(_hold(path), is_settled=True)
    path.chmod(0o600)
    again = recheck(held)
    assert again.identity == identify(path.stat())
    assert not again.is_settled
    assert again.since >= held.since


def test_a_file_that_was_refused_is_looked_at_again_once_a_tick_has_passed(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a clock that stands still: what makes it whole leaves its size and times alone."""
    whole = place.webroot("whole", "one")
    target = place.webroots / "target"
    target.write_bytes(bytes(whole.stat().st_size))
    put(place.vhosts, "a.example", target)
    standing = identify(target.stat())
    for module in ("files", "jobs"):
        monkeypatch.setattr(f"ashttpd.vhosts.{module}.identify", lambda _status: standing)
    watch.check()
    _overwrite(target, whole)
    watch.check()
    assert text_of(watch) == "404"
    monkeypatch.setattr("ashttpd.vhosts.entry.TICK_SECONDS", 0.0)
    watch = Watch(place.vhosts)
    target.write_bytes(bytes(whole.stat().st_size))
    watch.check()
    shutil.copyfile(whole, target)
    watch.check()
    assert text_of(watch) == "one"


# While it is opened.


def _writer(path: Path, sources: list[Path]) -> Callable[[Webroot], None]:
    """Return a check that overwrites the file which was just verified, as long as it can."""

    def write(_webroot: Webroot) -> None:
        if sources:
            _overwrite(path, sources.pop())

    return write


def test_a_file_that_changes_while_it_is_opened_is_served_as_it_is_after_that(
    place: Place, watch: Watch
) -> None:
    webroot = place.link("a.example", "one")
    watch.check_webroot = _writer(webroot, [place.webroot("two", "two")])
    assert watch.check() is True
    assert text_of(watch) == "two"
    assert watch.check() is False


def test_a_file_that_changes_all_the_time_is_refused_until_it_does_not(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    webroot = place.link("a.example", "one")
    sources = [place.webroot(f"other {number}", "two") for number in range(3)]
    watch.check_webroot = _writer(webroot, sources)
    assert watch.check() is False
    assert "a.example: refused, nothing is served: changed 3 times" in caplog.text
    assert text_of(watch) == "404"
    assert watch.check() is True
    assert text_of(watch) == "two"


def test_what_is_written_in_place_between_both_looks_is_revoked_when_it_is_opened_anew(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    webroot = place.link("a.example", "one")
    watch.check()
    old = watch.current.webroots["a.example"]
    # The open file was looked at before.
    monkeypatch.setattr("ashttpd.vhosts.jobs.recheck", lambda held: held)
    webroot.write_bytes(place.webroot("two", "two").read_bytes())
    assert watch.check() is True
    assert text_of(watch) == "two"
    assert old.revoked
