"""Driving the clients: their scripts, their command lines, their results.

The requests are exactly the bytes of `request_head`.  Where they do not vary, wrk keeps one string
and runs no Lua; where they do, Lua's share is one concatenation or one table look-up, paid by the
client.  Large bodies are for reader.c, since wrk would spend more on them than any server.
"""

import json
import resource
import subprocess
from dataclasses import dataclass

from bench.content import PAGES, page_target
from bench.process import CLIENT_CPU, BenchError, Site, find_program, pinned
from bench.scenarios import MARK, Scenario, Variation, request_head

# Far above what any answer needs here, so that a queueing delay is not taken for a failure.
ANSWER_SECONDS = 60

# Coprime to the number of pages: all of them come up, in an order without locality.
PAGE_STRIDE = 7919

REPORT = """
function done(summary)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "bytes": %d, "seconds": %.6f, "failed": %d}\\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a client did: whole answers, bytes (of answers it did not see the end of, too), time."""

    requests: int
    bytes: int
    seconds: float
    cpu_seconds: float


def fixed_script(head: str) -> str:
    """wrk asks wrk.format once for the request it repeats, and would put fields in any order."""
    return f"function wrk.format() return {json.dumps(head)} end"


def marks_script(head: str, first: int) -> str:
    """Requests numbered from `first`: none repeats within a run, nor in a run begun elsewhere."""
    pieces = " .. id .. ".join(json.dumps(piece) for piece in head.split(MARK))
    return f"""
local n = {first}
function request()
  n = n + 1
  local id = string.format("%0{len(MARK)}x", n)
  return {pieces}
end
"""


def targets_script(scenario: Scenario) -> str:
    heads = (json.dumps(request_head(scenario, page_target(number))) for number in range(PAGES))
    return f"""
local heads = {{ {", ".join(heads)} }}
local n = 0
function request()
  n = (n + {PAGE_STRIDE}) % {PAGES}
  return heads[n + 1]
end
"""


def script(scenario: Scenario, etag: str | None, first: int) -> str:
    return requests_script(scenario, etag, first) + REPORT


def requests_script(scenario: Scenario, etag: str | None, first: int) -> str:
    head = request_head(scenario, scenario.target, etag)
    match scenario.varies:
        case Variation.NONE:
            return fixed_script(head)
        case Variation.MARKS:
            return marks_script(head, first)
        case Variation.TARGETS:
            return targets_script(scenario)


def drive(
    scenario: Scenario, port: int, seconds: int, site: Site, etag: str | None, first: int
) -> Load:
    """Run a client with one thread on CLIENT_CPU; raises BenchError if a single request failed.

    Where requests are numbered, they are so from `first` on.
    """
    if scenario.download:
        command = [str(site.reader), str(port), str(scenario.connections), str(seconds)]
        command += ["drop"] if scenario.drop else []
    else:
        lua = site.scratch / "load.lua"
        lua.write_text(script(scenario, etag, first))
        command = [
            *(find_program("wrk"), "--threads", "1", "--connections", str(scenario.connections)),
            *("--duration", f"{seconds}s", "--timeout", f"{ANSWER_SECONDS}s"),
            *("--script", str(lua), f"http://127.0.0.1:{port}/"),
        ]
    message = request_head(scenario, scenario.target, etag)
    before = children_cpu_seconds()
    done = subprocess.run(
        pinned(CLIENT_CPU, command), input=message, capture_output=True, text=True, check=False
    )
    cpu = children_cpu_seconds() - before
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed: {done.stdout}{done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    if result["failed"] or not result["bytes"]:
        raise BenchError(f"requests failed: {done.stdout}")
    return Load(result["requests"], result["bytes"], result["seconds"], cpu)


def children_cpu_seconds() -> float:
    """Of all children waited for; between two calls around one `run`, that is the one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
