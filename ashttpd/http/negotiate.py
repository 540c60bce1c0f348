"""Choosing among the variants of a resource what a request prefers (RFC 9110 section 12)."""

from collections.abc import Mapping, Sequence
from typing import Final

from ashttpd.http.grammar import CODING_PREFERENCE, MAX_ELEMENTS, MEDIA_RANGE, WEIGHT, elements_of
from ashttpd.webroot.resource import IDENTITY, Resource, Variant

# RFC 9110 section 8.4.1.3
_ALIASES: Final = {"x-gzip": "gzip"}
# Less than any weight that a field can give: not named, so acceptable, but not asked for either.
_UNNAMED: Final = 0.0001


def quality(accept: bytes, media_type: str) -> float:
    """Return the weight, 0 to 1, that an Accept field gives a media type.

    The most specific matching range decides (RFC 9110 section 12.5.1); 0 where none matches. What
    stands behind the first thousand elements is not looked at.
    """
    essence = media_type.partition(";")[0].strip().lower().encode("ascii")
    family = essence.partition(b"/")[0] + b"/*"
    ranges = (b"*/*", family, essence)  # from the least specific to the most
    best = (-1, 0.0)
    for element in accept.split(b",", MAX_ELEMENTS)[:MAX_ELEMENTS]:
        match = MEDIA_RANGE.fullmatch(element)
        if match is None or match[1].lower() not in ranges:
            continue
        weight = WEIGHT.search(match[2] or b"")
        best = max(best, (ranges.index(match[1].lower()), float(weight[1]) if weight else 1.0))
    return best[1]


def coding_weights(accept_encoding: bytes | None) -> Mapping[str, float]:
    """Return the weights, 0 to 1, that an Accept-Encoding field names, `*` among them.

    Without a field, or with a malformed one, identity alone is named: who says nothing of codings
    need not know them. Of a coding that stands twice the last weight counts.
    """
    weights = {}
    for match in elements_of(accept_encoding or b"", CODING_PREFERENCE):
        coding = match[1].lower().decode("ascii")
        weights[_ALIASES.get(coding, coding)] = float(match[2] or 1)
    return weights or {IDENTITY: 1.0}


def _coding_weight(weights: Mapping[str, float], coding: str) -> float:
    """Return what a coding weighs; 0 is not acceptable (RFC 9110 section 12.5.3)."""
    return weights.get(coding, weights.get("*", _UNNAMED if coding == IDENTITY else 0.0))


def acceptable_variants(
    resource: Resource, accept: bytes | None, accept_encoding: bytes | None
) -> Sequence[Variant]:
    """Return the variants that a request accepts, all of its preferred media type, the best first.

    Of equally preferred types the first is taken; of equally preferred codings the shortest goes
    first. There is at least one: a client that accepts no type gets the first one, and a client
    that accepts no coding gets what is not encoded. An answer that it may not like serves people
    better than a 406.
    """
    variants = resource.variants
    if len(variants) == 1:
        return variants
    media_type = variants[0].media_type
    if accept is not None:
        # max() returns the first of equals: the server's own order of preference.
        media_type = max(
            (variant.media_type for variant in variants), key=lambda name: quality(accept, name)
        )
    codings = [variant for variant in variants if variant.media_type == media_type]
    weights = coding_weights(accept_encoding)
    ranked = sorted(codings, key=lambda v: (-_coding_weight(weights, v.coding), v.body_length))
    return [v for v in ranked if _coding_weight(weights, v.coding)] or codings[:1]
