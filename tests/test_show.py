"""Names and texts of others in messages: on one line, and nothing that a terminal obeys."""

import logging
import os
from pathlib import Path

import pytest

from ashttpd.show import LineFormatter, reason, show
from ashttpd.webroot.errors import show as show_part
from tests.servers import run_program


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("example.com", "example.com"),
        ("bücher.example", "bücher.example"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("a\u202eb\u200b\ufeff", r"a\u202eb\u200b\ufeff"),
        (os.fsdecode(b"\xff\xfe.example"), r"\xff\xfe.example"),
        ("\ud800", r"\ud800"),
        ("", ""),
    ],
)
def test_what_cannot_be_printed_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert show(text) == shown
    assert show(shown) == shown


def test_bytes_of_a_file_are_shown_as_text_and_as_a_part() -> None:
    assert show_part("/café".encode()) == "/café"
    assert show_part(b"/a\n") == "/a\\n"
    assert show_part(b"/caf\xe9") == "/caf\\xe9"
    assert show_part(b"x" * 200) == "x" * 100


def test_an_error_of_the_system_is_shown_by_its_words_and_its_file() -> None:
    assert reason(OSError(5, "Input/output error")) == "Input/output error"
    assert reason(FileNotFoundError(2, "No such file", "a/b")) == "a/b: No such file"
    assert reason(OSError("changed meanwhile")) == "changed meanwhile"
    assert reason(ValueError()) == "ValueError()"


def _format(message: str, error: Exception | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("a", logging.ERROR, "a.py", 1, message, None, info)
    return LineFormatter("%(levelname)s %(message)s").format(record)


def test_a_message_is_one_line_of_the_log_whatever_is_in_it() -> None:
    assert _format("a\n2026 INFO forged \x1b[2J") == r"ERROR a\n2026 INFO forged \x1b[2J"


def test_a_traceback_keeps_its_lines_and_nothing_that_a_terminal_obeys() -> None:
    try:
        raise ValueError("bad \x1b[2J")
    except ValueError as error:
        lines = _format("failed", error).split("\n")
    assert lines[0] == "ERROR failed"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == r"ValueError: bad \x1b[2J"


def test_the_program_shows_a_path_of_the_command_line_escaped(tmp_path: Path) -> None:
    result = run_program(f"{tmp_path}/\x1b[31m\n")
    assert result.returncode == 1
    assert result.stderr == f"ashttpd: {tmp_path}/\\x1b[31m\\n: No such file or directory\n"
