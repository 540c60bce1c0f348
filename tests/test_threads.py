"""Threads of the engines: one that ends with an exception ends the server, which says so."""

import errno
import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ashttpd.engine import EngineThread
from tests.conftest import lack_of_aio
from tests.seccomp import refusing
from tests.servers import PROGRAM, Server, request, skip_for_lack

# A method of the engine raises when it is called.
_FAILING = """
import sys
from importlib import import_module
module, name, method = sys.argv.pop(1).split(":")
def fail(*_arguments, **_named):
    raise RuntimeError("a fault of a test")
setattr(getattr(import_module(module), name), method, fail)
from ashttpd.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("model", "thread", "fault"),
    [
        ("threads", "worker-1", "ashttpd.epoll.worker:Worker:_sweep"),
        ("threads", "acceptor", "ashttpd.epoll.acceptor:Acceptor:_accept_from"),
        ("aio", "loop", "ashttpd.aio.loop:Loop:_serve_slow"),
        ("aio", "acceptor", "ashttpd.epoll.acceptor:Acceptor:_accept_from"),
        ("aio", "warmer", "ashttpd.aio.warmer:Warmer:run"),
        ("uring", "loop", "ashttpd.uring.loop:Loop:_sweep"),
    ],
)
def test_a_thread_that_fails_is_logged_and_ends_the_server_with_status_1(
    site_vhosts: Path, model: str, thread: str, fault: str
) -> None:
    if model == "aio" and (lack := lack_of_aio()):
        skip_for_lack(lack)
    options = ("--model", model, "--drain-seconds", "2")
    server = Server(site_vhosts, options, (sys.executable, "-c", _FAILING, fault))
    try:
        with closing(server.connect()) as client:
            client.send(request("/hello.txt"))
            server.log.wait_for(f"the thread {thread} has failed")
            server.log.wait_for("RuntimeError: a fault of a test")
            server.log.wait_for("a thread has failed: draining, for 2 s at most")
            assert server.wait() == 1
    finally:
        server.kill()


def test_a_thread_that_cannot_be_started_is_an_error_of_the_machine() -> None:
    thread = EngineThread("worker-7", lambda: None)
    thread.finish()  # it never began, so there is nothing to wait for
    thread.start()
    thread.finish()
    with pytest.raises(OSError, match=r"cannot start the thread worker-7: .*once; raise the limit"):
        thread.start()
    assert not thread.failed


@pytest.mark.parametrize("number", [errno.EBADF, errno.EPERM, errno.ENOMEM])
@pytest.mark.parametrize("name", ["compiled", "plain"])
def test_an_error_of_accept_that_stays_is_logged_and_does_not_hold_up_the_end(
    site_vhosts: Path, number: int, name: str
) -> None:
    plain = (sys.executable, "-c", _PLAIN)
    program = (*refusing("accept4", number), *(PROGRAM if name == "compiled" else plain))
    server = Server(site_vhosts, ("--model", "threads"), program)
    try:
        with closing(server.connect()) as client:
            client.send(request("/hello.txt"))
            server.log.wait_for(r"cannot accept connections: [A-Z][^\[]*; trying again every")
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
        assert server.log.text.count("cannot accept") == 1, "in ten seconds"
    finally:
        server.kill()


_PLAIN = """
import sys
sys.modules["ashttpd.epoll._turn"] = None
from ashttpd.cli import main
sys.exit(main())
"""
