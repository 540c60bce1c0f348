"""A real documentation site in a real browser: every page with all that belongs to it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from mkroot.build import Options, build
from tests.browser import Browser, Message
from tests.conftest import Engine
from tests.servers import build_site, put, skip_for_lack

PROJECT: Final = Path(__file__).parent.parent
PAGES: Final = ("/contents.html", "/core/engines.html", "/orm/quickstart.html")
# What a page of this site is made of, as the browser classifies it.
KINDS: Final = {"Document", "Stylesheet", "Script", "Image"}


@pytest.fixture(scope="session")
def documentation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that `make run` serves; fetched where that was not run yet."""
    site = PROJECT / "build" / "site"
    if site.is_dir():
        return site
    site = tmp_path_factory.mktemp("documentation") / "site"
    done = subprocess.run(
        ["sh", str(PROJECT / "packaging" / "demo-site"), str(site)],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        skip_for_lack(f"no documentation site to look at: {done.stderr[-300:]}")
    return site


def _loaded(events: list[Message], base: str) -> tuple[dict[str, int], set[str], list[str]]:
    """Return the status of each URL of the site, the kinds of things that came, and failures."""
    statuses: dict[str, int] = {}
    kinds: set[str] = set()
    names: dict[str, str] = {}
    failures: list[str] = []
    for event in events:
        method, said = event["method"], event["params"]
        if method == "Network.requestWillBeSent":
            names[said["requestId"]] = said["request"]["url"]
        elif method == "Network.responseReceived":
            url = said["response"]["url"]
            if url.startswith(base):
                statuses[url] = said["response"]["status"]
                kinds.add(said["type"])
        elif method == "Network.loadingFailed":
            url = names.get(said["requestId"], "?")
            if url.startswith(base):
                failures.append(f"{url}: {said['errorText']} {said.get('blockedReason', '')}")
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            # A type that the browser refuses, a resource that is not there: they name their URL.
            url = said["entry"].get("url", base)
            if url.startswith(base):
                failures.append(f"{url}: {said['entry']['text']}")
        elif method == "Runtime.exceptionThrown":
            failures.append(str(said["exceptionDetails"]))
    return statuses, kinds, failures


def test_three_pages_of_a_documentation_site_load_with_all_that_belongs_to_them(
    browser: Browser, documentation: Path, engine: Engine, tmp_path: Path
) -> None:
    # Brotli would take a minute for what a browser gets in gzip just as well.
    options = Options(compress=("gzip",))
    build(documentation, tmp_path / "webroot", options, lambda _: None)
    vhosts = tmp_path / "vhosts"
    vhosts.mkdir()
    put(vhosts, "__default__", tmp_path / "webroot")
    kinds: set[str] = set()
    with engine.serving(vhosts) as server:
        base = f"http://127.0.0.1:{server.port}/"
        # Asked for by the browser, not by a page.
        icon = base + "favicon.ico"
        for page in PAGES:
            statuses, seen, failures = _loaded(browser.load(base + page[1:]), base)
            statuses.pop(icon, None)
            failures = [failure for failure in failures if icon not in failure]
            assert not failures, page
            assert len(statuses) > 5, page
            assert set(statuses.values()) <= {200, 304}, statuses
            assert browser.evaluate("document.querySelectorAll('h1').length") != 0, page
            styles = "Array.from(document.styleSheets).every(sheet => sheet.cssRules.length > 0)"
            assert browser.evaluate(styles), page
            images = "Array.from(document.images).every(image => image.naturalWidth > 0)"
            assert browser.evaluate(images), page
            kinds |= seen
    assert kinds >= KINDS


def test_a_redirect_of_an_earlier_version_of_a_site_is_not_remembered(
    browser: Browser, engine: Engine, tmp_path: Path
) -> None:
    """Else it would lead to where nothing is any more, for as long as the browser lives."""
    vhosts = tmp_path / "vhosts"
    vhosts.mkdir()
    put(vhosts, "__default__", build_site({"docs/index.html": b"directory"}, tmp_path / "one"))
    with engine.serving(vhosts) as server:
        url = f"http://127.0.0.1:{server.port}/docs"
        browser.open(url)
        assert browser.evaluate("location.pathname") == "/docs/"
        put(vhosts, "__default__", build_site({"docs": b"file"}, tmp_path / "two"))
        server.log.wait_for("__default__: replaced")
        browser.open(url)
        shown = browser.evaluate("[location.pathname, document.body.textContent]")
        assert shown == ["/docs", "file"]
