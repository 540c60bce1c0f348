"""Every engine: errors with the site's own pages, and with the built-in ones."""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import Engine
from tests.decoders import DECODE
from tests.servers import Response, Server, build_site, put, request

LARGE: Final = (
    b"<!DOCTYPE html><title>large</title>" + random.Random(5).randbytes(200_000).hex().encode()
)


def page(name: str) -> bytes:
    return f"<!DOCTYPE html><title>{name}</title>\n".encode()


PAGES: Final = {
    name: page(name)
    for name in (
        *("400.html", "403.html", "404.html", "405.html", "412.html", "416.html", "417.html"),
        *("501.html", "50x.html", "docs/404.html", "docs/a/403.html", "docs/a/404.html"),
        *("damaged/404.html", "issues/403.html", "issues/404.html", "issues/405.html"),
    )
}
CONTENT: Final = PAGES | {
    "index.html": b"<!DOCTYPE html><title>home</title>\n",
    "packed/404.html": b"<!DOCTYPE html><title>packed</title>\n" + b"<p>It is not here.\n" * 30,
    "hello.txt": b"hello, world\n",
    "docs/a/b/file.txt": b"file\n",
    "damaged/file.txt": b"to be damaged\n",
    "large/404.html": LARGE,
}


def _damage(webroot: Path, contents: bytes) -> None:
    data = bytearray(webroot.read_bytes())
    assert data.count(contents) == 1
    data[data.index(contents)] ^= 1
    webroot.write_bytes(data)


@pytest.fixture(scope="module")
def own_server(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("errors")
    webroot = build_site(CONTENT, directory / "errors.webroot")
    for name in ("damaged/file.txt", "damaged/404.html"):
        _damage(webroot, CONTENT[name])
    bare = build_site(
        {"hello.txt": b"hello, world\n", "bad.txt": b"to be damaged too\n"},
        directory / "bare.webroot",
    )
    _damage(bare, b"to be damaged too\n")
    (directory / "vhosts").mkdir()
    put(directory / "vhosts", "site.example", webroot)
    put(directory / "vhosts", "bare.example", bare)
    with engine.serving(directory / "vhosts") as running:
        yield running


@pytest.fixture
def server(own_server: Server) -> Iterator[Server]:
    own_server.assert_well()
    yield own_server
    own_server.assert_well()


def assert_is_page(response: Response, status: int, body: bytes) -> None:
    """Hold a response against a page of the site: its fields, and no other."""
    assert (response.status, response.body) == (status, body)
    fields = dict(response.fields)
    assert fields.pop("date")
    assert fields.pop("content-type") == "text/html; charset=utf-8"
    assert fields.pop("x-content-type-options") == "nosniff"
    assert fields.pop("content-length") == str(len(body))
    assert "accept" not in [name.strip().lower() for name in fields.pop("vary", "").split(",")]
    for name in ("allow", "content-range"):
        fields.pop(name, None)
    assert fields == {}


@pytest.mark.parametrize(
    ("target", "status", "name"),
    [
        ("/none", 404, "404.html"),
        ("/none/of/these/", 404, "404.html"),
        ("/hello.txt/", 404, "404.html"),
        ("//", 404, "404.html"),
        ("/docs/none", 404, "docs/404.html"),
        ("/%64ocs/none", 404, "docs/404.html"),
        ("/x/../docs/none?query", 404, "docs/404.html"),
        ("/docs/../none", 404, "404.html"),
        ("/docs/a/none", 404, "docs/a/404.html"),
        ("/docs/a/b/c/d/none", 404, "docs/a/404.html"),
        ("/docs/none/b/c/d/none", 404, "docs/404.html"),
        ("/docs/a%2Fnone", 404, "404.html"),
        ("/docs/%zz", 400, "400.html"),
        ("/%00", 400, "400.html"),
        # Directories without an index page.
        ("/docs/", 404, "docs/404.html"),
        ("/docs/a/", 404, "docs/a/404.html"),
        ("/docs/a/b/", 404, "docs/a/404.html"),
        ("/" + "a/" * 4000, 404, "404.html"),
        ("/docs/a/" + "a/" * 4000, 404, "docs/a/404.html"),
        ("/issues/9999.html", 404, "issues/404.html"),
        ("http://site.example/docs/none", 404, "docs/404.html"),
    ],
)
def test_the_page_nearest_to_the_path_is_sent(
    server: Server, target: str, status: int, name: str
) -> None:
    with server.connect() as client:
        for _ in range(3):  # new, remembered, and hot
            assert_is_page(client.get(target), status, PAGES[name])
        assert client.get("/hello.txt").body == CONTENT["hello.txt"]


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"damaged/404.html"}))
def test_an_error_page_under_its_own_url_is_a_page_like_any_other(
    server: Server, name: str
) -> None:
    with server.connect() as client:
        response = client.get(f"/{name}")
        assert (response.status, response.body) == (200, PAGES[name])
        assert response.fields["accept-ranges"] == "bytes"
        tag = f"If-None-Match: {response.fields['etag']}"
        assert client.get(f"/{name}", "site.example", tag).status == 304
        assert client.get(f"/{name}", "site.example", "Range: bytes=0-3").status == 206


