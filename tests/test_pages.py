"""The built-in pages: well-formed, complete, and silent about the server."""

from html import escape
from html.parser import HTMLParser
from http import HTTPStatus

import pytest

from ashttpd import __version__
from ashttpd.http.pages import error_page

ERRORS = [status for status in HTTPStatus if status >= 300]


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
    assert outline.texts["p"] == f"{status.description or status.phrase}."


@pytest.mark.parametrize("status", ERRORS)
def test_what_a_page_says_needs_no_escaping(status: HTTPStatus) -> None:
    said = status.phrase + status.description
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
