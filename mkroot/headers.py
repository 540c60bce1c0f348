"""Head blocks: the header fields of a variant that are known when the site is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ashttpd.webroot.resource import IDENTITY, entity_tag

# The browser takes our word for the media type, so that no upload turns into a script.
_NOSNIFF: Final = b"X-Content-Type-Options: nosniff\r\n"


@dataclass(frozen=True, slots=True)
class HeadBlock:
    """A head block, where its parts end, and its media type, as FORMAT.md has them."""

    media_type: bytes
    block: bytes
    validators_length: int
    fields_length: int


def _head_block(
    media_type: bytes, validators: bytes, further_fields: bytes, length: int, coding: bytes = b""
) -> HeadBlock:
    common = validators + coding + b"Content-Type: " + media_type + b"\r\n" + further_fields
    block = common + b"Content-Length: %d\r\n\r\n" % length
    return HeadBlock(media_type, block, len(validators), len(common))


def content_head(
    media_type: bytes,
    sha256: bytes,
    length: int,
    *,
    coding: str = IDENTITY,
    vary: Sequence[bytes] = (),
    extra: bytes = b"",
) -> HeadBlock:
    """Return the head of a 200: a validator, a type, ranges.

    `vary` names the fields that variants are chosen by; `extra` are further field lines.
    """
    validators = b"ETag: " + entity_tag(sha256) + b"\r\n"
    if vary:
        validators += b"Vary: " + b", ".join(vary) + b"\r\n"
    fields = b"Accept-Ranges: bytes\r\n" + _NOSNIFF + extra
    coded = b"" if coding == IDENTITY else b"Content-Encoding: %b\r\n" % coding.encode("ascii")
    return _head_block(media_type, validators, fields, length, coded)


def status_head(media_type: bytes, length: int, *, extra: bytes = b"") -> HeadBlock:
    """Return the head of any other status: no validator, no ranges; `extra` as above."""
    return _head_block(media_type, b"", _NOSNIFF + extra, length)
