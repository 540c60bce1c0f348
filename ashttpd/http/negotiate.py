"""Choosing among the variants of a resource what a request prefers (RFC 9110 section 12)."""

from ashttpd.http.grammar import MEDIA_RANGE, WEIGHT
from ashttpd.webroot.resource import Resource, Variant


def quality(accept: bytes, media_type: str) -> float:
    """Return the weight, 0 to 1, that an Accept field gives a media type.

    The most specific matching range decides (RFC 9110 section 12.5.1); 0 where none matches.
    """
    essence = media_type.partition(";")[0].strip().lower().encode("ascii")
    family = essence.partition(b"/")[0] + b"/*"
    ranges = (b"*/*", family, essence)  # from the least specific to the most
    best = (-1, 0.0)
    for element in accept.split(b","):
        match = MEDIA_RANGE.fullmatch(element)
        if match is None or match[1].lower() not in ranges:
            continue
        weight = WEIGHT.search(match[2] or b"")
        best = max(best, (ranges.index(match[1].lower()), float(weight[1]) if weight else 1.0))
    return best[1]


def choose_variant(resource: Resource, accept: bytes | None) -> Variant:
    """Return the variant to send; the first where nothing is preferred, never none.

    A client that accepts none of them gets the first: an answer that it may not like serves
    people better than a 406.
    """
    variants = [variant for variant in resource.variants if variant.coding == "identity"]
    if not variants:
        return resource.variants[0]
    if accept is None or len(variants) == 1:
        return variants[0]
    # max() returns the first of equals: the server's own order of preference.
    return max(variants, key=lambda variant: quality(accept, variant.media_type))
