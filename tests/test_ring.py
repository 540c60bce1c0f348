"""The ring alone: all that can go wrong between a program and its io_uring."""

import errno
import os
import socket
import sys
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ashttpd.bodies import HURRIED_BYTES, WINDOW_BYTES
from ashttpd.engine import UnusableError
from ashttpd.http.dates import second_of
from ashttpd.http.limits import Limits
from ashttpd.uring import ring as ring_module
from ashttpd.uring.ring import (
    TELL,
    WITH_BODY,
    Kind,
    Mode,
    Ring,
    SetupFlag,
)
from fuzz.fakes import EPOCH
from tests.pagecache import cached, forget, lack_of_huge_pages, mapped_huge
from tests.rings import Backed, MakeFile, MakeRing, read_all, reset
from tests.servers import request, skip_for_lack

MANY = 40
# What of large bodies is sent in a turn; the number is bodies.c's.
TURN_BYTES = 16 << 20
# What is brought in at a time, and of what is left of a large body; the numbers are ring.h's.
CHUNK_BYTES = 128 << 10
HUGE_BYTES = 2 << 20
# More than the kernel keeps for a peer that reads nothing.
LARGE = bytes(32 << 20)


def test_a_whole_head_comes_with_its_key_and_anything_else_as_data(make_ring: MakeRing) -> None:
    driver = make_ring()
    head = request("/x")
    with closing(driver.connect()) as client:
        client.send(head)
        driver.until(lambda: len(driver.keys) == 1)
        assert driver.keys == [b"1k-GET /x\nHsite.example\n"]
        fd = driver.accepted[0]
        client.send(head[:9])
        driver.until(lambda: driver.came[fd] == head + head[:9])
        # What follows a part is never taken for a head, though it may look like one.
        client.send(head)
        driver.until(lambda: driver.came[fd] == head + head[:9] + head)
        assert len(driver.keys) == 1
        driver.ring.hear(fd, Mode.HEADS)
        client.send(head)
        driver.until(lambda: len(driver.keys) == 2)


def test_a_head_is_answered_before_anything_else_of_its_socket_is_told(make_ring: MakeRing) -> None:
    driver = make_ring()
    with closing(driver.connect()) as client:
        client.send(request("/x"))
        driver.until(lambda: len(driver.keys) == 1)
        # Both are here when the next turn begins, and come in turns of their own.
        client.send(request("/y"))
        driver.until(lambda: len(driver.keys) == 2)
        client.shutdown(socket.SHUT_WR)
        driver.until(lambda: driver.of(Kind.END, driver.accepted[0]) == [0])


def test_with_all_buffers_full_sockets_wait_and_nothing_is_lost(make_ring: MakeRing) -> None:
    driver = make_ring(buffers=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(driver.connect())) for _ in range(MANY)]
        driver.until(lambda: len(driver.accepted) == MANY)
        data = bytes(range(256)) * 100
        for client in clients:
            client.sendall(data)
        driver.until(lambda: all(came == data for came in driver.came.values()))


def test_more_sends_than_the_submission_queue_has_room_for_all_leave(make_ring: MakeRing) -> None:
    driver = make_ring(entries=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(driver.connect())) for _ in range(MANY)]
        driver.until(lambda: len(driver.accepted) == MANY)
        answer = b"an answer"
        driver.turn([n for fd in driver.accepted for n in (fd, id(answer), len(answer))])
        for client in clients:
            assert read_all(client, len(answer)) == answer
        assert driver.told == []


def test_more_completions_than_their_queue_has_room_for_all_come(make_ring: MakeRing) -> None:
    driver = make_ring(entries=2, completions=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(driver.connect())) for _ in range(MANY)]
        driver.until(lambda: len(driver.accepted) == MANY)
        answer = b"an answer"

        def all_is_done(times: int) -> bool:
            sent = {len(driver.of(Kind.SENT, fd)) for fd in driver.accepted}
            return set(driver.came.values()) == {b"bytes" * times} and sent == {times}

        for number in range(1, 4):
            for client in clients:
                client.sendall(b"bytes")
            driver.turn([n for fd in driver.accepted for n in (fd | TELL, id(answer), len(answer))])
            driver.until(partial(all_is_done, number))


def test_what_a_peer_does_not_take_at_once_is_told_and_leaves_wholly(make_ring: MakeRing) -> None:
    driver = make_ring()
    client, fd = driver.accept(receive_bytes=4096)
    with client:
        driver.turn([fd, id(LARGE), len(LARGE)])
        driver.until(lambda: driver.of(Kind.PENDING, fd) == [0])
        received = 0
        while received < len(LARGE):
            received += len(client.recv(1 << 20))
            driver.turn(timeout=0)
        driver.until(lambda: driver.of(Kind.SENT, fd) == [len(LARGE)])


