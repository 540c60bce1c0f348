"""The memo of answers: canonical key to Answer, for one generation of the sites.

It is only a memo: drop it at any moment and every response stays the same, apart from Date, unless
the site's file was damaged since: what is remembered was right. It is bounded in bytes, and what
was asked once cannot push out what is asked often.
"""

import logging
import time
from hashlib import sha256
from http import HTTPStatus
from threading import Lock
from typing import Final, Protocol

from ashttpd.complaints import Complaints
from ashttpd.http.answer import Answer
from ashttpd.http.dates import Second
from ashttpd.http.errors import HTTPError
from ashttpd.http.negotiate import acceptable_variants
from ashttpd.http.plan import Plan
from ashttpd.http.request import Request, parse_key
from ashttpd.http.respond import Representation, respond, respond_error, respond_without_site
from ashttpd.http.selection import Selection, select
from ashttpd.webroot.errors import WebrootError, show
from ashttpd.webroot.reader import Webroot
from ashttpd.webroot.resource import Resource

log = logging.getLogger(__name__)

# Up to here a body is kept beside its head and leaves with it in one send; sendfile draws level
# at about this size.
INLINE_BODY_BYTES: Final = 1 << 16
# Answers asked for at least twice: some 20,000 small pages.
HOT_BYTES: Final = 64 << 20
# Answers asked for once, emptied when full. Who asks for as many pages in turn, over and over, is
# to find them hot the third time, so there is as much room.
YOUNG_BYTES: Final = 64 << 20
# What an answer takes beside its bytes: key, dictionary entry, Answer, Plan.
_OVERHEAD_BYTES: Final = 700
# A hot answer that was not asked for in so long makes room when the memo is full.
COLD_SECONDS: Final = 10
_BUILD_AGAIN: Final = "; build the site again (mkroot --verify names all that is wrong)"


class Hosts(Protocol):
    """Finds the site of a host."""

    def find(self, host: bytes) -> Webroot | None:
        """Return the webroot that serves an authority (in lower case, a port allowed)."""


def _cost(key: bytes, answer: Answer) -> int:
    # The rest of the head stands in the plan of the current second once more.
    return _OVERHEAD_BYTES + len(key) + 2 * len(answer.rest)


class Answers:
    """Answers of one generation of the sites, shared by all threads.

    Hits take no lock. Two threads that miss the same key both make its answer; one stays.
    """

    def __init__(self, hosts: Hosts, complaints: Complaints | None = None) -> None:
        """Start empty over these sites.

        A damaged file is complained of once in a while only: its answers are not kept, so each
        request finds the damage again.
        """
        self._hosts = hosts
        self._complaints = complaints or Complaints()
        self._hot: dict[bytes, Answer] = {}
        self._young: dict[bytes, Answer] = {}
        self._hot_bytes = self._young_bytes = 0
        self._swept = 0
        self._lock = Lock()
        self._plans: tuple[int, dict[bytes, Plan]] = (0, {})

    def plans(self, second: Second) -> dict[bytes, Plan]:
        """Return the plans of hot answers that `find` has made for this second.

        An engine that asks here first pays one lookup for a request that was seen before. What it
        gets is for one batch of events, and to be read only.
        """
        epoch, plans = self._plans
        if epoch != second.epoch:
            plans = {}
            # A thread whose clock is behind, at the turn of a second, has to do without.
            if epoch < second.epoch:
                self._plans = (second.epoch, plans)
        return plans

    def find(self, key: bytes, second: Second) -> Plan:
        """Return the plan for a canonical key; never raises for what a peer or a file did."""
        answer = self._hot.get(key)
        if answer is None:
            return self._miss(key, second)
        plan = answer.at(second)
        self.plans(second)[key] = plan
        return plan

    def _miss(self, key: bytes, second: Second) -> Plan:
        answer = self._young.get(key)
        if answer is not None:
            with self._lock:
                self._promote(key, answer, second.epoch)
            return answer.at(second)
        answer, lasting = self._resolve(parse_key(key), second.epoch)
        plan = answer.at(second)
        if lasting:
            with self._lock:
                self._keep_young(key, answer)
        return plan

    def _keep_young(self, key: bytes, answer: Answer) -> None:
        if self._young_bytes > YOUNG_BYTES:
            self._young = {}
            self._young_bytes = 0
        self._young[key] = answer
        self._young_bytes += _cost(key, answer)

    def _promote(self, key: bytes, answer: Answer, epoch: int) -> None:
        """Move an answer that was asked for again to the hot ones, where there is room."""
        cost = _cost(key, answer)
        if self._hot_bytes + cost > HOT_BYTES and self._swept != epoch:
            self._swept = epoch
            self._drop_cold(epoch - COLD_SECONDS)
        if self._hot_bytes + cost <= HOT_BYTES and self._young.pop(key, None) is not None:
            self._young_bytes -= cost
            self._hot[key] = answer
            self._hot_bytes += cost

    def _drop_cold(self, epoch: int) -> None:
        """Keep what was asked for since; an answer knows the second it was last rendered for."""
        self._hot = {key: a for key, a in self._hot.items() if a.epoch >= epoch}
        self._hot_bytes = sum(_cost(key, answer) for key, answer in self._hot.items())

    def _resolve(self, request: Request, now: int) -> tuple[Answer, bool]:
        """Return the answer to a request, and whether it may be kept."""
        webroot = self._hosts.find(request.host)
        try:
            answer = respond_without_site(request)
            return (answer, True) if answer else _ask_site(webroot, request, now)
        except HTTPError as error:
            return self._respond_error(webroot, request, error)
        except (WebrootError, OSError) as error:
            text = "%s: answered %d: %s: %s%s"
            self._complain(text, request, HTTPStatus.INTERNAL_SERVER_ERROR, webroot, error)
            failure = HTTPError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return self._respond_error(webroot, request, failure)[0], False

    def _respond_error(
        self, webroot: Webroot | None, request: Request, error: HTTPError
    ) -> tuple[Answer, bool]:
        """Return the answer to an error, with the site's page, and whether it may be kept."""
        if webroot is None or webroot.revoked:
            return respond_error(request, error), True
        try:
            return _show_error_page(webroot, request, error), True
        except (WebrootError, OSError) as damage:
            text = "%s: answered %d without the site's page: %s: %s%s"
            self._complain(text, request, error.status, webroot, damage)
            return respond_error(request, error), False

    def _complain(
        self, text: str, request: Request, status: int, webroot: Webroot | None, error: Exception
    ) -> None:
        """Log what is wrong with a site's file, and what to do about it."""
        host, file = request.host.decode("ascii"), webroot.path if webroot else ""
        way_out = _BUILD_AGAIN if isinstance(error, WebrootError) else ""
        now = time.monotonic()
        shown = (host, status, file, error, way_out)
        self._complaints.say(log.error, text, *shown, now=now, about=file)


