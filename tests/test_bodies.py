"""How large bodies leave, in what is compiled: through a pipe that nobody's bytes stay in."""

import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ashttpd.epoll._turn import lib

from ashttpd import bodies
from ashttpd.epoll.compiled import CompiledSockets
from ashttpd.epoll.sockets import KIND_SHIFT, WITH_FILE, Kind, Mode
from ashttpd.http.limits import Limits
from ashttpd.http.plan import Plan
from ashttpd.listen import LOOPBACK_CONGESTION_CONTROL
from ashttpd.uring.ring import WITH_BODY
from tests.rings import MakeFile, MakeRing

# What goes through the pipe: more than LARGE_BYTES of bodies.c, and as much as it has room for.
SIZE = bodies.AT_ONCE_BYTES
HEAD = b"head"


@pytest.fixture
def content(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    """A file: its descriptor, and what is in it."""
    data = os.urandom(2 * SIZE)
    path = tmp_path / "file"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    yield fd, data
    os.close(fd)


@pytest.fixture
def sockets() -> Iterator[CompiledSockets]:
    with closing(CompiledSockets(Limits())) as compiled:
        yield compiled


def pair_of(sockets: CompiledSockets, room: int) -> tuple[int, socket.socket]:
    """A socket that is owned and takes about so much, and its peer, which never waits."""
    near, peer = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    near.setblocking(False)
    peer.setblocking(False)
    fd = near.detach()
    sockets.add([fd], Mode.RAW)
    return fd, peer


def take(peer: socket.socket) -> bytes:
    """Take all that is there."""
    came = bytearray()
    try:
        while data := peer.recv(1 << 20):
            came += data
    except BlockingIOError:
        return bytes(came)
    return bytes(came)


def send(sockets: CompiledSockets, fd: int, file: int, offset: int, size: int = SIZE) -> int:
    """Send a head and a part of a file; returns how much of it left, or a negative errno."""
    plan = Plan(HEAD, (), len(HEAD) + size, 0, 200, False, False)
    sockets.queue([fd | WITH_FILE, id(HEAD), len(HEAD), file, offset, size], [plan])
    events = list(sockets.turn(0))
    if not events:
        return plan.size
    [(tag, _number, sent, _hot)] = events
    assert tag == Kind.SHORT << KIND_SHIFT | fd
    return sent


def pipes() -> int:
    """Return how many ends of pipes are open."""
    return sum(os.path.realpath(f"/proc/self/fd/{fd}").find("pipe:") >= 0 for fd in open_files())


def data_segments_of(connection: socket.socket) -> int:
    """Return how many segments with data left: tcpi_data_segs_out of linux/tcp.h."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int.from_bytes(info[156:160], sys.byteorder)


def open_files() -> list[str]:
    return os.listdir("/proc/self/fd")


def test_each_has_a_pipe_of_its_own_and_closes_it() -> None:
    before = len(open_files()), pipes()
    with closing(CompiledSockets(Limits())):
        assert pipes() == before[1] + 2
    assert (len(open_files()), pipes()) == before


def test_the_numbers_of_python_and_of_c_are_the_same() -> None:
    assert lib.AT_ONCE_BYTES == bodies.AT_ONCE_BYTES
    assert lib.WINDOW_BYTES == bodies.WINDOW_BYTES
    assert lib.HURRIED_BYTES == bodies.HURRIED_BYTES
    assert lib.SMALL_MICROSECONDS == bodies.SMALL_SECONDS * 1e6


@pytest.mark.parametrize("room", [4 << 10, 300 << 10, 4 << 20])
def test_what_a_socket_does_not_take_is_sent_to_nobody_else(
    sockets: CompiledSockets, content: tuple[int, bytes], room: int
) -> None:
    file, data = content
    for offset in (0, 4096, 5000, SIZE):
        fd, peer = pair_of(sockets, room)
        with closing(peer):
            sent = send(sockets, fd, file, offset)
            assert len(HEAD) < sent <= len(HEAD) + SIZE
            assert take(peer) == (HEAD + data[offset : offset + SIZE])[:sent]
            sockets.drop(fd)


def test_a_file_that_ends_too_early_is_sent_to_its_end(
    sockets: CompiledSockets, content: tuple[int, bytes]
) -> None:
    file, data = content
    fd, peer = pair_of(sockets, 4 << 20)
    with closing(peer):
        sent = send(sockets, fd, file, 2 * SIZE - 300_000)
        assert len(HEAD) < sent <= len(HEAD) + 300_000
        assert take(peer) == (HEAD + data[-300_000:])[:sent]
        assert send(sockets, fd, file, 2 * SIZE) == len(HEAD), "there is nothing"
        assert take(peer) == HEAD
        sockets.drop(fd)


def test_without_a_pipe_all_is_sent_too(
    content: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, data = content
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(file)
    os.close(lowest)

    def leave_room_for_one() -> int:
        """Return the number of sockets, which is asked for before anything is opened."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, limits[1]))
        return 1000

    def leave_room(value: int, flags: int, make: Callable[[int, int], int] = os.eventfd) -> int:
        """Make an eventfd, which is what is opened last."""
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        return make(value, flags)

    monkeypatch.setattr("ashttpd.epoll.compiled.count_sockets", leave_room_for_one)
    monkeypatch.setattr("os.eventfd", leave_room)
    before = pipes()
    with closing(CompiledSockets(Limits())) as sockets:
        assert pipes() == before
        fd, peer = pair_of(sockets, 4 << 20)
        with closing(peer):
            sent = send(sockets, fd, file, 0)
            assert sent > len(HEAD)
            assert take(peer) == (HEAD + data)[:sent]
            sockets.drop(fd)


def test_the_ring_leaves_nothing_of_one_socket_to_the_next_either(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    data = os.urandom(2 * SIZE)
    driver = make_ring()
    file = backed(data)  # whose map lives as long as it does
    number = driver.ring.map_file(file)
    for offset in (0, SIZE, 5000):
        client, fd = driver.accept()
        with client:
            with socket.socket(fileno=os.dup(fd)) as near:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
            sends = [fd | WITH_BODY, id(HEAD), len(HEAD), number, offset, SIZE, 0]
            driver.turn(sends, timeout=0)
            body = data[offset : offset + SIZE]
            assert driver.receive(client, len(HEAD) + SIZE) == HEAD + body


def segments_of_answers(sockets: CompiledSockets, file: int, size: int) -> tuple[int, int]:
    """Return in how many segments some answers left, at the least, and how large one is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near, peer = socket.create_connection(listener.getsockname()), listener.accept()[0]
    with near, peer:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, LOOPBACK_CONGESTION_CONTROL)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.setblocking(False)
        peer.settimeout(10)
        sockets.add([fd := os.dup(near.fileno())], Mode.RAW)
        counts = []
        for _ in range(8):
            before = data_segments_of(near)
            left = send(sockets, fd, file, 0, size)
            came = 0
            while came < left:
                came += len(peer.recv(left - came))
            counts.append(data_segments_of(near) - before)
        assert not near.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK), "nothing is held back"
        sockets.drop(fd)
        return min(counts), near.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


@pytest.mark.parametrize(("size", "apart"), [(SIZE, len(HEAD)), (100 << 10, 0)])
def test_answers_leave_in_full_segments_though_they_are_acknowledged_meanwhile(
    sockets: CompiledSockets, content: tuple[int, bytes], size: int, apart: int
) -> None:
    # Windows and segments are small at first, and on some connections there is one more every time.
    # Without a cork there is on all: the first ACK comes before the last part.
    counts = [segments_of_answers(sockets, content[0], size) for _ in range(10)]
    together = len(HEAD) + size - apart
    assert any(count == (apart > 0) + -(-together // segment) for count, segment in counts), (
        f"heads apart: {apart}; {counts}"
    )
