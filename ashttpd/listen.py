"""Listening sockets."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from ashttpd.show import reason

BACKLOG: Final = 4096
# A connection is handed out when its first bytes are there (tcp(7), TCP_DEFER_ACCEPT), or after so
# long: accepting it before means to wake up twice, which was a third of a short visit's cost.
DEFER_SECONDS: Final = 1
# What is sent over the loopback is neither lost nor held up on the way. A congestion control that
# paces (bbr) only delays it there, with a timer for each connection. Reno slows down for nothing
# but loss; every kernel has it, for everybody.
LOOPBACK_CONGESTION_CONTROL: Final = b"reno"
_MAX_PORT_DIGITS: Final = 5


class AddressError(Exception):
    """An address that cannot be understood or bound; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name or IP address) and a port to listen on; port 0 is one that is free."""

    host: str
    port: int


def _is_port(text: str) -> bool:
    digits = text.isascii() and text.isdigit() and len(text) <= _MAX_PORT_DIGITS
    return digits and int(text) <= 65535


def parse_address(text: str) -> Address:
    """Return the address of HOST:PORT, [IPV6]:PORT or :PORT (every interface).

    Raises AddressError.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not _is_port(port):
        raise AddressError(f"{text!r} is not HOST:PORT with a port from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:8080")
    return Address(host, int(port))


def listen(address: Address) -> socket.socket:
    """Return a socket that listens there and does not block; raises AddressError."""
    place = f"[{address.host}]" if ":" in address.host else address.host
    failure = f"cannot listen on {place}:{address.port}"
    try:
        family, kind, protocol, _name, where = socket.getaddrinfo(
            address.host or None,
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # the latter for a label that no name can have
        raise AddressError(f"{failure}: {reason(error)}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it, which saves a system call per connection.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)
        if ip_address(where[0]).is_loopback:
            with suppress(OSError):  # it would work with any other
                listener.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_CONGESTION, LOOPBACK_CONGESTION_CONTROL
                )
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise AddressError(f"{failure}: {reason(error)}") from error
    listener.setblocking(False)
    return listener


def describe(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
