"""Webroots that are written to in place while they are served."""

import os

import pytest

from ashttpd.vhosts.watch import Watch
from tests.servers import put
from tests.vhosts import Place, half_of, text_of


def test_a_webroot_that_is_overwritten_in_place_is_not_trusted_any_more(
    place: Place, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    webroot = place.link("a.example", "one", 1 << 20)
    watch.check()
    assert text_of(watch) == "one"
    old = watch.current.webroots["a.example"]
    with webroot.open("r+b") as file:
        file.write(b"no webroot any more")
    assert watch.check() is True
    assert old.revoked
    assert "a.example: overwritten or truncated in place" in caplog.text
    assert text_of(watch) == "503"
    assert watch.check() is False
    place.link("a.example", "two")
    assert watch.check() is True
    assert text_of(watch) == "two"


def test_a_webroot_that_is_overwritten_is_noticed_though_its_name_leads_elsewhere_by_then(
    place: Place, watch: Watch
) -> None:
    webroot = place.link("a.example", "one", 1 << 20)
    watch.check()
    old = watch.current.webroots["a.example"]
    half, _rest = half_of(place)
    put(place.vhosts, "a.example", half)
    watch.check()
    assert not old.revoked
    os.truncate(webroot, 1000)
    assert watch.check() is True
    assert old.revoked
    assert text_of(watch) == "503"
