"""Digests of representations, for who asks for them (RFC 9530)."""

from base64 import b64encode

from ashttpd.http.grammar import DIGEST_PREFERENCE, MAX_ELEMENTS


def wants_sha256(want_repr_digest: bytes | None) -> bool:
    """Tell whether a Want-Repr-Digest field accepts SHA-256, the one algorithm that we have.

    A preference of 0 means "not acceptable", the last one of a name counts, and a field that is no
    dictionary of integers is ignored as a whole (RFC 9530 section 4, RFC 8941 section 4.2).
    """
    if want_repr_digest is None:
        return False
    preference = 0
    for member in want_repr_digest.split(b",", MAX_ELEMENTS):
        match = DIGEST_PREFERENCE.fullmatch(member.strip(b" \t"))
        if match is None:
            return False
        if match[1] == b"sha-256":
            preference = int(match[2])
    return 0 < preference <= 10


def repr_digest(sha256: bytes) -> bytes:
    """Return the Repr-Digest field line of a representation with this digest (section 3)."""
    return b"Repr-Digest: sha-256=:%b:\r\n" % b64encode(sha256)
