"""New sockets that are not served yet: there is no room for them, or their address is to be asked.

What ashttpd.admission decides is done here. They wait with us and not in the kernel's queue, from
which the ring takes them as they come.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from ashttpd.admission import PATIENCE_SECONDS, Addresses, Refusals, choose_idle, is_idle
from ashttpd.http.limits import Limits
from ashttpd.uring.client import Client

# Beyond it, or beyond as many as may be connections, new ones stay in the kernel's queue: each here
# is an open file, beside those of --max-connections.
MAX_WAITING: Final = 64
# To find who is idle is to look at all; so one in so many of them makes room at once, and nobody is
# looked at again before so many seconds.
_ROOM_SHARE: Final = 16
_ROOM_SECONDS: Final = 0.01


class Lobby:
    """Who waits, and who of the clients makes room; for the thread of the loop."""

    def __init__(
        self,
        limits: Limits,
        clients: Mapping[int, Client],
        serve: Callable[[int], None],
        settle: Callable[[Client], None],
        close: Callable[[Client], None],
    ) -> None:
        """Start empty; `serve` makes a socket a client, `close` ends one that is idle.

        `settle` has a client's connection know how long it has been idle.
        """
        self._most = limits.max_connections
        self._most_per_address = limits.max_connections_per_address
        self._addresses = Addresses(self._most_per_address, clients.__contains__)
        self._clients = clients
        self._serve = serve
        self._settle = settle
        self._close = close
        self._refusals = Refusals()
        self._waiting: deque[int] = deque()
        self._full_since: float | None = None
        self._next_look = 0.0

    def __len__(self) -> int:
        """How many are waiting."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no more may come."""
        return len(self._waiting) >= min(MAX_WAITING, self._most)

    @property
    def room(self) -> int:
        """How many new sockets may pass by without waiting here."""
        if self._waiting or self._most_per_address:
            return 0
        return max(0, self._most - len(self._clients))

    def add(self, fd: int) -> None:
        """Let a new socket wait."""
        self._waiting.append(fd)

    def admit(self, now: float) -> None:
        """Serve who may be, and turn away who has waited for too long; `now` is monotonic."""
        self._admit()
        # Those behind the lobby, in the kernel's queue, have waited as long: not from now on.
        if len(self._clients) < self._most or now > self._next_look + PATIENCE_SECONDS:
            self._full_since = None
        if self._waiting and now >= self._next_look:
            self._next_look = now + _ROOM_SECONDS
            self._make_room(now)

    def _admit(self) -> None:
        while self._waiting and len(self._clients) < self._most:
            fd = self._waiting.popleft()
            if self._most_per_address and not self._addresses.admit((fd,)):
                self._refusals.turn_away_from_address(fd, self._most_per_address)
            else:
                self._serve(fd)

    def _make_room(self, now: float) -> None:
        for client in self._clients.values():
            self._settle(client)
        connections = [client.connection for client in self._clients.values()]
        count = max(1, len(connections) // _ROOM_SHARE)
        before = choose_idle(connections, count, now)
        if before is not None:
            for client in list(self._clients.values()):
                if is_idle(client.connection, before):
                    self._close(client)
            self._full_since = None
            self._admit()
            return
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since >= PATIENCE_SECONDS:
            self.clear()

    def clear(self) -> None:
        """Turn all away."""
        while self._waiting:
            self._refusals.turn_away_without_room(self._waiting.popleft(), self._most)

    def tell(self, now: float) -> None:
        """Log how many were turned away since the last line, if it is time; `now` is monotonic."""
        self._refusals.tell(now)

    def close(self) -> None:
        """Turn all away, and log how many were since the last line."""
        self.clear()
        self._refusals.close()
