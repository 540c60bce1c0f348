"""The one exception that says a request gets an error status.

Raised where the fault is noticed and caught at two places: the answers, which give it a page, and
the connection, which refuses what could not be parsed and closes.
"""


class HTTPError(Exception):
    """A request that cannot be answered as asked.

    `status` is the response's status, 400 to 599 (RFC 9110 section 15), `fields` are further field
    lines that it needs, each with its CRLF; the message is for logs only and never reaches the
    peer.
    """

    def __init__(self, status: int, reason: str, fields: bytes = b"") -> None:
        super().__init__(reason)
        self.status = status
        self.fields = fields
