"""The one exception that says a peer is wrong, with the status that answers it.

Raised where the fault is noticed, caught at exactly one place: the connection, which turns it
into a plan that closes.
"""

from http import HTTPStatus


class HTTPError(Exception):
    """A request that cannot be answered as asked.

    `status` is the response's status (RFC 9110 section 15); the message is for logs only and
    never reaches the peer.
    """

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
