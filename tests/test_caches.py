"""Caches in front: clients with and without codings, wholes and parts, all of the same URL."""

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Final

import pytest

from tests.caches import CACHES
from tests.conftest import Engine
from tests.decoders import DECODE
from tests.servers import DEADLINE_SECONDS, build_site, put

HOST: Final = "site.example"
# Several slices of nginx; its copies are shorter than one of them.
TEXT: Final = b"".join(b"line %d\n" % number for number in range(3_000))
ROUNDS: Final = 4
# None is no field at all.
ACCEPTED: Final = (
    *(None, "", "identity", "gzip;q=0", "deflate", "gzip", "x-gzip", "gzip, deflate"),
    *("br", "gzip, deflate, br, zstd", "*;q=0.1"),
)


@dataclass
class Fetched:
    """An answer that came through a cache."""

    status: int
    coding: str
    content_range: str | None
    body: bytes
    cache: str


@pytest.fixture(scope="module", params=CACHES)
def port(
    engine: Engine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of each cache, in front of a server of each engine."""
    directory = tmp_path_factory.mktemp("cached")
    vhosts = directory / "vhosts"
    vhosts.mkdir()
    names = ("mixed.txt", "parts.txt", "plain.txt")
    put(vhosts, HOST, build_site(dict.fromkeys(names, TEXT), directory / "webroot"))
    with (
        engine.serving(vhosts) as server,
        CACHES[request.param](server.port, directory / "home") as port,
    ):
        yield port
        server.assert_well()


def fetch(port: int, target: str, accepted: str | None, part: tuple[int, int] | None) -> Fetched:
    with closing(HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)) as connection:
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", HOST)
        if accepted is not None:
            connection.putheader("Accept-Encoding", accepted)
        if part is not None:
            connection.putheader("Range", f"bytes={part[0]}-{part[1]}")
        connection.endheaders()
        answer = connection.getresponse()
        return Fetched(
            answer.status,
            answer.headers["content-encoding"] or "identity",
            answer.headers["content-range"],
            answer.read(),
            answer.headers["x-cache"],
        )


def check_whole(fetched: Fetched, accepted: str | None) -> None:
    assert fetched.status == 200
    if fetched.coding != "identity":
        assert accepted in ("*;q=0.1", "x-gzip") or fetched.coding in (accepted or "")
        assert accepted != "gzip;q=0"
        assert DECODE[fetched.coding](fetched.body) == TEXT
    else:
        assert fetched.body == TEXT


def test_a_client_gets_no_coding_that_it_does_not_accept_from_a_cache_that_holds_all(
    port: int,
) -> None:
    chosen = random.Random(1)
    for _ in range(ROUNDS):
        for accepted in chosen.sample(ACCEPTED, len(ACCEPTED)):
            check_whole(fetch(port, "/mixed.txt", accepted, None), accepted)


def test_a_part_through_a_cache_that_holds_nothing_else_is_a_part_of_the_file(port: int) -> None:
    """Of a copy that it holds it may send a part, too: that is what its client asked for."""
    for accepted in (None, "identity", "gzip;q=0"):
        for part in ((0, 9), (len(TEXT) // 2, len(TEXT) // 2 + 5_000)):
            fetched = fetch(port, "/parts.txt", accepted, part)
            assert fetched.coding == "identity"
            if fetched.status == 200:  # what Varnish decodes itself it cannot divide
                assert fetched.body == TEXT
                continue
            assert fetched.status == 206
            assert fetched.content_range == f"bytes {part[0]}-{part[1]}/{len(TEXT)}"
            assert fetched.body == TEXT[part[0] : part[1] + 1]


@pytest.mark.parametrize("port", ["nginx-slices"], indirect=True)
def test_a_cache_that_fetches_by_ranges_puts_them_together_for_every_client(port: int) -> None:
    for accepted in ("gzip, deflate, br, zstd", None, "gzip", "br", "identity"):
        fetched = fetch(port, "/plain.txt", accepted, None)
        assert (fetched.status, fetched.coding, fetched.body) == (200, "identity", TEXT)
