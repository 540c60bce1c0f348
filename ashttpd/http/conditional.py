"""Preconditions: whether what the client has is what we would send (RFC 9110 section 13)."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from http import HTTPStatus

from ashttpd.http.dates import parse_date
from ashttpd.http.lists import ANY_TAG
from ashttpd.http.request import Request


@dataclass(frozen=True, slots=True)
class Validators:
    """What a representation is told by.

    `tag` is its strong entity tag; `others` are those of what the client may use in its place;
    `modified` is in seconds since the epoch, or None where it is not known.
    """

    tag: bytes
    others: Sequence[bytes] = ()
    modified: int | None = None


def find_match(named: Set[bytes], validators: Validators) -> bytes | None:
    """Return the entity tag that the tags of an If-None-Match name, or None.

    ANY_TAG matches the representation's own (RFC 9110 section 13.1.2). A malformed field names no
    tag and matches nothing, so that the client gets the whole answer.
    """
    if ANY_TAG in named:
        return validators.tag
    return next((tag for tag in (validators.tag, *validators.others) if tag in named), None)


def matches_strongly(named: Set[bytes], tag: bytes) -> bool:
    """Tell whether the strong tags of an If-Match name a tag (RFC 9110 section 13.1.1).

    ANY_TAG matches every tag; a malformed field names no tag and matches nothing.
    """
    return ANY_TAG in named or tag in named


def _fails(request: Request, validators: Validators, now: int) -> bool:
    """Tell whether the client wants nothing done (RFC 9110 sections 13.1.1 and 13.1.4).

    If-Match compares strongly, and with what would be sent: a client that goes on with a part of
    one coding must not get a part of another.
    """
    if request.if_match is not None:
        return not matches_strongly(request.if_match_tags, validators.tag)
    if request.if_unmodified_since is None or validators.modified is None:
        return False
    date = parse_date(request.if_unmodified_since, now)
    return date is not None and validators.modified > date


def _is_unmodified(request: Request, validators: Validators, now: int) -> bool:
    if request.if_modified_since is None or validators.modified is None:
        return False
    date = parse_date(request.if_modified_since, now)
    return date is not None and validators.modified <= date


def check(request: Request, validators: Validators, now: int) -> tuple[HTTPStatus, bytes]:
    """Return 412, 304, or 200 to go on, and the entity tag that the client is told.

    In the order of RFC 9110 section 13.2.2; for GET and HEAD. `now` is in seconds since the epoch.
    """
    if _fails(request, validators, now):
        return HTTPStatus.PRECONDITION_FAILED, validators.tag
    if request.if_none_match is not None:
        match = find_match(request.if_none_match_tags, validators)
        if match is not None:
            return HTTPStatus.NOT_MODIFIED, match
    elif _is_unmodified(request, validators, now):
        return HTTPStatus.NOT_MODIFIED, validators.tag
    return HTTPStatus.OK, validators.tag