@pytest.mark.parametrize(
    ("method", "fields", "status", "told"),
    [
        ("POST", ("Content-Length: 0",), 405, {"allow": "GET, HEAD, OPTIONS"}),
        ("BREW", (), 501, {}),
        ("GET", ('If-Match: "other"',), 412, {}),
        ("GET", ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT",), 412, {}),
        ("GET", ("Range: bytes=100-",), 416, {"content-range": "bytes */13"}),
        ("GET", ("Expect: something",), 417, {}),
    ],
)
def test_whatever_is_wrong_with_a_request_has_its_page_and_fields(
    server: Server, method: str, fields: tuple[str, ...], status: int, told: Mapping[str, str]
) -> None:
    with server.connect() as client:
        client.send(request("/hello.txt", "site.example", *fields, method=method))
        response = client.read()
        assert_is_page(response, status, PAGES[f"{status}.html"])
        assert {name: response.fields.get(name) for name in told} == told
        assert client.get("/hello.txt").body == CONTENT["hello.txt"]
        client.send(request("/hello.txt", "bare.example", *fields, method=method))
        response = client.read()
        assert (response.status, response.fields["vary"]) == (status, "Accept")
        assert {name: response.fields.get(name) for name in told} == told
        assert f"<h1>{status} ".encode() in response.body


def test_a_damaged_body_is_answered_with_the_page_for_the_servers_troubles(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            assert_is_page(client.get("/damaged/file.txt"), 500, PAGES["50x.html"])
        response = client.get("/bad.txt", "bare.example")
        assert (response.status, response.fields["vary"]) == (500, "Accept")
        assert b"<h1>500 Internal Server Error</h1>" in response.body


def test_a_damaged_error_page_gives_way_to_the_built_in_one_and_is_logged(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            response = client.get("/damaged/none")
            assert (response.status, response.fields["vary"]) == (404, "Accept")
            assert b"<h1>404 Not Found</h1>" in response.body
            for word in (b"damaged", b"webroot", b"/", b"Traceback"):
                assert word not in response.body.replace(b"</", b"").replace(b"1rem/1.5", b"")
    server.log.wait_for_count("site.example: answered 404 without the site's page: ", 1)


def test_a_large_error_page_comes_whole(server: Server) -> None:
    with server.connect() as client:
        for field in ("Accept: */*", "Range: bytes=0-9"):
            assert_is_page(client.get("/large/none", "site.example", field), 404, LARGE)
        assert client.get("/hello.txt").body == CONTENT["hello.txt"]


@pytest.mark.parametrize("target", ["/none", "/docs/", "/docs/a/", "/large/none", "/%zz"])
@pytest.mark.parametrize("host", ["site.example", "bare.example", "other.example"])
def test_head_has_the_fields_of_get_and_no_body(server: Server, host: str, target: str) -> None:
    with server.connect() as client:
        full = client.get(target, host)
        client.send(request(target, host, method="HEAD"))
        head = client.read(to_head=True)
        assert full.fields.pop("date")
        assert head.fields.pop("date")
        assert (head.status, head.fields) == (full.status, full.fields)
        assert client.get("/hello.txt").body == CONTENT["hello.txt"]


@pytest.mark.parametrize("host", ["site.example", "bare.example"])
@pytest.mark.parametrize("target", ["/none", "/docs/none"])
def test_neither_preconditions_nor_ranges_apply_to_an_error(
    server: Server, host: str, target: str
) -> None:
    with server.connect() as client:
        tag = client.get("/404.html").fields["etag"]
        plain = client.get(target, host)
        for field in (
            *("If-None-Match: *", f"If-None-Match: {tag}", 'If-Match: "other"', "Range: bytes=0-3"),
            *("Range: bytes=999999-", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT"),
            *("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "Want-Repr-Digest: sha-256=1"),
        ):
            response = client.get(target, host, field)
            response.fields["date"] = plain.fields["date"]
            assert (response.status, response.fields) == (404, plain.fields), field
            assert response.body == plain.body


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("image/png", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("application/json;q=0.5, text/html;q=0.4", "application/json"),
        ("application/json;q=0.5, text/html;q=0.6", "text/html; charset=utf-8"),
        ("application/problem+json, application/json", "application/problem+json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/plain;q=0.9, application/json;q=0.8, */*;q=0.1", "text/plain; charset=utf-8"),
        ("TEXT/PLAIN;Q=1, text/html;q=0", "text/plain; charset=utf-8"),
    ],
)
def test_a_built_in_page_comes_in_the_form_that_is_preferred(
    server: Server, accept: str | None, media_type: str
) -> None:
    fields = () if accept is None else (f"Accept: {accept}",)
    with server.connect() as client:
        for host, target, status, title in (
            ("bare.example", "/none", 404, "Not Found"),
            ("bare.example", "/", 404, "Not Found"),
            ("other.example", "/", 404, "Not Found"),
        ):
            response = client.get(target, host, *fields)
            assert (response.status, response.fields["vary"]) == (status, "Accept")
            assert response.fields["content-type"] == media_type
            assert response.fields["x-content-type-options"] == "nosniff"
            assert not {"etag", "last-modified", "accept-ranges"} & response.fields.keys()
            if "json" in media_type:
                said = json.loads(response.body)
                assert (said["status"], said["title"]) == (status, title)
            else:
                assert f"{status} {title}".encode() in response.body
        # The page of a site is what it is, whatever is preferred.
        assert_is_page(client.get("/none", "site.example", *fields), 404, PAGES["404.html"])


def test_a_request_that_cannot_be_parsed_is_refused_with_the_built_in_page(server: Server) -> None:
    with server.connect() as client:
        client.send(b"GET /none HTTP/1.1\r\nHost: site.example\r\nAccept: text/plain\r\n :\r\n\r\n")
        response = client.read()
        assert (response.status, response.fields["connection"]) == (400, "close")
        assert b"<h1>400 Bad Request</h1>" in response.body
        assert client.read_rest() == b""


def test_errors_in_a_pipeline_come_in_order_among_other_answers(server: Server) -> None:
    targets = ["/none", "/hello.txt", "/large/none", "/docs/", "/docs/a/none", "/"] * 20
    with server.connect() as client:
        alone = {target: client.get(target) for target in set(targets)}
        client.send(b"".join(map(request, targets)))
        for target in targets:
            response = client.read()
            assert (response.status, response.body) == (alone[target].status, alone[target].body)


@pytest.mark.parametrize("coding", ["identity", *DECODE])
def test_a_page_of_the_site_comes_in_the_coding_that_is_preferred(
    own_server: Server, coding: str
) -> None:
    with own_server.connect() as client:
        response = client.get("/packed/none", "site.example", f"Accept-Encoding: {coding}")
    assert response.status == 404
    assert response.fields["vary"] == "Accept-Encoding"
    if coding == "identity":
        assert "content-encoding" not in response.fields
        assert response.body == CONTENT["packed/404.html"]
    else:
        assert response.fields["content-encoding"] == coding
        assert DECODE[coding](response.body) == CONTENT["packed/404.html"]
