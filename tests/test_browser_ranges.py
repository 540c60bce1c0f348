"""Parts and wholes of one URL in a real browser, which puts both together in one cache.

It asks for wholes with gzip, br and zstd, and for parts with identity; it revalidates what it holds
of the one with the other.
"""

import json
from collections.abc import Iterator
from itertools import permutations
from typing import Final

import pytest

from tests.browser import Browser
from tests.conftest import Engine
from tests.servers import Server, build_site, put

# It has copies, all much shorter, and is told apart at every place.
TEXT: Final = b"".join(b"line %d: %d\n" % (number, number**3) for number in range(20_000))
# How a page may ask for a URL: all of it, its beginning, what lies behind every copy's end.
ASKED: Final = {"all": None, "first": (0, 9), "middle": (len(TEXT) // 2, len(TEXT) // 2 + 99)}
# A fetch as a page does it: the status, what is said of the coding, and the bytes as text.
FETCH: Final = """fetch(%s, {headers: %s}).then(async answer => [
  answer.status, answer.headers.get("content-range"), await answer.text()])"""


@pytest.fixture(scope="module")
def served(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("ranges")
    vhosts = directory / "vhosts"
    vhosts.mkdir()
    page = b"<!DOCTYPE html><title>ranges</title>"
    webroot = build_site({"data.csv": TEXT, "index.html": page}, directory / "webroot")
    put(vhosts, "__default__", webroot)
    with engine.serving(vhosts) as server:
        yield server


def fetch(browser: Browser, url: str, part: tuple[int, int] | None) -> object:
    headers = {} if part is None else {"Range": f"bytes={part[0]}-{part[1]}"}
    return browser.evaluate(FETCH % (json.dumps(url), json.dumps(headers)))


def expected(part: tuple[int, int] | None) -> list[object]:
    if part is None:
        return [200, None, TEXT.decode()]
    first, last = part
    return [206, f"bytes {first}-{last}/{len(TEXT)}", TEXT[first : last + 1].decode()]


@pytest.mark.parametrize("order", list(permutations(ASKED)), ids=" then ".join)
def test_a_page_gets_what_it_asks_for_in_every_order(
    browser: Browser, served: Server, order: tuple[str, ...]
) -> None:
    browser.open(f"http://127.0.0.1:{served.port}/")
    # An entry of the cache of its own.
    url = f"/data.csv?{'-'.join(order)}"
    for name in (*order, *order):
        assert fetch(browser, url, ASKED[name]) == expected(ASKED[name]), name
