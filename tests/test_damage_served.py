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
from tests.servers import build_site, request

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
