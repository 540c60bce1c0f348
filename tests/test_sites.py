"""Which host gets which site."""

import pytest

from ashttpd.vhosts.watch import Watch
from tests.conftest import Engine
from tests.servers import put
from tests.vhosts import Place, make_place, text_of


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Watch:
    place = make_place(tmp_path_factory.mktemp("many"))
    for name in (
        "example.com",
        "*.example.com",
        "*.deep.example.com",
        "x.deep.example.com",
        "[2001:db8::1]",
        "192.0.2.1",
        "Mixed.Example",
        "__default__",
    ):
        put(place.vhosts, name, place.webroot(name.replace("*", "any"), name))
    watch = Watch(place.vhosts)
    watch.check()
    return watch


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("example.com", "example.com"),
        ("example.com:8080", "example.com"),
        ("example.com:", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("a.example.com", "*.example.com"),
        ("a.b.example.com", "*.example.com"),
        ("deep.example.com", "*.example.com"),
        ("a.deep.example.com", "*.deep.example.com"),
        ("a.b.deep.example.com:1", "*.deep.example.com"),
        ("x.deep.example.com", "x.deep.example.com"),
        ("notexample.com", "__default__"),
        ("example.com.evil.example", "__default__"),
        ("example.com..", "__default__"),
        ("*.example.com", "*.example.com"),
        ("__default__", "__default__"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:8080", "[2001:db8::1]"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("mixed.example", "Mixed.Example"),
        ("elsewhere.example", "__default__"),
        ("", "__default__"),
    ],
)
def test_a_host_gets_its_own_site_then_the_longest_wildcard_then_the_default(
    many: Watch, host: str, site: str
) -> None:
    assert text_of(many, host) == site


def test_a_host_in_any_case_gets_its_site_over_http(place: Place, engine: Engine) -> None:
    place.link("a.example", "one")
    with engine.serving(place.vhosts) as server:
        assert server.get("/", "A.eXaMpLe:80").body == b"one"
        assert server.get("/", "b.example").status == 404


def test_without_a_default_an_unknown_host_gets_404(place: Place, watch: Watch) -> None:
    place.link("a.example", "one")
    watch.check()
    assert text_of(watch, "b.example") == "404"


def test_an_empty_directory_answers_404_to_all(watch: Watch) -> None:
    assert watch.check() is False
    assert text_of(watch) == "404"
