"""How changes of a vhosts directory become live, as far as the watch decides it."""

import os

import pytest

from ashttpd.vhosts.watch import Watch
from tests.servers import eventually, put
from tests.vhosts import Place, text_of


def test_a_check_without_a_change_changes_nothing(place: Place, watch: Watch) -> None:
    place.link("a.example", "one")
    assert watch.check() is True
    current = watch.current
    for _ in range(3):
        assert watch.check() is False
    assert watch.current is current


def test_a_moved_symlink_a_renamed_file_and_a_replaced_target_bring_the_new_site(
    place: Place, watch: Watch
) -> None:
    place.link("a.example", "one")
    watch.check()
    place.link("a.example", "two")
    assert watch.check()
    assert text_of(watch) == "two"
    os.rename(place.webroot("three", "three"), place.vhosts / "a.example")
    assert watch.check()
    assert text_of(watch) == "three"
    put(place.vhosts, "a.example", place.webroot("target", "four"))
    assert watch.check()
    os.rename(place.webroot("new", "five"), place.webroots / "target")
    assert watch.check()
    assert text_of(watch) == "five"


def test_a_removed_name_is_gone_and_comes_back(place: Place, watch: Watch) -> None:
    webroot = place.link("a.example", "one")
    watch.check()
    (place.vhosts / "a.example").unlink()
    assert watch.check()
    assert text_of(watch) == "404"
    put(place.vhosts, "a.example", webroot)
    assert watch.check()
    assert text_of(watch) == "one"


def test_a_replaced_webroot_is_closed_as_soon_as_nothing_is_sent_of_it(
    place: Place, watch: Watch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        place.link("a.example", f"version {number}")
        watch.check()
        assert text_of(watch) == f"version {number}"
    # The thread that looked last lets go of its file in a moment. The watch keeps one to list with.
    eventually(lambda: len(os.listdir("/proc/self/fd")) == before + 2)


def test_a_changed_mode_or_link_count_does_not_disturb_what_is_sent(
    place: Place, watch: Watch
) -> None:
    webroot = place.link("a.example", "one")
    watch.check()
    served = watch.current
    webroot.chmod(0o600)
    os.link(webroot, place.webroots / "second name")
    assert watch.check() is False
    assert watch.current is served
    assert text_of(watch) == "one"


def test_what_the_log_says_of_a_site_is_true_of_the_next_request(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str]] = []

    def info(form: str, *arguments: object) -> None:
        said.append(((form % arguments).split()[1], text_of(watch)))

    monkeypatch.setattr("ashttpd.vhosts.watch.log.info", info)
    place.link("a.example", "one")
    watch.check()
    place.link("a.example", "two")
    watch.check()
    (place.vhosts / "a.example").unlink()
    watch.check()
    assert said == [("serving", "one"), ("replaced", "two"), ("removed", "404")]
