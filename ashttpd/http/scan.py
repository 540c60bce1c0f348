"""The scan: one strict pass over a request head (RFC 9112), into its canonical key.

The key holds what can change the answer and nothing else, so that requests which differ in
User-Agent, Referer or cookies share one. It is text made of lines, each ended by LF (which no value
can hold):

    1k-GET /path?query        minor version, persistence (k, c), body, method, target; a body may
                              be none (-), follow (b), or wait for a 100 Continue (e)
    Hexample.com              the authority, in lower case: of an absolute-form target, else Host
    Rbytes=0-99               Range
    I"tag"                    If-Range
    M"tag"                    If-Match
    N"tag"                    If-None-Match
    SSun, 06 Nov 1994 …       If-Modified-Since
    USun, 06 Nov 1994 …       If-Unmodified-Since
    Dsha-256=1                Want-Repr-Digest
    Cgzip, br                 Accept-Encoding
    Aapplication/json         Accept, where it names json, application/* or text/plain: listings
                              and built-in pages have other forms for that, and browsers that
                              follow a link do not send it

    B17                       the body's framing, if there is one: its length, or `chunked`
    Eanother                  Expect, where it is not 100-continue; not in HTTP/1.0

The framing stands last, all other fields in the order in which they came. Lines are judged one by
one, so the verdict on a head does not depend on how its bytes arrived. scan.c is the
implementation; `scan_slowly` is its twin, its oracle in tests, and its stand-in where no compiler
was at hand.
"""

import re
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from http import HTTPStatus
from typing import Final

from ashttpd.http.authority import AUTHORITY
from ashttpd.http.errors import HTTPError
from ashttpd.http.limits import Limits

# The longest registered method has 17.
MAX_METHOD_BYTES: Final = 32


class Fault(IntEnum):
    """Why a head is refused; the numbers are scan.c's."""

    BAD_METHOD = 1
    BAD_TARGET = 2
    TARGET_TOO_LONG = 3
    BAD_VERSION = 4
    UNSUPPORTED_VERSION = 5
    BAD_LINE_END = 6
    BAD_FIELD_NAME = 7
    BAD_FIELD_VALUE = 8
    BAD_HOST = 9
    DUPLICATE_HOST = 10
    MISSING_HOST = 11
    BAD_CONTENT_LENGTH = 12
    BAD_TRANSFER_CODING = 13
    UNKNOWN_TRANSFER_CODING = 14
    HEAD_TOO_LARGE = 15
    TOO_MANY_FIELDS = 16
    METHOD_TOO_LONG = 17


_BAD = HTTPStatus.BAD_REQUEST
ANSWERS: Final[dict[Fault, tuple[HTTPStatus, str]]] = {
    Fault.BAD_METHOD: (_BAD, "the request does not start with a method and a space"),
    Fault.BAD_TARGET: (_BAD, "no form of request target"),
    Fault.TARGET_TOO_LONG: (
        HTTPStatus.REQUEST_URI_TOO_LONG,
        "a target that is too long",
    ),
    Fault.BAD_VERSION: (_BAD, "no HTTP version at the end of the request line"),
    Fault.UNSUPPORTED_VERSION: (
        HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
        "a major version of HTTP other than 1",
    ),
    Fault.BAD_LINE_END: (_BAD, "a line that ends in LF without CR"),
    Fault.BAD_FIELD_NAME: (_BAD, "a field line that does not start with a token and a colon"),
    Fault.BAD_FIELD_VALUE: (_BAD, "a control character in a field value"),
    Fault.BAD_HOST: (_BAD, "no host and port (RFC 3986 section 3.2)"),
    Fault.DUPLICATE_HOST: (_BAD, "more than one Host"),
    Fault.MISSING_HOST: (_BAD, "no Host in HTTP/1.1"),
    Fault.BAD_CONTENT_LENGTH: (_BAD, "a Content-Length that is no number or stands twice"),
    Fault.BAD_TRANSFER_CODING: (
        _BAD,
        "Transfer-Encoding in HTTP/1.0, beside Content-Length, or twice",
    ),
    Fault.UNKNOWN_TRANSFER_CODING: (
        HTTPStatus.NOT_IMPLEMENTED,
        "a Transfer-Encoding other than chunked",
    ),
    Fault.HEAD_TOO_LARGE: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "a head that is too large",
    ),
    Fault.TOO_MANY_FIELDS: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "too many fields",
    ),
    Fault.METHOD_TOO_LONG: (
        HTTPStatus.NOT_IMPLEMENTED,
        f"a method of more than {MAX_METHOD_BYTES} bytes",
    ),
}

