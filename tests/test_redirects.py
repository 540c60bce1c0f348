"""Where redirects of a site lead to, as a client reads them: behind any prefix, for any name."""

import gzip
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ashttpd.http.target import encode_path
from mkroot.build import DEFAULT_INDEXES, Options
from mkroot.tree import Symlinks, TreeOptions
from tests.trees import NAMES, make, nest, plant
from tests.webroots import body_of, opened, resource_at

REDIRECT = Options(tree=TreeOptions(symlinks=Symlinks.REDIRECT))
# What a proxy may have taken from the path before it asked.
PREFIXES = ("", "/static", "/a/b", "/x:y", "/%2F")
QUERIES = ("", "?", "?x=1", "?a/b:c?d", "?../../x")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(names=[b"x:y"], prefix="", query="")
@example(names=[b"a", b"javascript:alert(1)"], prefix="/static", query="?x=1")
@example(names=[b"...", b"?", b"#", b"%2F"], prefix="/a/b", query="?")
@given(
    names=st.lists(NAMES, min_size=1, max_size=3),
    prefix=st.sampled_from(PREFIXES),
    query=st.sampled_from(QUERIES),
)
def test_a_directory_redirects_to_its_own_url_behind_any_prefix(
    names: list[bytes], prefix: str, query: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("redirects")
    dotfiles = Options(tree=TreeOptions(dotfiles=True))
    make(plant(directory / "source", nest(names, {})), directory / "out", dotfiles)
    path = b"/" + b"/".join(names)
    with opened(directory / "out") as webroot:
        resource = resource_at(webroot, path)
    assert resource.status == 301
    location = resource.location.decode("ascii")
    # As clients write it, and with every byte encoded that may be; both ask for the same path.
    for target in (encode_path(path).decode("ascii"), quote(path, safe="/")):
        asked = f"http://example.com{prefix}{target}"
        parent = asked.rpartition("/")[0]
        expected = f"{parent}/{encode_path(names[-1]).decode('ascii')}/{query}"
        # An empty query has no meaning, and urljoin drops its mark.
        assert urljoin(asked + query, location + query) == expected.removesuffix("?")


@pytest.mark.parametrize(
    ("name", "location"),
    [
        (b"docs", b"docs/"),
        (b"x:y", b"./x:y/"),
        (b":", b"./:/"),
        (b"http:", b"./http:/"),
        (b"a b", b"a%20b/"),
        (b"a?b#c", b"a%3Fb%23c/"),
        (b"~", b"~/"),
    ],
)
def test_a_colon_in_a_reference_is_no_scheme(tmp_path: Path, name: bytes, location: bytes) -> None:
    make(plant(tmp_path / "source", {b"above": {name: {}}}), tmp_path / "out")
    with opened(tmp_path / "out") as webroot:
        assert resource_at(webroot, b"/above/" + name).location == location


@pytest.mark.parametrize("index", DEFAULT_INDEXES)
def test_a_symlink_that_is_an_index_page_redirects_its_directory_too(
    tmp_path: Path, index: str
) -> None:
    source = plant(tmp_path / "source", {b"home page.html": b"<p>home", b"d": {}})
    (source / index).symlink_to("home page.html")
    (source / "d" / index).symlink_to(f"../{index}")
    make(source, tmp_path / "out", REDIRECT)
    with opened(tmp_path / "out") as webroot:
        for path in ("/", f"/{index}", "/d/", f"/d/{index}"):
            resource = resource_at(webroot, path.encode())
            assert (resource.status, resource.location) == (302, b"/home%20page.html"), path
            assert resource.keep_query
        assert body_of(webroot, b"/home page.html") == b"<p>home"


def test_an_index_page_comes_before_a_symlink_of_a_later_name(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", {b"index.html": b"<p>mine", b"other.html": b"<p>other"})
    (source / "index.htm").symlink_to("other.html")
    make(source, tmp_path / "out", REDIRECT)
    with opened(tmp_path / "out") as webroot:
        assert body_of(webroot, b"/") == b"<p>mine"


def test_all_below_a_linked_directory_redirects_and_keeps_the_query(tmp_path: Path) -> None:
    source = plant(
        tmp_path / "source", {b"v1": {b"index.html": b"<p>1", b"a": {b"b c": b""}, b"404": b""}}
    )
    (source / "latest").symlink_to("v1")
    make(source, tmp_path / "out", Options(tree=REDIRECT.tree, listing=True))
    with opened(tmp_path / "out") as webroot:
        for below, location in {
            b"": b"/v1/",
            b"/": b"/v1/",
            b"/index.html": b"/v1/index.html",
            b"/a": b"/v1/a/",
            b"/a/": b"/v1/a/",
            b"/a/b c": b"/v1/a/b%20c",
            b"/404": b"/v1/404",
        }.items():
            resource = resource_at(webroot, b"/latest" + below)
            assert (resource.status, resource.location) == (302, location)
            assert resource.keep_query


def test_no_redirect_leads_to_a_copy_that_is_no_url(tmp_path: Path) -> None:
    css = b"a{color:red}" * 100
    copy = gzip.compress(css, mtime=0)
    source = plant(tmp_path / "source", {b"v1": {b"a.css": css, b"a.css.gz": copy, b"b.gz": copy}})
    for link, target in {
        "latest": "v1",
        "old.css.gz": "v1/a.css.gz",
        "b.gz": "v1/b.gz",
        "v1/c.gz": "a.css.gz",
    }.items():
        (source / link).symlink_to(target)
    output = tmp_path / "out" / "site"
    output.parent.mkdir()
    make(source, output, Options(tree=TreeOptions(Symlinks.REDIRECT), listing=True))
    with opened(output) as webroot:
        urls = {resource.path: resource for _offset, resource in webroot.resources()}
    assert {url: resource.location for url, resource in urls.items() if resource.status == 302} == {
        b"/b.gz": b"/v1/b.gz",
        b"/latest": b"/v1/",
        b"/latest/": b"/v1/",
        b"/latest/a.css": b"/v1/a.css",
        b"/latest/b.gz": b"/v1/b.gz",
    }
    assert {url for url in urls if url.endswith(b".css.gz")} == {b"/old.css.gz"}
    for url in (b"/old.css.gz", b"/v1/c.gz", b"/latest/c.gz"):
        assert urls[url].status == 200
    assert all(resource.location in {b"", b"v1/", *urls} for resource in urls.values())
