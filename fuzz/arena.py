"""A server of each engine over one directory of sites, and a client that talks to all alike.

The client knows what has to come: it feeds the same bytes to a connection of the core, which makes
its plans from the same sites. So it can wait for exact numbers of bytes, and needs no pauses.
"""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Final

from ashttpd.answers import Answers
from ashttpd.http.connection import Connection, Now, Want
from ashttpd.http.dates import Second, second_of
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan
from ashttpd.http.scan import make_scan
from ashttpd.sites import Sites
from fuzz.shared import shared
from fuzz.sites import HOST, NAMES, render, webroots
from tests.conftest import ENGINES
from tests.servers import REQUIRE, Server, eventually, put, wait_until_read
from tests.webroots import opened

_LIMITS: Final = Limits()
_HOST: Final = HOST.decode("ascii")
_DATE_BYTES: Final = len("Sun, 06 Nov 1994 08:49:37 GMT")
# No example is to end because a machine is slow.
_PATIENCE: Final = ("--head-seconds", "600", "--idle-seconds", "600", "--stall-seconds", "600")
# How much is sent without reading: it has to fit into the buffers of sockets.
_UNHEARD_BYTES: Final = 32 << 10


def _sockets(server: Server) -> int:
    return sum(name.startswith("socket:") for name in server.open_files())


class Arena:
    """The servers, by the names of their engines, and what they serve now."""

    def __init__(self, vhosts: Path, servers: dict[str, Server], sites: dict[str, Sites]) -> None:
        """Serve the first site."""
        self.servers = servers
        self._vhosts = vhosts
        self._answers = {name: Answers(site) for name, site in sites.items()}
        self._sockets = {name: _sockets(server) for name, server in servers.items()}
        self.site = NAMES[0]

    @property
    def find(self) -> Callable[[bytes, Second], Plan]:
        """As ashttpd.http.connection.Source has it."""
        return self._answers[self.site].find

    def swap(self, site: str) -> None:
        """Deploy a site; returns when every server answers from it."""
        put(self._vhosts, _HOST, webroots()[site])
        body = f"hello from {site}".encode("ascii")
        for server in self.servers.values():
            eventually(partial(_answers, server, body))
        self.site = site

    def assert_well(self) -> None:
        """Hold that each server runs, met nothing unexpected, and has closed all connections."""
        for name, server in self.servers.items():
            server.assert_well()
            eventually(partial(_has_sockets, server, self._sockets[name]))


def _answers(server: Server, body: bytes) -> bool:
    return server.get("/hello.txt", _HOST).body == body


def _has_sockets(server: Server, count: int) -> bool:
    return _sockets(server) == count


def _has_one_webroot(server: Server) -> bool:
    built = {str(path) for path in webroots().values()}
    found = [name for name in server.open_files() if name in built]
    # An engine may have a second descriptor of it, for reads past the page cache.
    return len(set(found)) == 1 and len(found) <= 2


@shared
@contextmanager
def arena() -> Iterator[Arena]:
    """Start a server of each engine that this machine has; at the end they have to end well."""
    with ExitStack() as stack:
        vhosts = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ashttpd-fuzz-")))
        put(vhosts, _HOST, webroots()[NAMES[0]])
        sites = {
            name: Sites({_HOST: stack.enter_context(opened(path))})
            for name, path in webroots().items()
        }
        servers = {}
        for engine in ENGINES:
            if engine.lack:
                assert os.environ.get(REQUIRE) != "1", engine.lack
                continue
            servers[engine.name] = stack.enter_context(engine.serving(vhosts, *_PATIENCE))
        yield Arena(vhosts, servers, sites)
        for server in servers.values():
            eventually(partial(_has_one_webroot, server))


