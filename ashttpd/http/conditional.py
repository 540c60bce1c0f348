"""Preconditions: whether what the client has is what we would send (RFC 9110 section 13)."""

from collections.abc import Collection

from ashttpd.http.grammar import ENTITY_TAG, ENTITY_TAG_LIST


def find_match(if_none_match: bytes, tags: Collection[bytes]) -> bytes | None:
    """Return the entity tag among `tags` that an If-None-Match names, or None.

    Compares weakly (RFC 9110 section 13.1.2). `*` matches the first of `tags`. A malformed field
    matches nothing, so that the client gets the whole answer.
    """
    if if_none_match == b"*":
        return next(iter(tags), None)
    if not ENTITY_TAG_LIST.fullmatch(if_none_match):
        return None
    named = {opaque for _weak, opaque in ENTITY_TAG.findall(if_none_match)}
    return next((tag for tag in tags if tag in named), None)


def allows_range(if_range: bytes | None, tag: bytes) -> bool:
    """Tell whether a Range may be honoured beside this If-Range (RFC 9110 section 13.1.5).

    Only the strong entity tag of what would be sent does; a date never, since none is promised.
    """
    return if_range is None or if_range == tag
