"""Before a server is measured: are its answers to the very requests wrk will send right?"""

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from bench.content import PAGES, page_target
from bench.process import BenchError
from bench.scenarios import Scenario, Variation, request_head

PROBE_SECONDS = 20.0

# One page of each directory would be every hundredth; a step beside that varies the names as well.
PAGE_STEP = 101


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `wire` counts all of its bytes, as wrk does."""

    status: int
    fields: dict[str, str]
    body: bytes
    wire: int


def read_reply(stream: BinaryIO) -> Reply:
    """One answer; all that have a body have a Content-Length in these scenarios."""
    start = stream.readline()
    wire = len(start)
    fields = {}
    while (line := stream.readline()).strip():
        wire += len(line)
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    status = int(start.split()[1]) if start else 0
    has_body = status != HTTPStatus.NOT_MODIFIED
    body = stream.read(int(fields.get("content-length", 0))) if has_body else b""
    return Reply(status, fields, body, wire + len(line) + len(body))


def ask(port: int, head: str) -> Reply:
    with ExitStack() as stack:
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), PROBE_SECONDS))
        stream = stack.enter_context(client.makefile("rb"))
        client.sendall(head.encode())
        return read_reply(stream)


def own_etag(port: int, scenario: Scenario) -> str:
    fields = ask(port, request_head(scenario, scenario.target)).fields
    if "etag" not in fields:
        raise BenchError(f"no ETag for {scenario.target}")
    return fields["etag"]


def expected_body(scenario: Scenario, root: Path, target: str) -> bytes:
    if scenario.status == HTTPStatus.NOT_MODIFIED:
        return b""
    body = (root / target.lstrip("/")).read_bytes()
    return body if scenario.span is None else body[slice(*scenario.span)]


def check(port: int, scenario: Scenario, root: Path, etag: str | None) -> int:
    """Compare status and body with the truth; returns the answer's size on the wire."""
    many = scenario.varies is Variation.TARGETS
    targets = [page_target(number) for number in range(0, PAGES, PAGE_STEP)]
    wire = 0
    for target in targets if many else [scenario.target]:
        reply = ask(port, request_head(scenario, target, etag))
        if reply.status != scenario.status:
            raise BenchError(f"{target}: status {reply.status} instead of {scenario.status.value}")
        if reply.body != expected_body(scenario, root, target):
            raise BenchError(f"{target}: {len(reply.body)} bytes, but not the right ones")
        wire = reply.wire
    return wire
