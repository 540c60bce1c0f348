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
@pytest.mark.parametrize("accepted", ["identity", "br"])
def test_304_is_for_who_holds_any_copy_and_repeats_its_tag(
    server: Server, held: str, accepted: str
) -> None:
    tag = tag_of(server, "/page.html", held)
    fields = (f"Accept-Encoding: {accepted}", f"If-None-Match: {tag}")
    response = get(server, "/page.html", *fields)
    assert response.status == 304
    assert response.fields.keys() == {"date", "etag", "vary"}
    assert response.fields["etag"] == tag
    assert response.fields["vary"] == "Accept-Encoding"


def test_if_match_is_held_against_the_copy_that_would_be_sent(server: Server) -> None:
    tag = tag_of(server, "/page.html", "br")
    assert get(server, "/page.html", "Accept-Encoding: br", f"If-Match: {tag}").status == 200
    assert get(server, "/page.html", f"If-Match: {tag}").status == 412


@pytest.mark.parametrize("target", TARGETS)
def test_a_range_is_a_part_of_the_copy(server: Server, target: str) -> None:
    whole = get(server, target, "Accept-Encoding: gzip")
    part = get(server, target, "Accept-Encoding: gzip", "Range: bytes=10-29")
    assert (part.status, part.body) == (206, whole.body[10:30])
    assert part.fields["content-range"] == f"bytes 10-29/{len(whole.body)}"
    for name in ("etag", "vary", "content-encoding"):
        assert part.fields[name] == whole.fields[name]


def test_several_ranges_are_parts_of_the_copy(server: Server) -> None:
    whole = get(server, "/numbers.txt", "Accept-Encoding: br")
    parts = get(server, "/numbers.txt", "Accept-Encoding: br", "Range: bytes=0-9,-10")
    assert parts.status == 206
    assert parts.fields["content-encoding"] == "br"
    for piece in (whole.body[:10], whole.body[-10:]):
        assert b"\r\n\r\n" + piece + b"\r\n--" in parts.body


def test_if_range_with_the_tag_of_another_copy_gets_the_whole(server: Server) -> None:
    whole = get(server, "/page.html", "Accept-Encoding: gzip")
    fields = ("Accept-Encoding: gzip", "Range: bytes=0-9")
    tag = whole.fields["etag"]
    other = tag_of(server, "/page.html", "identity")
    assert get(server, "/page.html", *fields, f"If-Range: {tag}").status == 206
    again = get(server, "/page.html", *fields, f"If-Range: {other}")
    assert (again.status, again.body) == (200, whole.body)


@pytest.mark.parametrize("coding", ["identity", *DECODE])
def test_a_digest_is_that_of_the_copy(server: Server, coding: str) -> None:
    accepted, wanted = f"Accept-Encoding: {coding}", "Want-Repr-Digest: sha-256=1"
    whole = get(server, "/page.html", accepted, wanted)
    digest = f"sha-256=:{b64encode(sha256(whole.body).digest()).decode()}:"
    assert whole.fields["repr-digest"] == digest
    for field in ("Range: bytes=0-9", f"If-None-Match: {whole.fields['etag']}"):
        response = get(server, "/page.html", accepted, wanted, field)
        assert response.status in (206, 304)
        assert response.fields["repr-digest"] == digest
