"""The command line: what it takes, what it refuses, and how it says so."""

from dataclasses import fields
from pathlib import Path

import pytest

from ashttpd import __version__
from ashttpd.cli import MAX_THREADS, main, make_parser
from ashttpd.http.limits import Limits
from ashttpd.options import limits_of
from tests.servers import Server, run_program, serving


def test_help_shows_every_option_examples_signals_and_exit_statuses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    shown = capsys.readouterr().out
    for action in make_parser()._actions:
        assert all(option in shown for option in action.option_strings)
    for text in (
        "examples:",
        "ashttpd ./vhosts",
        "mkroot ./public",
        "SIGTERM",
        "SIGHUP",
        "exit status",
    ):
        assert text in shown, text


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 100


def test_every_limit_is_an_option_with_the_default_of_the_limits() -> None:
    defaults = make_parser().parse_args(["vhosts"])
    for limit in fields(Limits):
        assert getattr(defaults, limit.name) == limit.default
    assert limits_of(defaults) == Limits()


def test_the_bounds_of_a_limit_are_allowed_themselves() -> None:
    options = make_parser().parse_args(["--head-bytes", "1024", "--body-bytes", "0", "vhosts"])
    assert limits_of(options) == Limits(head_bytes=1024, body_bytes=0)


def test_the_version_is_told() -> None:
    done = run_program("--version")
    assert (done.returncode, done.stdout) == (0, f"ashttpd {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "VHOSTS"),
        ([""], "argument VHOSTS: '' is empty; is a variable not set?"),
        (["--access-log", "", "."], "argument --access-log: '' is empty"),
        (["--bind", "", "."], "'' is not HOST:PORT"),
        (["--bind", "nonsense", "."], "'nonsense' is not HOST:PORT"),
        (["--bind", "::1:80", "."], "an IPv6 address stands in brackets"),
        (["--bind", "127.0.0.1:65536", "."], "a port from 0 to 65535"),
        (["--processes", "2", "."], "'2': this version runs in one process"),
        (["--processes", "0", "."], "'0': this version runs in one process"),
        (["--threads", "0", "."], f"'0' is not a number from 1 to {MAX_THREADS}"),
        (["--threads", "257", "."], f"'257' is not a number from 1 to {MAX_THREADS}"),
        (["--threads", "-1", "."], "--threads"),
        (["--threads", "two", "."], "'two' is not a number from 1"),
        (["--threads", "\u00b2", "."], "is not a number from 1"),
        (["--io", "mmap", "."], "invalid choice: 'mmap'"),
        (["--model", "fork", "."], "invalid choice: 'fork'"),
        (["--idle-seconds", "-1", "."], "--idle-seconds"),
        (["--idle-seconds", "0", "."], "'0' is not a number of seconds from 0.1"),
        (["--drain-seconds", "-0.1", "."], "--drain-seconds"),
        (["--idle-seconds", "nan", "."], "'nan' is not a number of seconds from 0.1 to 86400"),
        (["--head-seconds", "inf", "."], "'inf' is not a number of seconds"),
        (["--drain-seconds", "soon", "."], "'soon' is not a number of seconds"),
        (["--stall-seconds", "86401", "."], "'86401' is not a number of seconds"),
        (["--head-bytes", "1023", "."], "'1023' is not a number from 1024 to 65536"),
        (["--head-bytes", "65537", "."], "'65537' is not a number from 1024 to 65536"),
        (["--target-bytes", "16k", "."], "'16k' is not a number from 256 to 65536"),
        (["--head-fields", "0", "."], "'0' is not a number from 8 to 1000"),
        (["--body-bytes", "-1", "."], "--body-bytes"),
        (["--body-bytes", "1073741825", "."], "is not a number from 0 to 1073741824"),
        (["--body-bytes", "9" * 5000, "."], "is not a number from 0 to 1073741824"),
        (["--body-seconds", "0", "."], "'0' is not a number of seconds from 0.1"),
        (["--linger-seconds", "1m", "."], "'1m' is not a number of seconds from 0.1"),
        (["--linger-bytes", "1.5", "."], "'1.5' is not a number from 0 to 1073741824"),
        (["--max-connections", "1000001", "."], "is not a number from 0 to 1000000"),
        (["--max-connections-per-address", "many", "."], "'many' is not a number from 0 to"),
        (["--max-requests", "-5", "."], "--max-requests"),
        (["--min-send-rate", "1k", "."], "'1k' is not a number from 0 to 1000000"),
        (["--unknown", "."], "--unknown"),
    ],
)
def test_a_wrong_command_line_is_named_with_exit_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "threads", "--io", "auto"], "--model threads, which has sendfile, read"),
        (["--model", "aio", "--io", "read"], "--model aio, which has auto, buffered, direct"),
        (
            ["--model", "dio", "--io", "auto"],
            "--model dio is --model aio --io direct, not --io auto",
        ),
        (["--model", "sync", "--io", "sendfile"], "--model sync is --model threads --io read"),
        (
            ["--model", "uring", "--io", "read"],
            "is not for --model uring, which has none",
        ),
        (["--model", "async-sendfile", "--io", "read"], "is --model uring, not --io read"),
        (["--io", "direct"], "--io direct is not for --model auto, which has none"),
    ],
)
def test_an_engine_and_a_way_of_reading_that_do_not_go_together_are_named_with_exit_status_2(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main([*options, "."])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing", "No such file or directory"),
        ("file", "not a directory"),
        ("file/below", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_vhosts_that_is_no_directory_is_named_with_exit_status_1(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "file").touch()
    done = run_program(str(tmp_path / name))
    assert done.returncode == 1
    assert done.stderr == f"ashttpd: {tmp_path / name}: {why}\n"


def test_a_port_in_use_is_named_with_exit_status_1(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    done = run_program("--bind", address, str(server.vhosts))
    assert done.returncode == 1
    assert done.stderr.startswith(f"ashttpd: cannot listen on {address}: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "192.0.2.1"])
def test_an_address_that_cannot_be_bound_is_named_with_exit_status_1(
    host: str, tmp_path: Path
) -> None:
    done = run_program("--bind", f"{host}:0", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"ashttpd: cannot listen on {host}:0: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("threads", ["1", str(MAX_THREADS)])
def test_the_fewest_and_the_most_threads_serve(site_vhosts: Path, threads: str) -> None:
    with serving(site_vhosts, "--model", "threads", "--threads", threads) as server:
        tasks = len(list(Path(f"/proc/{server.pid}/task").iterdir()))
        # The main thread, the acceptor, the error log and the thread that follows the sites
        # besides, and for a moment the one that looks at them.
        assert tasks - int(threads) in (4, 5)
        assert server.get("/hello.txt").status == 200


def test_several_addresses_are_all_listened_on(site_vhosts: Path) -> None:
    with serving(site_vhosts, "--bind", "127.0.0.1:0") as server:
        log = server.log.wait_for(r"(?s)listening on .*:(\d+)/.*listening on .*:(\d+)/")
        ports = {int(port) for port in log.groups()}
        assert len(ports) == 2
        for port in ports:
            server.port = port
            assert server.get("/hello.txt").status == 200


def test_of_the_names_in_the_directory_only_hosts_are_counted_as_sites(
    tmp_path: Path, site_webroot: Path
) -> None:
    for name in ("site.example", "site.example~", "no host", ".hidden", "10.0.0.1:80"):
        (tmp_path / name).symlink_to(site_webroot)
    with serving(tmp_path) as server:
        server.log.wait_for(r"open files: .* for sites \(now 1\)")


def test_a_directory_without_sites_is_served_with_a_warning(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.get("/").status == 404
        assert f"{tmp_path} holds no site yet" in server.log.text
