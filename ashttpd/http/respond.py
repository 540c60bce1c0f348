"""The one place that picks a status and writes header fields (RFC 9110 section 15).

Pure functions: a request and what the site has for it go in, an Answer comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from ashttpd.http.answer import Answer
from ashttpd.http.conditional import Validators, check
from ashttpd.http.dates import format_date
from ashttpd.http.digests import repr_digest, wants_sha256
from ashttpd.http.errors import HTTPError
from ashttpd.http.methods import OTHER_METHODS
from ashttpd.http.pages import HTML, choose_media_type, error_page
from ashttpd.http.plan import Extent, File, Piece, piece_length
from ashttpd.http.ranges import Part, Unsatisfiable, content_range
from ashttpd.http.request import Request
from ashttpd.http.selection import Selection, known_modified
from ashttpd.http.target import encode_query, split_target
from ashttpd.webroot.resource import Resource, Variant, entity_tag

ALLOW: Final = b"Allow: GET, HEAD, OPTIONS\r\n"
_BOUNDARY_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Representation:
    """What a site holds for a request: what was selected, its head block, and where it lies."""

    resource: Resource
    selection: Selection
    head_block: bytes
    file: File

    @property
    def variant(self) -> Variant:
        """The variant that was selected."""
        return self.selection.variant

    @property
    def validators(self) -> bytes:
        """The fields that a 304 carries too."""
        return self.head_block[: self.variant.validators_length]

    @property
    def fields(self) -> bytes:
        """All fields that do not depend on the part that is sent."""
        return self.head_block[: self.variant.fields_length]

    def extent(self, start: int, stop: int) -> tuple[Extent, ...]:
        """The body's part `[start, stop)`."""
        if start == stop:
            return ()
        return (Extent(self.file, self.variant.body_offset + start, stop - start),)


def _lines(fields: bytes, wanted: Callable[[bytes], bool]) -> bytes:
    """Return those field lines whose name, in lower case, is wanted."""
    lines = fields.splitlines(keepends=True)
    return b"".join(line for line in lines if wanted(line.partition(b":")[0].lower()))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a site may use a status that no RFC names
        return ""


def _answer(
    request: Request,
    status: int,
    fields: bytes,
    body: tuple[Piece, ...] = (),
    content: bytes = b"",
) -> Answer:
    """Put an answer together; `fields` ends with the empty line, `content` follows it."""
    start = b"HTTP/1.1 %d %b\r\nDate: " % (status, _phrase(status).encode("ascii"))
    close = request.has_unread_body or not request.persistent
    connection = b""
    if close:
        connection = b"Connection: close\r\n"
    elif request.minor == 0:
        connection = b"Connection: keep-alive\r\n"
    if request.method == b"HEAD":
        body, content = (), b""
    size = len(content) + sum(map(piece_length, body))
    return Answer(
        status, start, connection + fields + content, body, size, close, request.has_unread_body
    )


def respond_error(request: Request, error: HTTPError, page: Representation | None = None) -> Answer:
    """Answer with an error status and a page: the site's, else the built-in one.

    What a 304 or a cache would know the page by is not the answer's, and neither preconditions nor
    ranges apply to it (RFC 9110 section 13.2.1).
    """
    if page is None:
        fields = error.fields + b"Vary: Accept\r\n"
        media_type = HTML if request.accept is None else choose_media_type(request.media_weights)
        return _respond_page(request, error.status, fields, media_type)
    vary = _lines(page.validators, lambda name: name == b"vary")
    others = page.fields[len(page.validators) :]
    fields = error.fields + vary + _lines(others, lambda name: name != b"accept-ranges")
    length = page.variant.body_length
    fields += b"Content-Length: %d\r\n\r\n" % length
    return _answer(request, error.status, fields, page.extent(0, length))


def _respond_page(request: Request, status: int, fields: bytes, media_type: str) -> Answer:
    """Answer with a built-in page; `fields` are further field lines."""
    page = error_page(status, media_type)
    fields += b"Content-Type: %b\r\n" % media_type.encode("ascii")
    fields += b"X-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n" % len(page)
    return _answer(request, status, fields, content=page)


def refuse(status: int, fields: bytes = b"") -> Answer:
    """Answer what could not be parsed as a request: the connection closes behind it.

    What follows on the connection is unknown, hence read and thrown away for a while. `fields` are
    further field lines.
    """
    unknown = Request(b"", b"", 1, False, True, b"")
    return _respond_page(unknown, status, fields, HTML)


