"""The server as a process: how signals end it, and what it does without."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import pytest

import ashttpd.engine
from ashttpd.accesslog import AccessLog
from ashttpd.server import _Signals, _wait_for_stop
from tests.conftest import Engine
from tests.servers import Server, eventually, request, serving, wait_until_read

_HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_finishes_what_is_under_way_closes_what_is_idle_and_takes_nothing_new(
    engine: Engine, site_vhosts: Path, content: Mapping[str, bytes], number: signal.Signals
) -> None:
    with engine.serving(site_vhosts, "--drain-seconds", "20") as server:
        with server.connect(receive_bytes=4096) as slow, server.connect() as idle:
            assert idle.get("/hello.txt").status == 200
            slow.send(request("/20m.bin"))
            head = slow.read_head()
            server.signal(number)
            server.log.wait_for(f"{number.name}: draining, for 20 s at most")
            assert idle.read_rest() == b""
            eventually(lambda: _refuses(server))
            assert slow.read_bytes(int(head.fields["content-length"])) == content["20m.bin"]
            assert slow.read_rest() == b""
        assert server.wait() == 0
        server.log.wait_for("drained")


def _refuses(server: Server) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", server.port)) != 0


def test_a_request_whose_head_is_half_here_is_answered_in_a_drain_and_told_of_the_end(
    engine: Engine, site_vhosts: Path
) -> None:
    # One worker, so that what another connection sees of it is true of ours too.
    with engine.serving(site_vhosts, "--threads", "1", "--drain-seconds", "20") as server:
        with server.connect() as client, server.connect() as idle:
            whole = request("/hello.txt")
            for _ in range(3):
                assert client.get("/hello.txt").status == 200
            client.send(whole[:30])
            wait_until_read(server, client)
            assert idle.get("/hello.txt").status == 200
            server.signal(signal.SIGTERM)
            assert idle.read_rest() == b""
            client.send(whole[30:])
            response = client.read()
            assert (response.status, response.fields["connection"]) == (200, "close")
            assert client.read_rest() == b""
        assert server.wait() == 0


def test_a_drain_that_takes_too_long_cuts_off_and_still_ends_well(
    engine: Engine, site_vhosts: Path
) -> None:
    with engine.serving(site_vhosts, "--drain-seconds", "1") as server:
        with server.connect(receive_bytes=4096) as stuck:
            stuck.send(request("/20m.bin"))
            assert stuck.read_head().status == 200
            start = time.monotonic()
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
            assert 1 <= time.monotonic() - start < 5
        server.log.wait_for("1 s are over; what was still being sent is cut off")


def test_a_drain_with_nobody_but_the_idle_ends_at_once(engine: Engine, site_vhosts: Path) -> None:
    with engine.serving(site_vhosts, "--drain-seconds", "60") as server, server.connect() as idle:
        assert idle.get("/hello.txt").status == 200
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - start < 5


def test_a_drain_of_no_seconds_ends_at_once(engine: Engine, site_vhosts: Path) -> None:
    with (
        engine.serving(site_vhosts, "--drain-seconds", "0") as server,
        server.connect(receive_bytes=4096) as stuck,
    ):
        stuck.send(request("/20m.bin"))
        assert stuck.read_head().status == 200
        server.signal(signal.SIGTERM)
        assert server.wait(5) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_without_waiting(
    engine: Engine, site_vhosts: Path, second: signal.Signals
) -> None:
    with (
        engine.serving(site_vhosts, "--drain-seconds", "60", status=-second) as server,
        server.connect(receive_bytes=4096) as stuck,
    ):
        stuck.send(request("/20m.bin"))
        assert stuck.read_head().status == 200
        server.signal(signal.SIGTERM)
        server.log.wait_for("draining")
        server.signal(second)
        assert server.wait(5) == -second


def test_a_port_can_be_listened_on_again_at_once(engine: Engine, site_vhosts: Path) -> None:
    with engine.serving(site_vhosts) as server:
        with server.connect() as client:
            client.get("/hello.txt", "site.example", "Connection: close")
        port = server.port
    with engine.serving(site_vhosts, "--bind", f"127.0.0.1:{port}") as again:
        again.port = port
        assert again.get("/hello.txt").status == 200


def test_without_inotify_changes_are_still_found_and_signals_still_heard(
    engine: Engine, site_vhosts: Path, tmp_path: Path
) -> None:
    (tmp_path / "later.example").symlink_to("nowhere")
    program = (
        "import sys, ashttpd.vhosts.follow\n"
        "def fail(): raise OSError(24, 'Too many open files')\n"
        "ashttpd.vhosts.follow.INotify = fail\n"
        "from ashttpd.cli import main\n"
        "sys.exit(main())\n"
    )
    with serving(tmp_path, *engine.options, python=(sys.executable, "-c", program)) as server:
        server.log.wait_for("inotify: .*Too many open files; changes are found within")
        target = (site_vhosts / "site.example").resolve()
        (tmp_path / "a.example").symlink_to(target)
        eventually(lambda: server.get("/hello.txt", "a.example").status == 200, 3)


def test_an_error_of_the_main_loop_is_logged_and_ends_the_server_with_a_drain(
    engine: Engine, site_vhosts: Path, content: Mapping[str, bytes], tmp_path: Path
) -> None:
    program = (
        "import sys, ashttpd.accesslog\n"
        "def fail(self): raise ValueError('of a test')\n"
        "ashttpd.accesslog.AccessLog.reopen = fail\n"
        "from ashttpd.cli import main\n"
        "sys.exit(main())\n"
    )
    options = [*engine.options, "--access-log", str(tmp_path / "access.log")]
    server = Server(site_vhosts, options, (sys.executable, "-c", program))
    try:
        with server.connect(receive_bytes=4096) as slow:
            slow.send(request("/20m.bin"))
            head = slow.read_head()
            server.signal(signal.SIGHUP)
            server.log.wait_for("CRITICAL the server ends: this is a bug of ashttpd")
            server.log.wait_for("ValueError: of a test")
            assert slow.read_bytes(int(head.fields["content-length"])) == content["20m.bin"]
        assert server.wait() == 1
    finally:
        server.kill()


class _Running:
    """An engine whose threads all work."""

    failed = False


class _Reopened:
    """An access log that is told to open anew, and again while it does that."""

    def __init__(self, signals: _Signals) -> None:
        self.count = 0
        self._signals = signals

    def reopen(self) -> None:
        self.count += 1
        if self.count == 1:
            signal.raise_signal(signal.SIGHUP)
        else:
            self._signals.stop = signal.SIGTERM


def test_a_sighup_that_comes_while_the_one_before_is_heeded_is_not_lost() -> None:
    signals = _Signals()
    before = [(number, signal.getsignal(number)) for number in _HANDLED]
    signals.install()
    try:
        log = _Reopened(signals)
        signal.raise_signal(signal.SIGHUP)
        _wait_for_stop(signals, cast(AccessLog, log), cast(ashttpd.engine.Engine, _Running()))
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    assert log.count == 2


def test_a_sighup_in_a_drain_opens_the_access_log_anew(
    engine: Engine, site_vhosts: Path, content: Mapping[str, bytes], tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    options = ("--access-log", str(log), "--drain-seconds", "20")
    with engine.serving(site_vhosts, *options) as server:
        with server.connect(receive_bytes=4096) as slow:
            slow.send(request("/20m.bin"))
            head = slow.read_head()
            server.signal(signal.SIGTERM)
            server.log.wait_for("draining")
            log.rename(tmp_path / "access.log.1")
            server.signal(signal.SIGHUP)
            eventually(log.exists)
            assert slow.read_bytes(int(head.fields["content-length"])) == content["20m.bin"]
        assert server.wait() == 0
    assert "GET /20m.bin" in log.read_text()


# A logrotate that comes while the modules are imported.
_HANGING_UP = """
import os, signal, sys
class Finder:
    def find_spec(name, path, target=None):
        if name == "ashttpd.server":
            os.kill(os.getpid(), signal.SIGHUP)
sys.meta_path.insert(0, Finder)
sys.argv = ["ashttpd", "--version"]
{start}
"""


@pytest.mark.parametrize(
    "start",
    [
        "import runpy; runpy.run_module('ashttpd', run_name='__main__', alter_sys=False)",
        "import importlib.metadata as m; sys.exit("
        "next(iter(m.entry_points(group='console_scripts', name='ashttpd'))).load()())",
    ],
)
def test_a_sighup_while_the_modules_are_imported_does_not_end_the_server(start: str) -> None:
    program = [sys.executable, "-c", _HANGING_UP.format(start=start)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:8]) == (0, "ashttpd "), done.stderr
