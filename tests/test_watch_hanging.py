"""Files that hang, on a dead mount or because they are huge, hold up nothing but themselves."""

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from ashttpd.vhosts import files
from ashttpd.vhosts.crew import LOOKERS, OPENERS
from ashttpd.vhosts.pool import MAX_THREADS, Pool
from ashttpd.vhosts.watch import Watch
from ashttpd.webroot.reader import Webroot
from tests.conftest import Engine
from tests.servers import DEADLINE_SECONDS, eventually, put, serving
from tests.vhosts import Place, text_of


class Hang:
    """Has calls about some files wait until the end of the test, or until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: set[str] = set()
        self.waiting = 0
        self._gone_on = threading.Event()
        real_stat = Path.stat

        def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
            if follow_symlinks:
                self._wait(path)
            return real_stat(path, follow_symlinks=follow_symlinks)

        def opened(path: str) -> Webroot:
            self._wait(Path(os.path.realpath(path)))
            return Webroot(path)

        monkeypatch.setattr(Path, "stat", stat)
        monkeypatch.setattr(files, "Webroot", opened)

    def _wait(self, path: Path) -> None:
        if path.name in self.names:
            self.waiting += 1
            self._gone_on.wait()
            self.waiting -= 1

    def let_go(self) -> None:
        self._gone_on.set()
        eventually(lambda: not self.waiting)


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hang]:
    found = Hang(monkeypatch)
    yield found
    found.let_go()


def _follow(watch: Watch, host: str, text: str) -> None:
    """Call the watch as its thread does until a site says something."""

    def says() -> bool:
        watch.look()
        watch.take()
        return text_of(watch, host) == text

    eventually(says)


def test_a_file_whose_opening_hangs_holds_up_no_other_site(
    place: Place, watch: Watch, hang: Hang
) -> None:
    place.link("a.example", "one")
    place.link("b.example", "one")
    watch.check()
    hang.names = {"a.example-two"}
    place.link("a.example", "two")
    watch.look()
    eventually(lambda: watch.take() or hang.waiting == 1)
    for text in ("two", "three"):
        place.link("b.example", text)
        _follow(watch, "b.example", text)
    assert text_of(watch) == "one"
    hang.let_go()
    _follow(watch, "a.example", "two")


def test_a_newer_version_overtakes_one_that_is_still_being_opened_for_good(
    place: Place, watch: Watch, hang: Hang
) -> None:
    place.link("a.example", "one")
    watch.check()
    hang.names = {"a.example-two"}
    place.link("a.example", "two")
    watch.look()
    eventually(lambda: watch.take() or hang.waiting == 1)
    place.link("a.example", "three")
    _follow(watch, "a.example", "three")
    hang.let_go()
    for _ in range(3):
        watch.check()
    assert text_of(watch) == "three"


def test_a_version_that_is_taken_back_while_it_is_opened_is_never_served(
    place: Place, watch: Watch, hang: Hang, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    one = place.link("a.example", "one")
    watch.check()
    hang.names = {"a.example-two"}
    place.link("a.example", "two")
    watch.look()
    eventually(lambda: watch.take() or hang.waiting == 1)
    put(place.vhosts, "a.example", one)
    assert watch.check() is False
    hang.let_go()
    assert watch.check() is False
    assert text_of(watch) == "one"
    assert "replaced" not in caplog.text


def test_a_site_that_is_removed_while_it_is_opened_does_not_come_back(
    place: Place, watch: Watch, hang: Hang
) -> None:
    hang.names = {"a.example-one"}
    place.link("a.example", "one")
    watch.look()
    eventually(lambda: watch.take() or hang.waiting == 1)
    (place.vhosts / "a.example").unlink()
    watch.check()
    hang.let_go()
    watch.check()
    assert text_of(watch) == "404"


def test_more_hanging_files_than_openers_are_made_up_for(
    place: Place, watch: Watch, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang.names = {f"{number}.example-one" for number in range(2 * OPENERS)}
    for number in range(2 * OPENERS):
        place.link(f"{number}.example", "one")
    place.link("z.example", "one")
    watch.look()
    eventually(lambda: watch.take() or hang.waiting == OPENERS)
    monkeypatch.setattr("ashttpd.vhosts.pool.HANGING_SECONDS", 0.0)
    _follow(watch, "z.example", "one")


def test_a_target_that_cannot_even_be_looked_at_holds_up_no_other_site(
    place: Place, watch: Watch, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ashttpd.vhosts.crew.LOOK_SECONDS", 1e9)
    monkeypatch.setattr("ashttpd.vhosts.entry.LOOK_SECONDS", 0.0)
    place.link("a.example", "one")
    place.link("b.example", "one")
    watch.check()
    hang.names = {"a.example"}
    place.link("b.example", "two")
    _follow(watch, "b.example", "two")
    assert hang.waiting == 1
    assert text_of(watch) == "one"
    # As an operator does who moves the link away from a dead mount.
    hang.names = set()
    place.link("a.example", "three")
    _follow(watch, "a.example", "three")


def test_a_hundred_sites_on_a_mount_that_hangs_hold_up_no_other_site(
    place: Place, watch: Watch, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    webroot = place.webroot("common", "one")
    for number in range(100):
        put(place.vhosts, f"{number}.example", webroot)
    place.link("z.example", "one")
    watch.check()
    # All are on one device here: so the last is made to seem elsewhere.
    for entry in watch._entries.values():
        assert entry.held is not None
        elsewhere = files.Identity(-1, 0, 0, 0, 0)
        if entry.name != "z.example":
            entry.held = files.Held(entry.held.webroot, elsewhere, 0.0)
    monkeypatch.setattr("ashttpd.vhosts.jobs.recheck", lambda held: held)
    monkeypatch.setattr("ashttpd.vhosts.crew.LOOK_SECONDS", 1e-9)
    hang.names = {f"{number}.example" for number in range(100)}
    place.link("z.example", "two")
    _follow(watch, "z.example", "two")
    assert hang.waiting <= LOOKERS


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The names of webroots; looks at these while they are open wait until the end of the test."""
    names: set[str] = set()
    is_over = threading.Event()

    def recheck(held: files.Held) -> files.Held:
        if Path(os.path.realpath(f"/proc/self/fd/{held.webroot.fd}")).name in names:
            is_over.wait()
        return files.recheck(held)

    monkeypatch.setattr("ashttpd.vhosts.jobs.recheck", recheck)
    yield names
    is_over.set()
    eventually(lambda: not any(t.name == "looker" for t in threading.enumerate()))