def respond_without_site(request: Request) -> Answer | None:
    """Answer what needs no site: OPTIONS. Return None for what a site is to answer.

    Raises HTTPError for other methods, for targets without a path, and for expectations: of them
    100-continue alone has a meaning (RFC 9110 section 10.1.1).
    """
    if request.expect is not None:
        raise HTTPError(HTTPStatus.EXPECTATION_FAILED, "an expectation that nobody knows")
    # What is not known is 501 (RFC 9110 section 15.6.2).
    if request.method in OTHER_METHODS:
        raise HTTPError(HTTPStatus.METHOD_NOT_ALLOWED, "no method for a file", ALLOW)
    if request.method == b"OPTIONS":
        return _answer(request, HTTPStatus.NO_CONTENT, ALLOW + b"\r\n")
    if request.method not in (b"GET", b"HEAD"):
        raise HTTPError(HTTPStatus.NOT_IMPLEMENTED, "an unknown method")
    if not request.target.startswith(b"/"):
        raise HTTPError(HTTPStatus.BAD_REQUEST, "a target without a path")
    return None


def _validators(found: Representation, now: int) -> Validators:
    """What the answer is told by."""
    others = [entity_tag(variant.sha256) for variant in found.selection.others]
    modified = known_modified(found.resource, now)
    return Validators(entity_tag(found.variant.sha256), others, modified)


def respond(request: Request, found: Representation, now: int) -> Answer:
    """Answer a GET or HEAD with what the site holds: 200, 206, 304, or its own status.

    `now` is in seconds since the epoch. Preconditions and ranges are for resources with the status
    200 (RFC 9110 section 13.2.1). Raises HTTPError 412 and 416.
    """
    resource, variant = found.resource, found.variant
    whole = found.extent(0, variant.body_length)
    if resource.status // 100 == 3:
        query = encode_query(split_target(request.target)[1]) if resource.keep_query else b""
        location = b"Location: %b%b\r\n" % (resource.location, query)
        return _answer(request, resource.status, location + found.head_block, whole)
    if resource.status != HTTPStatus.OK:
        return _answer(request, resource.status, found.head_block, whole)
    validators = _validators(found, now)
    status, tag = check(request, validators, now)
    if status == HTTPStatus.PRECONDITION_FAILED:
        raise HTTPError(status, "a precondition failed")
    further = b""
    if wants_sha256(request.want_repr_digest):
        known = next(v for v in resource.variants if entity_tag(v.sha256) == tag)
        further = repr_digest(known.sha256)
    if status == HTTPStatus.NOT_MODIFIED:
        fields = found.validators.replace(validators.tag, tag)
        return _answer(request, status, further + fields + b"\r\n")
    if validators.modified is not None:
        further += b"Last-Modified: %b\r\n" % format_date(validators.modified)
    if found.selection.parts is not None:
        return _respond_parts(request, found, found.selection.parts, further)
    return _answer(request, HTTPStatus.OK, further + found.head_block, whole)


def _respond_parts(
    request: Request, found: Representation, parts: list[Part] | Unsatisfiable, further: bytes
) -> Answer:
    length = found.variant.body_length
    if isinstance(parts, Unsatisfiable):
        fields = b"Content-Range: bytes */%d\r\n" % length
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        raise HTTPError(status, f"no part of a range lies within {length} bytes", fields)
    if len(parts) > 1:
        return _respond_multipart(request, found, parts, further)
    start, stop = parts[0]
    fields = further + found.fields + content_range(parts[0], length)
    fields += b"Content-Length: %d\r\n\r\n" % (stop - start)
    return _answer(request, HTTPStatus.PARTIAL_CONTENT, fields, found.extent(start, stop))


def _respond_multipart(
    request: Request, found: Representation, parts: list[Part], further: bytes
) -> Answer:
    """Answer with several parts, each under a head of its own (RFC 9110 section 14.6)."""
    variant = found.variant
    # No body can hold what follows from its own digest.
    boundary = variant.sha256[:_BOUNDARY_DIGEST_BYTES].hex().encode("ascii")
    media_type = b"Content-Type: %b\r\n" % variant.media_type.encode("ascii")
    pieces: list[Piece] = []
    for start, stop in parts:
        head = media_type + content_range((start, stop), variant.body_length)
        pieces += (b"\r\n--%b\r\n%b\r\n" % (boundary, head), *found.extent(start, stop))
    pieces.append(b"\r\n--%b--\r\n" % boundary)
    # The type of the whole is not that of its parts.
    fields = _lines(found.fields, lambda name: name != b"content-type")
    fields += b"Content-Type: multipart/byteranges; boundary=%b\r\n" % boundary
    fields += b"Content-Length: %d\r\n\r\n" % sum(map(piece_length, pieces))
    return _answer(request, HTTPStatus.PARTIAL_CONTENT, further + fields, tuple(pieces))
