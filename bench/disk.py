"""`python -m bench.disk`: a site four times as large as the memory that its server may use.

Bodies of 64 KiB to 1 MiB, at random, to 32 connections: how much of what fio reads from the same
file does a server deliver, and how long does somebody wait meanwhile who asks for one small page
every millisecond? It takes root, for a control group with a limit of memory.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ashttpd.commandline import Parser
from bench.content import KIB, MIB, PAGE_BYTES, PAGE_START
from bench.process import (
    CLIENT_CPU,
    SERVER_CPU,
    BenchError,
    Running,
    Site,
    compile_program,
    cpu_seconds,
    find_program,
    pinned,
    process_tree,
    serving,
)
from bench.servers import PEERS, Server, ashttpd

CONNECTIONS: Final = 32
SIZES: Final = (64 * KIB, MIB)
PAGE: Final = "/page.html"
PAUSE_SECONDS: Final = 0.001
SERVERS: Final = (PEERS[0], *map(ashttpd, ("dio", "aio", "uring", "threads")))
# Of the control groups of both generations, the first of which has one for each resource.
_V1: Final = Path("/sys/fs/cgroup/memory")
_V2: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a server did: bytes a second, its CPU seconds, latencies in seconds, page cache."""

    bytes_per_second: float
    cpu_seconds_per_byte: float
    idle: list[float]
    loaded: list[float]
    cached_bytes: int


