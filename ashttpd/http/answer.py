"""An answer: everything of a response but its Date.

Answers are what the memo keeps. Within a second the same Plan goes to everybody, so rendering is
paid once a second and not once a request.
"""

from ashttpd.http.dates import Second
from ashttpd.http.plan import Piece, Plan, piece_length


class Answer:
    """A response but for its Date: the status line, the rest of the head, the body.

    `rest` starts behind the Date field's line and may go on behind the head with a small body,
    `body_size` is the length of the whole body. `epoch` is the second for which `plan` was made.
    """

    __slots__ = ("body", "body_size", "close", "epoch", "linger", "plan", "rest", "start", "status")

    def __init__(
        self,
        status: int,
        start: bytes,
        rest: bytes,
        body: tuple[Piece, ...],
        body_size: int,
        close: bool,
        linger: bool,
    ) -> None:
        self.status = status
        self.start = start
        self.rest = rest
        self.body = body
        self.body_size = body_size
        self.close = close
        self.linger = linger
        self.epoch = -1
        self.plan: Plan

    def at(self, second: Second) -> Plan:
        """Return the plan for this second."""
        if self.epoch != second.epoch:
            head = b"%b%b\r\n%b" % (self.start, second.date, self.rest)
            size = len(head) + sum(map(piece_length, self.body))
            # The plan first: another thread may look in between.
            self.plan = Plan(
                head, self.body, size, self.body_size, self.status, self.close, self.linger
            )
            self.epoch = second.epoch
        return self.plan
