"""Which engine is taken, and what is said where io_uring cannot be had."""

import errno
import os
import sys
from pathlib import Path

import pytest

from ashttpd.engine import UnusableError
from ashttpd.http.limits import Limits
from ashttpd.uring.ring import Ring
from tests.conftest import NOT_COMPILED
from tests.servers import PROGRAM, run_program, serving, skip_for_lack

# Runs a program for which io_uring_setup(2) fails with an errno, as a seccomp filter of a container
# makes it fail: prctl(2), seccomp(2); the numbers are those of linux/prctl.h and linux/filter.h.
_REFUSING = """
import ctypes, os, struct, sys
SET_NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
IO_URING_SETUP, ERRNO, ALLOW = 425, 0x50000, 0x7FFF0000
program = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (LOAD_WORD, 0, 0, 0),
        (JUMP_EQUAL, 0, 1, IO_URING_SETUP),
        (RETURN, 0, 0, ERRNO | int(sys.argv[1])),
        (RETURN, 0, 0, ALLOW),
    )
)
code = ctypes.create_string_buffer(program)
header = ctypes.create_string_buffer(struct.pack("@HP", 4, ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(SET_SECCOMP, MODE_FILTER, header, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execvp(sys.argv[2], sys.argv[2:])
"""

REASONS = {
    errno.EPERM: "kernel.io_uring_disabled",
    errno.ENOSYS: "Linux 6.0",
    errno.ENOMEM: "RLIMIT_MEMLOCK",
    errno.EINVAL: "too old",
    errno.EMFILE: "Too many open files",
}


def refusing(number: int) -> tuple[str, ...]:
    """Return the beginning of a command line whose rest is refused io_uring."""
    return (sys.executable, "-c", _REFUSING, str(number))


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
    done = run_program(*options, program=(*refusing(number), *PROGRAM))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ashttpd: the uring engine cannot run here: ")
    assert REASONS[number] in last
    assert last.endswith(". Or use --model threads")


@pytest.mark.parametrize("options", [(), ("--model", "auto")])
def test_auto_steps_down_to_threads_and_says_why(
    site_vhosts: Path, options: tuple[str, ...]
) -> None:
    python = (*refusing(errno.EPERM), *PROGRAM)
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
