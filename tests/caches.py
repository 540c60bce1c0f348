"""Caches of Debian in front of a server: Varnish, and nginx with its cache and with its slices.

What they hold is out of date at once, so that nearly every request is a revalidation.
"""

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.proxies import find_program, running
from tests.servers import eventually

# Else, of root, its workers could not write where the tests may; any other user has no choice.
_NGINX: Final = """
user root;
daemon off;
worker_processes 1;
pid {home}/pid;
error_log stderr error;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    proxy_cache_path {home}/cache keys_zone=zone:1m;
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Connection "";
        proxy_cache zone;
        proxy_cache_revalidate on;
        add_header X-Cache $upstream_cache_status;
        proxy_cache_valid any 1s;
        {slices}
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
        }}
    }}
}}
"""
# As its manual shows it: a part of a URL is one object of the cache.
_SLICES: Final = """
        slice 4k;
        proxy_cache_key $host$uri$slice_range;
        proxy_set_header Range $slice_range;
"""
_VARNISH: Final = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{upstream}"; }}
sub vcl_backend_response {{
    set beresp.ttl = 1ms;
    set beresp.grace = 0s;
    set beresp.keep = 1h;
    return (deliver);
}}
sub vcl_deliver {{
    set resp.http.X-Cache = obj.hits;
}}
"""


@contextmanager
def _nginx(upstream: int, home: Path, slices: str) -> Iterator[int]:
    program = find_program("nginx")
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = _NGINX.format(home=home, port=port, upstream=upstream, slices=slices)
        (home / "config").write_text(config)
        command = [program, "-p", str(home), "-c", str(home / "config"), "-e", "stderr"]
        # As it hands its sockets to its successor.
        with running(command, listener, home / "log", NGINX=f"{listener.fileno()};"):
            yield port


@contextmanager
def nginx_cache(upstream: int, home: Path) -> Iterator[int]:
    """Run nginx with a cache; yields its port."""
    with _nginx(upstream, home, "") as port:
        yield port


@contextmanager
def nginx_slices(upstream: int, home: Path) -> Iterator[int]:
    """Run nginx with a cache of parts, which it fetches by ranges; yields its port."""
    with _nginx(upstream, home, _SLICES) as port:
        yield port


@contextmanager
def _varnish(upstream: int, home: Path, *options: str) -> Iterator[int]:
    program, admin = find_program("varnishd"), find_program("varnishadm")
    home.mkdir()
    (home / "vcl").write_text(_VARNISH.format(upstream=upstream))
    name = ["-n", str(home / "work")]
    command = [program, *name, "-F", "-j", "none", "-f", str(home / "vcl"), "-s", "malloc,16m"]
    command += ["-a", "127.0.0.1:0", "-T", "127.0.0.1:0", *options]
    ask = [admin, *name, "debug.listen_address"]

    def address() -> re.Match[str] | None:
        said = subprocess.run(ask, capture_output=True, text=True, check=False).stdout
        return re.search(r"127\.0\.0\.1 ([1-9]\d*)", said)

    # It makes its own listening socket; this one is for the length of the block only.
    with socket.create_server(("127.0.0.1", 0)) as unused:  # noqa: SIM117  # reads in its order
        with running(command, unused, home / "log"):
            eventually(lambda: address() is not None)
            found = address()
            assert found
            yield int(found[1])


@contextmanager
def varnish(upstream: int, home: Path) -> Iterator[int]:
    """Run Varnish as it comes: it asks for gzip and decodes it itself; yields its port."""
    with _varnish(upstream, home) as port:
        yield port


@contextmanager
def varnish_by_vary(upstream: int, home: Path) -> Iterator[int]:
    """Run Varnish without its knowledge of gzip, which then keeps copies by Vary."""
    with _varnish(upstream, home, "-p", "http_gzip_support=off") as port:
        yield port


CACHES: Final = {
    "nginx": nginx_cache,
    "nginx-slices": nginx_slices,
    "varnish": varnish,
    "varnish-by-vary": varnish_by_vary,
}