def test_a_peer_that_resets_amid_a_send_is_told_and_its_number_can_be_anothers(
    make_ring: MakeRing,
) -> None:
    driver = make_ring()
    client, fd = driver.accept(receive_bytes=4096)
    driver.turn([fd | TELL, id(LARGE), len(LARGE)])
    reset(client)
    driver.until(lambda: bool(driver.of(Kind.SENT, fd)) and bool(driver.of(Kind.END, fd)))
    assert driver.of(Kind.SENT, fd)[0] < len(LARGE)
    assert not driver.drop(fd)
    again, next_fd = driver.accept()
    with again:
        assert next_fd == fd
        again.send(b"bytes")
        driver.until(lambda: driver.came[fd] == b"bytes")


def test_a_socket_dropped_amid_a_send_keeps_its_number_until_nothing_of_it_is_in_flight(
    make_ring: MakeRing,
) -> None:
    driver = make_ring()
    client, fd = driver.accept(receive_bytes=4096)
    with client:
        driver.turn([fd | TELL, id(LARGE), len(LARGE)])
        assert driver.ring.in_flight == 2
        assert driver.drop(fd)
        os.fstat(fd)  # still open, and so nobody else's
        before = len(driver.told)
        driver.until(lambda: bool(driver.of(Kind.GONE, fd)))
        driver.until(lambda: driver.ring.in_flight == 0)
        assert driver.told[before:] == [(Kind.GONE, fd, 0)]
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
        assert len(read_all(client, len(LARGE))) < len(LARGE)


def test_a_peer_that_resets_amid_a_large_part_of_a_file_is_told(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    file = backed(LARGE)
    driver = make_ring()
    client, fd = driver.accept(receive_bytes=4096)
    number = driver.ring.map_file(file)
    driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, len(LARGE), 0])
    assert driver.receive(client, 1)
    reset(client)
    driver.until(lambda: bool(driver.of(Kind.SENT, fd)) and bool(driver.of(Kind.END, fd)))
    assert driver.of(Kind.SENT, fd)[0] < len(LARGE)
    assert not driver.drop(fd)


def test_a_socket_dropped_amid_a_large_part_of_a_file_is_closed_when_nothing_is_in_flight(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    file = backed(LARGE)
    driver = make_ring()
    client, fd = driver.accept(receive_bytes=4096)
    with client:
        number = driver.ring.map_file(file)
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, len(LARGE), 0])
        assert driver.receive(client, 1)
        if driver.drop(fd):
            driver.until(lambda: bool(driver.of(Kind.GONE, fd)))
        driver.until(lambda: driver.ring.in_flight == 0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_dropped_socket_ignores_what_was_queued_for_it(make_ring: MakeRing) -> None:
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        answer = b"an answer"
        driver.drop(fd)
        driver.turn([fd, id(answer), len(answer)])
        assert client.recv(100) == b""


def test_a_deafened_socket_is_not_read_until_it_is_heard_again(make_ring: MakeRing) -> None:
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        driver.ring.deafen(fd)
        driver.until(lambda: driver.ring.in_flight == 0)
        client.send(b"bytes")
        for _ in range(10):
            driver.turn()
        assert driver.came[fd] == b""
        driver.ring.hear(fd, Mode.RAW)
        driver.until(lambda: driver.came[fd] == b"bytes")


def test_a_part_of_a_file_follows_a_head_in_one_send(make_ring: MakeRing, backed: MakeFile) -> None:
    content = os.urandom(700_000)
    file = backed(content)
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        number = driver.ring.map_file(file)
        assert driver.ring.map_file(file) == number
        head = b"head"
        driver.turn([fd | WITH_BODY, id(head), 4, number, 1000, 600_000, 0])
        assert driver.receive(client, 600_004) == head + content[1000:601_000]


def test_a_cold_part_of_a_file_is_brought_in_before_it_is_sent(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    content = os.urandom(400_000)
    file = backed(content)
    forget(file.path)
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        number = driver.ring.map_file(file)
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, len(content), 0])
        driver.until(lambda: driver.of(Kind.SENT, fd) == [len(content)])
        assert read_all(client, len(content)) == content


def test_of_a_large_body_huge_pages_are_brought_in(make_ring: MakeRing, backed: MakeFile) -> None:
    content = os.urandom(4 * HUGE_BYTES)
    file = backed(content)
    if lack := lack_of_huge_pages(Path(file.path)):
        skip_for_lack(lack)
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        number = driver.ring.map_file(file)
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, len(content), 0])
        assert driver.receive(client, len(content)) == content
        assert mapped_huge(file.path) >= HUGE_BYTES


