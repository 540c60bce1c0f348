"""Who wants which digest, and how the one that we have is written."""

from hashlib import sha256

import pytest

from ashttpd.http.digests import MAX_MEMBERS, repr_digest, wants_sha256


@pytest.mark.parametrize(
    "field",
    [
        b"sha-256=1",
        b"sha-256=10",
        b"sha-512=3, sha-256=10, unixsum=0",
        b"sha-512=3\t,\tsha-256=1",
        b"sha-256=0, sha-256=2",
        b"*=0,sha-256=01",
    ],
)
def test_sha_256_is_wanted_where_a_preference_above_0_says_so(field: bytes) -> None:
    assert wants_sha256(field)


@pytest.mark.parametrize(
    "field",
    [
        None,
        b"",
        b"sha-256",
        b"sha-256=0",
        b"sha-256=11",
        b"sha-256=-1",
        b"sha-256=1, sha-256=0",
        b"sha-512=10",
        b"SHA-256=1",
        b"sha-256=1.0",
        b"sha-256= 1",
        b"sha-256=1,",
        b"sha-256=1;q",
        b"sha-256=?1",
        b"sha-256=1 sha-512=1",
        b"sha-256=1000000000000000",
    ],
)
def test_it_is_not_wanted_otherwise_nor_by_what_is_malformed(field: bytes | None) -> None:
    assert not wants_sha256(field)


def test_as_many_members_as_rfc_8941_asks_for_are_looked_at_and_no_more() -> None:
    most = b"a=1," * (MAX_MEMBERS - 1) + b"sha-256=1"
    assert wants_sha256(most)
    assert not wants_sha256(most + b",sha-256=1")


def test_a_long_list_is_judged_in_linear_work() -> None:
    assert not wants_sha256(b"a=1, " * 3_000 + b"?")


def test_a_digest_is_written_as_in_appendix_b_1_of_the_rfc() -> None:
    line = b"Repr-Digest: sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:\r\n"
    assert repr_digest(sha256(b'{"hello": "world"}').digest()) == line
