"""Head blocks: what they may say besides what a builder writes. tests/mutants.py has what not."""

import re
from dataclasses import replace
from typing import Final

import pytest

from ashttpd.webroot.errors import WebrootError
from ashttpd.webroot.heads import FIRST_PART, SECOND_PART, check_head, check_selection
from ashttpd.webroot.resource import Resource, Variant
from mkroot.headers import content_head
from tests.trees import ROOT

DIGEST: Final = bytes(range(32))
HTML: Final = "text/html; charset=utf-8"


def variant_of(block: bytes, *, media_type: str = HTML, coding: str = "identity") -> Variant:
    """Return a variant with a body of 5 bytes whose head block has its parts where it should."""
    first = re.search(b"Content-(Encoding|Type)", block)
    assert first is not None
    second = block.rindex(b"Content-Length")
    return Variant(
        4096, 8192, 5, len(block), first.start(), second, media_type, coding, DIGEST, bytes(32)
    )


def resource_of(*variants: Variant, status: int = 200) -> Resource:
    return Resource(b"/", status, False, b"", None, variants)


def check(block: bytes, variant: Variant, *others: Variant, status: int = 200) -> None:
    validators = check_head(block, variant)
    check_selection(validators, resource_of(variant, *others, status=status), variant)


PLAIN: Final = content_head(HTML.encode(), DIGEST, 5).block


@pytest.mark.parametrize(
    "line",
    [
        b"Cache-Control: max-age=60",
        b"Content-Disposition: attachment; filename=x",
        b"Content-Language: de",
        b"Link: </style.css>; rel=preload",
        b"Strict-Transport-Security: max-age=60",
        b"X-Robots-Tag:",
        b"x-frame-options:\ta\tb ",
        b"NEL:b",
    ],
)
def test_a_field_that_concerns_the_site_alone_may_stand_in_its_second_part(line: bytes) -> None:
    block = PLAIN.replace(b"Accept-Ranges", line + b"\r\nAccept-Ranges")
    check(block, variant_of(block))


@pytest.mark.parametrize(
    "line", [b"Cache-Control: no-cache", b"Expires: 0", b"Content-Location: /x", b"vary: *"]
)
def test_a_field_that_a_304_carries_may_stand_in_its_first_part(line: bytes) -> None:
    block = line + b"\r\n" + PLAIN
    check(block, variant_of(block))


FORMAT: Final = (ROOT / "ashttpd/webroot/FORMAT.md").read_text()
# What a proxy obeys, what delimits messages, what the server writes, and a field of the author's.
REFUSED: Final = (
    *(b"X-Accel-Redirect", b"X-Accel-Limit-Rate", b"X-Sendfile", b"X-LIGHTTPD-send-file"),
    *(b"X-Reproxy-URL", b"X-LiteSpeed-Location", b"X-LiteSpeed-Purge", b"X-LSADC-Backend"),
    *(b"X-Archive-Files", b"X-Envoy-Immediate-Health-Check-Fail", b"X-Envoy-Degraded", b"Status"),
    *(b"Surrogate-Control", b"Edge-Control", b"X-Forwarded-For", b"Proxy-Authenticate"),
    *(b"Content-Length", b"Transfer-Encoding", b"Connection", b"Keep-Alive", b"TE", b"Trailer"),
    *(b"Upgrade", b"HTTP2-Settings", b"Alt-Svc", b"Set-Cookie", b"WWW-Authenticate", b"Via"),
    *(b"Retry-After", b"Age", b"Server", b"Date", b"Last-Modified", b"Location", b"Allow"),
    *(b"Content-Range", b"Repr-Digest", b"Content-Digest", b"Content-MD5", b"Warning"),
    *(b"X-Build", b"X-Anything", b"A"),
)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("case", [bytes.lower, bytes.upper, bytes.title])
def test_a_field_that_is_not_on_the_list_stands_in_no_part_whatever_the_case_of_its_letters(
    name: bytes, case: object
) -> None:
    assert callable(case)
    line = case(name) + b": 1\r\n"
    for block in (line + PLAIN, PLAIN.replace(b"Accept-Ranges", line + b"Accept-Ranges")):
        with pytest.raises(WebrootError, match=f"{name.decode().lower()} may not stand in the"):
            check(block, variant_of(block))


