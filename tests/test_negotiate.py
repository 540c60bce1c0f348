"""Accept: the most specific range decides, the weight counts, and nobody is sent away."""

from dataclasses import replace

import pytest

from ashttpd.http.grammar import MAX_ELEMENTS
from ashttpd.http.lists import media_weights
from ashttpd.http.negotiate import acceptable_variants, media_weight
from ashttpd.http.request import Request
from ashttpd.webroot.resource import Resource, Variant

HTML = "text/html; charset=utf-8"
JSON = "application/json"


def variant(media_type: str, coding: str = "identity", length: int = 0) -> Variant:
    return Variant(0, 0, length, 0, 0, 0, media_type, coding, bytes(32), bytes(32))


def asking(accept: bytes | None, accept_encoding: bytes | None) -> Request:
    request = Request(b"GET", b"/", 1, True, False, b"a")
    return replace(request, accept=accept, accept_encoding=accept_encoding)


def choose_variant(
    resource: Resource, accept: bytes | None, accept_encoding: bytes | None
) -> Variant:
    return acceptable_variants(resource, asking(accept, accept_encoding))[0]


def quality(accept: bytes, media_type: str) -> float:
    return media_weight(media_weights(accept), media_type)


def resource(*variants: Variant) -> Resource:
    return Resource(b"/", 200, False, b"", None, variants)


LISTING = resource(variant(HTML), variant(JSON))


@pytest.mark.parametrize(
    ("accept", "weight"),
    [
        (b"", 0.0),
        (b"application/json", 1.0),
        (b"APPLICATION/Json", 1.0),
        (b"application/json;q=0.5", 0.5),
        (b"application/json ; Q=0.25", 0.25),
        (b"application/json;q=0", 0.0),
        (b"application/json;q=1.000", 1.0),
        (b"application/json;v=1;q=0.5", 0.5),
        (b"application/json;q=nonsense", 1.0),
        (b"*/*;q=0.1", 0.1),
        (b"application/*;q=0.2, */*;q=0.9", 0.2),
        (b"*/*, application/*;q=0.9, application/json;q=0.3", 0.3),
        (b"application/json;q=0, */*", 0.0),
        (b"text/html", 0.0),
        (b"text/*", 0.0),
        (b"application/jsonx", 0.0),
        (b"xapplication/json", 0.0),
        (b"application/json/x", 0.0),
        (b"x/application/json", 0.0),
        (b"\tapplication/json\t,", 1.0),
        (b",,,application/json", 1.0),
        (b"json", 0.0),
    ],
)
def test_the_weight_of_json_is_that_of_the_most_specific_range(
    accept: bytes, weight: float
) -> None:
    assert quality(accept, JSON) == weight


def test_parameters_of_the_media_type_do_not_count() -> None:
    assert quality(b"text/html;q=0.5", HTML) == 0.5


def test_a_long_field_without_a_slash_weighs_nothing_in_linear_work() -> None:
    # Once this was searched anew from each byte: a second for a head of 16 KiB.
    assert quality(b"json" * 250_000, JSON) == 0.0


def test_an_accept_of_more_media_ranges_than_clients_send_is_ignored() -> None:
    most = b"a/b, , ," * (MAX_ELEMENTS - 1) + b"application/json"
    assert choose_variant(LISTING, most, None).media_type == JSON
    assert choose_variant(LISTING, most + b",,", None).media_type == JSON
    assert choose_variant(LISTING, most + b",text/html;q=0", None).media_type == HTML
    assert choose_variant(LISTING, most + b",nonsense", None).media_type == HTML


def test_without_accept_every_media_type_weighs_the_same() -> None:
    weights = media_weights(None)
    assert media_weight(weights, HTML) == media_weight(weights, JSON) == 1.0


def test_of_a_media_range_that_stands_twice_the_highest_weight_counts() -> None:
    assert quality(b"application/json;q=0.3, APPLICATION/json;q=0.7, */*", JSON) == 0.7
    assert quality(b"application/json;q=0.7, application/json;q=0.3", JSON) == 0.7


def test_more_codings_than_there_are_count_as_none() -> None:
    assert choose_variant(PAGE, None, b"a," * (MAX_ELEMENTS - 1) + b"gzip") is GZIP
    assert choose_variant(PAGE, None, b"a," * MAX_ELEMENTS + b"gzip").coding == "identity"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, HTML),
        (b"application/json", JSON),
        (b"application/json, text/html", HTML),
        (b"application/json, text/html;q=0.9", JSON),
        (b"application/json;q=0.8, text/html;q=0.9", HTML),
        (b"text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8", HTML),
        (b"application/*", JSON),
        (b"application/*;q=0.1, */*;q=0.5", HTML),
        (b"image/png", HTML),
        (b"application/json;q=0", HTML),
        (b"nonsense", HTML),
    ],
)
def test_the_variant_with_the_highest_weight_is_chosen_and_the_first_of_equals(
    accept: bytes | None, media_type: str
) -> None:
    assert choose_variant(LISTING, accept, None).media_type == media_type