def test_of_a_small_body_only_what_is_around_it_is_brought_in(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    content = os.urandom(4 * HUGE_BYTES)
    file = backed(content)
    forget(file.path)
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        number = driver.ring.map_file(file)
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, HUGE_BYTES + 5000, 600, 0])
        assert driver.receive(client, 600) == content[HUGE_BYTES + 5000 :][:600]
        assert cached(file.path) == CHUNK_BYTES


def test_what_is_larger_than_a_window_comes_whole_and_is_told_once(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    content = os.urandom(5 * WINDOW_BYTES + 12_345)
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        file = backed(content)  # whose map lives as long as it does
        number = driver.ring.map_file(file)
        head, tail = b"head", len(content) - 777
        driver.turn([fd | WITH_BODY | TELL, id(head), 4, number, 777, tail, 0])
        assert driver.receive(client, 4 + tail) == head + content[777:]
        driver.until(lambda: driver.of(Kind.SENT, fd) == [4 + tail])


def data_segments_to(client: socket.socket) -> int:
    """Return how many segments with data came: tcpi_data_segs_in of linux/tcp.h."""
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 156)
    return int.from_bytes(info[152:156], sys.byteorder)


def has_something(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return False


@pytest.mark.parametrize(
    ("hurry", "room"), [(False, TURN_BYTES), (True, HURRIED_BYTES)], ids=["leisure", "hurry"]
)
def test_windows_of_many_are_sent_in_turn_and_no_more_than_a_turn_has_room_for(
    make_ring: MakeRing, backed: MakeFile, hurry: bool, room: int
) -> None:
    content = os.urandom(1 << 20)
    length = min(len(content), room)
    driver = make_ring()
    file = backed(content)  # whose map lives as long as it does
    number = driver.ring.map_file(file)
    with ExitStack() as stack:
        first, first_fd = driver.accept()
        stack.enter_context(first)
        driver.turn([first_fd | WITH_BODY | TELL, 0, 0, number, 0, len(content), 0])
        assert driver.receive(first, len(content)) == content, "now it is mapped in"
        driver.until(lambda: len(driver.told) == 1)
        driver.told.clear()
        clients = dict(driver.accept()[::-1] for _ in range(20))
        sends: list[int] = []
        for fd, client in clients.items():
            stack.enter_context(client).setblocking(False)
            sends += [fd | WITH_BODY | TELL, 0, 0, number, 0, len(content), 0]
        if hurry:  # since somebody is sent a small answer
            small = b"a small answer"
            driver.turn([first_fd, id(small), len(small)])
        served = 0
        while served < len(clients):
            driver.turn(sends, timeout=0)
            sends.clear()
            served = min(served + room // length, len(clients))
            # Nobody has a second window before each had one.
            assert [has_something(client) for client in clients.values()] == [
                number < served for number in range(len(clients))
            ]
        for client in clients.values():
            assert driver.receive(client, len(content)) == content
        driver.until(lambda: len(driver.told) == len(clients))


@pytest.mark.parametrize("has_looked", [False, True])
def test_nothing_more_of_a_file_leaves_once_the_sites_are_distrusted(
    make_ring: MakeRing, backed: MakeFile, has_looked: bool
) -> None:
    driver = make_ring()
    file = backed(LARGE)  # whose map lives as long as it does
    number = driver.ring.map_file(file)
    client, fd = driver.accept()
    client.setblocking(False)
    with client:

        def take() -> int:
            """Take all that is there, without turning."""
            came = 0
            while has_something(client):
                came += len(client.recv(1 << 20))
            return came

        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, len(LARGE), 0])
        driver.until(lambda: has_something(client))
        driver.ring.hot.distrust()
        if has_looked:
            driver.ring.hot.begin(second_of(EPOCH), allowed=False)
        # What has left before may still be on its way to the client, which makes room for more.
        came = 0

        def has_ended() -> bool:
            nonlocal came
            came += take()
            return bool(driver.of(Kind.SENT, fd))

        driver.until(has_ended)
        [left_us] = driver.of(Kind.SENT, fd)
        assert left_us < len(LARGE)
        # Nor of what is queued before the engine has looked at the sites.
        driver.ring.hot.distrust()
        left = len(LARGE) - left_us
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, left_us, left, 0])
        assert driver.of(Kind.SENT, fd) == [left_us, -errno.ESTALE]
        # But then it goes on. The byte in between shows that nothing else was sent.
        mark = b"|"
        driver.turn([fd | TELL, id(mark), len(mark)])
        driver.ring.hot.begin(second_of(EPOCH), allowed=False)
        driver.until(lambda: driver.of(Kind.SENT, fd)[2:] == [len(mark)])
        came += len(driver.receive(client, left_us - came))
        assert driver.receive(client, 1) == mark
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, left_us, left, 0])
        driver.until(lambda: take() > 0)


