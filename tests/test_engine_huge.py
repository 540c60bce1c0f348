"""Every engine: a file beyond what 32 bits can count, in constant memory."""

import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import pytest

from mkroot.headers import content_head
from mkroot.writer import Writer
from tests.conftest import Engine
from tests.servers import Client, Server, put, request

GIB: Final = 1 << 30
LENGTH: Final = 5 * GIB + 12_345
# Marks where a counter of 31 or 32 bits would turn over, at the start and at the end.
MARKS: Final = {
    offset: f"<{offset}>".encode()
    for offset in (0, 2 * GIB - 5, 4 * GIB - 5, LENGTH - len(str(LENGTH)) - 20)
}
STREAMED: Final = 256 << 20
GROWTH_BYTES: Final = 32 << 20
_DISCARDED: Final = 1 << 20


class _SparseWriter(Writer):
    """Writes bodies as holes with marks. Hashing and filling gigabytes would take a minute.

    The digest is made up, which a server does not look at for a large body.
    """

    def _write_body(self, offset: int, chunks: Iterator[bytes]) -> tuple[bytes, int]:
        for mark, text in MARKS.items():
            self._file.seek(offset + mark)
            self._file.write(text)
        return bytes(range(32)), LENGTH


@pytest.fixture(scope="module")
def huge_vhosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    vhosts = tmp_path_factory.mktemp("huge")
    webroot = vhosts / ".huge.webroot"
    with webroot.open("w+b") as file:
        writer = _SparseWriter(file)
        stored = writer.store(
            [bytes(2 << 20)],
            lambda digest, length: content_head(b"application/octet-stream", digest, length),
        )
        writer.add(b"/huge.bin", HTTPStatus.OK, [stored])
        writer.finish({})
        writer.close()
    put(vhosts, "site.example", webroot)
    yield vhosts
    webroot.unlink()


@pytest.fixture
def huge(engine: Engine, huge_vhosts: Path) -> Iterator[Server]:
    with engine.serving(huge_vhosts) as running:
        yield running


def _discard(client: Client, count: int) -> None:
    """Let the kernel throw bytes away: MSG_TRUNC, tcp(7)."""
    buffer = bytearray(_DISCARDED)
    while count > 0:
        got = client.socket.recv_into(buffer, min(count, _DISCARDED), socket.MSG_TRUNC)
        assert got > 0, f"cut off with {count} bytes to come"
        count -= got


def test_a_range_around_every_limit_of_a_counter_gets_exactly_its_bytes(huge: Server) -> None:
    with huge.connect() as client:
        for offset, text in MARKS.items():
            start = max(0, offset - 10)
            stop = min(LENGTH, offset + 100_000)
            response = client.get("/huge.bin", "site.example", f"Range: bytes={start}-{stop - 1}")
            assert response.status == 206
            assert response.fields["content-range"] == f"bytes {start}-{stop - 1}/{LENGTH}"
            expected = bytearray(stop - start)
            expected[offset - start : offset - start + len(text)] = text
            assert response.body == expected, offset


def test_the_last_bytes_of_a_huge_file_can_be_asked_for_from_its_end(huge: Server) -> None:
    with huge.connect() as client:
        response = client.get("/huge.bin", "site.example", "Range: bytes=-40")
        assert response.status == 206
        assert response.fields["content-range"] == f"bytes {LENGTH - 40}-{LENGTH - 1}/{LENGTH}"
        assert MARKS[max(MARKS)] in response.body


def test_a_range_across_four_gibibytes_streams_in_constant_memory_to_its_last_byte(
    huge: Server,
) -> None:
    start = 4 * GIB - STREAMED // 2
    with huge.connect() as client:
        before = huge.resident_bytes()
        client.send(
            request("/huge.bin", "site.example", f"Range: bytes={start}-{start + STREAMED - 1}")
            + request("/nothing")
        )
        response = client.read_head()
        assert response.fields["content-length"] == str(STREAMED)
        # What came with the head is in the reader's buffer.
        with_head = len(client.peek())
        client.read_bytes(with_head)
        _discard(client, STREAMED - with_head)
        assert client.read().status == 404
        assert huge.resident_bytes() - before < GROWTH_BYTES


def test_a_whole_huge_file_is_announced_with_its_length_and_starts_at_once(huge: Server) -> None:
    with huge.connect() as client:
        client.send(request("/huge.bin"))
        response = client.read_head()
        assert (response.status, response.fields["content-length"]) == (200, str(LENGTH))
        assert client.read_bytes(3) == MARKS[0]
        client.reset()
