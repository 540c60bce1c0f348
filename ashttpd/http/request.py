"""A request as the miss path sees it: a canonical key, taken apart."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property

from ashttpd.http.lists import coding_weights, media_weights, tags_of
from ashttpd.http.target import parse_path, split_target


@dataclass(frozen=True)
class Request:
    """The part of a request that can change its answer; see scan.py for the key it comes from.

    Lists that came in several lines of the same name are joined as RFC 9110 section 5.3 says; what
    did not come is None. The path and the lists are parsed when they are asked for first, and not
    again.
    """

    method: bytes
    target: bytes
    minor: int
    persistent: bool
    has_unread_body: bool
    host: bytes
    range: bytes | None = None
    if_range: bytes | None = None
    if_none_match: bytes | None = None
    accept: bytes | None = None
    accept_encoding: bytes | None = None
    if_match: bytes | None = None
    if_modified_since: bytes | None = None
    if_unmodified_since: bytes | None = None
    want_repr_digest: bytes | None = None
    expect: bytes | None = None

    @cached_property
    def path(self) -> bytes | None:
        """The canonical path of an origin-form target, or None; raises HTTPError (parse_path)."""
        return parse_path(split_target(self.target)[0])

    @cached_property
    def media_weights(self) -> Mapping[bytes, float]:
        """The weight of each media range in Accept; of `*/*` without the field."""
        return media_weights(self.accept)

    @cached_property
    def coding_weights(self) -> Mapping[str, float]:
        """The weight of each coding in Accept-Encoding; of identity without the field."""
        return coding_weights(self.accept_encoding)

    @cached_property
    def if_match_tags(self) -> Set[bytes]:
        """The strong tags in If-Match, or ANY_TAG."""
        return tags_of(self.if_match, weak=False)

    @cached_property
    def if_none_match_tags(self) -> Set[bytes]:
        """The opaque tags in If-None-Match, weak ones too, or ANY_TAG."""
        return tags_of(self.if_none_match, weak=True)


def parse_key(key: bytes) -> Request:
    """Return the request of a canonical key, which has to be one that a scan made."""
    request_line, *lines = key[3:-1].split(b"\n")
    method, _, target = request_line.partition(b" ")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        letter, value = line[:1], line[1:]
        fields[letter] = fields[letter] + b", " + value if letter in fields else value
    return Request(
        method=method,
        target=target,
        minor=key[0] - ord("0"),
        persistent=key[1:2] == b"k",
        has_unread_body=key[2:3] != b"-",
        host=fields.get(b"H", b""),
        range=fields.get(b"R"),
        if_range=fields.get(b"I"),
        if_none_match=fields.get(b"N"),
        accept=fields.get(b"A"),
        accept_encoding=fields.get(b"C"),
        if_match=fields.get(b"M"),
        if_modified_since=fields.get(b"S"),
        if_unmodified_since=fields.get(b"U"),
        want_repr_digest=fields.get(b"D"),
        expect=fields.get(b"E"),
    )


def take_framing(key: bytes) -> tuple[bytes, bytes]:
    """Divide the key of a request with a body into that of the same without it, and its framing."""
    fields, _, framing = key[:-1].rpartition(b"\nB")
    return fields[:2] + b"-" + fields[3:] + b"\n", framing


def closing(key: bytes) -> bytes:
    """Return the key of the same request, but with the connection to be closed behind it."""
    return key[:1] + b"c" + key[2:]
