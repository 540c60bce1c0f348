"""Reverse proxies of Debian in front of a server, set up as docs/serving.md says."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.servers import DEADLINE_SECONDS, eventually, skip_for_lack

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "serving.md"
# Servers live in sbin, which is not in everybody's PATH.
_PROGRAM_PATH: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"))

# What a configuration has around the part that the document shows. Nothing is tried twice, so that
# no failure of ours is hidden.
_NGINX: Final = """
daemon off;
worker_processes 1;
pid {home}/pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    proxy_next_upstream off;
    {shown}
}}
"""
_HAPROXY: Final = """
global
    nbthread 1
    stats socket {home}/stats
defaults
    mode http
    retries 0
    timeout connect 10s
    timeout client 60s
    timeout server 60s
{shown}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy: where it listens, where it goes, and what it has to complain of."""

    port: int
    upstream: int
    complaints: Callable[[], str]

    def upstream_connections(self) -> int:
        """How many connections to its upstream there are or were until a minute ago: tcp(7)."""
        port = f"{self.upstream:04X}"
        pairs = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            ports = [address.partition(":")[2] for address in line.split()[1:3]]
            if port in ports and "0000" not in ports:
                pairs.add(frozenset(ports))
        return len(pairs)


def shown(language: str) -> str:
    """Return the block of the document that is in a configuration language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert isinstance(block, str)
    return block


def find_program(name: str) -> str:
    """Return where a server is installed."""
    program = shutil.which(name, path=_PROGRAM_PATH)
    if program is None:
        skip_for_lack(f"{name} is not installed")
    assert program is not None
    return program


@contextmanager
def running(
    command: list[str], listener: socket.socket, log: Path, **environment: str
) -> Iterator[None]:
    """Run a program that inherits a listening socket, and hold that it ends when it is told to."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(listener.fileno(),),
            env={**os.environ, **environment},
        )
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        # nginx takes its workers with it when it is asked, and leaves them when it is killed.
        process.terminate()
        process.wait(DEADLINE_SECONDS)


@contextmanager
def nginx(upstream: int, home: Path) -> Iterator[Proxy]:
    """Run nginx; it complains in its error log."""
    program = find_program("nginx")
    home.mkdir()
    log = home / "log"
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        port = listener.getsockname()[1]
        here = shown("nginx").replace(":8080;", f":{upstream};")
        here = here.replace("listen 80;", f"listen 127.0.0.1:{port};")
        (home / "config").write_text(_NGINX.format(home=home, shown=here))
        command = [program, "-p", str(home), "-c", str(home / "config"), "-e", "stderr"]
        # As it hands its sockets to its successor, of which it gives notice in its log.
        with running(command, listener, log, NGINX=f"{listener.fileno()};"):

            def complaints() -> str:
                lines = log.read_text().splitlines()
                return "\n".join(line for line in lines if "[notice]" not in line)

            yield Proxy(port, upstream, complaints)


@contextmanager
def haproxy(upstream: int, home: Path) -> Iterator[Proxy]:
    """Run HAProxy; it complains in its counters."""
    program = find_program("haproxy")
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        port = listener.getsockname()[1]
        here = shown("haproxy").replace(":8080", f":{upstream}")
        here = here.replace("bind :80", f"bind fd@{listener.fileno()}")
        (home / "config").write_text(_HAPROXY.format(home=home, shown=here))
        command = [program, "-db", "-f", str(home / "config")]
        with running(command, listener, home / "log"):
            eventually((home / "stats").exists)

            def complaints() -> str:
                row = _haproxy_server(home / "stats")
                # Connections that failed, answers that were cut off or no HTTP, second attempts.
                counters = ("econ", "eresp", "wretr", "wredis", "srv_abrt", "chkfail")
                return " ".join(f"{name}={row[name]}" for name in counters if int(row[name] or 0))

            yield Proxy(port, upstream, complaints)


def _haproxy_server(stats: Path) -> dict[str, str]:
    """Return the counters of the one server: section 9.1 of HAProxy's management guide."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(stats))
        asking.sendall(b"show stat\n")
        with asking.makefile() as answer:
            names, *rows = (line.strip().split(",") for line in answer if line.strip())
    tables = [dict(zip(names, row, strict=True)) for row in rows]
    (server,) = (table for table in tables if table["svname"] not in ("FRONTEND", "BACKEND"))
    return server


PROXIES: Final = {"nginx": nginx, "haproxy": haproxy}
