"""The error log: what it holds up, which is nothing, and what reaches it all the same."""

import fcntl
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from ashttpd.errorlog import MAX_WAITING_BYTES, ErrorLog, logging_errors
from tests.conftest import Engine
from tests.servers import PROGRAM, Client, eventually, put, run_program

_FAILS = """
import sys, threading, ashttpd.cli
class Odd:
    def __del__(self):
        raise ValueError("in a finalizer")
def fail():
    raise ValueError("in a thread")
def run(config):
    thread = threading.Thread(target=fail, name="worker-7")
    thread.start()
    thread.join()
    Odd()
    raise ValueError("in the main thread")
ashttpd.cli.run = run
sys.exit(ashttpd.cli.main())
"""


def test_lines_are_written_in_their_order_with_tracebacks_behind_them() -> None:
    reader, writer = os.pipe()
    error_log = ErrorLog(writer)
    record = logging.LogRecord("x", logging.ERROR, "", 0, "one %s", ("\udce9",), None)
    error_log.handle(record)
    error_log.say("two")
    error_log.close()
    os.close(writer)
    with os.fdopen(reader) as lines:
        first, second = lines
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}[+-]\d{4} ERROR one \\xe9\n", first)
    assert second == "two\n"


def test_what_was_lost_is_said_in_the_next_line_that_is_taken() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    error_log = ErrorLog(writer)
    for number in range(2 * MAX_WAITING_BYTES // 1000):
        error_log.say(f"{number} ".ljust(1000, "x"))
    os.set_blocking(reader, False)
    text = bytearray()

    def says_so() -> bool:
        try:
            text.extend(os.read(reader, 1 << 16))
        except BlockingIOError:
            return False
        return b" messages lost: " in text

    eventually(says_so)
    error_log.close()
    os.close(writer)
    os.close(reader)
    whole = text.decode().rpartition("\n")[0].splitlines()
    about_loss = [line for line in whole if " messages lost: " in line]
    assert re.search(r" ERROR \d+ messages lost: the standard error did not", about_loss[0])
    others = [line.split()[0] for line in whole if line not in about_loss]
    assert others == [str(number) for number in range(len(others))]


def test_what_is_logged_after_its_end_is_no_harm() -> None:
    reader, writer = os.pipe()
    error_log = ErrorLog(writer)
    error_log.close()
    error_log.say("late")
    error_log.close()
    os.close(writer)
    os.close(reader)


def test_the_log_is_taken_between_its_start_and_its_end() -> None:
    with logging_errors() as error_log:
        assert error_log in logging.getLogger().handlers
    assert error_log not in logging.getLogger().handlers


def test_what_nothing_catches_is_logged_with_its_traceback(tmp_path: Path) -> None:
    done = run_program(str(tmp_path), program=(sys.executable, "-c", _FAILS))
    assert done.returncode == 1
    for said in (
        "CRITICAL thread worker-7 ended: this is a bug of ashttpd",
        "ValueError: in a thread",
        "ValueError: in a finalizer",
        "CRITICAL ashttpd ends: this is a bug",
        "ValueError: in the main thread",
    ):
        assert said in done.stderr
    assert done.stderr.count("Traceback") == 3


def _status(port: int, host: str) -> int:
    with Client(port) as client:
        return client.get("/hello.txt", host).status


def test_a_full_pipe_holds_up_neither_deploys_nor_the_end(
    engine: Engine, site_webroot: Path, tmp_path: Path
) -> None:
    put(tmp_path, "site.example", site_webroot)
    reader, writer = os.pipe()
    server = subprocess.Popen(
        [*engine.program, *engine.options, "--bind", "127.0.0.1:0", str(tmp_path)], stderr=writer
    )
    os.close(writer)
    try:
        log = os.fdopen(reader, "rb", buffering=0)
        text = b""
        while not (found := re.search(rb"listening on http://127.0.0.1:(\d+)/", text)):
            text += log.read(4096)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        for number in range(40):
            (tmp_path / f"{number:03}{'x' * 180}").write_bytes(b"no webroot")
        port = int(found[1])
        put(tmp_path, "new.example", site_webroot)
        eventually(lambda: _status(port, "new.example") == 200)
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()
        log.close()


def test_a_closed_standard_error_is_no_harm(tmp_path: Path) -> None:
    shell = ("sh", "-c", 'exec "$@" 2>&-', "sh", *PROGRAM)
    done = run_program(str(tmp_path / "missing"), program=shell)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
