"""What a head block may say: FORMAT.md, "The head block". Used by the server and by the builder.

A right checksum proves only that the block is what the writer of the file meant. The server sends
the block as it stands, on connections that a proxy shares between clients of all sites: so a field
that divides or ends messages, or that a proxy obeys, must not come out of a site's file. No file is
read here.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ashttpd.webroot import layout
from ashttpd.webroot.errors import WebrootError, show
from ashttpd.webroot.grammar import FIELD_LINE, VARY
from ashttpd.webroot.resource import IDENTITY, Resource, Variant, entity_tag

# Names are in lower case. A redirect has no validators, and its freshness belongs to no 304: so
# these stand in either part.
_EITHER_PART: Final = frozenset((b"cache-control", b"expires"))
# The fields that a 304 has to carry (RFC 9110 section 15.4.5), but for Date: all that the first
# part may hold.
FIRST_PART: Final = _EITHER_PART | {b"etag", b"vary", b"content-location"}
# Policies that a browser may be told to report on only.
_REPORTABLE: Final = (
    *(b"content-security-policy", b"cross-origin-embedder-policy", b"cross-origin-opener-policy"),
    *(b"document-policy", b"integrity-policy", b"permissions-policy"),
)
# Fields that a browser, a robot or a cache obeys and no proxy, in the rows of FORMAT.md's table.
SECOND_PART: Final = _EITHER_PART.union(
    (b"content-type", b"content-encoding", b"content-language", b"content-disposition"),
    (b"accept-ranges", b"cdn-cache-control", b"no-vary-search", b"use-as-dictionary"),
    _REPORTABLE,
    (policy + b"-report-only" for policy in _REPORTABLE),
    (b"clear-site-data", b"cross-origin-resource-policy", b"feature-policy"),
    (b"origin-agent-cluster", b"referrer-policy", b"require-document-policy"),
    (b"strict-transport-security", b"x-content-type-options", b"x-download-options"),
    (b"x-frame-options", b"x-permitted-cross-domain-policies", b"x-xss-protection"),
    (b"access-control-allow-credentials", b"access-control-allow-headers"),
    (b"access-control-allow-methods", b"access-control-allow-origin"),
    (b"access-control-expose-headers", b"access-control-max-age", b"timing-allow-origin"),
    (b"nel", b"report-to", b"reporting-endpoints"),
    (b"accept-ch", b"critical-ch", b"link", b"onion-location", b"origin-trial", b"refresh"),
    (b"service-worker-allowed", b"sourcemap", b"speculation-rules", b"x-dns-prefetch-control"),
    (b"x-sourcemap", b"x-ua-compatible"),
    (b"x-clacks-overhead", b"x-powered-by", b"x-robots-tag"),
)

# Blocks that were checked last, of all sites: a question that is new asks mostly for a page that
# was asked for already. With their bytes, of which there are at most 8 KiB each, 10 MiB at most.
_REMEMBERED_BLOCKS: Final = 1024


@dataclass(frozen=True, slots=True)
class Validators:
    """What the first part of a head block says: whether there is a tag, and names in lower case."""

    has_tag: bool
    vary: frozenset[bytes]


@lru_cache(_REMEMBERED_BLOCKS)
def check_head(block: bytes, variant: Variant) -> Validators:
    """Return what the first part of a head block says.

    Raises WebrootError where the block breaks a rule, or says other than its variant.
    """
    if block[variant.fields_length :] != b"Content-Length: %d\r\n\r\n" % variant.body_length:
        raise WebrootError(
            f"its head does not end with the length of the body, {variant.body_length}: "
            f"{show(block[variant.fields_length :])}"
        )
    first = block[: variant.validators_length]
    second = block[variant.validators_length : variant.fields_length]
    validators = _fields_of(first, "first", FIRST_PART)
    others = _fields_of(second, "second", SECOND_PART)
    for name in validators.keys() & others.keys():
        raise WebrootError(f"{_text(name)} stands twice in its head")
    coding = None if variant.coding == IDENTITY else variant.coding.encode("ascii")
    _check_value(validators, b"etag", None, entity_tag(variant.sha256))
    _check_value(others, b"content-type", variant.media_type.encode("ascii"))
    _check_value(others, b"content-encoding", coding)
    _check_value(others, b"accept-ranges", None, b"bytes", b"none")
    return Validators(b"etag" in validators, _vary(validators.get(b"vary")))


def check_selection(validators: Validators, resource: Resource, variant: Variant) -> None:
    """Raise WebrootError where the head of a variant does not fit what else the resource has.

    A 200 has an entity tag and no other status has. `Vary` names what the variants are chosen by,
    else a cache would give one to clients that asked for another (RFC 9110 section 12.5.5).
    """
    if validators.has_tag != (resource.status == 200):
        says = "has" if validators.has_tag else "lacks"
        raise WebrootError(f"its head {says} an entity tag, and its status is {resource.status}")
    if len(resource.variants) == 1:
        return
    others = [other for other in resource.variants if other.media_type != variant.media_type]
    choices = ((b"accept", others), (b"accept-encoding", len(others) + 1 < len(resource.variants)))
    for name, is_chosen_by in choices:
        if is_chosen_by and name not in validators.vary and b"*" not in validators.vary:
            raise WebrootError(f"Vary in its head lacks {_text(name)}")


def _vary(value: bytes | None) -> frozenset[bytes]:
    """Return what Vary names, in lower case (RFC 9110 section 12.5.5)."""
    if value is None:
        return frozenset()
    names = [name.strip(b" \t") for name in value.lower().split(b",", layout.MAX_VARY_NAMES)]
    if len(names) > layout.MAX_VARY_NAMES:
        raise WebrootError(f"Vary in its head names more than {layout.MAX_VARY_NAMES} fields")
    for name in names:
        if not VARY.fullmatch(name):
            raise WebrootError(f"Vary in its head names {show(name)}, which is no field")
    return frozenset(names)


def _fields_of(part: bytes, place: str, names: frozenset[bytes]) -> dict[bytes, bytes]:
    """Return the field values of a part by their names in lower case; no name may stand twice.

    Ends at the first that is none of `names`: so no part has more fields than there are of those.
    """
    fields: dict[bytes, bytes] = {}
    position = 0
    while position < len(part):
        line = FIELD_LINE.match(part, position)
        if line is None:
            raise WebrootError(f"no field line in its head: {show(part[position:])}")
        name = line[1].lower()
        if name not in names:
            raise WebrootError(f"{_text(name)} may not stand in the {place} part of its head")
        if name in fields:
            raise WebrootError(f"{_text(name)} stands twice in its head")
        fields[name] = line[2]
        position = line.end()
    return fields


def _check_value(fields: dict[bytes, bytes], name: bytes, *allowed: bytes | None) -> None:
    """Raise WebrootError unless the value of a field, None where it is not there, is allowed."""
    value = fields.get(name)
    if value not in allowed:
        expected = " or ".join(map(_shown, allowed))
        raise WebrootError(f"{_text(name)} in its head is {_shown(value)}, not {expected}")


def _shown(value: bytes | None) -> str:
    return "no field" if value is None else show(value)


def _text(name: bytes) -> str:
    return name[:100].decode("ascii")
