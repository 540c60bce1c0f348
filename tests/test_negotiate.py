"""Accept: the most specific range decides, the weight counts, and nobody is sent away."""

import pytest

from ashttpd.http.negotiate import choose_variant, quality
from ashttpd.webroot.resource import Resource, Variant

HTML = "text/html; charset=utf-8"
JSON = "application/json"


def variant(media_type: str, coding: str = "identity") -> Variant:
    return Variant(0, 0, 0, 0, 0, 0, media_type, coding, bytes(32), bytes(32))


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
    assert choose_variant(LISTING, accept).media_type == media_type


def test_another_coding_than_identity_is_not_chosen() -> None:
    packed, plain = variant(HTML, "gzip"), variant(HTML)
    assert choose_variant(resource(packed, plain), None) is plain


def test_the_first_is_chosen_where_all_are_coded() -> None:
    first, second = variant(HTML, "br"), variant(HTML, "gzip")
    assert choose_variant(resource(first, second), b"application/json") is first
