"""The small built-in pages of answers that no site holds: HTML, JSON or plain text.

They say what the status means and nothing about the server.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from ashttpd.http.negotiate import media_weight

HTML: Final = "text/html; charset=utf-8"
PROBLEM: Final = "application/problem+json"  # RFC 9457
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

# Where Python's own descriptions speak of things that are not there: a "URI list".
_DESCRIPTIONS: Final = {
    HTTPStatus.MULTIPLE_CHOICES: "The page is at one of several addresses",
    HTTPStatus.MOVED_PERMANENTLY: "The page has moved to another address",
    HTTPStatus.FOUND: "The page is at another address for now",
    HTTPStatus.SEE_OTHER: "The answer is at another address",
    HTTPStatus.TEMPORARY_REDIRECT: "The page is at another address for now",
    HTTPStatus.PERMANENT_REDIRECT: "The page has moved to another address",
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{status} {phrase}</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;margin:15vh auto;max-width:36rem}}</style>
<h1>{status} {phrase}</h1>
<p>{description}.
"""


def error_page(status: int, media_type: str = HTML) -> bytes:
    """Return the page of a status in one of the media types above; all are UTF-8."""
    try:
        known = HTTPStatus(status)
    except ValueError:  # is to be taken for x00 of its class (RFC 9110 section 15)
        known = HTTPStatus(status // 100 * 100)
    phrase = known.phrase
    description = _DESCRIPTIONS.get(known) or known.description or phrase
    if media_type == TEXT:
        page = f"{status} {phrase}\n\n{description}.\n"
    elif media_type == HTML:
        page = _PAGE.format(status=status, phrase=phrase, description=description)
    else:
        # A problem details object; without a type, the title is that of the status.
        page = json.dumps({"status": status, "title": phrase, "detail": f"{description}."}) + "\n"
    return page.encode()


def choose_media_type(weights: Mapping[bytes, float]) -> str:
    """Return what the ranges of an Accept field prefer of the media types above, HTML on a tie.

    A client that accepts JSON of any kind gets the same object, under the name that it asked for.
    """
    # max() returns the first of equals.
    return max((HTML, PROBLEM, JSON, TEXT), key=lambda each: media_weight(weights, each))