def test_who_is_dropped_while_others_are_sent_windows_is_closed_at_once_and_its_number_is_free(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    content = os.urandom(3 * WINDOW_BYTES)
    driver = make_ring()
    file = backed(content)  # whose map lives as long as it does
    number = driver.ring.map_file(file)
    slow, first = driver.accept(receive_bytes=4096)
    with slow:
        for _ in range(30):
            client, fd = driver.accept()
            with client:
                both = [
                    (n | WITH_BODY | TELL, 0, 0, number, 0, len(content), 0) for n in (first, fd)
                ]
                driver.turn([n for send in both for n in send], timeout=0)
                driver.drop(fd)
        client, fd = driver.accept()
        with client:
            driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, len(content), 0])
            assert driver.receive(client, len(content)) == content


def test_a_file_truncated_under_us_fails_the_send_and_kills_nobody(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    file = backed(bytes(300_000))
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        number = driver.ring.map_file(file)
        os.truncate(file.fd, 0)
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, 300_000, 0])
        driver.until(lambda: driver.of(Kind.SENT, fd) == [-errno.EFAULT])


def test_a_file_truncated_after_it_was_found_in_memory_fails_the_send_too(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    file = backed(bytes(300_000))
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        number = driver.ring.map_file(file)
        for _ in range(2):
            driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, 1000, 0])
            driver.until(lambda: bool(driver.of(Kind.SENT, fd)))
        os.truncate(file.fd, 0)
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number, 0, 1000, 0])
        driver.until(lambda: driver.of(Kind.SENT, fd)[-1:] == [-errno.EFAULT])


def test_a_part_that_is_not_of_the_file_is_not_sent(make_ring: MakeRing, backed: MakeFile) -> None:
    file = backed(bytes(1000))
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        number = driver.ring.map_file(file)
        for offset, length in ((0, 1001), (-1, 10), (1000, 1), (0, -1)):
            driver.turn([fd | WITH_BODY | TELL, 0, 0, number, offset, length, 0])
            assert driver.told.pop() == (Kind.SENT, fd, -errno.EFAULT)
        driver.turn([fd | WITH_BODY | TELL, 0, 0, number + 1, 0, 1, 0])
        assert driver.told.pop() == (Kind.SENT, fd, -errno.EFAULT)


def test_what_is_fetched_is_in_memory_then(make_ring: MakeRing, backed: MakeFile) -> None:
    file = backed(os.urandom(100_000))
    forget(file.path)
    driver = make_ring()
    client, fd = driver.accept()
    with client:
        driver.ring.fetch(fd, file, 5000, 80_000)
        driver.until(lambda: driver.of(Kind.FETCHED, fd) == [0])
        assert os.preadv(file.fd, [bytearray(80_000)], 5000, os.RWF_NOWAIT) == 80_000


def test_a_map_goes_with_its_file(make_ring: MakeRing, tmp_path: Path) -> None:
    driver = make_ring()
    path = tmp_path / "file"
    file = Backed(path, bytes(1000))
    number = driver.ring.map_file(file)
    assert str(path) in Path("/proc/self/maps").read_text()
    os.close(file.fd)
    del file
    driver.turn()
    assert str(path) not in Path("/proc/self/maps").read_text()
    other = Backed(path, bytes(1000))
    assert driver.ring.map_file(other) == number
    os.close(other.fd)


def test_another_thread_can_end_the_wait(make_ring: MakeRing) -> None:
    driver = make_ring()
    driver.ring.wake()
    driver.turn(timeout=20)
    driver.ring.wake()
    driver.turn(timeout=20)
    assert [kind for kind, _fd, _value in driver.told] == [Kind.WAKE, Kind.WAKE]


def test_a_listener_is_no_longer_accepted_from_once_told(make_ring: MakeRing) -> None:
    driver = make_ring()
    driver.ring.unlisten(driver.listener.fileno())
    driver.until(lambda: driver.refused == [-errno.ECANCELED])
    with closing(driver.connect()):
        for _ in range(10):
            driver.turn()
        assert driver.accepted == []


def test_a_child_gets_nothing_of_a_ring(make_ring: MakeRing) -> None:
    make_ring()
    assert "[io_uring]" in Path("/proc/self/maps").read_text()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        has_ring = "[io_uring]" in Path("/proc/self/maps").read_text()
        os.write(writer, b"yes" if has_ring else b"no")
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert pipe.read() == b"no"
    os.waitpid(child, 0)


