"""The command line of the benchmark: `python -m bench`."""

import argparse
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.progress import track

from ashttpd.commandline import Parser
from bench.content import write_site
from bench.measure import measure
from bench.process import CLIENT_CPU, SERVER_CPU, BenchError, Site, compile_program
from bench.report import save, show
from bench.scenarios import SCENARIOS, Scenario
from bench.servers import BASELINES, CONTROL, FLOOR, MODELS, PEERS, SERVERS, Server, ashttpd

# What is measured when nothing is asked for.
DEFAULT = (*(server.name for server in (*PEERS, *map(ashttpd, MODELS))), FLOOR.name)
# Of tables that go to a file: all servers fit.
FILE_COLUMNS = 160


# Of all sockets of all servers; it decides what a large body costs.
CONGESTION_CONTROL: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench", description="CPU time per answer: ashttpd next to other servers."
    )
    add = parser.add_argument
    scenarios = [scenario.name for scenario in SCENARIOS]
    servers = [server.name for server in SERVERS]
    add("--scenario", action="append", choices=scenarios, help="only this one; may be repeated")
    add("--server", action="append", default=[], choices=servers, help="only this one and nginx")
    add("--model", action="append", default=[], choices=MODELS, help="--server ashttpd-MODEL")
    add("--control", action="store_true", help="measure nginx twice, to see the noise")
    add("--rounds", type=int, default=3, help="measurements of each (3)")
    add("--seconds", type=int, default=3, help="length of a measurement (3)")
    add("--ashttpd", type=Path, default=Path(".venv/bin/ashttpd"), help="mkroot is beside it")
    add("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    add("--list", action="store_true", help="list scenarios and servers")
    return parser.parse_args(words)


def choose_servers(options: argparse.Namespace) -> list[Server]:
    """In the order of the table; the baselines are always among them."""
    asked = {*options.server, *(ashttpd(model).name for model in options.model)} or {*DEFAULT}
    asked |= {*BASELINES} | ({CONTROL} if options.control else set())
    return [server for server in SERVERS if server.name in asked]


def plan(
    scenarios: Sequence[Scenario], servers: Sequence[Server], rounds: int
) -> list[tuple[Scenario, int, Server]]:
    """The measurements in turns: each round has every server once, in an order of its own."""
    random = Random()
    result = []
    for scenario in scenarios:
        for turn in range(rounds):
            order = random.sample(servers, len(servers))
            result += [
                (scenario, turn, server)
                for server in order
                if server.scenarios is None or scenario.name in server.scenarios
            ]
    return result


def build_site(scratch: Path, program: Path, webroot_needed: bool) -> Site:
    floor, reader = scratch / "floor.program", scratch / "reader.program"
    site = Site(scratch / "root", scratch / "vhosts", program.absolute(), floor, reader, scratch)
    # h2o gives up root, and has to be able to read the site afterwards.
    scratch.chmod(0o755)
    write_site(site.root)
    site.vhosts.mkdir()
    if webroot_needed:
        mkroot = site.ashttpd.with_name("mkroot")
        try:
            # Nobody else compresses, and there is nothing to gain with random bytes.
            output = site.vhosts / "__default__"
            subprocess.run([mkroot, "--compress", "none", site.root, output], check=True)
        except (OSError, subprocess.CalledProcessError) as exc:
            raise BenchError(f"cannot make the webroot: {exc}") from exc
    return site


def run(options: argparse.Namespace, console: Console) -> None:
    console.print(f"Load average of the machine before the run: {os.getloadavg()[0]:.1f}")
    console.print(f"TCP congestion control: {CONGESTION_CONTROL.read_text().strip()}")
    wanted = [each for each in SCENARIOS if each.name in (options.scenario or {each.name})]
    servers = choose_servers(options)
    with TemporaryDirectory(prefix="bench-") as scratch:
        own = any(server.name.startswith("ashttpd-") for server in servers)
        site = build_site(Path(scratch), options.ashttpd, own)
        if FLOOR in servers:
            compile_program(site.floor, "-luring")
        if any(scenario.download for scenario in wanted):
            compile_program(site.reader)
        steps = plan(wanted, servers, options.rounds)
        samples = [
            measure(scenario, server, turn, options.seconds, site)
            for scenario, turn, server in track(steps, console=console, transient=True)
        ]
    if options.json:
        save(options.json, samples, wanted)
    show(console, samples, wanted, servers)


def list_all(console: Console) -> None:
    for scenario in SCENARIOS:
        goals = ", ".join(f"{engine} {goal:.2f}" for engine, goal in scenario.goals.items())
        console.print(f"{scenario.name:12} {scenario.about} (goals: {goals})")
    console.print("servers:", ", ".join(server.name for server in SERVERS))


def prepare() -> None:
    """Check the CPUs, make room for 11,000 descriptors, let SIGTERM clean up as Ctrl-C does."""
    if not {int(SERVER_CPU), int(CLIENT_CPU)} <= os.sched_getaffinity(0):
        raise BenchError(f"needs CPU {SERVER_CPU} for the server and CPU {CLIENT_CPU} for wrk")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


def main(words: Sequence[str] | None = None) -> int:
    options = parse_arguments(words)
    console = Console(width=None if sys.stdout.isatty() else FILE_COLUMNS)
    if options.list:
        list_all(console)
        return 0
    try:
        prepare()
        run(options, console)
    except BenchError as exc:
        Console(stderr=True).print(f"bench: {exc}", style="bold red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
