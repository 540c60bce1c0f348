"""The memo: bounded, safe from floods, and never seen in a response."""

import gc
import logging
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import pytest

from ashttpd.answers import COLD_SECONDS, INLINE_BODY_BYTES, Answers
from ashttpd.http.answer import Answer
from ashttpd.http.dates import second_of
from ashttpd.http.grammar import MAX_ELEMENTS
from ashttpd.http.pages import error_page
from ashttpd.http.plan import Extent, Plan
from ashttpd.sites import Sites
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import Variant, entity_tag
from mkroot.build import Options, build

EPOCH = 1_000_000_000
SECOND = second_of(EPOCH)
STYLE = b"body { margin: 0 }\n" * 20
BIG = random.Random(7).randbytes(INLINE_BODY_BYTES + 1)


@dataclass
class FakeHosts:
    """One site under one name; remembers which hosts were asked for, which only a miss does."""

    webroot: Webroot
    asked: list[bytes] = field(default_factory=list)

    def find(self, host: bytes) -> Webroot | None:
        self.asked.append(host)
        return self.webroot if host == b"a" else None


def build_site(directory: Path) -> Path:
    source = directory / "source"
    (source / "list").mkdir(parents=True)
    (source / "index.html").write_bytes(b"<!DOCTYPE html><title>x</title>")
    (source / "style.css").write_bytes(STYLE)
    (source / "empty.txt").write_bytes(b"")
    (source / "big.bin").write_bytes(BIG)
    (source / "edge.bin").write_bytes(BIG[:-1])
    (source / "list" / "file.txt").write_bytes(b"listed\n")
    output = directory / "site.webroot"
    build(source, output, Options(listing=True), lambda _progress: None)
    return output


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webroot]:
    webroot = Webroot(str(build_site(tmp_path_factory.mktemp("site"))))
    yield webroot
    webroot.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Webroot]:
    """A webroot that a test may damage."""
    webroot = Webroot(str(build_site(tmp_path)))
    yield webroot
    webroot.close()


@pytest.fixture
def paged(tmp_path: Path) -> Iterator[Webroot]:
    """A webroot with error pages that a test may damage."""
    source = tmp_path / "source"
    (source / "void").mkdir(parents=True)
    for name in ("404.html", "50x.html", "file.txt", "void/404.html"):
        (source / name).write_text(f"<!DOCTYPE html><title>{name}</title>\n")
    output = tmp_path / "site.webroot"
    build(source, output, Options(), lambda _progress: None)
    webroot = Webroot(str(output))
    yield webroot
    webroot.close()


def key_of(target: bytes, *lines: bytes, method: bytes = b"GET", host: bytes = b"a") -> bytes:
    return b"\n".join((b"1k-%b %b" % (method, target), b"H" + host, *lines)) + b"\n"


def variant_of(webroot: Webroot, path: bytes) -> Variant:
    resource = webroot.lookup(path)
    assert resource is not None
    return resource.variants[0]


