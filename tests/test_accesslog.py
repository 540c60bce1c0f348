"""The access log: the combined format, what a client cannot write into it, and its files."""

import fcntl
import os
import re
import resource
import signal
import socket
import threading
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from ashttpd.accesslog import RECORD_BYTES, AccessLog, format_record
from tests.conftest import Engine
from tests.servers import (
    DEADLINE_SECONDS,
    PROGRAM,
    Server,
    eventually,
    put,
    request,
    run_program,
    serving,
)

# The combined format: host ident user [date] "request" status bytes "referer" "user-agent".
COMBINED: Final = re.compile(
    r"(?P<peer>\S+) - - "
    r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<bytes>\d+|-) '
    r'"(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)


def _line(head: bytes, status: int = 200, sent: int = 5) -> re.Match[str]:
    line = format_record(("192.0.2.1", 0, head, status, sent))
    match = COMBINED.fullmatch(line)
    assert match, line
    return match


def test_a_record_becomes_a_line_of_the_combined_format() -> None:
    head = b"GET /a?b HTTP/1.1\r\nHost: a\r\nUser-Agent: Agent/1 (x)\r\nReferer: http://b/\r\n\r\n"
    line = _line(head)
    assert line["peer"] == "192.0.2.1"
    assert line["request"] == "GET /a?b HTTP/1.1"
    assert (line["status"], line["bytes"]) == ("200", "5")
    assert (line["referer"], line["agent"]) == ("http://b/", "Agent/1 (x)")


def test_what_is_not_there_is_a_dash() -> None:
    line = _line(b"", status=408, sent=0)
    assert [line[name] for name in ("request", "bytes", "referer", "agent")] == ["-"] * 4
    assert _line(b"GET / HTTP/1.1\r\nUser-Agent: \r\n\r\n")["agent"] == "-"


def test_fields_are_found_in_any_case_and_only_at_the_start_of_a_line() -> None:
    head = b"GET /\r\nX: User-Agent: no\r\nX-User-Agent: no\r\nuSER-aGENT:\tyes \r\n\r\n"
    assert _line(head)["agent"] == "yes"


@pytest.mark.parametrize(
    "evil",
    [
        b'" 200 5 "',
        b"a\\",
        b'\\"',
        b"a\x1b[31m",
        b"a\nb",
        b"a\x00b",
        b"\xff\xfe",
        b"\xe2\x80\xae",
        b"\t",
    ],
)
def test_a_client_cannot_forge_a_line(evil: bytes) -> None:
    line = _line(b"GET /" + evil + b"x HTTP/1.1\r\nUser-Agent: <" + evil + b">\r\n\r\n")
    assert line.string.isascii()
    assert line.string.isprintable()
    if b"\n" not in evil:
        unescaped = re.sub(r"\\x(..)", lambda found: chr(int(found[1], 16)), line["agent"])
        assert unescaped.encode("latin-1") == b"<" + evil + b">"


def test_all_records_are_written_in_their_order_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path)
    for number in range(10_000):
        log.note("192.0.2.1", 0, b"GET /%d HTTP/1.1\r\n\r\n" % number, 200, number)
    log.close(DEADLINE_SECONDS)
    lines = path.read_text().splitlines()
    assert [int(line.split()[9].replace("-", "0")) for line in lines] == list(range(10_000))


