"""The built-in pages: well-formed, complete, and silent about the server."""

import json
from html import escape
from html.parser import HTMLParser
from http import HTTPStatus

import pytest

from ashttpd import __version__
from ashttpd.http.lists import media_weights
from ashttpd.http.pages import HTML, JSON, PROBLEM, TEXT, choose_media_type, error_page

ERRORS = [status for status in HTTPStatus if status >= 300]


MOVED = {
    300: "The page is at one of several addresses",
    301: "The page has moved to another address",
    302: "The page is at another address for now",
    303: "The answer is at another address",
    307: "The page is at another address for now",
    308: "The page has moved to another address",
}


def description_of(status: HTTPStatus) -> str:
    """What a page says of its status."""
    return MOVED.get(status) or status.description or status.phrase


class Outline(HTMLParser):
    """Collects the text of each element."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: dict[str, str] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._open = tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts[self._open] = self.texts.get(self._open, "") + data.strip()


@pytest.mark.parametrize("status", ERRORS)
def test_a_page_names_its_status_in_title_and_heading(status: HTTPStatus) -> None:
    outline = Outline()
    outline.feed(error_page(status).decode("utf-8"))
    name = f"{status.value} {status.phrase}"
    assert outline.texts["title"] == outline.texts["h1"] == name
    assert outline.texts["p"] == f"{description_of(status)}."


@pytest.mark.parametrize("status", ERRORS)
def test_what_a_page_says_needs_no_escaping(status: HTTPStatus) -> None:
    said = status.phrase + description_of(status)
    assert escape(said, quote=False) == said


@pytest.mark.parametrize("status", ERRORS)
def test_a_page_has_no_placeholder_left_and_does_not_name_the_server(status: HTTPStatus) -> None:
    page = error_page(status)
    style_free = page.partition(b"<style>")[0] + page.partition(b"</style>")[2]
    assert page.count(b"</style>") == 1
    assert not {ord("{"), ord("}")} & set(style_free)
    assert b"{{" not in page
    assert b"}}" not in page
    assert b"ashttpd" not in page
    assert __version__.encode() not in page


@pytest.mark.parametrize("status", ERRORS)
def test_json_is_a_problem_details_object_under_either_name(status: HTTPStatus) -> None:
    page = error_page(status, PROBLEM)
    assert page == error_page(status, JSON)
    assert json.loads(page) == {
        "status": status.value,
        "title": status.phrase,
        "detail": f"{description_of(status)}.",
    }


@pytest.mark.parametrize("status", ERRORS)
def test_plain_text_says_the_same(status: HTTPStatus) -> None:
    heading, empty, text = error_page(status, TEXT).decode("utf-8").splitlines()
    assert heading == f"{status.value} {status.phrase}"
    assert (empty, text) == ("", f"{description_of(status)}.")


@pytest.mark.parametrize("media_type", [HTML, JSON, TEXT])
def test_a_status_that_no_rfc_names_is_explained_as_the_first_of_its_class(media_type: str) -> None:
    explained = error_page(400, media_type).replace(b"400", b"499")
    assert error_page(499, media_type) == explained
    assert b"Internal Server Error" in error_page(599, media_type)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, HTML),
        (b"", HTML),
        (b"*/*", HTML),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
        (b"text/*", HTML),
        (b"image/png", HTML),
        (b"application/json", JSON),
        (b"application/json;q=0.1", JSON),
        (b"application/problem+json", PROBLEM),
        (b"application/problem+json, application/json", PROBLEM),
        (b"application/json, application/problem+json;q=0.9", JSON),
        (b"application/*", PROBLEM),
        (b"text/plain", TEXT),
        (b"text/plain, */*;q=0.1", TEXT),
        (b"text/plain, text/html", HTML),
        (b"text/plain;q=0.5, application/json;q=0.6, text/html;q=0.1", JSON),
        (b"text/html;q=0.9, text/plain;q=0.8", HTML),
        (b"text/html;q=0, text/plain;q=0.001", TEXT),
        (b"application/json, text/plain, */*", HTML),
        (b"application/json;q=0", HTML),
    ],
)
def test_the_form_with_the_highest_weight_is_chosen_and_html_of_equals(
    accept: bytes | None, media_type: str
) -> None:
    assert choose_media_type(media_weights(accept)) == media_type
