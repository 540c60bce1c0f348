"""Every engine: compressed copies, chosen by Accept-Encoding, are variants of their own right."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256

import pytest

from tests.decoders import DECODE
from tests.servers import Response, Server, request

TARGETS = ("/page.html", "/numbers.txt")
BROWSER = "Accept-Encoding: gzip, deflate, br, zstd"


def get(server: Server, target: str, *fields: str) -> Response:
    with server.connect() as client:
        return client.get(target, "site.example", *fields)


def tag_of(server: Server, target: str, coding: str) -> str:
    return get(server, target, f"Accept-Encoding: {coding}").fields["etag"]


@pytest.mark.parametrize("coding", DECODE)
@pytest.mark.parametrize("target", TARGETS)
def test_a_copy_is_sent_to_who_accepts_it_and_decodes_to_the_body(
    server: Server, content: Mapping[str, bytes], target: str, coding: str
) -> None:
    response = get(server, target, f"Accept-Encoding: {coding}")
    assert response.status == 200
    assert response.fields["content-encoding"] == coding
    assert response.fields["vary"] == "Accept-Encoding"
    assert DECODE[coding](response.body) == content[target[1:]]


@pytest.mark.parametrize("target", TARGETS)
def test_who_names_no_coding_gets_the_body_and_is_told_that_it_varies(
    server: Server, content: Mapping[str, bytes], target: str
) -> None:
    for fields in ((), ("Accept-Encoding: identity",), ("Accept-Encoding:",)):
        response = get(server, target, *fields)
        assert (response.status, response.body) == (200, content[target[1:]])
        assert "content-encoding" not in response.fields
        assert response.fields["vary"] == "Accept-Encoding"


def test_of_what_a_browser_accepts_the_shortest_is_sent(server: Server) -> None:
    lengths = {
        coding: len(get(server, "/page.html", f"Accept-Encoding: {coding}").body)
        for coding in DECODE
    }
    shortest = get(server, "/page.html", BROWSER)
    assert len(shortest.body) == min(lengths.values())
    assert lengths[shortest.fields["content-encoding"]] == min(lengths.values())


def test_the_field_may_come_in_several_lines(server: Server) -> None:
    response = get(server, "/page.html", "Accept-Encoding: br;q=0.1", "accept-encoding: gzip")
    assert response.fields["content-encoding"] == "gzip"


def test_what_has_no_copies_does_not_vary(server: Server, content: Mapping[str, bytes]) -> None:
    response = get(server, "/64k.bin", BROWSER)
    assert response.body == content["64k.bin"]
    assert not {"vary", "content-encoding"} & set(response.fields)


def test_nobody_gets_406(server: Server, content: Mapping[str, bytes]) -> None:
    for value in ("identity;q=0", "*;q=0", "gzip;q=0, *;q=0"):
        response = get(server, "/page.html", f"Accept-Encoding: {value}")
        assert (response.status, response.body) == (200, content["page.html"])


def test_head_has_the_fields_of_the_copy(server: Server) -> None:
    full = get(server, "/page.html", "Accept-Encoding: br")
    with server.connect() as client:
        client.send(request("/page.html", "site.example", "Accept-Encoding: br", method="HEAD"))
        head = client.read(to_head=True)
    assert {**head.fields, "date": ""} == {**full.fields, "date": ""}


def test_each_copy_has_a_strong_tag_of_its_own(server: Server) -> None:
    tags = {tag_of(server, "/page.html", coding) for coding in ("identity", *DECODE)}
    assert len(tags) == 4
    assert not any(tag.startswith("W/") for tag in tags)


@pytest.mark.parametrize("held", ["identity", "gzip", "br", "zstd"])
@pytest.mark.parametrize(
    "accepted", [BROWSER, "Accept-Encoding: *", "Accept-Encoding: br, *;q=0.1"]
)
def test_304_is_for_who_holds_any_copy_that_it_accepts_and_repeats_its_tag(
    server: Server, held: str, accepted: str
) -> None:
    tag = tag_of(server, "/page.html", held)
    response = get(server, "/page.html", accepted, f"If-None-Match: {tag}")
    assert response.status == 304
    assert response.fields.keys() == {"date", "etag", "vary"}
    assert response.fields["etag"] == tag
    assert response.fields["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Accept-Encoding:",),
        ("Accept-Encoding: identity",),
        ("Accept-Encoding: deflate",),
        ("Accept-Encoding: x-gzip;q=0",),
        ("Accept-Encoding: gzip;q=0, br;q=0.000, zstd;q=0",),
        ("Accept-Encoding: identity, *;q=0",),
        ("Accept-Encoding: gzip;nonsense",),
    ],
)
def test_a_cache_that_holds_all_copies_is_not_told_to_use_one_that_its_client_does_not_accept(
    server: Server, content: Mapping[str, bytes], fields: tuple[str, ...]
) -> None:
    """RFC 9111 section 4.3.4: a 304 selects the stored response that has its tag."""
    plain, *coded = (tag_of(server, "/page.html", coding) for coding in ("identity", *DECODE))
    held = f"If-None-Match: {', '.join(coded)}"
    response = get(server, "/page.html", *fields, held)
    assert (response.status, response.body) == (200, content["page.html"])
    assert "content-encoding" not in response.fields
    response = get(server, "/page.html", *fields, f"{held}, {plain}")
    assert (response.status, response.fields["etag"]) == (304, plain)
    response = get(server, "/page.html", *fields, "If-None-Match: *")
    assert (response.status, response.fields["etag"]) == (304, plain)


def test_who_excludes_what_is_not_encoded_is_not_told_to_use_it(server: Server) -> None:
    plain, copy = (tag_of(server, "/page.html", coding) for coding in ("identity", "gzip"))
    for accepted in ("x-gzip, identity;q=0", "gzip, *;q=0"):
        field = f"Accept-Encoding: {accepted}"
        response = get(server, "/page.html", field, f"If-None-Match: {plain}")
        assert (response.status, response.fields["etag"]) == (200, copy)
        response = get(server, "/page.html", field, f"If-None-Match: {plain}, {copy}")
        assert (response.status, response.fields["etag"]) == (304, copy)


def test_if_match_is_held_against_the_copy_that_would_be_sent(server: Server) -> None:
    tag = tag_of(server, "/page.html", "br")
    assert get(server, "/page.html", "Accept-Encoding: br", f"If-Match: {tag}").status == 200
    assert get(server, "/page.html", f"If-Match: {tag}").status == 412


# Clients learn a length with one Accept-Encoding and ask for ranges with another.
ACCEPTED = (
    "gzip",
    "gzip, deflate",
    "br;q=1.0, identity;q=0.5, *;q=0",
    "gzip, deflate, br, zstd",
    "x-gzip",
    "*",
    "identity",
    "gzip;q=0",
    "",
    "nonsense;;",
)


@pytest.mark.parametrize("accepted", ACCEPTED)
@pytest.mark.parametrize("target", TARGETS)
def test_a_range_is_a_part_of_the_file_whatever_codings_are_accepted(
    server: Server, content: Mapping[str, bytes], target: str, accepted: str
) -> None:
    body = content[target[1:]]
    plain = get(server, target)
    size = len(body)
    for asked, start, stop in (
        ("10-29", 10, 30),
        (f"{size // 2}-", size // 2, size),
        ("-20", size - 20, size),
    ):
        part = get(server, target, f"Accept-Encoding: {accepted}", f"Range: bytes={asked}")
        assert (part.status, part.body) == (206, body[start:stop])
        assert part.fields["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.fields["content-length"] == str(stop - start)
        for name in ("etag", "vary", "content-type"):
            assert part.fields[name] == plain.fields[name]
        assert "content-encoding" not in part.fields
    beyond = get(server, target, f"Accept-Encoding: {accepted}", f"Range: bytes={size}-")
    assert (beyond.status, beyond.fields["content-range"]) == (416, f"bytes */{size}")


def test_several_ranges_are_parts_of_the_file(server: Server, content: Mapping[str, bytes]) -> None:
    body = content["numbers.txt"]
    parts = get(server, "/numbers.txt", BROWSER, "Range: bytes=0-9,-10")
    assert parts.status == 206
    assert "content-encoding" not in parts.fields
    for piece in (body[:10], body[-10:]):
        assert b"\r\n\r\n" + piece + b"\r\n--" in parts.body


@pytest.mark.parametrize(
    "field", ["Range: bytes=5-2", "Range: lines=0-9", "Range: bytes 0-9", "Range:", "Range: bytes="]
)
def test_a_range_that_is_ignored_changes_nothing(server: Server, field: str) -> None:
    whole = get(server, "/page.html", BROWSER)
    again = get(server, "/page.html", BROWSER, field)
    assert (again.status, again.body) == (200, whole.body)
    assert {**again.fields, "date": ""} == {**whole.fields, "date": ""}
    tag = tag_of(server, "/page.html", "gzip")
    assert get(server, "/page.html", BROWSER, field, f"If-None-Match: {tag}").status == 304


def test_a_range_with_head_is_ignored(server: Server) -> None:
    whole = get(server, "/page.html", BROWSER)
    with server.connect() as client:
        client.send(
            request("/page.html", "site.example", BROWSER, "Range: bytes=0-9", method="HEAD")
        )
        head = client.read(to_head=True)
    assert (head.status, head.fields["etag"]) == (200, whole.fields["etag"])
    assert head.fields["content-length"] == str(len(whole.body))


@pytest.mark.parametrize("coding", ["identity", *DECODE])
def test_if_range_goes_on_with_the_copy_that_has_its_tag(server: Server, coding: str) -> None:
    copy = get(server, "/numbers.txt", f"Accept-Encoding: {coding}")
    size = len(copy.body)
    for name in ("If-Range", "If-Match"):
        fields = (BROWSER, f"{name}: {copy.fields['etag']}")
        part = get(server, "/numbers.txt", *fields, "Range: bytes=100-")
        assert (part.status, part.body) == (206, copy.body[100:])
        assert part.fields["content-range"] == f"bytes 100-{size - 1}/{size}"
        for field in ("etag", "vary", "content-type"):
            assert part.fields[field] == copy.fields[field]
        assert part.fields.get("content-encoding") == copy.fields.get("content-encoding")
        beyond = get(server, "/numbers.txt", *fields, f"Range: bytes={size}-")
        assert (beyond.status, beyond.fields["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("accepted", ["br", "identity", "gzip;q=0, br"])
def test_if_range_with_the_tag_of_a_copy_that_is_not_accepted_gets_the_whole(
    server: Server, accepted: str
) -> None:
    tag = tag_of(server, "/page.html", "gzip")
    field = f"Accept-Encoding: {accepted}"
    whole = get(server, "/page.html", field)
    for asked in ("bytes=0-9", "bytes=1000000-"):
        again = get(server, "/page.html", field, f"Range: {asked}", f"If-Range: {tag}")
        assert (again.status, again.body) == (200, whole.body)
    # If-Match says what the client holds as well, and wants nothing where it cannot have that.
    part = get(server, "/page.html", field, "Range: bytes=0-9", f"If-Match: {tag}")
    assert part.status == 412


def test_beside_a_range_if_none_match_counts_the_tag_of_what_would_be_sent_alone(
    server: Server, content: Mapping[str, bytes]
) -> None:
    tags = {coding: tag_of(server, "/page.html", coding) for coding in ("identity", *DECODE)}
    asked = (BROWSER, "Range: bytes=0-9")
    coded = ", ".join(tags[coding] for coding in DECODE)
    part = get(server, "/page.html", *asked, f"If-None-Match: {coded}")
    assert (part.status, part.body) == (206, content["page.html"][:10])
    held = get(server, "/page.html", *asked, f"If-None-Match: {tags['identity']}")
    assert (held.status, held.fields["etag"]) == (304, tags["identity"])
    # If-Range selects what would be sent.
    packed = (*asked, f"If-Range: {tags['gzip']}")
    assert get(server, "/page.html", *packed, f"If-None-Match: {tags['gzip']}").status == 304
    part = get(server, "/page.html", *packed, f"If-None-Match: {tags['identity']}, {tags['br']}")
    assert (part.status, part.fields["content-encoding"]) == (206, "gzip")


@pytest.mark.parametrize("coding", ["identity", *DECODE])
def test_a_digest_is_that_of_the_copy(server: Server, coding: str) -> None:
    accepted, wanted = f"Accept-Encoding: {coding}", "Want-Repr-Digest: sha-256=1"
    whole = get(server, "/page.html", accepted, wanted)
    digest = f"sha-256=:{b64encode(sha256(whole.body).digest()).decode()}:"
    assert whole.fields["repr-digest"] == digest
    tag = whole.fields["etag"]
    for fields in (("Range: bytes=0-9", f"If-Range: {tag}"), (f"If-None-Match: {tag}",)):
        response = get(server, "/page.html", accepted, wanted, *fields)
        assert response.status in (206, 304)
        assert response.fields["repr-digest"] == digest