_DEFAULT_LIMITS: Final = Limits()

# Takes a buffer and where the head starts in it; returns the length of the head and its key, or
# None for "not enough bytes yet"; raises HTTPError. A scan belongs to one thread.
Scan = Callable[[bytes, int], tuple[int, bytes] | None]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # RFC 9110 section 5.6.2: tchar
_METHOD = re.compile(_TOKEN + rb"*")
_METHOD_START = re.compile(_TOKEN)
# Visible ASCII but "#", and every byte beyond ASCII as itself: names are bytes, and many clients
# send them raw, though RFC 3986 would have them escaped.
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e\x80-\xff]*")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")  # RFC 9112 section 2.3: HTTP-version
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)  # RFC 9112 section 3.2.2
_FIELD = re.compile(rb"(" + _TOKEN + rb"+):(.*)", re.DOTALL)  # RFC 9112 section 5: field-line
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 section 5.5: field-vchar, SP, HTAB
_LENGTH = re.compile(rb"[0-9]{1,18}")  # RFC 9110 section 8.6: Content-Length
_CONNECTION_OPTION = re.compile(_TOKEN + rb"+")
_ACCEPT_MATTERS = re.compile(rb"json|tion/\*|text/plain", re.IGNORECASE)
_KEY_FIELDS: Final = {
    b"range": b"R",
    b"accept-encoding": b"C",
    b"if-range": b"I",
    b"if-match": b"M",
    b"if-none-match": b"N",
    b"if-modified-since": b"S",
    b"if-unmodified-since": b"U",
    b"want-repr-digest": b"D",
}


class _FaultError(Exception):
    pass


class _Head:
    """What the twin gathers line by line."""

    def __init__(self, limits: Limits) -> None:
        self.target_bytes = limits.target_bytes
        self.key: list[bytes] = []
        self.minor = 0
        self.host_from_target = False
        self.hosts = self.content_lengths = self.transfer_codings = 0
        self.options: set[bytes] = set()
        self.framing = b""
        self.expects = False

    def request_line(self, line: bytes) -> None:
        method = _METHOD.match(line)[0]  # type: ignore[index]  # matches the empty string too
        if not method or line[len(method) : len(method) + 1] != b" ":
            raise _FaultError(Fault.BAD_METHOD)
        if len(method) > MAX_METHOD_BYTES:
            raise _FaultError(Fault.METHOD_TOO_LONG)
        rest = line[len(method) + 1 :]
        target = _TARGET.match(rest)[0]  # type: ignore[index]  # matches the empty string too
        if len(target) > self.target_bytes:
            raise _FaultError(Fault.TARGET_TOO_LONG)
        if not target or rest[len(target) : len(target) + 1] not in (b"", b" "):
            raise _FaultError(Fault.BAD_TARGET)
        if target == rest:
            raise _FaultError(Fault.UNSUPPORTED_VERSION)
        self.version(rest[len(target) + 1 :])
        if target.startswith(b"/") or target == b"*" or method == b"CONNECT":
            self.key.append(method + b" " + target)
            return
        absolute = _ABSOLUTE.fullmatch(target)
        if not absolute:
            raise _FaultError(Fault.BAD_TARGET)
        authority, path = absolute.groups()
        self.key.append(method + b" " + (path if path.startswith(b"/") else b"/" + path))
        self.host_from_target = True
        self.host(authority)

    def version(self, text: bytes) -> None:
        version = _VERSION.fullmatch(text)
        if not version:
            raise _FaultError(Fault.BAD_VERSION)
        if version[1] != b"1":
            raise _FaultError(Fault.UNSUPPORTED_VERSION)
        self.minor = int(version[2] != b"0")

    def host(self, authority: bytes) -> None:
        if not AUTHORITY.fullmatch(authority):
            raise _FaultError(Fault.BAD_HOST)
        self.key.append(b"H" + authority.lower())

    def field(self, line: bytes) -> None:
        field = _FIELD.fullmatch(line)
        if not field:
            raise _FaultError(Fault.BAD_FIELD_NAME)
        if not _VALUE.fullmatch(field[2]):
            raise _FaultError(Fault.BAD_FIELD_VALUE)
        name, value = field[1].lower(), field[2].strip(b" \t")
        if name == b"host":
            self.host_field(value)
        elif name in _KEY_FIELDS:
            self.key.append(_KEY_FIELDS[name] + value)
        elif name == b"accept" and _ACCEPT_MATTERS.search(value):
            self.key.append(b"A" + value)
        elif name == b"expect" and self.minor:
            if value.lower() == b"100-continue":
                self.expects = True
            else:
                self.key.append(b"E" + value)
        elif name == b"connection":
            self.options.update(o.lower() for o in _CONNECTION_OPTION.findall(value))
        elif name == b"content-length":
            self.content_lengths += 1
            if self.content_lengths > 1 or not _LENGTH.fullmatch(value):
                raise _FaultError(Fault.BAD_CONTENT_LENGTH)
            if value.strip(b"0"):
                self.framing = value
        elif name == b"transfer-encoding":
            self.transfer_encoding(value)

    def host_field(self, value: bytes) -> None:
        self.hosts += 1
        if self.hosts > 1:
            raise _FaultError(Fault.DUPLICATE_HOST)
        if not self.host_from_target:
            self.host(value)
        elif not AUTHORITY.fullmatch(value):
            raise _FaultError(Fault.BAD_HOST)

    def transfer_encoding(self, value: bytes) -> None:
        self.transfer_codings += 1
        self.framing = b"chunked"
        if not self.minor or self.transfer_codings > 1:
            raise _FaultError(Fault.BAD_TRANSFER_CODING)
        if value.lower() != b"chunked":
            raise _FaultError(Fault.UNKNOWN_TRANSFER_CODING)

    def finish(self) -> bytes:
        if self.minor and not self.hosts:
            raise _FaultError(Fault.MISSING_HOST)
        if self.transfer_codings and self.content_lengths:
            raise _FaultError(Fault.BAD_TRANSFER_CODING)
        wanted = self.minor or b"keep-alive" in self.options
        persistent = wanted and b"close" not in self.options
        body = b"-"
        if self.framing:
            body = b"e" if self.expects else b"b"
            self.key.append(b"B" + self.framing)
        flags = b"%d%c%b" % (self.minor, b"ck"[bool(persistent)], body)
        return flags + b"\n".join(self.key) + b"\n"


