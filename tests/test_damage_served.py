"""Damaged webroots in front of clients: the right bytes, an error, or nothing; never a crash."""

import os
import random
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import pytest

from ashttpd.answers import Answers
from ashttpd.http.dates import second_of
from ashttpd.sites import Sites
from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.reader import Webroot
from tests.conftest import Engine
from tests.mutants import LISTING, MAKERS, PAGE, REDIRECT, A, build_healthy
from tests.servers import Server, build_site, request
from tests.streams import Heard, parse_responses
from tests.webroots import take_apart

SECOND: Final = second_of(0)
IN_PROCESS: Final = 3_000
SERVED: Final = 300
# Bodies up to 64 KiB are held against their digests before they leave; larger ones are not, which
# is what `mkroot --verify` is for.
CONTENT: Final = {
    "index.html": b"<!DOCTYPE html><title>whole</title>\n",
    "a.txt": b"a" * 3000,
    "b/c.bin": random.Random(3).randbytes(9000),
    "b/index.html": b"",
}
BODIES: Final = {
    "/": CONTENT["index.html"],
    "/a.txt": CONTENT["a.txt"],
    "/b/c.bin": CONTENT["b/c.bin"],
    "/b/": CONTENT["b/index.html"],
    "/nothing": None,
}


@pytest.fixture(scope="session")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_site(CONTENT, tmp_path_factory.mktemp("intact") / "webroot").read_bytes()


def _flips(intact: bytes, count: int) -> Iterator[tuple[int, int]]:
    """Places of bits, (byte, mask): spread over the file, and close together where the index is."""
    random_of = random.Random(4)
    used = [place for place in range(len(intact)) if intact[place]]
    for number in range(count):
        place = random_of.choice(used) if number % 2 else random_of.randrange(len(intact))
        yield place, 1 << random_of.randrange(8)


def _assert_right_or_refused(target: str, status: int, body: bytes, what: str) -> None:
    if status == HTTPStatus.OK:
        assert body == BODIES[target], f"{what}: wrong bytes of {target}"
    else:
        assert status in (404, 500), f"{what}: {status} for {target}"


def test_thousands_of_flipped_bits_give_right_answers_or_errors_and_raise_nothing_else(
    intact: bytes,
) -> None:
    fd = os.memfd_create("damaged")
    refused = served = 0
    try:
        os.write(fd, intact)
        for place, mask in _flips(intact, IN_PROCESS):
            os.pwrite(fd, bytes((intact[place] ^ mask,)), place)
            try:
                webroot = Webroot(f"/proc/self/fd/{fd}")
            except WebrootError:
                refused += 1
            else:
                served += 1
                find = Answers(Sites({"__default__": webroot})).find
                for target in BODIES:
                    plan = find(f"1k-GET {target}\nHa\n".encode(), SECOND)
                    body = plan.head.partition(b"\r\n\r\n")[2]
                    _assert_right_or_refused(target, plan.status, body, f"bit {mask} of {place}")
                webroot.close()
            os.pwrite(fd, intact[place : place + 1], place)
    finally:
        os.close(fd)
    assert refused > IN_PROCESS // 10
    assert served > IN_PROCESS // 10


def test_hundreds_of_damaged_webroots_in_a_running_server_hurt_nobody(
    engine: Engine, intact: bytes, tmp_path: Path
) -> None:
    damaged: dict[str, str] = {}
    for number, (place, mask) in enumerate(_flips(intact, SERVED * 2 // 3)):
        data = bytearray(intact)
        data[place] ^= mask
        damaged[f"flip{number}.example"] = f"bit {mask} of {place}"
        (tmp_path / f"flip{number}.example").write_bytes(data)
    for number in range(SERVED // 3):
        length = len(intact) * number // (SERVED // 3)
        damaged[f"cut{number}.example"] = f"the first {length} bytes"
        (tmp_path / f"cut{number}.example").write_bytes(intact[:length])
    (tmp_path / "long.example").write_bytes(intact + b"\0")
    damaged["long.example"] = "a byte appended"
    (tmp_path / "intact.example").write_bytes(intact)

    with engine.serving(tmp_path) as server, server.connect() as client:
        for host, what in damaged.items():
            client.send(b"".join(request(target, host) for target in BODIES))
            for target in BODIES:
                response = client.read()
                _assert_right_or_refused(target, response.status, response.body, what)
        for host, what in damaged.items():
            if host.startswith("cut"):
                assert f"{host}: refused, nothing is served" in server.log.text, what
        for target, body in BODIES.items():
            assert client.get(target, "intact.example").status == (404 if body is None else 200)
        server.assert_well()


# Of each resource that a mutant may lie about, and the fields with which a client asks for it.
MUTANT_REQUESTS: Final = (
    ("GET", A.decode(), ()),
    ("GET", A.decode(), ("Accept-Encoding: gzip",)),
    ("GET", A.decode(), ("Range: bytes=1-2,300-",)),
    ("GET", A.decode(), ("If-None-Match: *",)),
    ("HEAD", A.decode(), ()),
    ("GET", REDIRECT.decode(), ()),
    ("GET", LISTING.decode(), ()),
    ("GET", "/none", ()),
)
# Requests of one connection: less than what a server takes in one.
PIPELINE: Final = 100


@pytest.fixture(scope="module")
def mutant_vhosts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that is well, and beside it mutants: a share of all, each kind among them."""
    directory = tmp_path_factory.mktemp("mutants")
    healthy = build_healthy(directory)
    vhosts = directory / "vhosts"
    vhosts.mkdir()
    (vhosts / "good.example").write_bytes(healthy)
    for kind, maker in MAKERS.items():
        for number, mutant in enumerate(maker(take_apart(healthy))):
            is_of_page = (mutant.path, mutant.variant) == (A, 0)
            if is_of_page or number % 12 == 0:
                name = f"{kind.replace(' ', '-')}{number}.example"
                (vhosts / name).write_bytes(mutant.packed)
    return vhosts


Asked = tuple[str, str, str, tuple[str, ...]]


def _ask(server: Server, asked: list[Asked]) -> list[Heard]:
    """Return the responses of one connection to method, target, host and fields of requests."""
    requests = [request(target, host, *fields, method=m) for m, target, host, fields in asked]
    requests[-1] = requests[-1][:-2] + b"Connection: close\r\n\r\n"
    with server.connect() as client:
        client.send(b"".join(requests))
        stream = client.read_rest()
    return parse_responses([method for method, *_others in asked], stream)


def test_hundreds_of_mutants_with_right_checksums_tear_no_connection_that_the_good_site_shares(
    engine: Engine, mutant_vhosts: Path
) -> None:
    mutants = sorted(path.name for path in mutant_vhosts.iterdir() if path.name != "good.example")
    assert len(mutants) > 150
    asked: list[Asked] = []
    for host in mutants:
        for method, target, fields in MUTANT_REQUESTS:
            asked.append((method, target, host, fields))
            asked.append(("GET", A.decode(), "good.example", ()))
    with engine.serving(mutant_vhosts) as server:
        for start in range(0, len(asked), PIPELINE):
            part = asked[start : start + PIPELINE]
            heard = _ask(server, part)
            for (_method, target, host, _fields), response in zip(part, heard, strict=True):
                if host == "good.example":
                    assert (response.status, response.body) == (HTTPStatus.OK, PAGE)
                else:
                    assert response.status in (200, 206, 301, 304, 404, 500), (host, target)
        server.assert_well()
