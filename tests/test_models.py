"""Which engine is taken, and what is said where io_uring cannot be had."""

import errno
import os
from pathlib import Path

import pytest

from ashttpd.engine import UnusableError
from ashttpd.http.limits import Limits
from ashttpd.uring.ring import Ring
from tests.conftest import NOT_COMPILED
from tests.seccomp import refusing
from tests.servers import PROGRAM, run_program, serving, skip_for_lack

REASONS = {
    errno.EPERM: "kernel.io_uring_disabled",
    errno.ENOSYS: "Linux 6.0",
    errno.ENOMEM: "RLIMIT_MEMLOCK",
    errno.EINVAL: "too old",
    errno.EMFILE: "Too many open files",
}


def skip_without_uring() -> None:
    try:
        Ring(Limits()).close()
    except UnusableError as error:
        skip_for_lack(str(error))


@pytest.mark.parametrize("number", REASONS, ids=errno.errorcode.get)
def test_uring_where_there_is_none_ends_at_once_and_says_why(
    site_vhosts: Path, number: int
) -> None:
    skip_without_uring()
    options = ("--model", "uring", "--bind", "127.0.0.1:0", str(site_vhosts))
    done = run_program(*options, program=(*refusing("io_uring_setup", number), *PROGRAM))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ashttpd: the uring engine cannot run here: ")
    assert REASONS[number] in last
    assert last.endswith(". Or use --model threads")


@pytest.mark.parametrize("options", [(), ("--model", "auto")])
def test_auto_steps_down_to_threads_and_says_why(
    site_vhosts: Path, options: tuple[str, ...]
) -> None:
    python = (*refusing("io_uring_setup", errno.EPERM), *PROGRAM)
    with serving(site_vhosts, *options, python=python) as server:
        assert server.get("/hello.txt").body == b"hello, world\n"
        server.log.wait_for("model threads, since uring cannot be had: .*kernel.io_uring_disabled")


@pytest.mark.parametrize("model", ["auto", "uring", "async-sendfile"])
def test_the_best_engine_is_told(site_vhosts: Path, model: str) -> None:
    skip_without_uring()
    with serving(site_vhosts, "--model", model) as server:
        server.log.wait_for(r"model uring\n")
        assert server.get("/hello.txt").body == b"hello, world\n"


def test_an_engine_that_was_not_built_is_named_with_what_to_do(site_vhosts: Path) -> None:
    options = ("--model", "uring", "--bind", "127.0.0.1:0", str(site_vhosts))
    done = run_program(*options, program=NOT_COMPILED)
    assert done.returncode == 1
    assert "cannot run here: not built (" in done.stderr
    assert "; install liburing-dev" in done.stderr


def test_a_ring_leaves_no_descriptor_behind() -> None:
    skip_without_uring()
    before = os.listdir("/proc/self/fd")
    Ring(Limits()).close()
    assert os.listdir("/proc/self/fd") == before
