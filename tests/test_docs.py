"""The documents: they name every option, and lead where they say."""

import argparse
import re
from dataclasses import fields
from pathlib import Path

import pytest

import ashttpd.cli
import mkroot.cli
from ashttpd.http.limits import Limits

PROJECT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "*/README.md", "ashttpd/webroot/*.md")
    for path in PROJECT.glob(pattern)
)
_LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")


@pytest.mark.parametrize(
    ("parser", "document"),
    [(ashttpd.cli.make_parser(), "serving"), (mkroot.cli.make_parser(), "building")],
    ids=["ashttpd", "mkroot"],
)
def test_every_option_is_in_the_documents(parser: argparse.ArgumentParser, document: str) -> None:
    text = (PROJECT / "README.md").read_text() + (PROJECT / f"docs/{document}.md").read_text()
    named = set(re.findall(r"--[a-z-]+", text))
    options = {name for name in parser._option_string_actions if name.startswith("--")}
    assert options - named <= {"--help", "--version"}


def test_the_table_of_limits_has_each_with_its_default() -> None:
    text = (PROJECT / "docs" / "serving.md").read_text()
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| (\w+) \|", text, re.MULTILINE))
    assert rows == {
        limit.name.replace("_", "-"): f"{limit.default:.0f}" for limit in fields(Limits)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_of_a_document_leads_to_a_file(document: Path) -> None:
    for link, _fragment in _LINK.findall(document.read_text()):
        assert (document.parent / link).exists(), link