class OldKernel:
    """The shim, with a kernel that knows some flags not."""

    def __init__(self, unknown: SetupFlag) -> None:
        self._unknown = unknown
        self._lib: Any = vars(ring_module)["lib"]
        self.ashttpd_ring_open = self._open

    def __getattr__(self, name: str) -> object:
        return getattr(self._lib, name)

    def _open(self, out: object, *arguments: int) -> int:
        if arguments[-1] & self._unknown:
            return -errno.EINVAL
        return int(self._lib.ashttpd_ring_open(out, *arguments))


@pytest.mark.parametrize(
    ("unknown", "best"),
    [
        (SetupFlag(0), SetupFlag.SINGLE_ISSUER | SetupFlag.DEFER_TASKRUN),
        (SetupFlag.DEFER_TASKRUN, SetupFlag.COOP_TASKRUN),
        (SetupFlag.DEFER_TASKRUN | SetupFlag.COOP_TASKRUN, SetupFlag(0)),
    ],
)
def test_an_older_kernel_gets_the_best_flags_that_it_takes(
    make_ring: MakeRing, monkeypatch: pytest.MonkeyPatch, unknown: SetupFlag, best: SetupFlag
) -> None:
    monkeypatch.setattr(ring_module, "lib", OldKernel(unknown))
    driver = make_ring()
    assert driver.ring.flags == best
    client, fd = driver.accept()
    with client:
        answer = b"an answer"
        for _ in range(3):
            client.send(request("/x"))
            driver.until(lambda: bool(driver.keys) and bool(driver.keys.pop()))
            driver.turn([fd, id(answer), len(answer)])
            assert read_all(client, len(answer)) == answer


def test_a_kernel_that_takes_no_flags_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "lib", OldKernel(SetupFlag.CQSIZE))
    with pytest.raises(UnusableError, match=r"too old: it takes Linux 6\.0"):
        Ring(Limits())


def test_what_comes_while_a_plan_is_pending_is_never_a_head(make_ring: MakeRing) -> None:
    driver = make_ring()
    client, fd = driver.accept(receive_bytes=4096)
    with client:
        client.send(request("/x"))
        driver.until(lambda: len(driver.keys) == 1)
        driver.turn([fd, id(LARGE), len(LARGE)])
        assert driver.of(Kind.PENDING, fd) == [0]
        # The send ends, and the next request comes, before anybody looks.
        client.send(request("/y"))
        client.setblocking(False)
        received = 0
        while received < len(LARGE):
            try:
                received += len(client.recv(1 << 20))
            except BlockingIOError:
                driver.turn(timeout=0)
        driver.until(lambda: bool(driver.of(Kind.SENT, fd)))
        assert driver.came[fd] == request("/x") + request("/y")
        assert len(driver.keys) == 1


def test_sends_whose_ends_are_told_behind_hundreds_of_newcomers_are_pending_until_then(
    make_ring: MakeRing,
) -> None:
    driver = make_ring()
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(driver.connect())) for _ in range(1000)]
        for client in clients:
            client.send(request("/x"))
        driver.turn()
        answered = list(driver.accepted)
        assert len(answered) < len(clients)
        answer = b"an answer"
        driver.turn([n for fd in answered for n in (fd, id(answer), len(answer))])
        assert len(driver.accepted) > len(answered)
        pending = [fd for kind, fd, _value in driver.told if kind is Kind.PENDING]
        assert pending
        assert set(pending) <= set(answered)
        driver.until(lambda: all(driver.of(Kind.SENT, fd) == [len(answer)] for fd in pending))
        driver.until(lambda: len(driver.keys) == len(clients))


def test_a_head_leaves_in_one_segment_with_the_beginning_of_its_body(
    make_ring: MakeRing, backed: MakeFile
) -> None:
    content = os.urandom(100 << 10)
    file = backed(content)  # whose map lives as long as it does
    head = b"head"
    driver = make_ring()
    number = driver.ring.map_file(file)
    client, fd = driver.accept()
    counts = []
    with client:
        for _ in range(20):
            before = data_segments_to(client)
            driver.turn([fd | WITH_BODY | TELL, id(head), 4, number, 0, len(content), 0])
            assert driver.receive(client, 4 + len(content)) == head + content
            counts.append(data_segments_to(client) - before)
        with socket.socket(fileno=os.dup(fd)) as near:
            size = near.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    # Segments are small at first.
    assert min(counts) == -(-(4 + len(content)) // size), counts