@contextmanager
def limited(pid: int, memory_bytes: int) -> Iterator[Path]:
    """Let a process have so much memory, with the page cache that it fills; gives its group."""
    is_first = _V1.is_dir()
    group = (_V1 if is_first else _V2) / f"ashttpd-bench-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if is_first else "memory.max")
    try:
        group.mkdir()
        limit.write_text(str(memory_bytes))
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as exc:
        raise BenchError(f"no control group can be had: {exc}") from exc
    try:
        yield group
    finally:
        (group.parent / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def cached(group: Path) -> int:
    """Return how many bytes of files a group has in memory."""
    fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(fields.get("cache") or fields["file"])


def forget_files() -> None:
    """Have the kernel write what is to be written, and drop its page cache."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1")


def write_site(root: Path, total: int) -> list[str]:
    """Fill `root` with random bodies of so many bytes in all; returns their targets."""
    random = Random(64)
    root.mkdir()
    (root / PAGE.lstrip("/")).write_bytes(PAGE_START.ljust(PAGE_BYTES))
    targets: list[str] = []
    while total > 0:
        size = random.randint(*SIZES)
        target = f"/{len(targets)}.bin"
        (root / target.lstrip("/")).write_bytes(random.randbytes(size))
        targets.append(target)
        total -= size
    return targets


def request(target: str) -> str:
    return f"GET {target} HTTP/1.1\r\nHost: www.example.org\r\n\r\n"


def latencies(port: int, seconds: float) -> list[float]:
    """Ask for the page, with pauses; returns how long each answer took."""
    message = request(PAGE).encode()
    result = []
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(60)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stop = time.perf_counter() + seconds
        while (start := time.perf_counter()) < stop:
            client.sendall(message)
            came = client.recv(65536)
            while not came.endswith(b" ") or len(came) < PAGE_BYTES:
                came += client.recv(65536)
            result.append(time.perf_counter() - start)
            time.sleep(PAUSE_SECONDS)
    return result


def read_with_fio(webroot: Path, seconds: int) -> float:
    """Return how many bytes a second fio reads, with as many reads under way as connections."""
    command = [
        *(find_program("fio"), "--name=disk", f"--filename={webroot}", "--readonly", "--direct=1"),
        *("--ioengine=libaio", "--rw=randread", f"--bsrange={SIZES[0]}-{SIZES[1]}"),
        *(f"--iodepth={CONNECTIONS}", "--time_based", f"--runtime={seconds}"),
        "--output-format=json",
    ]
    done = subprocess.run(pinned(SERVER_CPU, command), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"fio failed: {done.stdout}{done.stderr}")
    return float(json.loads(done.stdout)["jobs"][0]["read"]["bw_bytes"])


def sample(
    running: Running, site: Site, targets: Sequence[str], options: argparse.Namespace
) -> Sample:
    """Measure a server that has just been started."""
    forget_files()
    with limited(running.pid, options.memory * MIB) as group:
        latencies(running.port, 1)
        idle = latencies(running.port, options.seconds)
        seconds = options.seconds + 2
        command = [str(site.reader), str(running.port), str(CONNECTIONS), str(seconds)]
        with subprocess.Popen(
            pinned(CLIENT_CPU, command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as reader:
            assert reader.stdin is not None
            before = cpu_seconds(process_tree(running.pid))
            reader.stdin.write("\0".join(map(request, targets)))
            reader.stdin.close()
            reader.stdin = None
            time.sleep(1)
            loaded = latencies(running.port, options.seconds)
            out, complaint = reader.communicate()
            used = cpu_seconds(process_tree(running.pid)) - before
        if reader.returncode != 0:
            raise BenchError(complaint)
        result = json.loads(out)
        total = result["bytes"]
        return Sample(total / result["seconds"], used / total, idle, loaded, cached(group))


def percentile(values: list[float], number: int) -> float:
    """Return a percentile in milliseconds."""
    return quantiles(values, n=100)[number - 1] * 1000


def show(console: Console, disk: Sequence[float], samples: dict[str, list[Sample]]) -> None:
    """One row per server: medians over the rounds."""
    console.print(
        f"fio reads {median(disk) / 1e6:,.0f} MB/s ({', '.join(f'{x / 1e6:,.0f}' for x in disk)})"
    )
    table = Table(box=SIMPLE_HEAD)
    columns = (
        "",
        "MB/s",
        "of fio",
        "CPU s/GB",
        "idle p50",
        "p99, ms",
        "loaded p50",
        "p99, ms",
        "p99",
    )
    for column in (*columns, "cached MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, rounds in samples.items():
        rate = median(each.bytes_per_second for each in rounds)
        share = median(
            each.bytes_per_second / most for each, most in zip(rounds, disk, strict=True)
        )
        idle, loaded = (
            [median(percentile(list_, number) for list_ in lists) for number in (50, 99)]
            for lists in ([each.idle for each in rounds], [each.loaded for each in rounds])
        )
        cpu = median(each.cpu_seconds_per_byte for each in rounds) * 1e9
        table.add_row(
            name,
            *(f"{rate / 1e6:,.0f}", f"{share:.2f}", f"{cpu:.2f}"),
            *(f"{value:.2f}" for value in (*idle, *loaded)),
            *(
                f"x{loaded[1] / idle[1]:.1f}",
                f"{median(each.cached_bytes for each in rounds) / 1e6:,.0f}",
            ),
        )
    console.print(table)


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m bench.disk", description=__doc__)
    add = parser.add_argument
    names = [server.name for server in SERVERS]
    add("--server", action="append", choices=names, help="only this one; may be repeated")
    add("--memory", type=int, default=512, help="what a server may use, in MiB (512)")
    add("--rounds", type=int, default=3, help="measurements of each (3)")
    add("--seconds", type=int, default=8, help="length of a measurement (8)")
    add("--ashttpd", type=Path, default=Path(".venv/bin/ashttpd"), help="mkroot is beside it")
    add("--directory", type=Path, help="on the disk that is to be measured")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run; returns 1 with a message where the result would not be to be believed."""
    options = parse_arguments(words)
    console = Console(width=120)
    servers: list[Server] = [
        server for server in SERVERS if server.name in (options.server or {server.name})
    ]
    try:
        with TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
            scratch = Path(directory)
            program = options.ashttpd.absolute()
            reader = scratch / "reader.program"
            site = Site(scratch / "root", scratch / "vhosts", program, reader, reader, scratch)
            compile_program(reader)
            targets = write_site(site.root, 4 * options.memory * MIB)
            webroot = site.vhosts / "__default__"
            site.vhosts.mkdir()
            mkroot = program.with_name("mkroot")
            subprocess.run([mkroot, "--compress", "none", site.root, webroot], check=True)
            os.sched_setaffinity(0, {int(CLIENT_CPU)})
            # Latencies are to be the server's, and not those of the other client's CPU.
            policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, policy, os.sched_param(1))
            disk: list[float] = []
            samples: dict[str, list[Sample]] = {server.name: [] for server in servers}
            for _round in track(range(options.rounds), console=console, transient=True):
                disk.append(read_with_fio(webroot, options.seconds))
                for server in servers:
                    with serving(server, site) as running:
                        samples[server.name].append(sample(running, site, targets, options))
    except (BenchError, OSError, subprocess.CalledProcessError) as exc:
        print(f"bench.disk: {exc}", file=sys.stderr)
        return 1
    show(console, disk, samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
