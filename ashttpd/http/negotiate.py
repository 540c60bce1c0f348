"""Choosing among the variants of a resource what a request prefers (RFC 9110 section 12)."""

from collections.abc import Mapping, Sequence
from typing import Final

from ashttpd.http.request import Request
from ashttpd.webroot.resource import IDENTITY, Resource, Variant

# Less than any weight that a field can give: not named, so acceptable, but not asked for either.
_UNNAMED: Final = 0.0001


def media_weight(weights: Mapping[bytes, float], media_type: str) -> float:
    """Return the weight, 0 to 1, that the ranges of an Accept field give a media type.

    The most specific matching range decides (RFC 9110 section 12.5.1); 0 where none matches.
    """
    essence = media_type.partition(";")[0].strip().lower().encode("ascii")
    family = essence.partition(b"/")[0] + b"/*"
    for media_range in (essence, family, b"*/*"):
        if media_range in weights:
            return weights[media_range]
    return 0.0


def _coding_weight(weights: Mapping[str, float], coding: str) -> float:
    """Return what a coding weighs; 0 is not acceptable (RFC 9110 section 12.5.3)."""
    return weights.get(coding, weights.get("*", _UNNAMED if coding == IDENTITY else 0.0))


def acceptable_variants(resource: Resource, request: Request) -> Sequence[Variant]:
    """Return the variants that a request accepts, all of its preferred media type, the best first.

    Of equally preferred types the first is taken; of equally preferred codings the shortest goes
    first. There is at least one: a client that accepts no type gets the first one, and a client
    that accepts no coding gets what is not encoded. An answer that it may not like serves people
    better than a 406.
    """
    variants = resource.variants
    if len(variants) == 1:
        return variants
    media_type = _preferred_type(variants, request)
    codings = [variant for variant in variants if variant.media_type == media_type]
    weights = request.coding_weights
    ranked = sorted(codings, key=lambda v: (-_coding_weight(weights, v.coding), v.body_length))
    return [v for v in ranked if _coding_weight(weights, v.coding)] or codings[:1]


def _preferred_type(variants: Sequence[Variant], request: Request) -> str:
    """Return the media type of the variants that Accept prefers, the first of equals."""
    if request.accept is None:
        return variants[0].media_type
    # A dict keeps the order, which is the server's own preference; a set would not.
    media_types = list(dict.fromkeys(variant.media_type for variant in variants))
    if len(media_types) == 1:
        return media_types[0]
    weights = request.media_weights
    return max(media_types, key=lambda media_type: media_weight(weights, media_type))