def test_a_link_that_is_pointed_away_from_an_open_file_that_hangs_is_followed(
    place: Place, watch: Watch, never: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ashttpd.vhosts.crew.LOOK_SECONDS", 1e-9)
    place.link("a.example", "one")
    place.link("b.example", "one")
    watch.check()
    never.add("a.example-one")
    watch.look()
    # First to where nothing is yet.
    put(place.vhosts, "a.example", place.webroots / "a.example-two")
    for _ in range(3):
        watch.look()
        watch.take()
    place.webroot("a.example-two", "two")
    _follow(watch, "a.example", "two")
    place.link("a.example", "three")
    _follow(watch, "a.example", "three")


def test_a_moved_link_that_leads_to_what_hangs_holds_up_no_file_beside_the_one_that_is_served(
    place: Place, watch: Watch, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ashttpd.vhosts.crew.LOOK_SECONDS", 1e-9)
    place.link("a.example", "one")
    webroot = place.link("b.example", "one")
    watch.check()
    hang.names = {"a.example"}
    place.link("a.example", "two")
    watch.look()
    eventually(lambda: hang.waiting > 0)
    os.truncate(webroot, 100)
    _follow(watch, "b.example", "503")


def test_what_takes_long_is_told_once_and_so_is_its_end(
    place: Place,
    watch: Watch,
    hang: Hang,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    place.link("a.example", "one")
    watch.check()
    hang.names = {"a.example-two"}
    place.link("a.example", "two")
    watch.look()
    eventually(lambda: watch.take() or hang.waiting == 1)
    monkeypatch.setattr("ashttpd.vhosts.entry.SAY_SECONDS", 1e-9)
    watch.look()
    monkeypatch.undo()
    watch.look()
    assert caplog.text.count("a.example: opening its file takes longer than") == 1
    hang.let_go()
    _follow(watch, "a.example", "two")
    assert caplog.text.count("a.example: opening its file took") == 1


def test_a_check_goes_on_without_what_hangs_and_says_so(
    place: Place, watch: Watch, hang: Hang, caplog: pytest.LogCaptureFixture
) -> None:
    hang.names = {"a.example-one"}
    place.link("a.example", "one")
    place.link("b.example", "one")
    assert watch.check(0.1) is True
    assert (text_of(watch), text_of(watch, "b.example")) == ("404", "one")
    assert "going on without 1 site, still being opened" in caplog.text
    caplog.clear()
    assert watch.check(is_over=lambda: True) is False
    assert "going on" not in caplog.text


# The pool.


def test_a_pool_does_jobs_in_order_and_its_threads_end_with_them() -> None:
    done: list[int] = []
    pool = Pool("tested", 1)
    for number in range(100):
        pool.submit(partial(done.append, number))
    eventually(lambda: len(done) == 100)
    assert done == list(range(100))
    eventually(lambda: not any(t.name == "tested" for t in threading.enumerate()))


def test_a_pool_runs_no_more_jobs_at_a_time_than_its_size_but_for_those_that_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()

    def wait() -> None:
        go_on.wait()

    pool = Pool("tested", 3)
    for _ in range(2 * MAX_THREADS):
        pool.submit(wait)
    eventually(lambda: pool.waiting == 2 * MAX_THREADS - 3)
    pool.staff()
    assert pool.waiting == 2 * MAX_THREADS - 3
    monkeypatch.setattr("ashttpd.vhosts.pool.HANGING_SECONDS", 0.0)
    for _ in range(MAX_THREADS):
        pool.staff()
    eventually(lambda: pool.waiting == MAX_THREADS)
    pool.staff()
    assert pool.waiting == MAX_THREADS
    assert sum(t.name == "tested" for t in threading.enumerate()) == MAX_THREADS
    go_on.set()
    eventually(lambda: not any(t.name == "tested" for t in threading.enumerate()))


def test_where_the_system_has_no_thread_that_is_told_once_and_tried_again(
    place: Place,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    place.link("a.example", "one")
    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", start)
        for _ in range(3):
            watch.look()
            watch.take()
    assert caplog.text.count("no thread to look at sites: can't start new thread") == 1
    assert watch.check() is True
    assert text_of(watch) == "one"


# The whole server.

_HANGING = """
import sys, threading
import ashttpd.server, ashttpd.vhosts.files as files
from ashttpd.cli import main
real = files.Webroot
def opened(path):
    if "hangs" in path:
        print("hangs in", path, file=sys.stderr, flush=True)
        threading.Event().wait()
    return real(path)
files.Webroot = opened
ashttpd.server.START_SECONDS = {seconds}
sys.exit(main())
"""


def test_a_server_starts_without_a_site_that_hangs_follows_the_others_and_ends(
    place: Place, engine: Engine
) -> None:
    place.link("hangs.example", "one")
    place.link("a.example", "one")
    python = (sys.executable, "-c", _HANGING.format(seconds=0.5))
    with serving(place.vhosts, *engine.options, python=python) as server:
        assert server.get("/", "a.example").body == b"one"
        assert server.get("/", "hangs.example").status == 404
        place.link("hangs.example", "two")
        server.log.wait_for_count("hangs in", 2)
        place.link("a.example", "two")
        eventually(lambda: server.get("/", "a.example").body == b"two")


def test_a_server_ends_while_it_starts_and_a_site_hangs(place: Place) -> None:
    place.link("hangs.example", "one")
    python = (sys.executable, "-c", _HANGING.format(seconds=1e6))
    arguments = [*python, "--bind", "127.0.0.1:0", str(place.vhosts)]
    with Popen(arguments, stderr=PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("hangs in"):
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
        log = process.stderr.read()
    assert "SIGTERM: the server ends, before it has answered anything" in log
    assert not re.search("going on|holds no site|listening on|draining", log)
