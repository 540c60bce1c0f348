"""nginx and HAProxy in front, as docs/serving.md shows them: many clients, and sites replaced."""

from pathlib import Path
from threading import Event, Thread
from typing import Final

import pytest

from tests.conftest import Engine
from tests.proxies import PROXIES
from tests.servers import Server, build_site, put
from tests.traffic import HOST, Traffic, Version, make_content

CLIENTS: Final = 16
REQUESTS: Final = 70


@pytest.fixture(scope="session")
def webroots(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("versions")
    return [build_site(make_content(number), directory / str(number)) for number in range(2)]


def _look_at(server: Server, number: int, webroot: Path) -> Version:
    """Ask for the entity tags of a version, under a host of its own."""
    host = f"version{number}.example"
    put(server.vhosts, host, webroot)
    server.log.wait_for(f"{host}: serving")
    bodies = {f"/{name}": body for name, body in make_content(number).items()}
    return Version(bodies, {path: server.get(path, host).fields["etag"] for path in bodies})


def _swap(server: Server, webroots: list[Path], stop: Event) -> None:
    """Replace the site over and over, each time when the one before is live."""
    swaps = 0
    while not stop.is_set():
        swaps += 1
        put(server.vhosts, HOST, webroots[swaps % 2])
        server.log.wait_for_count(f"{HOST}: replaced", swaps)


@pytest.mark.parametrize("name", PROXIES)
def test_every_answer_through_a_proxy_is_right_while_the_site_is_replaced(
    engine: Engine, name: str, webroots: list[Path], tmp_path: Path
) -> None:
    vhosts = tmp_path / "vhosts"
    vhosts.mkdir()
    put(vhosts, HOST, webroots[0])
    with engine.serving(vhosts) as server:
        versions = [_look_at(server, number, webroot) for number, webroot in enumerate(webroots)]
        with PROXIES[name](server.port, tmp_path / name) as proxy:
            stop = Event()
            swapping = Thread(target=_swap, args=(server, webroots, stop))
            swapping.start()
            try:
                statuses = Traffic(versions).run(proxy.port, CLIENTS, REQUESTS)
            finally:
                stop.set()
                swapping.join()
            assert set(statuses) == {200, 204, 206, 301, 304, 404, 405, 412, 416}
            assert statuses.total() >= CLIENTS * REQUESTS
            assert not proxy.complaints()
            # Each of the proxy's connections carried many requests.
            assert proxy.upstream_connections() < statuses.total() // 10
        server.assert_well()
