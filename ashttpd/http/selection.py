"""Selecting: which variant a request is answered with, and which bytes of it.

A range counts bytes of one representation (RFC 9110 section 14), and clients do not hold on to one:
they ask for the length with one Accept-Encoding and for ranges with another, or put parts together
that came under different ones. So the copy that a range is taken from never depends on
Accept-Encoding alone. Pure functions; no field is written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from ashttpd.http.conditional import matches_strongly
from ashttpd.http.dates import parse_date
from ashttpd.http.negotiate import acceptable_variants
from ashttpd.http.ranges import Part, Unsatisfiable, choose_ranges
from ashttpd.http.request import Request
from ashttpd.webroot.resource import IDENTITY, Resource, Variant, entity_tag


@dataclass(frozen=True, slots=True)
class Selection:
    """The variant that would be sent, and which bytes of it.

    `parts` is None for the whole. An If-None-Match may name the variant, or one of `others`: what
    the client may hold, and may go on using, in its place.
    """

    variant: Variant
    others: Sequence[Variant] = ()
    parts: list[Part] | Unsatisfiable | None = None


def known_modified(resource: Resource, now: int) -> int | None:
    """Return when a resource was modified; a date in the future is none (section 8.8.2.1)."""
    if resource.modified is not None and resource.modified > now:
        return None
    return resource.modified


def select(request: Request, resource: Resource, now: int) -> Selection:
    """Return what a request selects of a resource.

    `now` is in seconds since the epoch. A Range counts for a GET of what is answered with 200
    (section 14.2). Where it is malformed, of another unit, or not worth while, the request is
    answered as if the field were not there.
    """
    acceptable = acceptable_variants(resource, request)
    preferred = acceptable[0]
    whole = Selection(preferred, acceptable)
    if request.range is None or request.method != b"GET" or resource.status != HTTPStatus.OK:
        return whole
    counted = _counted_in(request, resource, acceptable, now)
    parts = choose_ranges(request.range, (counted or preferred).body_length)
    if parts is None:
        return whole
    # A 304 to a Range says that the part which the client holds is a part of what would be sent:
    # of a copy that the client holds besides, its bytes would be others.
    return Selection(counted, (), parts) if counted else Selection(preferred)


def _counted_in(
    request: Request, resource: Resource, acceptable: Sequence[Variant], now: int
) -> Variant | None:
    """Return the variant whose bytes a Range counts; None where If-Range asks for the whole.

    That is the variant which is not encoded, unless If-Range or If-Match names the tag of another
    that the request accepts (sections 13.1.1 and 13.1.5). A date in If-Range belongs to all the
    copies, so it names one only where the request accepts no other.
    """
    plain = _plain_variant(resource, acceptable[0].media_type)
    candidates = (plain, *acceptable)
    if request.if_range is None:
        if request.if_match is None:
            return plain
        tags = request.if_match_tags
        return next((v for v in candidates if matches_strongly(tags, _tag(v))), plain)
    for variant in candidates:
        if request.if_range == _tag(variant):
            return variant
    modified = known_modified(resource, now)
    is_date = modified is not None and parse_date(request.if_range, now) == modified
    return plain if is_date and all(variant is plain for variant in acceptable) else None


def _plain_variant(resource: Resource, media_type: str) -> Variant:
    """Return the variant of a media type that is not encoded, or the first where all are."""
    codings = [variant for variant in resource.variants if variant.media_type == media_type]
    return next((variant for variant in codings if variant.coding == IDENTITY), codings[0])


def _tag(variant: Variant) -> bytes:
    return entity_tag(variant.sha256)
