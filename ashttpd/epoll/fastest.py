"""The compiled sockets where they were built, else those in plain Python."""

try:
    from ashttpd.epoll.compiled import make_accept, make_sockets
except ImportError:
    from ashttpd.epoll.plain import make_accept, make_sockets

__all__ = ["make_accept", "make_sockets"]