def _ask_site(webroot: Webroot | None, request: Request, now: int) -> tuple[Answer, bool]:
    if webroot is None:
        raise HTTPError(HTTPStatus.NOT_FOUND, "no site for this host")
    if webroot.revoked:
        raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, "the site's file was overwritten")
    path = request.path
    resource = None if path is None else webroot.lookup(path)
    if resource is None:
        raise HTTPError(HTTPStatus.NOT_FOUND, "no such path")
    if resource.status >= HTTPStatus.BAD_REQUEST:
        # Such a record has no body: pages of errors are found in one way, whoever says the status.
        raise HTTPError(resource.status, "the site says so")
    found = _represent(webroot, resource, select(request, resource, now))
    answer = respond(request, found, now)
    _inline_body(answer, webroot, found)
    # A date in the future is none, so the answer is another one once it has come.
    return answer, resource.modified is None or resource.modified <= now


def _show_error_page(webroot: Webroot, request: Request, error: HTTPError) -> Answer:
    """Return the answer to an error with the site's page for it, or the built-in one.

    Raises WebrootError and OSError where the site's page is damaged.
    """
    resource = webroot.error_page(error.status, _place_of(request))
    if resource is None:
        return respond_error(request, error)
    variant = acceptable_variants(resource, request)[0]
    page = _represent(webroot, resource, Selection(variant))
    answer = respond_error(request, error, page)
    _inline_body(answer, webroot, page)
    return answer


def _place_of(request: Request) -> bytes:
    """Return where in the site a request is for: its path, or the root where it has none."""
    try:
        return request.path or b"/"
    except HTTPError:
        return b"/"


def _represent(webroot: Webroot, resource: Resource, selection: Selection) -> Representation:
    block = webroot.head_block(resource, selection.variant)
    return Representation(resource, selection, block, webroot)


def _inline_body(answer: Answer, webroot: Webroot, found: Representation) -> None:
    """Move a small body from its extents into the answer.

    A small body is held against its digest whatever of it is sent: all, parts, or, for HEAD, its
    head alone, whose status has to be that of GET. Not for a 304, which says that the client has
    the right bytes already. Of a large body no more is read than what is sent.
    """
    variant = found.variant
    if variant.body_length <= INLINE_BODY_BYTES and answer.status != HTTPStatus.NOT_MODIFIED:
        body = _read_verified(webroot, found)
    elif answer.body_size <= INLINE_BODY_BYTES:
        body = None
    else:
        return
    for piece in answer.body:
        if isinstance(piece, bytes):
            answer.rest += piece
        elif body is None:
            answer.rest += webroot.read(piece.offset, piece.length)
        else:
            start = piece.offset - variant.body_offset
            answer.rest += body[start : start + piece.length]
    answer.body = ()


def _read_verified(webroot: Webroot, found: Representation) -> bytes:
    variant = found.variant
    body = webroot.read(variant.body_offset, variant.body_length)
    if sha256(body).digest() != variant.sha256:
        raise WebrootError(
            f"the body of {show(found.resource.path)} is damaged "
            f"({variant.body_length} bytes at {variant.body_offset} of the file)"
        )
    return body
