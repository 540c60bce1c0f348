"""One picture of the vhosts directory: host names to webroots.

`ashttpd.vhosts` makes a new one whenever a site changes; what is being sent holds its old webroot
open until it is through.
"""

import re
from collections.abc import Mapping
from typing import Final

from ashttpd.webroot.reader import Webroot

DEFAULT_HOST: Final = "__default__"
# The port that may follow a host in Host and in an authority (RFC 3986 section 3.2.3).
_PORT: Final = re.compile(rb":[0-9]*\Z")


class Sites:
    """One picture of the vhosts directory; never changes."""

    def __init__(self, webroots: Mapping[str, Webroot]) -> None:
        """Serve each webroot under its host name, in lower case."""
        self.webroots = webroots
        exact = {name.encode("ascii"): webroot for name, webroot in webroots.items()}
        self._default = exact.pop(DEFAULT_HOST.encode("ascii"), None)
        self._exact = {name: w for name, w in exact.items() if not name.startswith(b"*")}
        self._wildcards = {name[1:]: w for name, w in exact.items() if name.startswith(b"*")}
        # A name has at most 255 bytes, while a host may have thousands, and as many dots.
        self._lengths = sorted({len(suffix) for suffix in self._wildcards}, reverse=True)

    def find(self, host: bytes) -> Webroot | None:
        """Return the webroot of an authority in lower case; a port and a final dot are ignored.

        The exact name first, then the longest wildcard, then the default.
        """
        name = _PORT.sub(b"", host).removesuffix(b".")
        found = self._exact.get(name)
        if found is not None:
            return found
        for length in self._lengths:
            found = self._wildcards.get(name[-length:])
            if found is not None:
                return found
        return self._default
