"""The small built-in pages of answers that no site holds: errors."""

from http import HTTPStatus

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


def error_page(status: HTTPStatus) -> bytes:
    """Return the HTML page, in UTF-8, of an error status. It says nothing about the server."""
    description = status.description or status.phrase
    return _PAGE.format(status=status.value, phrase=status.phrase, description=description).encode()