def test_records_of_many_threads_are_all_written(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(path)

    def note() -> None:
        for _ in range(2000):
            log.note("192.0.2.1", 0, b"GET / HTTP/1.1\r\n\r\n", 200, 1)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close(DEADLINE_SECONDS)
    assert len(path.read_text().splitlines()) == 8000


def test_it_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    AccessLog(path).close(DEADLINE_SECONDS)
    assert path.read_text() == "before\n"


def test_a_full_disk_is_said_once_and_again_after_the_file_was_opened_anew(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ashttpd.complaints.COMPLAINT_SECONDS", 0)
    log = AccessLog(Path("/dev/full"))
    for _ in range(10):
        log.note("192.0.2.1", 0, b"GET / HTTP/1.1\r\n\r\n", 200, 1)
    eventually(lambda: "/dev/full: No space left on device; tried again" in caplog.text)
    log.close(DEADLINE_SECONDS)
    assert caplog.text.count("No space left") == 1
    assert "/dev/full: 10 lines lost" in caplog.text


def test_the_memory_of_a_record_is_no_more_than_what_is_counted() -> None:
    heads = [b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(10_000)]
    log = AccessLog(Path("/dev/null"))
    # What the thread has taken is no longer counted.
    log.close(DEADLINE_SECONDS)
    tracemalloc.start()
    try:
        for number, head in enumerate(heads, 1000):
            log.note(f"192.0.2.{number}", number << 10, head, 200, number << 10)
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(heads) * RECORD_BYTES / 3 < held < len(heads) * RECORD_BYTES


# With a running server.


def _lines(path: Path) -> list[re.Match[str]]:
    matches = [COMBINED.fullmatch(line) for line in path.read_text().splitlines()]
    assert all(matches), path.read_text()
    return [match for match in matches if match]


def _wait_for_lines(path: Path, count: int) -> list[re.Match[str]]:
    eventually(lambda: len(path.read_text().splitlines()) >= count)
    lines = _lines(path)
    assert len(lines) == count
    return lines


def test_every_kind_of_answer_is_logged_with_the_bytes_of_its_body(
    engine: Engine, site_vhosts: Path, content: Mapping[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    with engine.serving(site_vhosts, "--access-log", str(path)) as server:
        with server.connect() as client:
            tag = client.get("/hello.txt", "site.example", "User-Agent: one").fields["etag"]
            client.get("/hello.txt", "site.example", f"If-None-Match: {tag}")
            client.get("/5m.bin")
            client.get("/5m.bin", "site.example", "Range: bytes=10-19")
            client.get("/5m.bin", "site.example", "Range: bytes=0-999999", "User-Agent: two")
            missing = client.get("/nothing", "site.example", "Referer: http://from.example/")
            client.send(request("/hello.txt", method="HEAD"))
            client.read(to_head=True)
            client.send(b"\r\n" + request("/empty.txt"))
            client.read()
            client.send(b"garbage\r\n\r\n")
            refused = client.read()
        lines = _wait_for_lines(path, 9)
    assert [(line["status"], line["bytes"]) for line in lines] == [
        ("200", "13"),
        ("304", "-"),
        ("200", str(len(content["5m.bin"]))),
        ("206", "10"),
        ("206", "1000000"),
        ("404", str(len(missing.body))),
        ("200", "-"),
        ("200", "-"),
        ("400", str(len(refused.body))),
    ]
    assert {line["peer"] for line in lines} == {"127.0.0.1"}
    assert lines[0]["request"] == "GET /hello.txt HTTP/1.1"
    assert [lines[0]["agent"], lines[4]["agent"]] == ["one", "two"]
    assert lines[5]["referer"] == "http://from.example/"
    assert lines[7]["request"] == "GET /empty.txt HTTP/1.1"


def test_pipelined_requests_are_logged_each_with_its_own_head(
    engine: Engine, site_vhosts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    with engine.serving(site_vhosts, "--access-log", str(path)) as server:
        with server.connect() as client:
            client.send(
                b"".join(
                    request(f"/hello.txt?{number}", "site.example", f"User-Agent: {number}")
                    for number in range(500)
                )
            )
            for _ in range(500):
                client.read()
        lines = _wait_for_lines(path, 500)
    for number, line in enumerate(lines):
        assert line["request"] == f"GET /hello.txt?{number} HTTP/1.1"
        assert line["agent"] == str(number)


def test_an_aborted_transfer_is_logged_with_the_bytes_that_left(
    engine: Engine, site_vhosts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    with engine.serving(site_vhosts, "--access-log", str(path)) as server:
        client = server.connect(receive_bytes=4096)
        client.send(request("/20m.bin"))
        client.read_bytes(100_000)
        client.reset()
        (line,) = _wait_for_lines(path, 1)
    assert line["status"] == "200"
    assert 99_000 < int(line["bytes"]) < 20 << 20


def test_a_renamed_log_is_opened_anew_at_sighup_and_no_line_is_lost(
    engine: Engine, site_vhosts: Path, tmp_path: Path
) -> None:
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    with engine.serving(site_vhosts, "--access-log", str(path)) as server:
        server.get("/hello.txt?before")
        _wait_for_lines(path, 1)
        path.rename(rotated)
        server.get("/hello.txt?between")
        server.signal(signal.SIGHUP)
        eventually(path.exists)
        server.get("/hello.txt?after")
        _wait_for_lines(path, 1)
    queries = [line["request"].split()[1] for line in _lines(rotated) + _lines(path)]
    assert queries == ["/hello.txt?before", "/hello.txt?between", "/hello.txt?after"]


def test_sighup_without_a_log_is_no_harm(server: Server) -> None:
    server.signal(signal.SIGHUP)
    assert server.get("/hello.txt").status == 200


def test_a_dash_is_the_standard_output(engine: Engine, site_vhosts: Path) -> None:
    with engine.serving(site_vhosts, "--access-log", "-") as server:
        server.get("/hello.txt?to-stdout")
        assert server.process.stdout is not None
        line = server.process.stdout.readline().decode().rstrip("\n")
        assert COMBINED.fullmatch(line)
        assert "GET /hello.txt?to-stdout HTTP/1.1" in line


def test_without_one_nothing_is_written(engine: Engine, site_vhosts: Path) -> None:
    with engine.serving(site_vhosts) as server:
        server.get("/hello.txt")
        output = server.process.stdout
        assert output is not None
        server.signal(signal.SIGTERM)
        server.wait()
        assert output.read() == b""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere/access.log", "No such file or directory"),
        (".", "it is a directory"),
        ("socket", "it is a socket; if it is the standard output, name it with -"),
    ],
)
def test_a_log_that_cannot_be_opened_keeps_the_server_from_starting(
    site_vhosts: Path, tmp_path: Path, name: str, reason: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    path = tmp_path / name
    done = run_program("--bind", "127.0.0.1:0", "--access-log", str(path), str(site_vhosts))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"ashttpd: --access-log: {path}: {reason}"]


def test_a_closed_standard_output_keeps_the_server_from_starting(site_vhosts: Path) -> None:
    shell = ("sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM)
    done = run_program(
        "--bind", "127.0.0.1:0", "--access-log", "-", str(site_vhosts), program=shell
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "ashttpd: --access-log: the standard output is closed, or not open for writing"
    ]


def test_a_full_pipe_holds_up_neither_deploys_nor_the_end(
    engine: Engine, site_webroot: Path, tmp_path: Path
) -> None:
    put(tmp_path, "site.example", site_webroot)
    with engine.serving(tmp_path, "--access-log", "-") as server:
        assert server.process.stdout is not None
        fcntl.fcntl(server.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        with server.connect() as client:
            for _ in range(100):
                assert client.get("/hello.txt").status == 200
        put(tmp_path, "new.example", site_webroot)
        eventually(lambda: server.get("/hello.txt", "new.example").status == 200)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        server.log.wait_for(r"access log: the standard output: \d+ lines lost")


def test_a_fifo_without_a_reader_is_said_and_filled_once_it_has_one(
    engine: Engine, site_vhosts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with engine.serving(site_vhosts, "--access-log", str(path)) as server:
        server.log.wait_for(
            f"access log: {path}: no process reads this FIFO; tried again each second, and lines "
            "wait meanwhile"
        )
        for number in range(3):
            server.get(f"/hello.txt?{number}")
        with path.open("rb") as reader:
            lines = [reader.readline().decode().rstrip("\n") for _ in range(3)]
        assert all(COMBINED.fullmatch(line) for line in lines)
        assert [re.findall(r"\?(\d)", line) for line in lines] == [["0"], ["1"], ["2"]]


def test_a_log_that_cannot_be_opened_anew_is_written_on_and_said_to_be_until_it_works_again(
    site_vhosts: Path, tmp_path: Path
) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with serving(site_vhosts, "--access-log", str(path)) as server:
        path.rename(old)
        path.mkdir()
        server.signal(signal.SIGHUP)
        server.log.wait_for(
            f"access log: {path}: it is a directory; tried again each second, and the old file is "
            "written on"
        )
        server.get("/hello.txt?old")
        assert "?old" in _wait_for_lines(old, 1)[0]["request"]
        path.rmdir()
        server.log.wait_for(f"access log: {path}: it works again")
        server.get("/hello.txt?new")
        assert "?new" in _wait_for_lines(path, 1)[0]["request"]


def test_after_a_full_disk_a_torn_line_is_finished_and_nothing_is_lost(
    site_vhosts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with serving(site_vhosts, "--access-log", str(path)) as server:
        # As a full disk does, the limit of a file's size has a write stop within a line.
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        with server.connect() as client:
            for number in range(100):
                client.get(f"/hello.txt?{number}")
        server.log.wait_for(f"access log: {path}: File too large; tried again each second")
        assert path.stat().st_size == 1000
        assert not path.read_text().endswith("\n")
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        lines = _wait_for_lines(path, 100)
        server.log.wait_for(f"access log: {path}: it works again")
    assert [line["request"] for line in lines] == [
        f"GET /hello.txt?{number} HTTP/1.1" for number in range(100)
    ]


def test_a_torn_line_is_written_anew_where_the_log_is_moved_away_from_a_full_disk(
    site_vhosts: Path, tmp_path: Path
) -> None:
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    with serving(site_vhosts, "--access-log", str(path)) as server:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        with server.connect() as client:
            for number in range(15):
                client.get(f"/hello.txt?{number}")
        server.log.wait_for("File too large")
        path.rename(rotated)
        server.signal(signal.SIGHUP)
        eventually(path.exists)
    whole, torn = rotated.read_text().rsplit("\n", 1)
    assert torn
    lines = [*whole.splitlines(), *path.read_text().splitlines()]
    queries = [re.findall(r"\?(\d+)", line)[0] for line in lines if COMBINED.fullmatch(line)]
    assert queries == [str(number) for number in range(15)]
