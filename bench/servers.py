"""The servers: a small table of commands and configurations.

Each is set up as somebody who wants it fast would do: one process or thread, no logs, sendfile, all
descriptors or stats cached, keep-alive without a limit that a run could reach.
"""

from dataclasses import dataclass
from string import Template

# nginx is measured with tcp_nopush off, its default, and on.  Off, it sends head and body apart,
# which is dear with small bodies; on, it corks the socket, which can be dear with large ones.  A
# ratio to one of them alone would flatter, so every ratio is taken to both.
BASELINES = ("nginx", "nginx-nopush")
CONTROL = "nginx-again"

MODELS = ("threads", "uring", "aio")


@dataclass(frozen=True, slots=True)
class Server:
    """How to start one server.

    `command` and `config` know $port, $root (the document root), $vhosts (the directory with its
    webroot), $home (an empty directory), $config (the file the configuration is in), $ashttpd and
    $floor.
    """

    name: str
    command: tuple[str, ...]
    config: str = ""
    # Of ashttpd, whose goals it is held against.
    engine: str = ""
    # Where it can be measured; None is everywhere.
    scenarios: frozenset[str] | None = None


# master_process off makes nginx one process.  The cache of open files holds the whole site, as
# ashttpd has its site open, too.
NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid $home/pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    sendfile on;
    tcp_nopush $nopush;
    etag on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    open_file_cache max=12000 inactive=1h;
    open_file_cache_valid 1h;
    open_file_cache_min_uses 1;
    types { text/html html; }
    default_type application/octet-stream;
    client_body_temp_path $home/body;
    proxy_temp_path $home/proxy;
    fastcgi_temp_path $home/fastcgi;
    uwsgi_temp_path $home/uwsgi;
    scgi_temp_path $home/scgi;
    server {
        listen 127.0.0.1:$port backlog=4096;
        root $root;
    }
}
"""

# The most requests per connection that lighttpd can be told to allow is 65535.
LIGHTTPD = """
server.bind = "127.0.0.1"
server.port = $port
server.document-root = "$root"
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.stat-cache-engine = "simple"
server.max-fds = 16384
server.max-connections = 4096
server.listen-backlog = 4096
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 600
mimetype.assign = ( ".html" => "text/html", "" => "application/octet-stream" )
"""

H2O = """
num-threads: 1
max-connections: 4096
listen:
  host: 127.0.0.1
  port: $port
hosts:
  default:
    paths:
      "/":
        file.dir: $root
"""

NGINX_COMMAND = ("nginx", "-p", "$home", "-c", "$config", "-e", "stderr")
NGINX_PLAIN = Template(NGINX).safe_substitute(nopush="off")
NGINX_NOPUSH = Template(NGINX).safe_substitute(nopush="on")

PEERS = (
    Server(BASELINES[0], NGINX_COMMAND, NGINX_PLAIN),
    Server(BASELINES[1], NGINX_COMMAND, NGINX_NOPUSH),
    Server("lighttpd", ("lighttpd", "-D", "-f", "$config"), LIGHTTPD),
    Server("h2o", ("h2o", "-c", "$config"), H2O),
)

# nginx once more under another name: how far its ratio is from 1.00 is the noise of the run.
AGAIN = Server(CONTROL, NGINX_COMMAND, NGINX_PLAIN)


def ashttpd(model: str) -> Server:
    """ashttpd with one of its engines."""
    command = (
        *("$ashttpd", "--model", model, "--processes", "1"),
        *("--bind", "127.0.0.1:$port", "--access-log", "off", "$vhosts"),
    )
    return Server(f"ashttpd-{model}", command, engine=model)


# Not a server but what a request costs the kernel on one io_uring: floor.c, which serves what it
# can keep in memory.
FLOOR = Server(
    "floor",
    ("$floor", "$port", "$root"),
    scenarios=frozenset(("page", "unique", "notmodified", "16k", "100k", "c1000")),
)

SERVERS = (*PEERS, AGAIN, FLOOR, *(ashttpd(model) for model in MODELS))
