"""The vhosts directory: which host gets which site, and how changes of it become live."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from ashttpd.http.dates import second_of
from ashttpd.http.plan import Plan
from ashttpd.sites import Watch
from tests.conftest import Engine
from tests.servers import Server, build_site, eventually, put, request

SECOND = second_of(0)
# A change is promised to be live within a second. Four times that is allowed for: the rest is for a
# machine that runs more than these tests.
LIVE_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Place:
    """A vhosts directory and where webroots lie."""

    vhosts: Path
    webroots: Path

    def webroot(self, name: str, text: str, size: int = 0) -> Path:
        """Build a webroot whose home page is a text, with a body of some size."""
        content = {"index.html": text.encode()}
        if size:
            content["large.bin"] = text.encode().ljust(16, b".") * (size // 16)
        return build_site(content, self.webroots / name)

    def link(self, name: str, text: str, size: int = 0) -> Path:
        """Make a new webroot of a text the site of a name; returns the webroot."""
        webroot = self.webroot(f"{name}-{text}", text, size)
        put(self.vhosts, name, webroot)
        return webroot


def _place(directory: Path) -> Place:
    found = Place(directory / "vhosts", directory / "webroots")
    found.vhosts.mkdir()
    found.webroots.mkdir()
    return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return _place(tmp_path)


@pytest.fixture
def watch(place: Place) -> Watch:
    return Watch(place.vhosts)


def _ask(watch: Watch, host: str) -> Plan:
    return watch.find(b"1k-GET /\nH" + host.encode() + b"\n", SECOND)


def _text(watch: Watch, host: str = "a.example") -> str:
    """What the home page of a host says, or the status instead."""
    plan = _ask(watch, host)
    if plan.status != 200:
        return str(plan.status)
    return plan.head.partition(b"\r\n\r\n")[2].decode()


# Which host gets which site.


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Watch:
    place = _place(tmp_path_factory.mktemp("many"))
    for name in (
        "example.com",
        "*.example.com",
        "*.deep.example.com",
        "x.deep.example.com",
        "[2001:db8::1]",
        "192.0.2.1",
        "Mixed.Example",
        "__default__",
    ):
        put(place.vhosts, name, place.webroot(name.replace("*", "any"), name))
    watch = Watch(place.vhosts)
    watch.check()
    return watch


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("example.com", "example.com"),
        ("example.com:8080", "example.com"),
        ("example.com:", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("a.example.com", "*.example.com"),
        ("a.b.example.com", "*.example.com"),
        ("deep.example.com", "*.example.com"),
        ("a.deep.example.com", "*.deep.example.com"),
        ("a.b.deep.example.com:1", "*.deep.example.com"),
        ("x.deep.example.com", "x.deep.example.com"),
        ("notexample.com", "__default__"),
        ("example.com.evil.example", "__default__"),
        ("example.com..", "__default__"),
        ("*.example.com", "*.example.com"),
        ("__default__", "__default__"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:8080", "[2001:db8::1]"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("mixed.example", "Mixed.Example"),
        ("elsewhere.example", "__default__"),
        ("", "__default__"),
    ],
)
def test_a_host_gets_its_own_site_then_the_longest_wildcard_then_the_default(
    many: Watch, host: str, site: str
) -> None:
    assert _text(many, host) == site


def test_a_host_in_any_case_gets_its_site_over_http(place: Place, engine: Engine) -> None:
    place.link("a.example", "one")
    with engine.serving(place.vhosts) as server:
        assert server.get("/", "A.eXaMpLe:80").body == b"one"
        assert server.get("/", "b.example").status == 404


def test_without_a_default_an_unknown_host_gets_404(place: Place, watch: Watch) -> None:
    place.link("a.example", "one")
    watch.check()
    assert _text(watch, "b.example") == "404"


def test_an_empty_directory_answers_404_to_all(watch: Watch) -> None:
    assert watch.check() is False
    assert _text(watch) == "404"


# Changes.


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
    assert _text(watch) == "two"
    os.rename(place.webroot("three", "three"), place.vhosts / "a.example")
    assert watch.check()
    assert _text(watch) == "three"
    put(place.vhosts, "a.example", place.webroot("target", "four"))
    assert watch.check()
    os.rename(place.webroot("new", "five"), place.webroots / "target")
    assert watch.check()
    assert _text(watch) == "five"


def test_a_removed_name_is_gone_and_comes_back(place: Place, watch: Watch) -> None:
    webroot = place.link("a.example", "one")
    watch.check()
    (place.vhosts / "a.example").unlink()
    assert watch.check()
    assert _text(watch) == "404"
    put(place.vhosts, "a.example", webroot)
    assert watch.check()
    assert _text(watch) == "one"


def test_a_replaced_webroot_is_closed_as_soon_as_nothing_is_sent_of_it(
    place: Place, watch: Watch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        place.link("a.example", f"version {number}")
        watch.check()
        assert _text(watch) == f"version {number}"
    assert len(os.listdir("/proc/self/fd")) == before + 1


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
    assert _text(watch) == "one"


@pytest.mark.parametrize("name", ["a b", "ex\xe4mple.com", "*", "a.*", ".hidden", "a..b", "a:80"])
def test_a_name_that_is_no_host_name_is_not_served_and_the_others_are(
    place: Place, watch: Watch, name: str
) -> None:
    place.link("a.example", "one")
    put(place.vhosts, name, place.webroot("other", "other"))
    watch.check()
    assert list(watch.current.webroots) == ["a.example"]


# What cannot be served.


def _half(place: Place, text: str = "two") -> tuple[Path, bytes]:
    """Return a file with the first half of a webroot, and the second half."""
    whole = place.webroot("whole", text, 1 << 20).read_bytes()
    half = place.webroots / "half"
    half.write_bytes(whole[: len(whole) // 2])
    return half, whole[len(whole) // 2 :]


def test_what_the_log_says_of_a_site_is_true_of_the_next_request(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, str]] = []

    def info(form: str, *arguments: object) -> None:
        said.append(((form % arguments).split()[1], _text(watch)))

    monkeypatch.setattr("ashttpd.sites.log.info", info)
    place.link("a.example", "one")
    watch.check()
    place.link("a.example", "two")
    watch.check()
    (place.vhosts / "a.example").unlink()
    watch.check()
    assert said == [("serving", "one"), ("replaced", "two"), ("removed", "404")]


def test_a_half_copied_webroot_is_refused_by_name_and_the_old_one_stays(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    place.link("a.example", "one")
    watch.check()
    old = watch.current.webroots["a.example"]
    half, rest = _half(place)
    put(place.vhosts, "a.example", half)
    assert watch.check() is False
    assert "a.example: refused, the old one stays" in caplog.text
    assert _text(watch) == "one"
    with half.open("ab") as file:
        file.write(rest[:100])
        file.flush()
        # The copy goes on: that is nothing that was done to what is served.
        assert watch.check() is False
        assert not old.revoked
        assert _text(watch) == "one"
        file.write(rest[100:])
    assert watch.check() is True
    assert _text(watch) == "two"
    assert not old.revoked


def test_a_copy_into_the_directory_is_refused_until_it_is_whole(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    half, rest = _half(place)
    target = place.vhosts / "a.example"
    shutil.copy(half, target)
    watch.check()
    assert "a.example: refused, nothing is served" in caplog.text
    assert _text(watch) == "404"
    with target.open("ab") as file:
        file.write(rest)
    watch.check()
    assert _text(watch) == "two"


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
    assert _text(watch) == "one"


def test_a_file_that_could_not_be_opened_is_served_once_it_can_be(
    place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.link("a.example", "one")
    watch.check()
    place.link("a.example", "two")

    def fail(path: str) -> object:
        raise OSError(24, "Too many open files", path)

    with monkeypatch.context() as broken:
        broken.setattr("ashttpd.sites.Webroot", fail)
        assert watch.check() is False
        assert _text(watch) == "one"
    assert watch.check() is True
    assert _text(watch) == "two"


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
    assert list(watch.current.webroots) == ["a.example"]


def test_a_link_that_dangles_for_a_while_keeps_its_site(place: Place, watch: Watch) -> None:
    webroot = place.link("a.example", "one")
    watch.check()
    away = place.webroots / "away"
    webroot.rename(away)
    assert watch.check() is False
    assert _text(watch) == "one"
    away.rename(webroot)
    assert watch.check() is False
    assert _text(watch) == "one"
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
    assert _text(watch) == "one"
    place.vhosts.mkdir()
    place.link("b.example", "two")
    assert watch.check() is True
    assert (_text(watch), _text(watch, "b.example")) == ("404", "two")


def test_a_webroot_that_is_overwritten_in_place_is_not_trusted_any_more(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    webroot = place.link("a.example", "one", 1 << 20)
    watch.check()
    assert _text(watch) == "one"
    old = watch.current.webroots["a.example"]
    with webroot.open("r+b") as file:
        file.write(b"no webroot any more")
    assert watch.check() is True
    assert old.revoked
    assert "a.example: overwritten or truncated in place" in caplog.text
    assert _text(watch) == "503"
    assert watch.check() is False
    place.link("a.example", "two")
    assert watch.check() is True
    assert _text(watch) == "two"


def test_a_webroot_that_is_overwritten_is_noticed_though_its_name_leads_elsewhere_by_then(
    place: Place, watch: Watch
) -> None:
    webroot = place.link("a.example", "one", 1 << 20)
    watch.check()
    old = watch.current.webroots["a.example"]
    half, _rest = _half(place)
    put(place.vhosts, "a.example", half)
    watch.check()
    assert not old.revoked
    os.truncate(webroot, 1000)
    assert watch.check() is True
    assert old.revoked
    assert _text(watch) == "503"


# The same with a running server.


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
    assert slowest < LIVE_SECONDS


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
    assert _says(running, "two") < LIVE_SECONDS
    place.link("a.example", "three")
    assert _says(running, "three") < LIVE_SECONDS


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
        assert time.monotonic() - start < LIVE_SECONDS