def _scan_lines(data: bytes, offset: int, limits: Limits) -> tuple[int, bytes] | None:
    window = data[offset : offset + limits.head_bytes]
    full = len(window) == limits.head_bytes
    position = 2 if window.startswith(b"\r\n") else 0
    head: _Head | None = None
    fields = 0
    while True:
        end = window.find(b"\n", position)
        if end < 0:
            if full:
                raise _FaultError(Fault.HEAD_TOO_LARGE if head else Fault.TARGET_TOO_LONG)
            if position == 0 and window[:1] not in (b"", b"\r") and not _METHOD_START.match(window):
                raise _FaultError(Fault.BAD_METHOD)
            return None
        line = window[position:end]
        position = end + 1
        if not line.endswith(b"\r"):
            raise _FaultError(Fault.BAD_LINE_END)
        line = line[:-1]
        if head is None:
            head = _Head(limits)
            head.request_line(line)
        elif not line:
            return position, head.finish()
        elif fields == limits.head_fields:
            raise _FaultError(Fault.TOO_MANY_FIELDS)
        else:
            head.field(line)
            fields += 1


def _error(fault: Fault) -> HTTPError:
    return HTTPError(*ANSWERS[fault])


def scan_slowly(
    data: bytes, offset: int, limits: Limits = _DEFAULT_LIMITS
) -> tuple[int, bytes] | None:
    """Scan in plain Python; see `Scan` for what goes in and out."""
    try:
        return _scan_lines(data, offset, limits)
    except _FaultError as fault:
        raise _error(fault.args[0]) from None


def make_scan(limits: Limits = _DEFAULT_LIMITS) -> Scan:
    """Return a scan for one thread: the compiled one where it was built, else the twin."""
    try:
        from ashttpd.http._scan import ffi, lib
    except ImportError:
        return partial(scan_slowly, limits=limits)
    c_scan = lib.ashttpd_scan
    c_limits = ffi.new(
        "struct ashttpd_limits *", (limits.head_bytes, limits.target_bytes, limits.head_fields)
    )
    key = ffi.new("char[]", lib.ashttpd_max_key(c_limits))
    key_bytes = ffi.buffer(key)

    def scan(data: bytes, offset: int) -> tuple[int, bytes] | None:
        packed = c_scan(c_limits, data, offset, len(data), key)
        if packed > 0:
            return packed & 0xFFFFFFFF, key_bytes[: packed >> 32]
        if packed == 0:
            return None
        raise _error(Fault(-packed))

    return scan
