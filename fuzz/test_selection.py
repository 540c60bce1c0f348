"""Which copies a range may be of, and which ones a 304 may name, whatever a request says."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from ashttpd.http.request import Request
from ashttpd.http.selection import select
from ashttpd.webroot.resource import Resource, Variant, entity_tag
from fuzz import slow
from fuzz.strategies import NOW

CODINGS: Final = ("identity", "gzip", "br", "zstd")
LENGTHS: Final = (1_000, 300, 200, 250)
VARIANTS: Final = tuple(
    Variant(0, 0, length, 0, 0, 0, "text/html", coding, bytes([length % 256]) * 32, bytes(32))
    for coding, length in zip(CODINGS, LENGTHS, strict=True)
)
PAGE: Final = Resource(b"/", 200, False, b"", None, VARIANTS)
TAGS: Final = [entity_tag(variant.sha256) for variant in VARIANTS]
# Each coding with a weight, in thousandths.
WEIGHTS: Final = st.dictionaries(
    st.sampled_from([*CODINGS, "*", "deflate"]), st.sampled_from([0, 1, 500, 1000])
)
NAMED: Final = st.none() | st.sampled_from([*TAGS, b'"x"', b"W/" + TAGS[0]])
TAG_LISTS: Final = st.lists(
    st.sampled_from([*TAGS, b'"x"', b"W/" + TAGS[0]]), min_size=2, max_size=5
).map(b" ,".join)
RANGES: Final = st.sampled_from([None, b"bytes=0-9", b"bytes=-9", b"bytes=9-0"])


def accept_encoding_of(weights: dict[str, int]) -> bytes | None:
    elements = (f"{coding};q={weight / 1000:.3f}" for coding, weight in weights.items())
    return ", ".join(elements).encode() if weights else None


@given(WEIGHTS, NAMED, NAMED | TAG_LISTS | st.just(b"*"), RANGES)
def test_a_part_is_of_the_file_or_of_a_copy_that_is_named_and_accepted(
    weights: dict[str, int], if_range: bytes | None, if_match: bytes | None, asked: bytes | None
) -> None:
    request = Request(
        *(b"GET", b"/", 1, True, False, b"a"),
        range=asked,
        if_range=if_range,
        if_match=if_match,
        accept_encoding=accept_encoding_of(weights),
    )
    selection = select(request, PAGE, NOW)
    variant = selection.variant
    accepted = [v for v in VARIANTS if slow.accepts(weights, v.coding)] or [VARIANTS[0]]
    counts = asked in (b"bytes=0-9", b"bytes=-9")
    if selection.parts is None:
        assert variant in accepted
        assert not counts or if_range not in (None, entity_tag(variant.sha256))
    else:
        assert counts
        tags = slow.split_list(if_match or b"") if if_range is None else [if_range]
        named = entity_tag(variant.sha256) in tags
        assert variant is VARIANTS[0] or (named and variant in accepted)
        # The file as it is comes first where its tag is named, else the copies that are.
        if if_range is None and not named:
            assert not {entity_tag(v.sha256) for v in accepted} & set(tags)
    assert set(selection.others) == (set() if counts else set(accepted))