def flip(webroot: Webroot, offset: int) -> None:
    """Invert a byte of the file under the open webroot."""
    with open(webroot.path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def content_of(plan: Plan) -> bytes:
    return plan.head.partition(b"\r\n\r\n")[2]


def test_a_small_body_stands_behind_its_head_and_a_big_one_in_the_file(shared: Webroot) -> None:
    answers = Answers(FakeHosts(shared))
    edge = answers.find(key_of(b"/edge.bin"), SECOND)
    big = answers.find(key_of(b"/big.bin"), SECOND)
    assert (content_of(edge), edge.body) == (BIG[:-1], ())
    assert content_of(big) == b""
    assert big.body == (Extent(shared, variant_of(shared, b"/big.bin").body_offset, len(BIG)),)
    assert (edge.body_size, big.body_size) == (len(BIG) - 1, len(BIG))


def test_a_part_of_a_small_body_is_that_part(shared: Webroot) -> None:
    plan = Answers(FakeHosts(shared)).find(key_of(b"/style.css", b"Rbytes=3-7"), SECOND)
    assert (plan.status, content_of(plan), plan.body) == (206, STYLE[3:8], ())


@pytest.mark.parametrize("target", [b"/", b"/style.css", b"/big.bin", b"/list", b"/list/", b"/no"])
def test_head_equals_the_head_of_get_byte_for_byte(shared: Webroot, target: bytes) -> None:
    answers = Answers(FakeHosts(shared))
    get = answers.find(key_of(target), SECOND)
    head = answers.find(key_of(target, method=b"HEAD"), SECOND)
    assert head.head == get.head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert (head.body, head.status) == ((), get.status)


def test_a_tag_that_was_sent_is_answered_with_304(shared: Webroot) -> None:
    answers = Answers(FakeHosts(shared))
    tag = entity_tag(variant_of(shared, b"/style.css").sha256)
    assert b"ETag: " + tag in answers.find(key_of(b"/style.css"), SECOND).head
    assert answers.find(key_of(b"/style.css", b"N" + tag), SECOND).status == 304


def test_the_tag_of_a_listing_in_html_does_not_stand_for_the_one_in_json(shared: Webroot) -> None:
    answers = Answers(FakeHosts(shared))
    resource = shared.lookup(b"/list/")
    assert resource is not None
    plain = [variant for variant in resource.variants if variant.coding == "identity"]
    html, json = (b"N" + entity_tag(variant.sha256) for variant in plain)
    accept = b"Aapplication/json"
    assert answers.find(key_of(b"/list/", html), SECOND).status == 304
    assert answers.find(key_of(b"/list/", html, accept), SECOND).status == 200
    assert answers.find(key_of(b"/list/", json, accept), SECOND).status == 304


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (key_of(b"/"), 200),
        (key_of(b"/list"), 301),
        (key_of(b"/none"), 404),
        (key_of(b"/%2F"), 404),
        (key_of(b"/", host=b"b"), 404),
        (b"0c-GET /\n", 404),
        (key_of(b"/%00"), 400),
        (key_of(b"/%zz"), 400),
        (key_of(b"*"), 400),
        (key_of(b"/", method=b"POST"), 405),
        (key_of(b"/", method=b"BREW"), 501),
        (key_of(b"/none", method=b"OPTIONS"), 204),
    ],
)
def test_each_kind_of_request_has_its_status(shared: Webroot, key: bytes, status: int) -> None:
    assert Answers(FakeHosts(shared)).find(key, SECOND).status == status


def test_what_was_asked_for_once_is_found_again_without_the_site(shared: Webroot) -> None:
    hosts = FakeHosts(shared)
    answers = Answers(hosts)
    for _ in range(4):
        answers.find(key_of(b"/"), SECOND)
    assert hosts.asked == [b"a"]


def count_matches(work: Callable[[], object]) -> int:
    """Return how often a regular expression is held against something while `work` runs."""
    count = 0

    def see(_frame: object, event: str, called: object) -> None:
        nonlocal count
        if event == "c_call" and isinstance(getattr(called, "__self__", None), re.Pattern):
            count += 1

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def tags_of(count: int) -> bytes:
    return b",".join(b'"%d"' % number for number in range(count))


def ranges_of(count: int) -> bytes:
    return b",".join([b"json/x", *(b"a/%d" % number for number in range(1, count))])


@pytest.mark.parametrize("count", [MAX_ELEMENTS, MAX_ELEMENTS + 1, 5_000])
@pytest.mark.parametrize(
    ("target", "lines"),
    [
        (b"/style.css", lambda count: (b"N" + tags_of(count), b"Cgzip, br, zstd")),
        (b"/style.css", lambda count: (b"M" + tags_of(count), b"Rbytes=0-1", b"Cgzip, br, zstd")),
        (b"/list/", lambda count: (b"M" + tags_of(count), b"Rbytes=0-1", b"Aapplication/json")),
        (b"/list/", lambda count: (b"A" + ranges_of(count), b"Cgzip, br, zstd")),
        (b"/list/", lambda count: (b"A" + ranges_of(count), b'M"x"')),
        (b"/none", lambda count: (b"A" + ranges_of(count),)),
        (b"/style.css", lambda count: (b"A" + ranges_of(count), b'M"x"')),
        (b"/style.css", lambda count: (b"C" + b"a," * count + b"br", b"Rbytes=0-1")),
    ],
)
def test_each_list_of_a_request_is_parsed_once_and_up_to_its_bound(
    shared: Webroot, target: bytes, lines: Callable[[int], tuple[bytes, ...]], count: int
) -> None:
    answers = Answers(FakeHosts(shared))
    key = key_of(target, *lines(count))
    # Two for each element, and some for what else there is.
    assert count_matches(lambda: answers.find(key, SECOND)) <= 2 * MAX_ELEMENTS + 40