GZIP, BR, ZSTD = variant(HTML, "gzip", 300), variant(HTML, "br", 200), variant(HTML, "zstd", 250)
PAGE = resource(variant(HTML, length=1000), GZIP, BR, ZSTD)


@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [
        (None, "identity"),
        (b"", "identity"),
        (b"gzip", "gzip"),
        (b"GZip", "gzip"),
        (b"x-gzip", "gzip"),
        (b"deflate", "identity"),
        (b"compress, x-compress", "identity"),
        (b"gzip, deflate, br, zstd", "br"),
        (b"gzip,deflate", "gzip"),
        (b"gzip , zstd", "zstd"),
        (b",, gzip ,", "gzip"),
        (b"*", "br"),
        (b"br;q=0, *", "zstd"),
        (b"gzip, *;q=0", "gzip"),
        (b"gzip;q=1.0, br;q=0.8", "gzip"),
        (b"gzip;q=0.001", "gzip"),
        (b"gzip ; Q=0.5, zstd;q=0.500", "zstd"),
        (b"gzip;q=0", "identity"),
        (b"gzip;q=0.000, br;q=0.", "identity"),
        (b"identity", "identity"),
        (b"identity, gzip", "gzip"),
        (b"identity;q=1, *;q=0", "identity"),
        (b"identity;q=0.5, gzip;q=0.4", "identity"),
        (b"identity;q=0, gzip;q=0.1", "gzip"),
        (b"identity;q=0", "identity"),
        (b"*;q=0", "identity"),
        (b"gzip;q=0, gzip", "gzip"),
        (b"gzip, gzip;q=0", "identity"),
        # Malformed: as if it were not there.
        (b"gzip;q=2", "identity"),
        (b"gzip;q=0.1234", "identity"),
        (b"gzip;level=1", "identity"),
        (b"gzip br", "identity"),
        (b"gzip;", "identity"),
        (b"\xff", "identity"),
    ],
)
def test_the_coding_with_the_highest_weight_is_chosen_and_the_shortest_of_equals(
    accept_encoding: bytes | None, coding: str
) -> None:
    assert choose_variant(PAGE, None, accept_encoding).coding == coding


@pytest.mark.parametrize(
    ("accept_encoding", "codings"),
    [
        (None, ["identity"]),
        (b"", ["identity"]),
        (b"nonsense", ["identity"]),
        (b"gzip", ["gzip", "identity"]),
        (b"x-gzip, br;q=0.1", ["gzip", "br", "identity"]),
        (b"gzip;q=0", ["identity"]),
        (b"gzip;q=0, *", ["br", "zstd", "identity"]),
        (b"*", ["br", "zstd", "gzip", "identity"]),
        (b"identity, br;q=0.5", ["identity", "br"]),
        (b"identity;q=0, gzip", ["gzip"]),
        (b"gzip, *;q=0", ["gzip"]),
        (b"gzip, identity;q=0.1, *;q=0", ["gzip", "identity"]),
        # Accepts nothing that there is.
        (b"identity;q=0, deflate", ["identity"]),
        (b"*;q=0", ["identity"]),
    ],
)
def test_what_is_not_encoded_is_acceptable_unless_it_is_excluded(
    accept_encoding: bytes | None, codings: list[str]
) -> None:
    found = acceptable_variants(PAGE, asking(None, accept_encoding))
    assert [variant.coding for variant in found] == codings


def test_the_media_type_is_chosen_first_and_its_codings_are_its_own() -> None:
    page, data, packed = variant(HTML, length=9), variant(JSON, length=9), variant(JSON, "gzip", 8)
    both = resource(page, variant(HTML, "br", 1), data, packed)
    assert choose_variant(both, b"application/json", b"br, gzip") is packed
    assert choose_variant(both, b"application/json", b"br") is data
    assert choose_variant(both, None, b"gzip") is page


def test_the_first_of_the_shortest_is_chosen_where_all_are_coded_and_none_is_acceptable() -> None:
    first, second = variant(HTML, "br"), variant(HTML, "gzip")
    assert choose_variant(resource(first, second), b"application/json", None) is first
