"""Lists: what the fields of a request name, as sets and mappings that decisions look things up in.

A list is parsed once per request (request.py holds the results), so that its cost does not grow
with the number of variants. All of them are bounded by MAX_ELEMENTS. Pure functions.
"""

from collections.abc import Mapping, Set
from typing import Final

from ashttpd.http.grammar import (
    CODING_PREFERENCE,
    ENTITY_TAG,
    MAX_ELEMENTS,
    MEDIA_RANGE,
    WEIGHT,
    elements_of,
)
from ashttpd.webroot.resource import IDENTITY

# Stands for every tag in a set of tags (RFC 9110 sections 13.1.1 and 13.1.2). An entity tag has
# quotes, so none is equal to it.
ANY_TAG: Final = b"*"
# RFC 9110 section 12.5.1: without Accept, a client accepts any media type.
_ANY_TYPE: Final[Mapping[bytes, float]] = {b"*/*": 1.0}
# RFC 9110 section 8.4.1.3
_ALIASES: Final = {"x-gzip": "gzip"}


def tags_of(field: bytes | None, *, weak: bool) -> Set[bytes]:
    """Return the opaque tags that an If-Match or an If-None-Match names, or ANY_TAG for `*`.

    The tags that are marked as weak are among them where `weak` is set. A malformed list names
    none.
    """
    if field == b"*":
        return {ANY_TAG}
    elements = elements_of(field or b"", ENTITY_TAG)
    return {element[2] for element in elements if weak or element[1] is None}


def media_weights(accept: bytes | None) -> Mapping[bytes, float]:
    """Return the weights, 0 to 1, of the media ranges in an Accept field, in lower case.

    A malformed element is passed over; a field of more than MAX_ELEMENTS is ignored. The highest
    weight counts for a range that stands twice.
    """
    if accept is None:
        return _ANY_TYPE
    elements = [element for element in accept.split(b",") if element.strip(b" \t")]
    if len(elements) > MAX_ELEMENTS:
        return _ANY_TYPE
    weights: dict[bytes, float] = {}
    for element in elements:
        match = MEDIA_RANGE.fullmatch(element)
        if match is None:
            continue
        media_range = match[1].lower()
        weight = WEIGHT.search(match[2] or b"")
        value = float(weight[1]) if weight else 1.0
        weights[media_range] = max(weights.get(media_range, 0.0), value)
    return weights


def coding_weights(accept_encoding: bytes | None) -> Mapping[str, float]:
    """Return the weights, 0 to 1, that an Accept-Encoding field names, `*` among them.

    Without a field, or with a malformed one, identity alone is named: a client that does not name
    a coding need not know it. The last weight counts for a coding that stands twice.
    """
    weights = {}
    for match in elements_of(accept_encoding or b"", CODING_PREFERENCE):
        coding = match[1].lower().decode("ascii")
        weights[_ALIASES.get(coding, coding)] = float(match[2] or 1)
    return weights or {IDENTITY: 1.0}