def test_the_path_of_a_request_is_decoded_once_for_the_file_and_the_error_page(
    shared: Webroot,
) -> None:
    answers = Answers(FakeHosts(shared))
    plain = count_matches(lambda: answers.find(key_of(b"/none"), SECOND))
    # One for a broken escape, and one for an encoded slash.
    assert count_matches(lambda: answers.find(key_of(b"/%6eone"), SECOND)) == plain + 2


def kept_bytes() -> int:
    """Return the least that all answers alive take, in bytes."""
    alive = [each for each in gc.get_objects() if type(each) is Answer]
    return sum(700 + 2 * len(answer.rest) for answer in alive)


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_a_flood_of_distinct_requests_stays_within_the_bounds(
    shared: Webroot, monkeypatch: pytest.MonkeyPatch, repeats: int
) -> None:
    hot, young, one = 200_000, 100_000, 10_000
    monkeypatch.setattr("ashttpd.answers.HOT_BYTES", hot)
    monkeypatch.setattr("ashttpd.answers.YOUNG_BYTES", young)
    gc.collect()
    before = kept_bytes()
    answers = Answers(FakeHosts(shared))
    for number in range(600):
        for _ in range(repeats):
            answers.find(key_of(b"/none?%d" % number), SECOND)
        if number % 100 == 99:
            kept = kept_bytes() - before
            assert 0 < kept <= hot + young + one


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_a_flood_does_not_push_out_what_is_asked_for_often(
    shared: Webroot, monkeypatch: pytest.MonkeyPatch, repeats: int
) -> None:
    monkeypatch.setattr("ashttpd.answers.HOT_BYTES", 100_000)
    monkeypatch.setattr("ashttpd.answers.YOUNG_BYTES", 50_000)
    hosts = FakeHosts(shared)
    answers = Answers(hosts)
    hot = key_of(b"/style.css")
    for _ in range(2):
        answers.find(hot, SECOND)
    for second in range(3 * COLD_SECONDS):
        for number in range(20):
            for _ in range(repeats):
                answers.find(key_of(b"/none?%d.%d" % (second, number), host=b"b"), SECOND)
        hosts.asked.clear()
        answers.find(hot, second_of(EPOCH + second))
        assert hosts.asked == []


