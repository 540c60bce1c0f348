"""The memo never changes an answer: asked through it and without it, the same bytes come."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from ashttpd.answers import Answers
from ashttpd.http.dates import second_of
from ashttpd.http.request import take_framing
from ashttpd.http.scan import scan_slowly
from ashttpd.sites import Sites
from ashttpd.webroot.reader import Webroot
from fuzz.shared import shared
from fuzz.sites import HOST, REQUESTS, webroots
from fuzz.strategies import NOW
from tests.webroots import opened

THREADS: Final = 4


def key_of(request: bytes) -> bytes:
    """Return the canonical key that a connection asks the memo with."""
    scanned = scan_slowly(request, 0)
    assert scanned is not None
    key = scanned[1]
    return take_framing(key)[0] if key[2:3] == b"b" else key


KEYS: Final = REQUESTS.map(key_of)
SECONDS: Final = st.integers(NOW, NOW + 30)
# A request or none fits in, or a few, or all.
BOUNDS: Final = st.sampled_from([0, 1_500, 6_000, 100_000, 64 << 20])


@shared
@contextmanager
def sites() -> Iterator[Sites]:
    with opened(webroots()["one"]) as webroot:
        hosts: dict[str, Webroot] = {HOST.decode("ascii"): webroot}
        yield Sites(hosts)


def check(answers: Answers, key: bytes, epoch: int) -> None:
    # Of the same webroot, equal plans are equal bytes.
    second = second_of(epoch)
    plan = answers.find(key, second)
    assert plan == Answers(sites()).find(key, second)
    assert answers.plans(second).get(key, plan) == plan


@contextmanager
def memo(hot_bytes: int, young_bytes: int) -> Iterator[Answers]:
    """Return a memo with room for so many bytes."""
    with (
        patch("ashttpd.answers.HOT_BYTES", hot_bytes),
        patch("ashttpd.answers.YOUNG_BYTES", young_bytes),
    ):
        yield Answers(sites())


def test_a_file_is_answered_with_its_date_once_that_has_come() -> None:
    # Found: who asked before saw to it that nobody was told the date, as long as it was remembered.
    with memo(64 << 20, 64 << 20) as answers:
        for epoch in (NOW - 1, NOW - 1, NOW - 1, NOW, NOW + 1):
            check(answers, b"1k-GET /hello.txt\nHsite.example\n", epoch)


@given(st.data(), st.lists(KEYS, min_size=1, max_size=8), BOUNDS, BOUNDS)
def test_what_is_remembered_is_what_would_be_answered(
    data: st.DataObject, keys: list[bytes], hot_bytes: int, young_bytes: int
) -> None:
    # From few keys, so that they come again.
    asked = data.draw(st.lists(st.sampled_from(keys), max_size=30))
    # Answers may be remembered from before the date of a file; clocks go forwards.
    epochs = data.draw(st.lists(SECONDS | st.just(NOW - 1), min_size=30, max_size=30).map(sorted))
    with memo(hot_bytes, young_bytes) as answers:
        for key, epoch in zip(asked, epochs, strict=False):
            check(answers, key, epoch)


@given(st.data(), st.lists(KEYS, min_size=1, max_size=5), BOUNDS, BOUNDS)
def test_what_one_thread_asks_changes_no_answer_of_another(
    data: st.DataObject, keys: list[bytes], hot_bytes: int, young_bytes: int
) -> None:
    asked = st.lists(st.tuples(st.sampled_from(keys), SECONDS), max_size=20)
    visits = [data.draw(asked) for _ in range(THREADS)]
    with memo(hot_bytes, young_bytes) as answers, ThreadPoolExecutor(THREADS) as pool:

        def visit(asked: list[tuple[bytes, int]]) -> None:
            for key, epoch in asked:
                check(answers, key, epoch)

        list(pool.map(visit, visits))
