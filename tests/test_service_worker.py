"""A site with a service worker in a real browser: kept, shown offline, and replaced."""

from pathlib import Path
from typing import Final

import pytest

from mkroot.build import Options, build
from tests.browser import Browser
from tests.conftest import Engine
from tests.servers import put

# A browser may look for a new worker by itself a second after the page was opened; what the page
# shows is fetched by then, and no change of workers is missed.
PAGE: Final = """<!DOCTYPE html>
<title>{version}</title>
<link rel="stylesheet" href="style.css">
<script>
const container = navigator.serviceWorker
const changed = new Promise(resolve => container.addEventListener("controllerchange", resolve))
const registered = container.register("worker.js")
const content = url => fetch(url).then(answer => answer.ok ? answer.text() : answer.status)
const large = content("large.bin")
const update = () => registered.then(registration => registration.update()).then(() => changed)
</script>
"""
WORKER: Final = """
const version = "{version}"
self.addEventListener("install", event => {{
  self.skipWaiting()
  const keep = caches.open(version).then(cache => cache.addAll(["/", "/style.css", "/large.bin"]))
  event.waitUntil(keep)
}})
self.addEventListener("activate", event => event.waitUntil(clients.claim()))
self.addEventListener("fetch", event => {{
  const kept = caches.open(version).then(cache => cache.match(event.request))
  event.respondWith(kept.then(answer => answer || fetch(event.request)))
}})
"""
LARGE_BYTES: Final = 3_000_000


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("worked")
    webroots = {}
    for version in ("one", "two"):
        source = directory / f"{version}.source"
        source.mkdir()
        (source / "index.html").write_text(PAGE.format(version=version))
        (source / "worker.js").write_text(WORKER.format(version=version))
        (source / "style.css").write_text(f".{version} {{ color: red }}")
        (source / "large.bin").write_bytes(version[:1].encode() * LARGE_BYTES)
        (source / "unkept.txt").write_text(version)
        webroots[version] = directory / version
        build(source, webroots[version], Options(), lambda _: None)
    return webroots


def _seen(browser: Browser) -> tuple[object, object, object]:
    """Return the title, the style, and what a large file holds, as the page has them."""
    large = f"large.then(text => text === text[0].repeat({LARGE_BYTES}) && text[0])"
    return (
        browser.evaluate("document.title"),
        browser.evaluate("document.styleSheets[0].cssRules[0].selectorText"),
        browser.evaluate(large),
    )


def test_a_service_worker_keeps_a_site_shows_it_offline_and_is_replaced_with_it(
    browser: Browser, engine: Engine, versions: dict[str, Path], tmp_path: Path
) -> None:
    vhosts = tmp_path / "vhosts"
    vhosts.mkdir()
    put(vhosts, "__default__", versions["one"])
    with engine.serving(vhosts) as server:
        url = f"http://127.0.0.1:{server.port}/"
        browser.open(url)
        assert browser.evaluate("container.ready.then(() => document.title)") == "one"

        # The site is replaced, and the worker still shows what it has kept.
        put(vhosts, "__default__", versions["two"])
        server.log.wait_for("__default__: replaced")
        browser.open(url)
        assert _seen(browser) == ("one", ".one", "o")
        assert browser.evaluate("content('unkept.txt')") == "two"

        # It is replaced by that of the new version.
        browser.evaluate("update().then(() => null)")
        browser.open(url)
        assert _seen(browser) == ("two", ".two", "t")
        server.stop()

        # Offline.
        browser.open(url)
        assert _seen(browser) == ("two", ".two", "t")
        assert browser.evaluate("content('unkept.txt').catch(() => 'offline')") == "offline"
