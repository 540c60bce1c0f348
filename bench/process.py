"""Starting and stopping servers, and what the kernel says they used.

Everything started here is in a process group of its own and is stopped by that group's id, however
the caller leaves the `with` block.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template

from bench.servers import Server

SERVER_CPU = "0"
CLIENT_CPU = "1"

START_SECONDS = 20.0
STOP_SECONDS = 5.0

# Servers live in sbin, which is not in everybody's PATH.
PROGRAM_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"))


class BenchError(Exception):
    """A measurement that must not be believed, or cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where the content and the program under test are."""

    root: Path
    vhosts: Path
    ashttpd: Path
    floor: Path
    reader: Path
    scratch: Path


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts connections."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes: all of it, this server's share of it, and what no file backs."""

    rss: int
    pss: int
    anonymous: int


def find_program(name: str) -> str:
    path = shutil.which(name, path=PROGRAM_PATH)
    if path is None:
        raise BenchError(f"{name} is not installed (see bench/README.md)")
    return path


def compile_program(program: Path, *libraries: str) -> None:
    """Make a program of the source beside this file that has its name."""
    source = Path(__file__).with_name(f"{program.stem}.c")
    command = ["cc", "-std=gnu11", "-O2", "-o", str(program), str(source), *libraries]
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise BenchError(f"cannot compile {source.name}: {exc}") from exc


def pinned(cpu: str, command: list[str]) -> list[str]:
    """taskset replaces itself with the command, so the process id stays that of the command."""
    return [find_program("taskset"), "-c", cpu, *command]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(server: Server, site: Site) -> Iterator[Running]:
    """Run `server` on SERVER_CPU for the length of the block."""
    home = site.scratch / server.name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    port = free_port()
    names = {
        "port": str(port),
        "root": str(site.root),
        "vhosts": str(site.vhosts),
        "ashttpd": str(site.ashttpd),
        "floor": str(site.floor),
        "home": str(home),
        "config": str(home / "config"),
    }
    (home / "config").write_text(Template(server.config).substitute(names))
    command = [Template(word).substitute(names) for word in server.command]
    command[0] = find_program(command[0])
    with ExitStack() as stack:
        log = stack.enter_context((home / "log").open("wb"))
        process = subprocess.Popen(
            pinned(SERVER_CPU, command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        stack.callback(stop, process)
        wait_until_open(process, port)
        yield Running(process.pid, port)


def wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise BenchError(f"does not listen on port {port}, exit status {process.returncode}")


def last_words(server: Server, site: Site) -> str:
    """The end of what the server most recently started under that name has printed."""
    log = site.scratch / server.name / "log"
    return log.read_text(errors="replace")[-2000:] if log.exists() else ""


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, then insist; workers that outlive their parent are in its group and go with it."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def process_tree(pid: int) -> tuple[int, ...]:
    """`pid` and all its descendants."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end meanwhile; the children that it started are another thread's then.
        with suppress(FileNotFoundError, ProcessLookupError):
            children += map(int, (task / "children").read_text().split())
    return (pid, *(each for child in children for each in process_tree(child)))


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """The CPU time of all threads these processes have or had, in user space and in the kernel.

    /proc/PID/stat gives the same sum in ticks of 10 ms, /proc/PID/task/*/schedstat in nanoseconds
    but without threads that have ended.  A process's CPU clock is exact and complete; its id is
    made from the process id as clock_getcpuclockid(3) makes it: 2 means "the scheduler's time of a
    whole process".
    """
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def memory(pids: tuple[int, ...]) -> Memory:
    totals = dict.fromkeys(("Rss:", "Pss:", "Anonymous:"), 0)
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes = line.split()[:2]
            if name in totals:
                totals[name] += int(kilobytes) * 1024
    return Memory(totals["Rss:"], totals["Pss:"], totals["Anonymous:"])