def test_what_is_not_asked_for_any_more_makes_room(
    shared: Webroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ashttpd.answers.HOT_BYTES", 20_000)
    monkeypatch.setattr("ashttpd.answers.YOUNG_BYTES", 20_000)
    hosts = FakeHosts(shared)
    answers = Answers(hosts)
    for number in range(50):
        for _ in range(2):
            answers.find(key_of(b"/none?%d" % number), SECOND)
    later = second_of(EPOCH + COLD_SECONDS + 1)
    needs_room = key_of(b"/?" + b"q" * 5_000)
    for _ in range(2):
        answers.find(needs_room, later)
    for number in range(50):  # empties what was asked for once
        answers.find(key_of(b"/other?%d" % number, host=b"b"), later)
    hosts.asked.clear()
    answers.find(needs_room, later)
    assert hosts.asked == []


@pytest.mark.parametrize("path", [b"/style.css", b"/", b"/edge.bin"])
def test_a_damaged_small_body_is_500_until_it_is_whole_again(
    own: Webroot, caplog: pytest.LogCaptureFixture, path: bytes
) -> None:
    answers = Answers(FakeHosts(own))
    variant = variant_of(own, path)
    middle = variant.body_offset + variant.body_length // 2
    flip(own, middle)
    for _ in range(3):
        plan = answers.find(key_of(path), SECOND)
        assert (plan.status, plan.body) == (500, ())
        assert content_of(plan) == error_page(HTTPStatus.INTERNAL_SERVER_ERROR)
    # Each of the requests finds the damage, and the log has a line for all of them.
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "the body of /" in caplog.text
    assert "is damaged (" in caplog.text
    assert "build the site again (mkroot --verify names all that is wrong)" in caplog.text
    flip(own, middle)
    assert answers.find(key_of(path), SECOND).status == 200


def test_a_damaged_site_does_not_silence_the_line_about_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sites = {}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        webroot = sites[name.encode()] = Webroot(str(build_site(tmp_path / name)))
        flip(webroot, variant_of(webroot, b"/style.css").body_offset)
    answers = Answers(Sites({host.decode(): webroot for host, webroot in sites.items()}))
    for host, webroot in sites.items():
        for _ in range(2):
            assert answers.find(key_of(b"/style.css", host=host), SECOND).status == 500
        webroot.close()
    assert len(caplog.messages) == 2
    for message, webroot in zip(caplog.messages, sites.values(), strict=True):
        assert webroot.path in message


@pytest.mark.parametrize("field", [b"Rbytes=0-99", b"Rbytes=-100"])
def test_a_part_of_a_damaged_small_body_is_500(own: Webroot, field: bytes) -> None:
    variant = variant_of(own, b"/style.css")
    flip(own, variant.body_offset + (0 if field.endswith(b"99") else variant.body_length - 1))
    assert Answers(FakeHosts(own)).find(key_of(b"/style.css", field), SECOND).status == 500


@pytest.mark.parametrize("path", [b"/style.css", b"/", b"/edge.bin", b"/list/", b"/list"])
@pytest.mark.parametrize("accept", [(), (b"Aapplication/json",)])
def test_head_of_a_damaged_small_body_is_500_as_get_is(
    own: Webroot, path: bytes, accept: tuple[bytes, ...]
) -> None:
    resource = own.lookup(path)
    assert resource is not None
    for variant in resource.variants:
        flip(own, variant.body_offset)
    answers = Answers(FakeHosts(own))
    for method in (b"GET", b"HEAD"):
        assert answers.find(key_of(path, *accept, method=method), SECOND).status == 500


def test_parts_of_a_damaged_small_body_are_500_though_with_their_heads_they_are_large(
    own: Webroot,
) -> None:
    # Nearly all of 64 KiB, and two heads: more than what is kept beside a head.
    key = key_of(b"/edge.bin", b"Rbytes=0-29999,30101-")
    whole = Answers(FakeHosts(own)).find(key, SECOND)
    assert whole.status == 206
    assert whole.body_size > INLINE_BODY_BYTES
    assert BIG[:30_000] in whole.head
    flip(own, variant_of(own, b"/edge.bin").body_offset + 50_000)
    assert Answers(FakeHosts(own)).find(key, SECOND).status == 500


def test_a_304_tells_of_what_the_client_has_though_the_body_here_is_damaged(own: Webroot) -> None:
    variant = variant_of(own, b"/style.css")
    flip(own, variant.body_offset)
    answers = Answers(FakeHosts(own))
    key = key_of(b"/style.css", b"N" + entity_tag(variant.sha256))
    assert answers.find(key, SECOND).status == 304
    flip(own, variant.head_offset)
    assert Answers(FakeHosts(own)).find(key, SECOND).status == 500


@pytest.mark.parametrize("path", [b"/style.css", b"/big.bin", b"/list"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_damaged_head_block_is_500(own: Webroot, path: bytes, method: bytes) -> None:
    flip(own, variant_of(own, path).head_offset)
    plan = Answers(FakeHosts(own)).find(key_of(path, method=method), SECOND)
    assert plan.status == 500


def test_a_file_that_was_truncated_is_500_and_the_memo_goes_on(own: Webroot) -> None:
    answers = Answers(FakeHosts(own))
    kept = answers.find(key_of(b"/style.css"), SECOND)
    with open(own.path, "r+b") as file:
        file.truncate(4096)
    assert answers.find(key_of(b"/"), SECOND).status == 500
    assert answers.find(key_of(b"/style.css"), SECOND) == kept


def test_a_descriptor_that_fails_is_500(own: Webroot) -> None:
    own.close()
    assert Answers(FakeHosts(own)).find(key_of(b"/"), SECOND).status == 500


def test_a_site_whose_file_was_overwritten_is_503_and_other_hosts_are_not(own: Webroot) -> None:
    own.revoked = True
    answers = Answers(FakeHosts(own))
    assert answers.find(key_of(b"/"), SECOND).status == 503
    assert answers.find(key_of(b"/", host=b"b"), SECOND).status == 404
    assert answers.find(key_of(b"/", method=b"OPTIONS"), SECOND).status == 204


def assert_is_page_of_site(plan: Plan, status: int, name: bytes) -> None:
    assert plan.status == status
    assert content_of(plan) == b"<!DOCTYPE html><title>%b</title>\n" % name
    assert plan.body_size == len(content_of(plan))


@pytest.mark.parametrize(
    ("key", "status", "name"),
    [
        (key_of(b"/none"), 404, b"404.html"),
        (key_of(b"/void/"), 404, b"void/404.html"),
        (key_of(b"/void/%2F"), 404, b"404.html"),
    ],
)
def test_an_error_with_a_page_of_the_site_is_remembered_like_any_answer(
    paged: Webroot, key: bytes, status: int, name: bytes
) -> None:
    hosts = FakeHosts(paged)
    answers = Answers(hosts)
    for _ in range(4):
        assert_is_page_of_site(answers.find(key, SECOND), status, name)
    assert hosts.asked == [b"a"]


def test_a_500_has_the_sites_page_and_is_not_remembered(paged: Webroot) -> None:
    answers = Answers(FakeHosts(paged))
    place = variant_of(paged, b"/file.txt").body_offset
    flip(paged, place)
    for _ in range(3):
        assert_is_page_of_site(answers.find(key_of(b"/file.txt"), SECOND), 500, b"50x.html")
    flip(paged, place)
    assert answers.find(key_of(b"/file.txt"), SECOND).status == 200


@pytest.mark.parametrize("part", ["body", "head"])
def test_a_damaged_error_page_gives_way_to_the_built_in_one_until_it_is_whole_again(
    paged: Webroot, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    answers = Answers(FakeHosts(paged))
    variant = variant_of(paged, b"/404.html")
    place = variant.body_offset if part == "body" else variant.head_offset
    flip(paged, place)
    for _ in range(3):
        plan = answers.find(key_of(b"/none"), SECOND)
        assert (plan.status, content_of(plan)) == (404, error_page(404))
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.text.count("a: answered 404 without the site's page: ") == 1
    flip(paged, place)
    assert_is_page_of_site(answers.find(key_of(b"/none"), SECOND), 404, b"404.html")


def test_head_of_an_error_with_a_damaged_page_has_the_built_in_one_as_get_has(
    paged: Webroot,
) -> None:
    flip(paged, variant_of(paged, b"/404.html").body_offset)
    answers = Answers(FakeHosts(paged))
    get, head = (answers.find(key_of(b"/no", method=m), SECOND) for m in (b"GET", b"HEAD"))
    page = error_page(HTTPStatus.NOT_FOUND)
    assert get.head == head.head + page
    assert b"\r\nContent-Length: %d\r\n" % len(page) in head.head


def test_where_both_the_file_and_the_page_for_it_are_damaged_the_500_is_built_in(
    paged: Webroot, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (b"/file.txt", b"/50x.html"):
        flip(paged, variant_of(paged, path).body_offset)
    plan = Answers(FakeHosts(paged)).find(key_of(b"/file.txt"), SECOND)
    assert (plan.status, content_of(plan)) == (500, error_page(500))
    assert len(caplog.records) == 2


def test_a_site_whose_file_was_overwritten_has_no_pages_to_be_trusted(paged: Webroot) -> None:
    paged.revoked = True
    for key, status in ((key_of(b"/none"), 503), (key_of(b"/", method=b"POST"), 405)):
        plan = Answers(FakeHosts(paged)).find(key, SECOND)
        assert (plan.status, content_of(plan)) == (status, error_page(status))
