"""What tests of the whole server stand on: sites, a server process, a client that sees bytes.

Nothing here waits for a length of time: it waits for a line of the log, for bytes, or for a
condition that it looks at again and again, each with a deadline.
"""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Final, TypeVar
from unittest.mock import patch

import pytest

from mkroot.build import Options, build

# How long anything may take that should take no time: a busy machine is slow, a hang is for ever.
DEADLINE_SECONDS: Final = 20.0
PROGRAM: Final = (sys.executable, "-m", "ashttpd")
# Set where a machine has all that the tests need: what is missing is then a failure.
REQUIRE: Final = "ASHTTPD_REQUIRE_ENGINES"
# Numbers of linux/netlink.h and linux/sock_diag.h.
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_LISTENING: Final = re.compile(r"listening on http://\S+:(\d+)/")


Found = TypeVar("Found")


def skip_for_lack(reason: str) -> None:
    """Skip the test that calls it, or fail it where nothing may be missing."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE}=1 allows no skip")
    pytest.skip(reason)


def eventually(condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> float:
    """Look at a condition until it is true; returns how long that took. Fails at the deadline."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            pytest.fail(f"not so within {seconds} s: {condition}")
        # Leaves the processor to who is to make it true.
        time.sleep(0.002)
    return time.monotonic() - start


def build_site(content: Mapping[str, bytes], webroot: Path) -> Path:
    """Build a webroot of files given by their paths; returns where it is."""
    source = webroot.parent / f"{webroot.name}.source"
    for name, data in content.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    # It need not survive a power cut, and hundreds of these would wait for the disk.
    with patch("mkroot.output.os.fsync"):
        build(source, webroot, Options(last_modified=True), lambda _progress: None)
    return webroot


def put(vhosts: Path, name: str, webroot: Path) -> None:
    """Make a name in a vhosts directory a symlink to a webroot, in one step."""
    temporary = vhosts / f".{name}.new"
    temporary.symlink_to(webroot)
    temporary.rename(vhosts / name)


class Log:
    """The lines that a process writes to a pipe, read as they come."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lines: list[str] = []
        self._changed = Condition()
        self._ended = False
        self._thread = Thread(target=self._read, name="log-of-server")
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._changed:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str, seconds: float = DEADLINE_SECONDS) -> re.Match[str]:
        """Return the first match in the log; fails when it ends, or time does, without one."""
        expression = re.compile(pattern)
        return self._wait(lambda: expression.search("\n".join(self._lines)), pattern, seconds)

    def wait_for_count(self, text: str, count: int) -> None:
        """Wait until so many lines hold a text."""
        wanted = f"{count} times {text}"
        self._wait(
            lambda: sum(text in line for line in self._lines) >= count, wanted, DEADLINE_SECONDS
        )

    def _wait(self, find: Callable[[], Found | None], wanted: str, seconds: float) -> Found:
        give_up = time.monotonic() + seconds
        with self._changed:
            while not (found := find()):
                left = give_up - time.monotonic()
                if self._ended or left <= 0:
                    lines = "\n".join(self._lines)
                    pytest.fail(f"{wanted!r} does not come in the log:\n{lines}")
                self._changed.wait(left)
            return found

    def close(self) -> None:
        """Wait for the end of the pipe."""
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "the log does not end: somebody still holds the pipe"
        self._pipe.close()


class Server:
    """A running `python -m ashttpd`; `serving` makes it."""

    def __init__(self, vhosts: Path, options: Sequence[str], python: Sequence[str]) -> None:
        self.vhosts = vhosts
        self.process = subprocess.Popen(
            [*python, "--bind", "127.0.0.1:0", *options, str(vhosts)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        assert self.process.stderr is not None
        self.log = Log(self.process.stderr)
        self.port = int(self.log.wait_for(_LISTENING.pattern)[1])

    def connect(self, receive_bytes: int | None = None, source: str = "") -> "Client":
        """Connect to it, perhaps from another address of the loopback interface."""
        return Client(self.port, receive_bytes, source)

    def get(self, target: str = "/", host: str = "site.example") -> "Response":
        """Fetch with a connection of its own."""
        with self.connect() as client:
            return client.get(target, host)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Wait until it ends; returns the exit status."""
        return self.process.wait(seconds)

    def resident_bytes(self) -> int:
        """How much memory it holds, without what is mapped in of the page cache."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", status)
        assert len(found) == 2
        return sum(map(int, found)) * 1024

    def open_files(self) -> list[str]:
        """What its descriptors lead to."""
        names = []
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                names.append(os.readlink(link))
            except FileNotFoundError:
                continue  # closed since
        return names

    def open_sockets(self) -> int:
        """How many sockets it has open, those that listen among them."""
        return sum(name.startswith("socket:") for name in self.open_files())

    def assert_well(self) -> None:
        """Hold that it runs and has met nothing that it did not expect."""
        assert self.process.poll() is None, self.log.text
        self._assert_no_traceback()

    def _assert_no_traceback(self) -> None:
        assert "Traceback" not in self.log.text, self.log.text

    def stop(self) -> None:
        """End it as an operator would, and hold that it ended well; again is no harm."""
        self.close(signal.SIGTERM, status=0)

    def close(self, number: int, status: int) -> None:
        """End it with a signal unless it has ended, and hold it against its exit status."""
        try:
            if self.process.poll() is None:
                self.signal(number)
            assert self.wait() == status, self.log.text
        finally:
            self.kill()
        self._assert_no_traceback()

    def kill(self) -> None:
        """See to it that nothing of it is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        if self.process.stdout is not None:
            self.process.stdout.close()


