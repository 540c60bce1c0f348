"""Digests of representations, for who asks for them (RFC 9530)."""

from base64 import b64encode
from typing import Final

from ashttpd.http.grammar import DIGEST_PREFERENCE

# RFC 8941 section 3.2 asks a parser to take so many members of a dictionary.
MAX_MEMBERS: Final = 1_024


def wants_sha256(want_repr_digest: bytes | None) -> bool:
    """Tell whether a Want-Repr-Digest field accepts SHA-256, the one algorithm that we have.

    A preference of 0 means "not acceptable", the last one of a name counts, and a field that is no
    dictionary of integers is ignored as a whole (RFC 9530 section 4, RFC 8941 section 4.2), and so
    is one of more than MAX_MEMBERS.
    """
    if want_repr_digest is None or want_repr_digest.count(b",") >= MAX_MEMBERS:
        return False
    preference = 0
    for member in want_repr_digest.split(b","):
        match = DIGEST_PREFERENCE.fullmatch(member.strip(b" \t"))
        if match is None:
            return False
        if match[1] == b"sha-256":
            preference = int(match[2])
    return 0 < preference <= 10


def repr_digest(sha256: bytes) -> bytes:
    """Return the Repr-Digest field line of a representation with this digest (section 3)."""
    return b"Repr-Digest: sha-256=:%b:\r\n" % b64encode(sha256)
