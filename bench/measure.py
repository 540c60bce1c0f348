"""One measurement: a fresh server, its answers checked, warmed up, then loaded."""

from dataclasses import dataclass
from http import HTTPStatus
from time import sleep

from bench.load import Load, drive
from bench.probe import check, own_etag
from bench.process import (
    BenchError,
    Memory,
    Running,
    Site,
    cpu_seconds,
    last_words,
    memory,
    process_tree,
    serving,
)
from bench.scenarios import Scenario, Variation
from bench.servers import Server

WARM_UP_SECONDS = 1

# Long enough for a server that answers 2,500 a second to be asked for each of the 10,000 pages.
WARM_UP_SECONDS_TARGETS = 4

# For the server to notice that the connections of the warm-up are gone.
SETTLE_SECONDS = 0.1

# Answers may differ from the probed one by a digit or a field that comes and goes, not by more.
WIRE_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one measurement; `answers` may have a fraction, see `count_answers`."""

    scenario: str
    server: str
    round: int
    answers: float
    load: Load
    server_cpu_seconds: float
    memory: Memory


def measure(scenario: Scenario, server: Server, turn: int, seconds: int, site: Site) -> Sample:
    """Raises BenchError, naming server and scenario, if the result were not to be believed."""
    try:
        with serving(server, site) as running:
            return sample(scenario, server, turn, seconds, site, running)
    except (BenchError, OSError) as exc:
        where = f"{server.name}, scenario {scenario.name}"
        raise BenchError(f"{where}: {exc}\n{last_words(server, site)}") from exc


def sample(
    scenario: Scenario, server: Server, turn: int, seconds: int, site: Site, running: Running
) -> Sample:
    conditional = scenario.status == HTTPStatus.NOT_MODIFIED
    etag = own_etag(running.port, scenario) if conditional else None
    wire = check(running.port, scenario, site.root, etag)
    many = scenario.varies is Variation.TARGETS
    warm_up_seconds = WARM_UP_SECONDS_TARGETS if many else WARM_UP_SECONDS
    drive(scenario, running.port, warm_up_seconds, site, etag, 0x80000000)
    sleep(SETTLE_SECONDS)
    # Only now is it sure that a supervisor has started its workers.
    pids = process_tree(running.pid)
    before = cpu_seconds(pids)
    load = drive(scenario, running.port, seconds, site, etag, 0)
    used = cpu_seconds(pids) - before
    answers = count_answers(scenario, load, wire)
    return Sample(scenario.name, server.name, turn, answers, load, used, memory(pids))


def count_answers(scenario: Scenario, load: Load, wire: int) -> float:
    """The client's count; by bytes for bulk scenarios, as what is under way at the end costs, too.

    Both counts have to agree: wrk looks at a status only to see whether it is 400 or more, and this
    is how a 200 in place of a 304 or a 206 would be found.
    """
    by_bytes = load.bytes / wire
    if abs(by_bytes - load.requests) > scenario.connections + WIRE_TOLERANCE * by_bytes:
        raise BenchError(
            f"{load.requests} answers of {wire} bytes each cannot be {load.bytes} bytes"
        )
    return by_bytes if scenario.bulk else float(load.requests)