def run_program(
    *arguments: str, program: Sequence[str] = PROGRAM
) -> subprocess.CompletedProcess[str]:
    """Run `python -m ashttpd`, or another program, which is expected to end by itself."""
    return subprocess.run(
        [*program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@contextmanager
def serving(
    vhosts: Path, *options: str, status: int = 0, python: Sequence[str] = PROGRAM
) -> Iterator[Server]:
    """Run a server for the length of the block, and hold that it ends well behind it."""
    server = Server(vhosts, ["--drain-seconds", "2", *options], python)
    try:
        yield server
        server.close(signal.SIGTERM, status)
    finally:
        server.kill()


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it came; the names of fields are in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes
    head: bytes


class Client:
    """A connection to a server on the loopback interface."""

    def __init__(self, port: int, receive_bytes: int | None = None, source: str = "") -> None:
        self.socket = socket.socket()
        with ExitStack() as undo:
            undo.callback(self.socket.close)
            self.socket.settimeout(DEADLINE_SECONDS)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_bytes is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            if source:
                self.socket.bind((source, 0))
            self.socket.connect(("127.0.0.1", port))
            undo.pop_all()
        self._input = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._input.close()
        self.socket.close()

    def reset(self) -> None:
        """Vanish as a crashed peer does: with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def get(self, target: str = "/", host: str = "site.example", *fields: str) -> Response:
        """Send a GET, with further field lines, and read its response."""
        self.send(request(target, host, *fields))
        return self.read()

    def read_head(self) -> Response:
        """Read a head; the body is still to come."""
        lines = []
        while (line := self._input.readline()) not in (b"\r\n", b""):
            lines.append(line)
        assert lines, "the connection was closed instead of an answer"
        assert line, f"the connection was closed within a head: {lines}"
        version, status, _phrase = lines[0].split(b" ", 2)
        assert version == b"HTTP/1.1"
        fields = {}
        for field in lines[1:]:
            name, colon, value = field.decode("latin-1").partition(":")
            assert colon
            assert name.lower() not in fields, f"two {name} in {lines}"
            fields[name.lower()] = value.strip()
        return Response(int(status), fields, b"", b"".join(lines))

    def read(self, *, to_head: bool = False) -> Response:
        """Read a response, to a HEAD request where it says so."""
        response = self.read_head()
        if to_head or response.status in (204, 304):
            return response
        length = int(response.fields["content-length"])
        body = self._input.read(length)
        assert len(body) == length, f"cut off at {len(body)} of {length} bytes"
        return Response(response.status, response.fields, body, response.head)

    def read_bytes(self, count: int) -> bytes:
        """Read so many bytes, or fewer where the connection ends."""
        return self._input.read(count)

    def peek(self) -> bytes:
        """What has come already and is read next."""
        return self._input.peek()

    def read_rest(self) -> bytes:
        """Read until the server closes."""
        return self._input.read()


def request(
    target: str = "/", host: str = "site.example", *fields: str, method: str = "GET"
) -> bytes:
    """Return the bytes of a request."""
    lines = (f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", "")
    return "\r\n".join(lines).encode("latin-1")


def queued_bytes(server_port: int, client_port: int) -> int:
    """How much of what a client sent its server has not read yet; asks the kernel, sock_diag(7)."""
    loopback = socket.inet_aton("127.0.0.1").ljust(16, b"\0")
    # struct inet_diag_req_v2 of linux/inet_diag.h, for any state, behind a struct nlmsghdr.
    question = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
    question += struct.pack("!HH", server_port, client_port) + loopback + loopback
    question += struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    header = struct.pack("=IHHII", 16 + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(header + question)
        answer = kernel.recv(4096)
    (kind,) = struct.unpack_from("=H", answer, 4)
    if kind != _SOCK_DIAG_BY_FAMILY:
        raise OSError(-struct.unpack_from("=i", answer, 16)[0], "sock_diag")
    # struct inet_diag_msg: four bytes, the 48 of the socket's id, a timer, then the queues.
    (receive_queue,) = struct.unpack_from("=I", answer, 16 + 4 + 48 + 4)
    return int(receive_queue)


def wait_until_read(server: Server, client: Client) -> None:
    """Wait until the server has taken all that a client sent."""
    port = client.socket.getsockname()[1]
    eventually(lambda: queued_bytes(server.port, port) == 0)
