"""Answers that would have to wait for a disk: put off until the kernel has brought it in."""

from dataclasses import dataclass
from typing import Final

from ashttpd.engine import HotSource
from ashttpd.http.dates import Second
from ashttpd.http.plan import Plan
from ashttpd.webroot.reader import ColdError, waiting

# Stands for a plan that is not there yet; it is never sent.
COLD: Final = Plan(b"", (), 0, 0, 0, close=False, linger=True)
# What was brought in may be gone again under pressure; then rather wait than try for ever.
MAX_FETCHES: Final = 3


@dataclass(slots=True)
class Late:
    """A request that was put off: its key, and what has to be brought in for its answer."""

    key: bytes
    needed: ColdError
    fetches: int = 0


class PatientSource:
    """A source for a thread that does not wait for disks: it gives COLD instead."""

    def __init__(self, source: HotSource) -> None:
        """Stand before a source."""
        self._source = source
        # What was put off last.
        self.late: Late | None = None

    def find(self, key: bytes, second: Second) -> Plan:
        """Return the plan for a key, or COLD, with `late`."""
        try:
            return self._source.find(key, second)
        except ColdError as cold:
            self.late = Late(key, cold)
            return COLD

    def find_again(self, late: Late, second: Second, fetched: bool) -> Plan:
        """Return the plan, or COLD again where something else is needed; `fetched` was it or not.

        Waits for the disk where fetching does not help: then the file is to blame, and says so.
        """
        late.fetches += 1
        with waiting(allowed=not fetched or late.fetches > MAX_FETCHES):
            try:
                return self._source.find(late.key, second)
            except ColdError as cold:
                late.needed = cold
                return COLD
