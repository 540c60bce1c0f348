"""What a head block may say: FORMAT.md, "The head block". Used by the server and by the builder.

A right checksum proves only that the block is what the writer of the file meant. The server sends
the block as it stands, on connections that a proxy shares between clients of all sites: so a field
that divides or ends messages must not come out of a site's file. No file is read here.
"""

from collections.abc import Mapping
from typing import Final

from ashttpd.webroot.errors import WebrootError, show
from ashttpd.webroot.grammar import FIELD_LINE, VARY
from ashttpd.webroot.resource import IDENTITY, Resource, Variant, entity_tag

# The fields that a 304 has to carry (RFC 9110 section 15.4.5), but for Date: all that the first
# part may hold. Those in the second line may stand in the second part instead: a redirect has no
# validators, and its freshness belongs to no 304.
_FIRST_PART_ALONE: Final = frozenset((b"etag", b"vary", b"content-location"))
FIRST_PART: Final = _FIRST_PART_ALONE | {b"cache-control", b"expires"}

# What never stands in a head block, in lower case.
SERVERS_FIELDS: Final = frozenset(
    (
        # The server writes these itself; twice would be two answers to one question.
        *(b"date", b"last-modified", b"location", b"allow", b"content-range", b"repr-digest"),
        # They delimit messages and steer the connection (RFC 9112 sections 6 and 9, RFC 9110
        # section 7.6.1): the server's alone. Content-Length is the third part.
        *(b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"te"),
        *(b"trailer", b"upgrade"),
        # Of the content of one message, and a 206 has other content than a 200 (RFC 9530).
        b"content-digest",
        # They tell of the server, of caches and of gateways, of which a file knows nothing.
        *(b"server", b"age", b"via"),
    )
)
# Fields that a proxy obeys: `X-Accel-Redirect` has nginx send a file of its own, `X-Sendfile` has
# Apache and lighttpd, `X-Reproxy-URL` has h2o fetch from another server.
SERVERS_PREFIXES: Final = (b"proxy-", b"x-accel-", b"x-sendfile", b"x-lighttpd-", b"x-reproxy-")


def check_head(block: bytes, variant: Variant) -> Mapping[bytes, bytes]:
    """Return the fields of the first part of a head block, by their names in lower case.

    Raises WebrootError where the block breaks a rule, or says other than its variant.
    """
    if block[variant.fields_length :] != b"Content-Length: %d\r\n\r\n" % variant.body_length:
        raise WebrootError(
            f"its head does not end with the length of the body, {variant.body_length}: "
            f"{show(block[variant.fields_length :])}"
        )
    validators = _fields_of(block[: variant.validators_length])
    others = _fields_of(block[variant.validators_length : variant.fields_length])
    for name in validators.keys() - FIRST_PART:
        raise WebrootError(f"{_text(name)} stands in the first part of its head")
    for name in others:
        if name in SERVERS_FIELDS or name.startswith(SERVERS_PREFIXES):
            raise WebrootError(f"{_text(name)} stands in its head and is for the server to write")
        if name in _FIRST_PART_ALONE or name in validators:
            raise WebrootError(f"{_text(name)} stands in the second part of its head")
    coding = None if variant.coding == IDENTITY else variant.coding.encode("ascii")
    for name in _vary(validators):
        if not VARY.fullmatch(name):
            raise WebrootError(f"Vary in its head names {show(name)}, which is no field")
    _check_value(validators, b"etag", None, entity_tag(variant.sha256))
    _check_value(others, b"content-type", variant.media_type.encode("ascii"))
    _check_value(others, b"content-encoding", coding)
    _check_value(others, b"accept-ranges", None, b"bytes", b"none")
    return validators


def check_selection(
    validators: Mapping[bytes, bytes], resource: Resource, variant: Variant
) -> None:
    """Raise WebrootError where the head of a variant does not fit what else the resource has.

    A 200 has an entity tag and no other status has. `Vary` names what the variants are chosen by,
    else a cache would give one to clients that asked for another (RFC 9110 section 12.5.5).
    """
    if (b"etag" in validators) != (resource.status == 200):
        says = "has" if b"etag" in validators else "lacks"
        raise WebrootError(f"its head {says} an entity tag, and its status is {resource.status}")
    if len(resource.variants) == 1:
        return
    named = _vary(validators)
    others = [other for other in resource.variants if other.media_type != variant.media_type]
    choices = ((b"accept", others), (b"accept-encoding", len(others) + 1 < len(resource.variants)))
    for name, is_chosen_by in choices:
        if is_chosen_by and name not in named and b"*" not in named:
            raise WebrootError(f"Vary in its head lacks {_text(name)}")


def _vary(validators: Mapping[bytes, bytes]) -> list[bytes]:
    """Return what Vary names, in lower case (RFC 9110 section 12.5.5)."""
    if b"vary" not in validators:
        return []
    return [name.strip(b" \t") for name in validators[b"vary"].lower().split(b",")]


def _fields_of(part: bytes) -> dict[bytes, bytes]:
    """Return the field values of a part by their names in lower case; no name may stand twice."""
    fields: dict[bytes, bytes] = {}
    position = 0
    while position < len(part):
        line = FIELD_LINE.match(part, position)
        if line is None:
            raise WebrootError(f"no field line in its head: {show(part[position:])}")
        name = line[1].lower()
        if name in fields:
            raise WebrootError(f"{_text(name)} stands twice in its head")
        fields[name] = line[2]
        position = line.end()
    return fields


def _check_value(fields: Mapping[bytes, bytes], name: bytes, *allowed: bytes | None) -> None:
    """Raise WebrootError unless the value of a field, None where it is not there, is allowed."""
    value = fields.get(name)
    if value not in allowed:
        expected = " or ".join(map(_shown, allowed))
        raise WebrootError(f"{_text(name)} in its head is {_shown(value)}, not {expected}")


def _shown(value: bytes | None) -> str:
    return "no field" if value is None else show(value)


def _text(name: bytes) -> str:
    return name[:100].decode("ascii")