class Talk:
    """A connection to each server, over which the same is sent, and what has to come back."""

    def __init__(self, arena: Arena) -> None:
        """Connect."""
        self._clients = {name: server.connect() for name, server in arena.servers.items()}
        self._servers = arena.servers
        self._model = Connection(make_scan(), arena, _LIMITS, 0.0)
        # What has to come and was not read yet; where in it dates stand, with the time of asking.
        self._pending = b""
        self._dates: list[tuple[int, int]] = []
        # Where the last response starts in what is pending; negative once it was begun.
        self._last = -1
        self._unheard = 0
        self.ended = self.half_closed = self.closed = False

    @property
    def may_send(self) -> bool:
        """Whether somebody would listen."""
        return not self.ended and not self.half_closed

    def send(self, data: bytes, *, alone: bool) -> None:
        """Send; `alone` waits until the servers have taken it, where they would."""
        if self._unheard + len(data) > _UNHEARD_BYTES:
            self.read(len(self._pending))
        self._unheard += len(data)
        for client in self._clients.values():
            client.send(data)
        self._expect(data)
        # More than one read takes may wait for us to read answers.
        one_read = self._unheard == len(data) <= _LIMITS.head_bytes
        if alone and one_read and not self.ended:
            for name, client in self._clients.items():
                wait_until_read(self._servers[name], client)

    def _expect(self, data: bytes) -> None:
        """Add what the core answers to what has to come."""
        epoch = int(time.time())
        now = Now(0.0, second_of(epoch))
        step = self._model.feed(data, now)
        while isinstance(step, Plan):
            self._last = len(self._pending)
            self._dates.append((self._last + step.head.index(b"\r\nDate: ") + 8, epoch))
            self._pending += render(step)
            step = self._model.sent(now)
        self.ended = step is not Want.READ

    def read(self, count: int) -> None:
        """Read so many bytes of what has to come from each server; closes where they do not."""
        expected = self._pending[:count]
        for name, client in self._clients.items():
            try:
                came = self._with_expected_dates(client.read_bytes(len(expected)), expected)
                assert came == expected, (name, _difference(came, expected))
            except BaseException:
                self.close()
                raise
        done = len(expected)
        self._pending = self._pending[done:]
        self._last -= done
        self._dates = [(start - done, a) for start, a in self._dates if start + _DATE_BYTES > done]
        if not self._pending:
            self._unheard = 0

    def _with_expected_dates(self, came: bytes, expected: bytes) -> bytes:
        """Return what came with each Date, if it is near, replaced by the one that we expect."""
        result = bytearray(came)
        for start, asked in self._dates:
            stop = start + _DATE_BYTES
            if start >= 0 and stop <= len(came):
                _check_date(came[start:stop], asked)
            part = slice(max(0, start), min(stop, len(came)))
            result[part] = expected[part]
        return bytes(result)

    def read_some(self, share: float) -> None:
        """Read a share of what has to come, from 0 to 1."""
        self.read(int(len(self._pending) * share))

    def begin_last(self) -> None:
        """Read up to where the last response has begun, so that nothing can change it."""
        self.read(max(0, self._last + 1))

    def half_close(self) -> None:
        """Say that nothing more will be sent; what was asked for still has to come."""
        self.half_closed = True
        for client in self._clients.values():
            client.socket.shutdown(socket.SHUT_WR)

    def finish(self) -> None:
        """Read all, see the servers close, and close; nothing where it is closed already."""
        if self.closed:
            return
        if self.may_send:
            self.half_close()
        self.read(len(self._pending))
        for name, client in self._clients.items():
            assert client.read_rest() == b"", name
        self.close()

    def close(self) -> None:
        """Close, whatever is still to come."""
        self.closed = True
        for client in self._clients.values():
            client.close()

    def reset(self) -> None:
        """Vanish."""
        self.closed = True
        for client in self._clients.values():
            client.reset()


def _check_date(date: bytes, asked: int) -> None:
    """Hold that a Date lies between the second of the request, or the one before, and now."""
    epoch = parsedate_to_datetime(date.decode("ascii")).timestamp()
    assert asked - 1 <= epoch <= time.time() + 1, date


def _difference(came: bytes, expected: bytes) -> tuple[int, bytes, bytes]:
    """Return where two streams part, and how they go on there."""
    length = min(len(came), len(expected))
    place = next((i for i in range(length) if came[i] != expected[i]), length)
    start = max(0, place - 100)
    return place, came[start : place + 200], expected[start : place + 200]
