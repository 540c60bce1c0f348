"""The aio engine as a whole: what it reads how, what it says of files and kernels, and faults."""

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ashttpd.aio.loop import UNSENT_BYTES
from ashttpd.aio.queue import BUFFER_BYTES
from tests.conftest import NOT_COMPILED, lack_of_aio, lack_of_direct
from tests.pagecache import cached, forget
from tests.seccomp import refusing
from tests.servers import (
    PROGRAM,
    Server,
    build_site,
    eventually,
    put,
    request,
    run_program,
    serving,
    skip_for_lack,
)

HELLO = b"hello, world\n"

# Reads at a place of a file fail as those of a dying disk do.
_FAILING = """
import errno, sys
from ashttpd.aio.queue import Queue
bad, reap, read = int(sys.argv.pop(1)), Queue.reap, Queue.read
places = {}
def read_and_note(self, buffer, start, fd, offset, length):
    places[buffer] = range(offset, offset + length)
    read(self, buffer, start, fd, offset, length)
def reap_and_fail(self):
    for buffer, result in reap(self):
        yield buffer, -errno.EIO if bad in places[buffer] else result
Queue.read, Queue.reap = read_and_note, reap_and_fail
from ashttpd.cli import main
sys.exit(main())
"""

# A filesystem that takes no O_DIRECT under one of its names.
_UNDIRECT = """
import errno, os, sys
usual = os.open
def refuse(path, flags, *rest, **more):
    if flags & os.O_DIRECT and "undirect" in os.readlink(path):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return usual(path, flags, *rest, **more)
os.open = refuse
from ashttpd.cli import main
sys.exit(main())
"""

# What the kernel is told to take ahead for a peer is said.
_TELLING = """
import sys
from ashttpd.aio import loop
limit = loop._limit_unsent
def limit_and_tell(fd, most):
    limit(fd, most)
    print("takes", most, "ahead", file=sys.stderr, flush=True)
loop._limit_unsent = limit_and_tell
from ashttpd.cli import main
sys.exit(main())
"""

# The scan and the turn in Python, but reads by libaio.
_PLAIN = """
import sys
sys.modules.update({"ashttpd.http._scan": None, "ashttpd.epoll._turn": None})
from ashttpd.cli import main
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _needs() -> None:
    if lack := lack_of_aio() or lack_of_direct():
        skip_for_lack(lack)


@pytest.fixture
def vhosts(tmp_path: Path) -> Path:
    made = tmp_path / "vhosts"
    made.mkdir()
    return made


@pytest.fixture
def site(tmp_path: Path, vhosts: Path, content: Mapping[str, bytes]) -> Path:
    """A site of its own, of which nothing is in the kernel's memory."""
    names = ("hello.txt", "256k.bin", "5m.bin", "20m.bin")
    webroot = build_site({name: content[name] for name in names}, tmp_path / "site.webroot")
    put(vhosts, "site.example", webroot)
    forget(webroot)
    return webroot


def offset_of(webroot: Path, body: bytes) -> int:
    return webroot.read_bytes().index(body)


def assert_serves(server: Server, content: Mapping[str, bytes]) -> None:
    for name in ("20m.bin", "256k.bin", "hello.txt", "5m.bin"):
        for _ in range(2):
            assert server.get(f"/{name}").body == content[name]


@pytest.mark.parametrize("io", ["auto", "direct"])
def test_what_is_not_in_memory_is_read_past_it(
    site: Path, vhosts: Path, content: Mapping[str, bytes], io: str
) -> None:
    with serving(vhosts, "--model", "aio", "--io", io) as server:
        forget(site)
        # Once: what is asked for again is brought in.
        for name in ("20m.bin", "256k.bin", "hello.txt", "5m.bin"):
            assert server.get(f"/{name}").body == content[name]
        # The bodies are 25 MB; looking at small ones may bring in what lies around them.
        assert cached(site) < 1 << 20


