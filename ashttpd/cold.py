"""Answers that would have to wait for a disk: put off until somebody has read what they need.

For engines that may not wait: they have the kernel read it, and ask again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ashttpd.engine import HotSource
from ashttpd.http.dates import Second
from ashttpd.http.plan import Plan
from ashttpd.webroot.reader import ColdError, Part, waiting

# Stands for a plan that is not there yet; it is never sent.
COLD: Final = Plan(b"", (), 0, 0, 0, close=False, linger=True)
# A page takes two, its head and its body. What was brought in may be gone again under pressure, and
# a request for many ranges may need as many; then rather wait than go on for ever.
MAX_FETCHES: Final = 8


@dataclass(slots=True)
class Late:
    """A request that was put off: its key, and what has to be brought in for its answer."""

    key: bytes
    needed: ColdError
    fetches: int = 0
    # What was read for it past the kernel's memory; what was read into that, stays there.
    parts: list[Part] = field(default_factory=list)


def _without_frames(cold: ColdError) -> ColdError:
    """Let go of who raised it: in a cycle through its frames, replaced files would stay open."""
    return cold.with_traceback(None)


class PatientSource:
    """A source for a thread that does not wait for disks: it gives COLD instead."""

    def __init__(self, source: HotSource) -> None:
        """Stand before a source."""
        self._source = source
        self._late: Late | None = None

    @property
    def plans(self) -> Callable[[Second], Mapping[bytes, Plan]]:
        """See HotSource."""
        return self._source.plans

    def find(self, key: bytes, second: Second) -> Plan:
        """Return the plan for a key, or COLD; `take_late` says what that needs."""
        try:
            return self._source.find(key, second)
        except ColdError as cold:
            self._late = Late(key, _without_frames(cold))
            return COLD

    def take_late(self) -> Late:
        """Return what was put off last, once: it holds a file, which is not to stay open for it."""
        late, self._late = self._late, None
        assert late is not None, "nothing was put off"
        return late

    def find_again(self, late: Late, second: Second, *, fetched: bool, looks: bool = True) -> Plan:
        """Return the plan, or COLD again where something else is needed; `fetched` was it or not.

        Waits for the disk where fetching does not help: then the file is to blame, and says so.
        """
        late.fetches += 1
        waits = not fetched or late.fetches > MAX_FETCHES
        with waiting(allowed=waits, looks=looks, parts=late.parts):
            try:
                return self._source.find(late.key, second)
            except ColdError as cold:
                late.needed = _without_frames(cold)
                return COLD
