"""What docs/http.md says of requests and targets is what every engine answers."""

import codecs
import re
from pathlib import Path
from typing import Final

import pytest

from tests.servers import Server, request

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "http.md"
_ROW: Final = re.compile(r"^\| `(.+)` \| (\d{3}) \| .+ \|$", re.MULTILINE)
ROWS: Final = _ROW.findall(DOCUMENT.read_text())


def test_every_row_of_the_tables_is_asked() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == len(ROWS) > 50


@pytest.mark.parametrize(("asked", "status"), ROWS, ids=[asked[:60] for asked, _status in ROWS])
def test_the_document_says_what_is_answered(server: Server, asked: str, status: str) -> None:
    # As a Python literal has them: \r, \n and \xNN; another backslash in a target is itself.
    literal = codecs.decode(asked, "unicode_escape") if re.search(r"\\[rnx]", asked) else asked
    is_target = "\r" not in literal and "\n" not in literal and literal.isprintable()
    wire = request(literal) if is_target else literal.encode("latin-1")
    with server.connect() as client:
        client.send(wire)
        assert client.read_head().status == int(status)