@pytest.mark.parametrize("name", sorted(FIRST_PART | SECOND_PART))
def test_a_field_stands_in_the_parts_that_the_list_names_and_in_no_other(name: bytes) -> None:
    line = name + b": x\r\n"
    in_first, in_second = line + PLAIN, PLAIN.replace(b"Accept-Ranges", line + b"Accept-Ranges")
    for block, names in ((in_first, FIRST_PART), (in_second, SECOND_PART)):
        faults = []
        try:
            check(block, variant_of(block))
        except WebrootError as error:
            # A field of one right value, or one that the block has, is refused for that alone.
            faults = [str(error)]
        assert any("may not stand in" in fault for fault in faults) == (name not in names)


def test_the_list_is_that_of_the_specification() -> None:
    table = FORMAT[FORMAT.index("| names | purpose |") : FORMAT.index("The list is of what may")]
    names = re.findall("`(.+?)`", table)
    assert len(names) == len(set(names))
    assert {name.lower().encode() for name in names} == FIRST_PART | SECOND_PART


def test_a_block_has_no_more_than_a_hundred_fields() -> None:
    assert len(FIRST_PART | SECOND_PART) <= 100


def test_vary_names_twenty_fields_at_most() -> None:
    names = tuple(b"x%d" % number for number in range(20))
    block = content_head(HTML.encode(), DIGEST, 5, vary=names).block
    check(block, variant_of(block))
    block = content_head(HTML.encode(), DIGEST, 5, vary=(*names, b"y")).block
    with pytest.raises(WebrootError, match="Vary in its head names more than 20 fields"):
        check(block, variant_of(block))


def test_a_coded_copy_names_its_coding_and_a_plain_one_none() -> None:
    block = content_head(HTML.encode(), DIGEST, 5, coding="gzip", vary=(b"Accept-Encoding",)).block
    check(block, variant_of(block, coding="gzip"))
    for coding in ("identity", "br"):
        with pytest.raises(WebrootError, match="content-encoding in its head is gzip, not"):
            check(block, variant_of(block, coding=coding))
    with pytest.raises(WebrootError, match="content-encoding in its head is no field, not gzip"):
        check(PLAIN, variant_of(PLAIN, coding="gzip"))


@pytest.mark.parametrize(
    ("vary", "missing"),
    [
        ((), "accept accept-encoding"),
        ((b"Accept",), "accept-encoding"),
        ((b"accept-encoding",), "accept"),
        ((b"Accept", b"ACCEPT-ENCODING"), ""),
        ((b"*",), ""),
        ((b"Cookie", b"*"), ""),
    ],
)
def test_vary_names_what_the_variants_are_chosen_by(vary: tuple[bytes, ...], missing: str) -> None:
    block = content_head(HTML.encode(), DIGEST, 5, vary=vary).block
    variant = variant_of(block)
    beside = {
        "accept-encoding": replace(variant, coding="gzip"),
        "accept": replace(variant, media_type="application/json"),
    }
    check(block, variant)
    for name, other in beside.items():
        if name in missing.split():
            with pytest.raises(WebrootError, match=f"Vary in its head lacks {name}$"):
                check(block, variant, other)
        else:
            check(block, variant, other)


def test_a_page_has_an_entity_tag_and_no_other_status_has_one() -> None:
    untagged = PLAIN[PLAIN.index(b"Content-Type") :]
    check(untagged, variant_of(untagged), status=301)
    with pytest.raises(WebrootError, match="its head lacks an entity tag, and its status is 200"):
        check(untagged, variant_of(untagged))
    with pytest.raises(WebrootError, match="its head has an entity tag, and its status is 301"):
        check(PLAIN, variant_of(PLAIN), status=301)


def test_a_message_shows_no_more_than_a_line_of_a_block_of_64_kib() -> None:
    line = b"X-" + b"a" * 60_000 + b": \xff\r\n"
    block = PLAIN.replace(b"Accept-Ranges", line + b"Accept-Ranges")
    with pytest.raises(WebrootError) as caught:
        check(block, variant_of(block))
    assert len(str(caught.value)) < 200