def test_buffered_reads_stay_in_memory_for_the_next_one(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    with serving(vhosts, "--model", "aio", "--io", "buffered") as server:
        forget(site)
        assert_serves(server, content)
        assert cached(site) > 25 << 20


def test_who_got_what_is_on_the_disk_is_sent_what_is_in_memory_as_everybody(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    python = (sys.executable, "-c", _TELLING)
    with (
        serving(vhosts, "--model", "aio", python=python) as server,
        server.connect() as client,
    ):
        forget(site)
        assert client.get("/5m.bin").body == content["5m.bin"]
        server.log.wait_for(rf"takes {UNSENT_BYTES} ahead")
        site.read_bytes()
        assert client.get("/20m.bin").body == content["20m.bin"]
        server.log.wait_for("takes 0 ahead")


def test_a_head_comes_with_the_first_bytes_of_a_body_off_the_disk(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    with serving(vhosts, "--model", "dio") as server, server.connect() as client:
        client.send(request("/5m.bin"))
        came = client.peek()
        assert came.startswith(b"HTTP/1.1 200 OK\r\n")
        body = came.partition(b"\r\n\r\n")[2]
        assert body
        assert content["5m.bin"].startswith(body)


@pytest.mark.parametrize("io", ["auto", "buffered", "direct"])
def test_ranges_of_what_is_not_in_memory_are_exact(
    site: Path, vhosts: Path, content: Mapping[str, bytes], io: str
) -> None:
    body = content["5m.bin"]
    with serving(vhosts, "--model", "aio", "--io", io) as server, server.connect() as client:
        forget(site)
        for first, last in ((0, 0), (1, 99_999), (4_095, 300_001), (70_001, len(body) - 1)):
            part = client.get("/5m.bin", "site.example", f"Range: bytes={first}-{last}")
            assert part.body == body[first : last + 1]
        parts = client.get("/5m.bin", "site.example", "Range: bytes=9-99,1000000-3000000")
        assert body[9:100] in parts.body
        assert body[1_000_000:3_000_001] in parts.body


def test_a_read_that_fails_ends_its_connection_and_names_site_and_offset(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    bad = offset_of(site, content["20m.bin"]) + 12_345_678
    python = (sys.executable, "-c", _FAILING, str(bad))
    with serving(vhosts, "--model", "dio", python=python) as server, server.connect() as other:
        other.send(request("/5m.bin"))
        with server.connect() as client:
            client.send(request("/20m.bin"))
            head = client.read_head()
            came = client.read_rest()
        assert head.fields["content-length"] == str(20 << 20)
        assert 11 << 20 < len(came) <= 12_345_678
        assert came == content["20m.bin"][: len(came)]
        said = server.log.wait_for(r"cut off: (\S+): the bytes at (\d+) cannot be read: Input/out")
        assert said[1].endswith("/site.example")
        assert 0 <= bad - int(said[2]) <= BUFFER_BYTES
        assert other.read().body == content["5m.bin"]
        assert other.get("/hello.txt").body == HELLO
        # What is before and behind the bad place is served as ever.
        part = other.get("/20m.bin", "site.example", "Range: bytes=15000000-16000000")
        assert part.body == content["20m.bin"][15_000_000:16_000_001]


def test_a_small_page_that_cannot_be_read_so_is_read_once_more_as_everybody_reads(
    site: Path, vhosts: Path
) -> None:
    python = (sys.executable, "-c", _FAILING, str(offset_of(site, HELLO)))
    with serving(vhosts, "--model", "dio", python=python) as server:
        assert server.get("/hello.txt").body == HELLO


def test_a_webroot_that_is_truncated_under_a_stream_ends_it_and_is_named(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    with (
        serving(vhosts, "--model", "dio") as server,
        server.connect(receive_bytes=4096) as client,
    ):
        client.send(request("/20m.bin"))
        client.read_head()
        os.truncate(site, offset_of(site, content["20m.bin"]) + (8 << 20))
        came = client.read_rest()
        assert len(came) <= 8 << 20
        assert came == content["20m.bin"][: len(came)]
        server.log.wait_for("cut off: .*site.example")


def test_peers_that_vanish_while_their_bytes_are_read_cost_nothing(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    with serving(vhosts, "--model", "dio") as server:
        for _ in range(300):
            client = server.connect()
            client.send(request("/20m.bin"))
            client.reset()
        assert_serves(server, content)


def test_a_drain_finishes_what_comes_from_the_disk(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    with (
        serving(vhosts, "--model", "dio", "--drain-seconds", "20") as server,
        server.connect(receive_bytes=65_536) as client,
    ):
        client.send(request("/20m.bin"))
        client.read_head()
        server.signal(15)
        server.log.wait_for("draining")
        assert client.read_bytes(20 << 20) == content["20m.bin"]
        assert server.wait() == 0
        server.log.wait_for("drained")


def test_a_drain_that_takes_too_long_ends_with_reads_under_way(site: Path, vhosts: Path) -> None:
    with serving(vhosts, "--model", "dio", "--drain-seconds", "0") as server:
        clients = [server.connect(receive_bytes=4096) for _ in range(50)]
        for client in clients:
            client.send(request("/20m.bin"))
        for client in clients:
            client.read_head()
        server.stop()
        for client in clients:
            client.close()


def test_a_site_that_is_replaced_while_it_is_read_is_finished_and_let_go(
    site: Path, vhosts: Path, tmp_path: Path, content: Mapping[str, bytes]
) -> None:
    new = build_site({"hello.txt": b"new\n"}, tmp_path / "new.webroot")
    with serving(vhosts, "--model", "dio") as server:
        with server.connect(receive_bytes=65_536) as client:
            client.send(request("/20m.bin"))
            client.read_head()
            put(vhosts, "site.example", new)
            server.log.wait_for("replaced")
            site.unlink()
            assert client.read_bytes(20 << 20) == content["20m.bin"]
        assert server.get("/hello.txt").body == b"new\n"
        eventually(lambda: not any("/site.webroot" in name for name in server.open_files()))


def test_direct_refuses_each_site_by_name_where_the_filesystem_takes_no_o_direct(
    site: Path, vhosts: Path
) -> None:
    python = (*refusing("openat", errno.EINVAL, os.O_DIRECT), *PROGRAM)
    with serving(vhosts, "--model", "dio", python=python) as server:
        server.log.wait_for("site.example: refused, nothing is served: .*takes no O_DIRECT")
        assert server.get("/hello.txt").status == 404


# The disk fails, or answers never, when one site's file is written out before its first read.
_BAD_SYNC = """
import os, sys, threading
real = os.fdatasync
def fdatasync(fd):
    if "bad.webroot" in os.readlink(f"/proc/self/fd/{{fd}}"):
        {fault}
    real(fd)
os.fdatasync = fdatasync
import ashttpd.server
ashttpd.server.START_SECONDS = 0.5
from ashttpd.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise OSError(5, 'Input/output error')", "bad.example: refused, nothing is served:"),
        ("threading.Event().wait()", "going on without 1 site, still being opened"),
    ],
)
def test_a_file_that_fails_or_hangs_before_its_first_read_keeps_no_other_site_from_being_served(
    site: Path, vhosts: Path, tmp_path: Path, fault: str, said: str
) -> None:
    if lack := lack_of_direct():
        pytest.skip(lack)
    put(vhosts, "bad.example", build_site({"hello.txt": b"bad\n"}, tmp_path / "bad.webroot"))
    python = (sys.executable, "-c", _BAD_SYNC.format(fault=fault))
    with serving(vhosts, "--model", "aio", python=python) as server:
        server.log.wait_for(said)
        assert server.get("/hello.txt").status == 200
        assert server.get("/hello.txt", "bad.example").status == 404


def test_auto_reads_as_everybody_where_the_filesystem_takes_no_o_direct_and_says_so_once(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    python = (*refusing("openat", errno.EINVAL, os.O_DIRECT), *PROGRAM)
    with serving(vhosts, "--model", "async", python=python) as server:
        forget(site)
        assert_serves(server, content)
        assert server.log.text.count("takes no O_DIRECT") == 1


def test_a_new_site_that_direct_cannot_serve_is_refused_and_the_old_one_stays(
    site: Path, vhosts: Path, tmp_path: Path, content: Mapping[str, bytes]
) -> None:
    new = build_site({"hello.txt": b"new\n"}, tmp_path / "undirect.webroot")
    with serving(vhosts, "--model", "dio", python=(sys.executable, "-c", _UNDIRECT)) as server:
        put(vhosts, "site.example", new)
        server.log.wait_for("site.example: refused, the old one stays: .*takes no O_DIRECT")
        assert_serves(server, content)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSYS, "the kernel has no io_setup(2), or a seccomp filter hides it"),
        (errno.EPERM, "a seccomp filter forbids io_setup(2)"),
        (errno.EAGAIN, "fs.aio-max-nr"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_aio_where_there_is_none_ends_at_once_and_says_why(
    site: Path, vhosts: Path, number: int, said: str
) -> None:
    options = ("--model", "aio", "--bind", "127.0.0.1:0", str(vhosts))
    done = run_program(*options, program=(*refusing("io_setup", number), *PROGRAM))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ashttpd: the aio engine cannot run here: ")
    assert said in last


def test_an_engine_that_was_not_built_is_named_with_what_to_do(vhosts: Path) -> None:
    options = ("--model", "aio", "--bind", "127.0.0.1:0", str(vhosts))
    done = run_program(*options, program=NOT_COMPILED)
    assert done.returncode == 1
    assert "cannot run here: not built (" in done.stderr
    assert "; install libaio-dev" in done.stderr


def test_the_loop_does_without_the_compiled_turn(
    site: Path, vhosts: Path, content: Mapping[str, bytes]
) -> None:
    with serving(vhosts, "--model", "dio", python=(sys.executable, "-c", _PLAIN)) as server:
        assert_serves(server, content)
        client = server.connect()
        client.send(request("/20m.bin"))
        client.reset()
        assert_serves(server, content)
