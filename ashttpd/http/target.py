"""Paths: from the bytes of a request target to the canonical form, and back to a URL.

The canonical path is what the webroot's index holds: the decoded bytes of the path, starting with
`/`, without dot segments. The builder and the server share this module, so that a name is
found exactly when it was stored. No query, no host, no lookup here.
"""

import re
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

from ashttpd.http.errors import HTTPError

# RFC 3986 section 3.3: pchar = unreserved / pct-encoded / sub-delims / ":" / "@"; "/" divides.
PATH_SAFE: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/"
)
_ENCODED: Final = [bytes((b,)) if b in PATH_SAFE else b"%%%02X" % b for b in range(256)]
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@/]")
# RFC 3986 section 2.1: pct-encoded = "%" HEXDIG HEXDIG
_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Section 3.4: query = *( pchar / "/" / "?" ); what is none of these, and a "%" that escapes nothing
_NO_QUERY: Final = re.compile(rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]|%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH: Final = re.compile(rb"%2[Ff]")


def encode_path(path: bytes) -> bytes:
    """Return the percent-encoded URL path of a decoded one (RFC 3986 sections 2.1 and 3.3).

    Every byte that is not a pchar or `/` becomes `%XX`, in upper case: one spelling per path.
    """
    return _UNSAFE.sub(lambda match: _ENCODED[match[0][0]], path)


def encode_query(query: bytes) -> bytes:
    """Return a query, as a target has it, with what no URI may hold percent-encoded.

    Escapes stay as they are; a `%` that escapes nothing becomes `%25`. The result decodes to the
    same bytes (RFC 3986 section 3.4). The scan takes more than a URI has, as many clients send it;
    what goes back to a client has to be one.
    """
    return _NO_QUERY.sub(lambda match: _ENCODED[match[0][0]], query)


def _decode(path: bytes) -> bytes:
    """Percent-decode once; raises HTTPError."""
    if _NO_ESCAPE.search(path):
        raise HTTPError(HTTPStatus.BAD_REQUEST, "'%' without two hexadecimal digits in the path")
    decoded = unquote_to_bytes(path)
    if b"\0" in decoded:
        raise HTTPError(HTTPStatus.BAD_REQUEST, "NUL in the path")
    return decoded


def parse_path(path: bytes) -> bytes | None:
    """Return the canonical path of a target's path (the part before `?`, starting with `/`).

    It is percent-decoded once; `.` and `..` are removed as RFC 3986 section 5.2.4 says, never
    above the root. None where no file can have that name: a segment that holds an encoded slash.
    Raises HTTPError 400 for a broken escape and for NUL.
    """
    decoded = path
    if b"%" in path:
        decoded = _decode(path)
        if _ENCODED_SLASH.search(path):
            return None
    if b"/." not in decoded:
        return decoded
    segments = decoded[1:].split(b"/")
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Divide an origin-form target into its path and its query, the latter with its `?` or empty.

    RFC 9112 section 3.2.1.
    """
    path, mark, query = target.partition(b"?")
    return path, mark + query
