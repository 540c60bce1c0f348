"""What of a vhosts directory cannot be served, and what stays meanwhile."""

import os
import shutil

import pytest

from ashttpd.vhosts.refusal import REFUSAL_SECONDS, Refusal
from ashttpd.vhosts.watch import Watch
from ashttpd.webroot.errors import WebrootError
from tests.servers import put
from tests.vhosts import Place, half_of, text_of


@pytest.mark.parametrize("name", ["a b", "ex\xe4mple.com", "*", "a.*", ".hidden", "a..b", "a:80"])
def test_a_name_that_is_no_host_name_is_not_served_and_the_others_are(
    place: Place, watch: Watch, name: str
) -> None:
    place.link("a.example", "one")
    put(place.vhosts, name, place.webroot("other", "other"))
    watch.check()
    assert list(watch.current.webroots) == ["a.example"]


def test_a_half_copied_webroot_is_refused_by_name_and_the_old_one_stays(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    place.link("a.example", "one")
    watch.check()
    old = watch.current.webroots["a.example"]
    half, rest = half_of(place)
    put(place.vhosts, "a.example", half)
    assert watch.check() is False
    assert "a.example: refused, the old one stays" in caplog.text
    assert text_of(watch) == "one"
    with half.open("ab") as file:
        file.write(rest[:100])
        file.flush()
        # The copy goes on: that is nothing that was done to what is served.
        assert watch.check() is False
        assert not old.revoked
        assert text_of(watch) == "one"
        file.write(rest[100:])
    assert watch.check() is True
    assert text_of(watch) == "two"
    assert not old.revoked


def test_a_copy_into_the_directory_is_refused_until_it_is_whole(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    half, rest = half_of(place)
    target = place.vhosts / "a.example"
    shutil.copy(half, target)
    watch.check()
    assert "a.example: refused, nothing is served" in caplog.text
    assert text_of(watch) == "404"
    with target.open("ab") as file:
        file.write(rest)
    watch.check()
    assert text_of(watch) == "two"


def test_a_damaged_webroot_is_refused_once_and_the_old_one_stays(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    place.link("a.example", "one")
    watch.check()
    damaged = bytearray(place.webroot("damaged", "two").read_bytes())
    damaged[100] ^= 1
    (place.webroots / "damaged").write_bytes(damaged)
    put(place.vhosts, "a.example", place.webroots / "damaged")
    for _ in range(5):
        assert watch.check() is False
    assert caplog.text.count("a.example: refused") == 1
    assert text_of(watch) == "one"


def test_a_file_that_could_not_be_opened_is_served_once_it_can_be(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.link("a.example", "one")
    watch.check()
    place.link("a.example", "two")

    def fail(path: str) -> object:
        raise OSError(24, "Too many open files", path)

    with monkeypatch.context() as broken:
        broken.setattr("ashttpd.vhosts.files.Webroot", fail)
        assert watch.check() is False
        assert text_of(watch) == "one"
    assert watch.check() is True
    assert text_of(watch) == "two"


def test_a_directory_a_fifo_a_socket_and_a_dangling_link_are_refused_by_name_without_waiting(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    place.link("a.example", "one")
    (place.vhosts / "directory.example").mkdir()
    os.mkfifo(place.vhosts / "fifo.example")
    (place.vhosts / "dangling.example").symlink_to("nowhere")
    (place.vhosts / "loop.example").symlink_to("loop.example")
    (place.vhosts / "empty.example").touch()
    (place.vhosts / "text.example").write_text("no webroot")
    for _ in range(3):
        watch.check()
    for name in ("directory", "fifo", "dangling", "loop", "empty", "text"):
        assert caplog.text.count(f"{name}.example: refused") == 1, name
    dangling = "dangling.example: refused, nothing is served: a symlink to nowhere, which does not"
    assert dangling in caplog.text
    loop = "loop.example: refused, nothing is served: a symlink to loop.example, which leads back"
    assert loop in caplog.text
    assert list(watch.current.webroots) == ["a.example"]


def test_a_deploy_is_logged_with_the_site_ids_of_both_versions(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place.link("a.example", "one")
    watch.check()
    one = watch.current.webroots["a.example"].site_id[:12]
    place.link("a.example", "two")
    watch.check()
    two = watch.current.webroots["a.example"].site_id[:12]
    assert [text for text in caplog.messages if "site id" in text] == [
        f"a.example: serving 2 URLs, site id {one}",
        f"a.example: replaced by 2 URLs, site id {two}; the old one was {one}",
    ]


def test_a_link_that_dangles_for_a_while_keeps_its_site(place: Place, watch: Watch) -> None:
    webroot = place.link("a.example", "one")
    watch.check()
    away = place.webroots / "away"
    webroot.rename(away)
    assert watch.check() is False
    assert text_of(watch) == "one"
    away.rename(webroot)
    assert watch.check() is False
    assert text_of(watch) == "one"
    assert not watch.current.webroots["a.example"].revoked


def test_a_directory_that_is_away_keeps_its_sites_and_is_followed_when_it_is_back(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    place.link("a.example", "one")
    watch.check()
    place.vhosts.rename(place.webroots / "away")
    for _ in range(3):
        assert watch.check() is False
    assert caplog.text.count("the sites stay as they were") == 1
    assert text_of(watch) == "one"
    place.vhosts.mkdir()
    place.link("b.example", "two")
    assert watch.check() is True
    assert (text_of(watch), text_of(watch, "b.example")) == ("404", "two")


def test_a_file_that_is_still_being_copied_is_refused_in_one_line(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    half, rest = half_of(place)
    whole = half.read_bytes() + rest
    with (place.vhosts / "a.example").open("wb", buffering=0) as file:
        for start in range(0, len(whole), len(whole) // 20):
            watch.check()
            file.write(whole[start : start + len(whole) // 20])
    assert watch.check() is True
    assert text_of(watch) == "two"
    assert caplog.text.count("a.example: refused") == 1


def test_a_refused_file_that_is_removed_and_put_back_is_told_of_once(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        (place.vhosts / "a.example").write_text(f"no webroot {number}")
        watch.check()
        (place.vhosts / "a.example").unlink()
        watch.check()
    assert caplog.text.count("a.example: refused") == 1


def test_a_refusal_of_another_kind_is_told_of_when_it_is_due_and_says_how_many_were_not() -> None:
    refusal = Refusal()
    assert refusal.maybe_say(WebrootError("has 10 bytes"), 0.0) == ""
    assert refusal.maybe_say(WebrootError("has 11 bytes"), REFUSAL_SECONDS) is None
    assert refusal.maybe_say(WebrootError("torn"), REFUSAL_SECONDS - 1) is None
    assert refusal.maybe_say(OSError(5, "of a disk"), REFUSAL_SECONDS - 1) is None
    assert refusal.maybe_say(WebrootError("torn"), REFUSAL_SECONDS - 1) is None
    said = refusal.maybe_say(WebrootError("torn"), REFUSAL_SECONDS)
    assert said == " (2 more refusals since the last line about it)"
    assert refusal.maybe_say(WebrootError("torn"), 9 * REFUSAL_SECONDS) is None
    assert refusal.end()
    assert not refusal.end()
    assert refusal.maybe_say(WebrootError("torn"), 9 * REFUSAL_SECONDS) == ""


# Names that are no hosts.


def test_each_refused_name_is_told_of_once_and_again_when_it_comes_back(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ashttpd.vhosts.watch.TEMPORARY_SECONDS", 0.0)
    webroot = place.link("a.example", "one")
    names = ("a.example~", "A.example", "a.example:80", "a.example.bak")
    for name in names:
        put(place.vhosts, name, webroot)
    for _ in range(3):
        watch.check()
    for name in names:
        assert caplog.text.count(f"{name}: refused, nothing is served") == 1, name
    (place.vhosts / "a.example~").unlink()
    watch.check()
    put(place.vhosts, "a.example~", webroot)
    watch.check()
    assert caplog.text.count("a.example~: refused, nothing is served") == 2
    assert list(watch.current.webroots) == ["a.example"]


def test_a_name_is_shown_without_what_a_terminal_obeys(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ashttpd.vhosts.watch.TEMPORARY_SECONDS", 0.0)
    webroot = place.link("a.example", "one")
    for name in (
        b"\x1b[31mred",
        b"two\nlines",
        b"\xff\xfe",
        "\u202e".encode(),
        b"\x1b:80",
        b"\x07~",
    ):
        put(place.vhosts, os.fsdecode(name), webroot)
    watch.check()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)
    for shown in (r"\x1b[31mred", r"two\nlines", r"\xff\xfe", r"\u202e", r"\x1b:80", r"\x07~"):
        assert any(line.startswith(f"{shown}: refused") for line in lines)


def test_the_kelvin_sign_is_no_k(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    place.link("kelvin.example", "one")
    put(place.vhosts, "\u212aelvin.example", place.webroot("other", "other"))
    watch.check()
    assert text_of(watch, "kelvin.example") == "one"
    assert "refused, nothing is served: its name is no host name; write it in ASCII" in caplog.text


def test_of_two_names_that_differ_by_case_one_is_served_whichever_came_first(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    put(place.vhosts, "A.example", place.webroot("upper", "upper"))
    watch.check()
    assert text_of(watch) == "upper"
    put(place.vhosts, "a.example", place.webroot("lower", "lower"))
    watch.check()
    assert text_of(watch) == "lower"
    assert "A.example: refused, nothing is served: a.example is the same host" in caplog.text
    (place.vhosts / "a.example").unlink()
    watch.check()
    assert text_of(watch) == "upper"


@pytest.mark.parametrize("name", ["a.example.tmp", "a.example~", "sedR3x0qZ"])
def test_a_copy_that_is_renamed_in_a_moment_is_not_told_of(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for text in ("one", "two", "three"):
        put(place.vhosts, name, place.webroot(text, text))
        watch.check()
        (place.vhosts / name).rename(place.vhosts / "a.example")
        watch.check()
        assert text_of(watch) == text
    assert not caplog.text


def test_the_temporary_link_of_ln_is_not_served_and_told_of_only_when_it_stays(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(place.vhosts, "CuZwib1n", place.webroot("one", "one"))
    watch.check()
    assert not watch.current.webroots
    assert not caplog.text
    monkeypatch.setattr("ashttpd.vhosts.watch.TEMPORARY_SECONDS", 0.0)
    for _ in range(3):
        watch.check()
    assert caplog.text.count("CuZwib1n: refused, nothing is served: ln left it behind") == 1
