"""The data that a lookup gives: a resource and its variants, as FORMAT.md names their fields."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from ashttpd.webroot.layout import ETAG_DIGEST_BYTES

# The coding of a body that is not encoded (RFC 9110 section 12.5.3).
IDENTITY: Final = "identity"


@dataclass(frozen=True, slots=True)
class Variant:
    """One representation of a resource; offsets and lengths count bytes of the webroot file."""

    head_offset: int
    body_offset: int
    body_length: int
    head_length: int
    validators_length: int
    fields_length: int
    media_type: str
    coding: str
    sha256: bytes
    head_sha256: bytes


@dataclass(frozen=True, slots=True)
class Resource:
    """What one canonical path answers; `modified` is in seconds since the epoch or None."""

    path: bytes
    status: int
    keep_query: bool
    location: bytes
    modified: int | None
    variants: tuple[Variant, ...]


def entity_tag(sha256: bytes) -> bytes:
    """Return the strong entity tag, with its quotes, of a body with this digest.

    144 bits of SHA-256 in base64url (RFC 4648 section 5): every character is an etagc of
    RFC 9110 section 8.8.3.
    """
    return b'"' + urlsafe_b64encode(sha256[:ETAG_DIGEST_BYTES]) + b'"'
