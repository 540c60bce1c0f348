"""Fixtures that many tests share: every usable engine, and a server of each with a site."""

import os
import random
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from ashttpd.aio.queue import Queue
from ashttpd.engine import UnusableError
from ashttpd.http.limits import Limits
from ashttpd.uring.ring import BUFFERS, COMPLETIONS, ENTRIES, Ring
from ashttpd.vhosts.watch import Watch
from fuzz import profiles
from tests.browser import Browser, browsing, find_chromium
from tests.rings import Backed, Driver, MakeFile, MakeRing
from tests.servers import PROGRAM, Server, build_site, put, serving, skip_for_lack
from tests.vhosts import Place, make_place

# Before any property is defined, which is when hypothesis looks at it.
profiles.load()

KILOBYTE = 1 << 10
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Engine:
    """A way to run the server. `lack` says why this machine cannot, or is empty."""

    name: str
    options: tuple[str, ...]
    program: tuple[str, ...] = PROGRAM
    lack: str = ""

    def serving(
        self, vhosts: Path, *options: str, status: int = 0, under: Sequence[str] = ()
    ) -> AbstractContextManager[Server]:
        """Run a server of this kind, perhaps under another program; see `tests.servers.serving`."""
        python = (*under, *self.program)
        return serving(vhosts, *self.options, *options, status=status, python=python)


# Where no compiler was at hand: importing an extension fails.
_NO_EXTENSIONS = """
import sys
for name in ("http._scan", "epoll._turn", "uring._uring", "aio._aio"):
    sys.modules[f"ashttpd.{name}"] = None
from ashttpd.cli import main
sys.exit(main())
"""
NOT_COMPILED = (sys.executable, "-c", _NO_EXTENSIONS)


def _lack_of_uring() -> str:
    try:
        Ring(Limits()).close()
    except UnusableError as error:
        return f"io_uring: {error}"
    return ""


def lack_of_aio() -> str:
    try:
        Queue(buffers=1).close()
    except UnusableError as error:
        return f"libaio: {error}"
    return ""


def lack_of_direct() -> str:
    """Why what tests write cannot be read with O_DIRECT, or nothing."""
    with TemporaryFile() as file:
        try:
            os.close(os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_DIRECT))
        except OSError as error:
            return f"O_DIRECT: {error}"
    return ""


# With the names of 2010, each of which has to do all that there is.
ENGINES = (
    Engine("threads-sendfile", ("--model", "sendfile")),
    Engine("threads-read", ("--model", "sync")),
    Engine("uring", ("--model", "async-sendfile"), lack=_lack_of_uring()),
    Engine("aio", ("--model", "async"), lack=lack_of_aio()),
    Engine("aio-direct", ("--model", "dio"), lack=lack_of_aio() or lack_of_direct()),
    Engine("threads-plain", ("--model", "threads"), NOT_COMPILED),
)


@pytest.fixture(scope="session", params=ENGINES, ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    if chosen.lack:
        skip_for_lack(chosen.lack)
    return chosen


def _content() -> dict[str, bytes]:
    """Files on both sides of every size that makes a difference."""
    bytes_of = random.Random(1).randbytes
    return {
        "index.html": b"<!DOCTYPE html><title>home</title>\n",
        "hello.txt": b"hello, world\n",
        "caf\u00e9.txt": b"a name beyond ASCII\n",
        "empty.txt": b"",
        "docs/index.html": b"<!DOCTYPE html><title>docs</title>\n",
        "page.html": b"<!DOCTYPE html><title>page</title>\n<p>A paragraph of many.\n" * 200,
        # Its copies are too large to leave with their heads.
        "numbers.txt": b"".join(b"%d\n" % number**3 for number in range(40_000)),
        "64k.bin": bytes_of(64 * KILOBYTE),
        "64k+1.bin": bytes_of(64 * KILOBYTE + 1),
        "256k.bin": bytes_of(256 * KILOBYTE),
        "5m.bin": bytes_of(5 * MEGABYTE),
        "20m.bin": bytes_of(20 * MEGABYTE),
    }


@pytest.fixture(scope="session")
def content() -> dict[str, bytes]:
    return _content()


@pytest.fixture(scope="session")
def site_webroot(content: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(content, tmp_path_factory.mktemp("site") / "site.webroot")


@pytest.fixture(scope="session")
def site_vhosts(site_webroot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vhosts directory that nobody changes."""
    vhosts = tmp_path_factory.mktemp("vhosts")
    put(vhosts, "site.example", site_webroot)
    return vhosts


@pytest.fixture(scope="session")
def shared_server(engine: Engine, site_vhosts: Path) -> Iterator[Server]:
    with engine.serving(site_vhosts) as running:
        yield running


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """A running server that nobody may stop; it is well before and behind each test."""
    shared_server.assert_well()
    yield shared_server
    shared_server.assert_well()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        skip_for_lack("chromium is not installed")
    assert program is not None
    with browsing(program, tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


@pytest.fixture
def make_ring() -> Iterator[MakeRing]:
    """Makes rings of any size, and holds that they leave no operation behind."""
    with ExitStack() as stack:
        drivers: list[Driver] = []

        def make(
            entries: int = ENTRIES, completions: int = COMPLETIONS, buffers: int = BUFFERS
        ) -> Driver:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1000))
            try:
                ring = Ring(Limits(), entries, completions, buffers)
            except UnusableError as error:
                skip_for_lack(str(error))
            driver = Driver(ring, listener)
            drivers.append(driver)
            return driver

        yield make
        for driver in drivers:
            driver.close()


@pytest.fixture
def backed(tmp_path: Path) -> Iterator[MakeFile]:
    """Makes a file with some content."""
    with ExitStack() as stack:

        def make_file(content: bytes) -> Backed:
            file = Backed(tmp_path / "file", content)
            stack.callback(os.close, file.fd)
            return file

        yield make_file


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty vhosts directory."""
    return make_place(tmp_path)


@pytest.fixture
def watch(place: Place) -> Watch:
    """A watch of that directory, which has not looked yet."""
    return Watch(place.vhosts)
