"""From samples to tables and JSON."""

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.measure import Sample
from bench.scenarios import Scenario
from bench.servers import BASELINES, Server

Figure = Callable[[Sample], float]
Cell = Callable[[Scenario, Server], str]


def micros_per_answer(sample: Sample) -> float:
    return sample.server_cpu_seconds / sample.answers * 1e6


def answers_per_second(sample: Sample) -> float:
    return sample.answers / sample.load.seconds


def seconds_per_gb(sample: Sample) -> float:
    return sample.server_cpu_seconds / sample.load.bytes * 1e9


def total_seconds_per_gb(sample: Sample) -> float:
    """With the client's CPU: on loopback much of the sending is done on the reader's CPU."""
    return (sample.server_cpu_seconds + sample.load.cpu_seconds) / sample.load.bytes * 1e9


def gb_per_second(sample: Sample) -> float:
    return sample.load.bytes / sample.load.seconds / 1e9


def rss_mb(sample: Sample) -> float:
    return sample.memory.rss / 1e6


def anonymous_mb(sample: Sample) -> float:
    return sample.memory.anonymous / 1e6


FIGURES: tuple[tuple[str, Figure, str], ...] = (
    ("CPU time per answer, µs", micros_per_answer, ",.2f"),
    ("Answers per second", answers_per_second, ",.0f"),
    ("Resident memory, MB", rss_mb, ".1f"),
    ("Anonymous memory, MB", anonymous_mb, ".1f"),
)
BULK_FIGURES: tuple[tuple[str, Figure, str], ...] = (
    ("Large bodies: the server's CPU, s/GB", seconds_per_gb, ".3f"),
    ("Large bodies: CPU of server and client, s/GB", total_seconds_per_gb, ".3f"),
    ("Large bodies: throughput, GB/s", gb_per_second, ".2f"),
)


def pick(samples: Sequence[Sample], scenario: str, server: str) -> list[Sample]:
    """In the order of the rounds."""
    found = (each for each in samples if (each.scenario, each.server) == (scenario, server))
    return sorted(found, key=lambda each: each.round)


def ratios(samples: Sequence[Sample], scenario: str, server: str, baseline: str) -> list[float]:
    """To the baseline of the same round, so that a machine that slows down moves both."""
    own = pick(samples, scenario, server)
    base = pick(samples, scenario, baseline)
    pairs = zip(own, base, strict=bool(own))
    return [micros_per_answer(mine) / micros_per_answer(its) for mine, its in pairs]


def ratio_cell(samples: Sequence[Sample], baseline: str) -> Cell:
    """The median ratio, half the distance of the extremes, and the goal if it was missed."""

    def cell(scenario: Scenario, server: Server) -> str:
        values = ratios(samples, scenario.name, server.name, baseline)
        if not values:
            return ""
        middle = median(values)
        text = f"{middle:.2f} ±{(max(values) - min(values)) / 2:.2f}"
        goal = scenario.goals.get(server.engine)
        missed = goal is not None and middle > goal
        return f"[bold red]{text} > {goal:.2f}[/]" if missed else text

    return cell


def figure_cell(samples: Sequence[Sample], figure: Figure, form: str) -> Cell:
    """The median over the rounds."""

    def cell(scenario: Scenario, server: Server) -> str:
        values = [figure(sample) for sample in pick(samples, scenario.name, server.name)]
        return format(median(values), form) if values else ""

    return cell


def table(
    title: str, scenarios: Sequence[Scenario], servers: Sequence[Server], cell: Cell
) -> Table:
    """One row per scenario, one column per server."""
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    result.add_column("scenario")
    for server in servers:
        result.add_column(server.name, justify="right", no_wrap=True)
    for scenario in scenarios:
        result.add_row(scenario.name, *(cell(scenario, server) for server in servers))
    return result


def show(
    console: Console,
    samples: Sequence[Sample],
    scenarios: Sequence[Scenario],
    servers: Sequence[Server],
) -> None:
    """All tables: ratios first, then what they are made of."""
    for baseline in BASELINES:
        others = [server for server in servers if server.name != baseline]
        title = f"CPU time per answer, ratio to {baseline}"
        console.print(table(title, scenarios, others, ratio_cell(samples, baseline)))
    for title, figure, form in FIGURES:
        console.print(table(title, scenarios, servers, figure_cell(samples, figure, form)))
    bulk = [scenario for scenario in scenarios if scenario.bulk]
    for title, figure, form in BULK_FIGURES if bulk else ():
        console.print(table(title, bulk, servers, figure_cell(samples, figure, form)))


def save(path: Path, samples: Sequence[Sample], scenarios: Sequence[Scenario]) -> None:
    """Every sample, with the figures the tables are made of."""
    document = {
        "machine": {
            "kernel": platform.release(),
            "cpus": os.cpu_count(),
            "load": os.getloadavg(),
        },
        "baselines": BASELINES,
        "goals": {scenario.name: scenario.goals for scenario in scenarios},
        "samples": [
            asdict(sample) | {"micros_per_answer": micros_per_answer(sample)} for sample in samples
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
