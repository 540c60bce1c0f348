"""The scan: every case by both implementations, whole, byte by byte, and with more behind it."""

import os
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from importlib.util import find_spec
from itertools import product

import pytest

from ashttpd.http.connection import Want
from ashttpd.http.errors import HTTPError
from ashttpd.http.limits import Limits
from ashttpd.http.respond import refuse
from ashttpd.http.scan import ANSWERS, MAX_METHOD_BYTES, Fault, Scan, make_scan, scan_slowly
from fuzz.fakes import NOW, bytewise, connect, talk

NEXT = b"GET /next HTTP/1.1\r\nHost: n\r\n\r\n"
NEXT_KEY = b"1k-GET /next\nHn\n"


LIMITS = Limits()
MakeScan = Callable[[Limits], Scan]


@pytest.fixture(params=["compiled", "twin"])
def make(request: pytest.FixtureRequest) -> MakeScan:
    if request.param == "twin":
        return lambda limits: partial(scan_slowly, limits=limits)
    if find_spec("ashttpd.http._scan") is None:
        assert "ASHTTPD_REQUIRE_EXTENSIONS" not in os.environ, "the scan was not compiled"
        pytest.skip("the scan was not compiled: no compiler, or the build was not run")
    return make_scan


@pytest.fixture
def scan(make: MakeScan) -> Scan:
    return make(LIMITS)


def get(*lines: bytes) -> bytes:
    """Return the head of a GET with a Host and more field lines."""
    return b"\r\n".join((b"GET / HTTP/1.1", b"Host: a", *lines)) + b"\r\n\r\n"


ACCEPTED = {
    "the least of a head": (get(), b"1k-GET /\nHa\n"),
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\n\r\n", b"0c-GET /\n"),
    "HTTP/1.0 with Host": (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", b"0c-GET /\nHa\n"),
    "HTTP/1.0 that keeps alive": (
        b"GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n",
        b"0k-GET /\n",
    ),
    "HTTP/1.0 that keeps alive and closes": (
        b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
        b"0c-GET /\n",
    ),
    "a later minor version is 1.1": (b"GET / HTTP/1.9\r\nHost: a\r\n\r\n", b"1k-GET /\nHa\n"),
    "close": (get(b"Connection: close"), b"1c-GET /\nHa\n"),
    "close in any case and place": (get(b"CONNECTION: te,\tClOsE"), b"1c-GET /\nHa\n"),
    "close in a second line": (get(b"Connection: te", b"Connection: close"), b"1c-GET /\nHa\n"),
    "an option that only starts with close": (get(b"Connection: closed"), b"1k-GET /\nHa\n"),
    "an option that only ends with close": (get(b"Connection: not-close"), b"1k-GET /\nHa\n"),
    "any method": (b"B!#r~ /x HTTP/1.1\r\nHost: a\r\n\r\n", b"1k-B!#r~ /x\nHa\n"),
    "a method is case-sensitive": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", b"1k-get /\nHa\n"),
    "a query": (b"GET /a?b=%20&c?/ HTTP/1.1\r\nHost: a\r\n\r\n", b"1k-GET /a?b=%20&c?/\nHa\n"),
    "a target with every other visible byte": (
        b'GET /"<>[]\\^`{|} HTTP/1.1\r\nHost: a\r\n\r\n',
        b'1k-GET /"<>[]\\^`{|}\nHa\n',
    ),
    "a target beyond ASCII, in UTF-8 or not": (
        b"GET /\xc3\xa4?\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"1k-GET /\xc3\xa4?\xe4\nHa\n",
    ),
    "asterisk-form": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"1k-OPTIONS *\nHa\n"),
    "authority-form": (b"CONNECT h:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"1k-CONNECT h:443\nHa\n"),
    "absolute-form wins over Host": (
        b"GET http://B.example:80/p?q HTTP/1.1\r\nHost: a\r\n\r\n",
        b"1k-GET /p?q\nHb.example:80\n",
    ),
    "absolute-form without a path": (
        b"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"1k-GET /\nHb\n",
    ),
    "absolute-form with a query only": (
        b"GET http://b?q/r HTTP/1.1\r\nHost: a\r\n\r\n",
        b"1k-GET /?q/r\nHb\n",
    ),
    "absolute-form in HTTP/1.0 without Host": (
        b"GET http://b/ HTTP/1.0\r\n\r\n",
        b"0c-GET /\nHb\n",
    ),
    "Host in lower case and trimmed": (
        b"GET / HTTP/1.1\r\nhOST:\t A.Example:8080 \r\n\r\n",
        b"1k-GET /\nHa.example:8080\n",
    ),
    "an address as Host": (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", b"1k-GET /\nH[::1]:80\n"),
    "an empty line in front": (b"\r\n" + get(), b"1k-GET /\nHa\n"),
    "Range": (get(b"rAnge: bytes=0-9"), b"1k-GET /\nHa\nRbytes=0-9\n"),
    "If-Range": (get(b'If-Range: "x"'), b'1k-GET /\nHa\nI"x"\n'),
    "Want-Repr-Digest": (get(b"Want-Repr-Digest: x=1"), b"1k-GET /\nHa\nDx=1\n"),
    "If-Match": (get(b"If-Match: *"), b"1k-GET /\nHa\nM*\n"),
    "If-Modified-Since": (get(b"If-Modified-Since: then"), b"1k-GET /\nHa\nSthen\n"),
    "If-Unmodified-Since": (get(b"if-UNmodified-since:  x"), b"1k-GET /\nHa\nUx\n"),
    "If-None-Match": (get(b'If-None-Match: "x"'), b'1k-GET /\nHa\nN"x"\n'),
    "If-None-Match twice": (
        get(b'If-None-Match: "x"', b'If-None-Match: "y"'),
        b'1k-GET /\nHa\nN"x"\nN"y"\n',
    ),
    "Range that is empty": (get(b"Range:"), b"1k-GET /\nHa\nR\n"),
    "bytes beyond ASCII in a value": (get(b"Range: \xff\x80"), b"1k-GET /\nHa\nR\xff\x80\n"),
    "white space within a value": (get(b"Range: a \t b \t"), b"1k-GET /\nHa\nRa \t b\n"),
    "Accept that names JSON": (
        get(b"Accept: application/JSON;q=0.5"),
        b"1k-GET /\nHa\nAapplication/JSON;q=0.5\n",
    ),
    "Accept that names the family": (
        get(b"Accept: Application/*"),
        b"1k-GET /\nHa\nAApplication/*\n",
    ),
    "Accept that names plain text": (
        get(b"Accept: Text/Plain, */*"),
        b"1k-GET /\nHa\nAText/Plain, */*\n",
    ),
    "Accept that ends in plain text": (
        get(b"Accept: xtext/plain"),
        b"1k-GET /\nHa\nAxtext/plain\n",
    ),
    "Accept that nearly names something": (
        get(b"Accept: text/plai, text/*, jso, tion/"),
        b"1k-GET /\nHa\n",
    ),
    "a length of zero is no body": (get(b"Content-Length: 000"), b"1k-GET /\nHa\n"),
    "a body by length": (get(b"Content-Length: 10"), b"1kbGET /\nHa\nB10\n"),
    "a length of 18 digits": (
        get(b"Content-Length: " + b"9" * 18),
        b"1kbGET /\nHa\nB" + b"9" * 18 + b"\n",
    ),
    "a body in chunks": (
        get(b"Transfer-Encoding: Chunked", b"Range: x"),
        b"1kbGET /\nHa\nRx\nBchunked\n",
    ),
    "a body that waits": (
        get(b"Expect: 100-CONTINUE", b"Content-Length: 007"),
        b"1keGET /\nHa\nB007\n",
    ),
    "an expectation without a body": (get(b"Expect: 100-continue"), b"1k-GET /\nHa\n"),
    "another expectation": (get(b"Expect: 100-continue, x"), b"1k-GET /\nHa\nE100-continue, x\n"),
    "an expectation in HTTP/1.0": (
        b"GET / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\n",
        b"0cbGET /\nB1\n",
    ),
    "fields that do not matter": (
        get(b"User-Agent: x", b"Accept: */*", b"Cookie: y=\xe4", b"If-Matches: z", b"Ranges: 1"),
        b"1k-GET /\nHa\n",
    ),
    "names of the same length as those that matter": (
        get(b"Hose: b", b"rangf: 1", b"accepu: json", b"if-rangf: 1", b"connectiom: close"),
        b"1k-GET /\nHa\n",
    ),
    "long names of the same length as those that matter": (
        get(b"if-none-matcx: 1", b"content-lengtx: x", b"transfer-encodinx: x"),
        b"1k-GET /\nHa\n",
    ),
}

BAD = HTTPStatus.BAD_REQUEST
REFUSED = {
    "an empty request line": (b"\r\n\r\n", Fault.BAD_METHOD),
    "no method": (b" / HTTP/1.1\r\n", Fault.BAD_METHOD),
    "a method and no space": (b"GET\r\n", Fault.BAD_METHOD),
    "a method that is no token": (b"GE(T / HTTP/1.1\r\n", Fault.BAD_METHOD),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00", Fault.BAD_METHOD),
    "a NUL at the start": (b"\0", Fault.BAD_METHOD),
    "white space at the start": (b" GET", Fault.BAD_METHOD),
    "no target": (b"GET  HTTP/1.1\r\n", Fault.BAD_TARGET),
    "a target without a slash": (b"GET x HTTP/1.1\r\n", Fault.BAD_TARGET),
    "a target with a fragment": (b"GET /#x HTTP/1.1\r\n", Fault.BAD_TARGET),
    "an authority beyond ASCII": (b"GET http://\xe4/ HTTP/1.1\r\n", Fault.BAD_HOST),
    "a target with a NUL": (b"GET /\0 HTTP/1.1\r\n", Fault.BAD_TARGET),
    "a target with DEL": (b"GET /\x7f HTTP/1.1\r\n", Fault.BAD_TARGET),
    "a target with a tab": (b"GET /\tHTTP/1.1\r\n", Fault.BAD_TARGET),
    "an asterisk and more": (b"GET *x HTTP/1.1\r\n", Fault.BAD_TARGET),
    "another scheme": (b"GET ftp://a/ HTTP/1.1\r\n", Fault.BAD_TARGET),
    "a scheme with one slash": (b"GET http:/a HTTP/1.1\r\n", Fault.BAD_TARGET),
    "HTTP/0.9": (b"GET /\r\n", Fault.UNSUPPORTED_VERSION),
    "HTTP/2 with prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault.UNSUPPORTED_VERSION),
    "HTTP/0.1": (b"GET / HTTP/0.1\r\n", Fault.UNSUPPORTED_VERSION),
    "a version in lower case": (b"GET / http/1.1\r\n", Fault.BAD_VERSION),
    "a version with two digits": (b"GET / HTTP/1.10\r\n", Fault.BAD_VERSION),
    "a version without a minor one": (b"GET / HTTP/1\r\n", Fault.BAD_VERSION),
    "a version with a comma": (b"GET / HTTP/1,1\r\n", Fault.BAD_VERSION),
    "a version with a letter in front": (b"GET / HTTP/x.1\r\n", Fault.BAD_VERSION),
    "a version with a letter behind": (b"GET / HTTP/1.x\r\n", Fault.BAD_VERSION),
    "a version with a space behind": (b"GET / HTTP/1.1 \r\n", Fault.BAD_VERSION),
    "two spaces before the version": (b"GET /  HTTP/1.1\r\n", Fault.BAD_VERSION),
    "no version but a space": (b"GET / \r\n", Fault.BAD_VERSION),
    "a line feed alone": (b"\n", Fault.BAD_LINE_END),
    "a request line that ends in LF": (b"GET / HTTP/1.1\n", Fault.BAD_LINE_END),
    "a field line that ends in LF": (get()[:-4] + b"\nA: b\r\n\r\n", Fault.BAD_LINE_END),
    "a head that ends in LF": (get()[:-2] + b"\n", Fault.BAD_LINE_END),
    "a carriage return alone in a request line": (b"GET /\rx HTTP/1.1\r\n", Fault.BAD_TARGET),
    "a carriage return alone at the end": (b"GET / HTTP/1.1\r\r\n", Fault.BAD_VERSION),
    "a carriage return alone in a value": (get(b"a: b\rc"), Fault.BAD_FIELD_VALUE),
    "a carriage return alone behind a value": (get(b"a: b\r"), Fault.BAD_FIELD_VALUE),
    "a carriage return alone as a line": (get(b"\r"), Fault.BAD_FIELD_NAME),
    "a NUL in a value": (get(b"a: \0"), Fault.BAD_FIELD_VALUE),
    "DEL in a value": (get(b"a: \x7f"), Fault.BAD_FIELD_VALUE),
    "a control character in a value": (get(b"a: b\x0b"), Fault.BAD_FIELD_VALUE),
    "a space before the colon": (get(b"a : b"), Fault.BAD_FIELD_NAME),
    "a folded line": (get(b"a: b", b" c"), Fault.BAD_FIELD_NAME),
    "a line folded with a tab": (get(b"a: b", b"\tc"), Fault.BAD_FIELD_NAME),
    "white space before the first field": (
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        Fault.BAD_FIELD_NAME,
    ),
    "a field without a colon": (get(b"a"), Fault.BAD_FIELD_NAME),
    "a field without a name": (get(b": b"), Fault.BAD_FIELD_NAME),
    "a field name beyond ASCII": (get(b"\xe4: b"), Fault.BAD_FIELD_NAME),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", Fault.BAD_HOST),
    "a Host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Fault.BAD_HOST),
    "a Host with a slash": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Fault.BAD_HOST),
    "a Host with a user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Fault.BAD_HOST),
    "a Host beyond ASCII": (b"GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n", Fault.BAD_HOST),
    "an authority with a user": (b"GET http://u@a/ HTTP/1.1\r\n", Fault.BAD_HOST),
    "an empty authority": (b"GET http:///x HTTP/1.1\r\n", Fault.BAD_HOST),
    "a scheme alone": (b"GET http:// HTTP/1.1\r\n", Fault.BAD_HOST),
    "another scheme alone": (b"GET https:// HTTP/1.1\r\n", Fault.BAD_HOST),
    "an empty Host beside an authority": (
        b"GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n",
        Fault.BAD_HOST,
    ),
    "a bad Host beside an authority": (
        b"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        Fault.BAD_HOST,
    ),
    "Host twice": (get(b"Host: a"), Fault.DUPLICATE_HOST),
    "Host twice beside an authority": (
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        Fault.DUPLICATE_HOST,
    ),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", Fault.MISSING_HOST),
    "an authority but no Host": (b"GET http://a/ HTTP/1.1\r\n\r\n", Fault.MISSING_HOST),
    "an empty length": (get(b"Content-Length:"), Fault.BAD_CONTENT_LENGTH),
    "a length with a sign": (get(b"Content-Length: +1"), Fault.BAD_CONTENT_LENGTH),
    "a negative length": (get(b"Content-Length: -1"), Fault.BAD_CONTENT_LENGTH),
    "a list of equal lengths": (get(b"Content-Length: 5, 5"), Fault.BAD_CONTENT_LENGTH),
    "a length in hexadecimal": (get(b"Content-Length: 0x1"), Fault.BAD_CONTENT_LENGTH),
    "a length with a space": (get(b"Content-Length: 1 0"), Fault.BAD_CONTENT_LENGTH),
    "a length of 19 digits": (get(b"Content-Length: " + b"0" * 19), Fault.BAD_CONTENT_LENGTH),
    "equal lengths in two lines": (
        get(b"Content-Length: 5", b"Content-Length: 5"),
        Fault.BAD_CONTENT_LENGTH,
    ),
    "a transfer coding and a length": (
        get(b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        Fault.BAD_TRANSFER_CODING,
    ),
    "a length and a transfer coding": (
        get(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        Fault.BAD_TRANSFER_CODING,
    ),
    "a transfer coding in HTTP/1.0": (
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        Fault.BAD_TRANSFER_CODING,
    ),
    "a transfer coding in two lines": (
        get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        Fault.BAD_TRANSFER_CODING,
    ),
    "a transfer coding that is not known": (
        get(b"Transfer-Encoding: gzip, chunked"),
        Fault.UNKNOWN_TRANSFER_CODING,
    ),
    "an empty transfer coding": (get(b"Transfer-Encoding:"), Fault.UNKNOWN_TRANSFER_CODING),
    "a transfer coding that only starts well": (
        get(b"Transfer-Encoding: chunkedx"),
        Fault.UNKNOWN_TRANSFER_CODING,
    ),
}


def of_head(size: int) -> bytes:
    """Return a head of this many bytes."""
    return get(b"p: " + b"x" * (size - len(get(b"p: "))))


def of_target(size: int) -> bytes:
    return b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"t" * (size - 1))


def of_fields(count: int) -> bytes:
    return get(*[b"x: y"] * (count - 1))


def of_method(size: int) -> bytes:
    return b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % (b"M" * size)


ACCEPTED |= {
    "a head of the limit": (of_head(LIMITS.head_bytes), b"1k-GET /\nHa\n"),
    "a target of the limit": (
        of_target(LIMITS.target_bytes),
        b"1k-GET /%b\nHa\n" % (b"t" * (LIMITS.target_bytes - 1)),
    ),
    "as many fields as may be": (of_fields(LIMITS.head_fields), b"1k-GET /\nHa\n"),
    "a method of the limit": (
        of_method(MAX_METHOD_BYTES),
        b"1k-%b /\nHa\n" % (b"M" * MAX_METHOD_BYTES),
    ),
}
REFUSED |= {
    "a head over the limit": (of_head(LIMITS.head_bytes + 1), Fault.HEAD_TOO_LARGE),
    "a line that does not end": (get()[:-2] + b"x" * LIMITS.head_bytes, Fault.HEAD_TOO_LARGE),
    "a target over the limit": (of_target(LIMITS.target_bytes + 1), Fault.TARGET_TOO_LONG),
    "a request line that does not end": (
        b"GET /" + b"x" * LIMITS.head_bytes,
        Fault.TARGET_TOO_LONG,
    ),
    "more fields than may be": (of_fields(LIMITS.head_fields + 1), Fault.TOO_MANY_FIELDS),
    "a method over the limit": (of_method(MAX_METHOD_BYTES + 1), Fault.METHOD_TOO_LONG),
}

STATUS = {
    Fault.TARGET_TOO_LONG: 414,
    Fault.UNSUPPORTED_VERSION: 505,
    Fault.UNKNOWN_TRANSFER_CODING: 501,
    Fault.METHOD_TOO_LONG: 501,
    Fault.HEAD_TOO_LARGE: 431,
    Fault.TOO_MANY_FIELDS: 431,
}

accepted = pytest.mark.parametrize(("head", "key"), ACCEPTED.values(), ids=ACCEPTED)
refused = pytest.mark.parametrize(("head", "fault"), REFUSED.values(), ids=REFUSED)


@accepted
def test_a_good_head_becomes_its_length_and_key(scan: Scan, head: bytes, key: bytes) -> None:
    assert scan(head, 0) == (len(head), key)


@accepted
def test_a_good_head_with_a_request_behind_it_becomes_the_same(
    scan: Scan, head: bytes, key: bytes
) -> None:
    assert scan(head + NEXT, 0) == (len(head), key)


@accepted
def test_a_good_head_within_a_buffer_becomes_the_same(scan: Scan, head: bytes, key: bytes) -> None:
    assert scan(NEXT + head, len(NEXT)) == (len(head), key)


@accepted
def test_a_good_head_without_its_last_byte_is_not_enough(
    scan: Scan, head: bytes, key: bytes
) -> None:
    assert scan(head[:-1], 0) is None


# A request whose body is still to come is not answered; test_framing.py has those.
whole = pytest.mark.parametrize(
    ("head", "key"), [(head, key) for head, key in ACCEPTED.values() if key[2:3] != b"b"]
)


@whole
def test_a_good_head_byte_by_byte_is_answered_as_whole(scan: Scan, head: bytes, key: bytes) -> None:
    connection, source = connect(scan)
    talk(connection, bytewise(head))
    assert source.keys == [key]


@whole
def test_a_request_behind_a_good_head_is_answered_unless_it_closes(
    scan: Scan, head: bytes, key: bytes
) -> None:
    connection, source = connect(scan)
    talk(connection, [head + NEXT])
    assert source.keys == ([key, NEXT_KEY] if key[1:3] == b"k-" else [key])


@refused
def test_a_bad_head_is_refused_with_its_status_and_reason(
    scan: Scan, head: bytes, fault: Fault
) -> None:
    with pytest.raises(HTTPError) as caught:
        scan(head, 0)
    assert (caught.value.status, str(caught.value)) == ANSWERS[fault]
    assert caught.value.status == STATUS.get(fault, 400)


@refused
@pytest.mark.parametrize("behind", [b"", NEXT])
@pytest.mark.parametrize("split", [bytewise, lambda data: [data]], ids=["bytewise", "whole"])
def test_a_bad_head_ends_the_connection_with_one_answer(
    scan: Scan, head: bytes, fault: Fault, behind: bytes, split: object
) -> None:
    assert callable(split)
    connection, source = connect(scan)
    sent, want = talk(connection, split(head + behind))
    assert sent == [refuse(ANSWERS[fault][0]).at(NOW.second).head]
    assert want is Want.SHUTDOWN
    assert source.keys == []


@pytest.mark.parametrize("size", range(1, 20))
def test_any_byte_is_allowed_or_not_wherever_in_a_value_it_stands(scan: Scan, size: int) -> None:
    for place, byte in product(range(size), range(256)):
        if byte == ord("\n"):  # ends the line
            continue
        value = bytearray(b"v" * size)
        value[place] = byte
        head = get(b"name:" + value)
        if byte == 0x09 or (byte >= 0x20 and byte != 0x7F):
            assert scan(head, 0) == (len(head), b"1k-GET /\nHa\n")
        else:
            with pytest.raises(HTTPError, match=ANSWERS[Fault.BAD_FIELD_VALUE][1]):
                scan(head, 0)


def test_every_fault_has_a_case_and_an_answer() -> None:
    assert {fault for _head, fault in REFUSED.values()} == set(Fault) == set(ANSWERS)


@pytest.mark.parametrize("part", [b"", b"\r", b"\r\n", b"G", b"GET / HTTP/1.1\r\n", b"\rx"])
def test_a_part_of_a_head_is_not_enough(scan: Scan, part: bytes) -> None:
    assert scan(part, 0) is None


def test_the_limit_of_a_head_counts_from_its_start(scan: Scan) -> None:
    head = of_head(LIMITS.head_bytes)
    assert scan(NEXT * 3 + head + NEXT, len(NEXT) * 3) == (LIMITS.head_bytes, b"1k-GET /\nHa\n")


def fault_of(scan: Scan, head: bytes) -> Fault | None:
    """Return why a head is refused, or None where it is taken whole."""
    try:
        scanned = scan(head, 0)
    except HTTPError as error:
        return next(f for f, answer in ANSWERS.items() if answer == (error.status, str(error)))
    assert scanned is not None
    assert scanned[0] == len(head)
    return None


@pytest.mark.parametrize(
    "limits",
    [
        Limits(head_bytes=1_024, target_bytes=256, head_fields=8),
        Limits(head_bytes=1_025, target_bytes=900, head_fields=100),
        Limits(head_bytes=65_536, target_bytes=65_000, head_fields=1_000),
    ],
    ids=lambda limits: str(limits.head_bytes),
)
def test_each_limit_of_a_head_can_be_set(make: MakeScan, limits: Limits) -> None:
    scan = make(limits)
    assert fault_of(scan, of_head(limits.head_bytes)) is None
    assert fault_of(scan, of_head(limits.head_bytes + 1)) is Fault.HEAD_TOO_LARGE
    assert fault_of(scan, of_target(limits.target_bytes)) is None
    assert fault_of(scan, of_target(limits.target_bytes + 1)) is Fault.TARGET_TOO_LONG
    assert fault_of(scan, of_fields(limits.head_fields)) is None
    assert fault_of(scan, of_fields(limits.head_fields + 1)) is Fault.TOO_MANY_FIELDS


@pytest.mark.parametrize("head_bytes", [1_024, 65_536])
def test_a_head_of_the_limit_is_answered_byte_by_byte_and_one_beyond_is_not(
    make: MakeScan, head_bytes: int
) -> None:
    limits = Limits(head_bytes=head_bytes)
    for head, keys in ((of_head(head_bytes), [b"1k-GET /\nHa\n"]), (of_head(head_bytes + 1), [])):
        connection, source = connect(make(limits), limits)
        talk(connection, bytewise(head))
        assert source.keys == keys


@pytest.mark.parametrize(
    "name",
    [b"User-Agent", b"Referer", b"Cookie", b"Accept-Language", b"If-Modified-Sinc", b"X"],
)
def test_a_field_that_does_not_matter_leaves_the_key_alone(scan: Scan, name: bytes) -> None:
    head, plain = get(name + b": anything"), get()
    assert scan(head, 0) == (len(head), b"1k-GET /\nHa\n")
    assert scan(plain, 0) == (len(plain), b"1k-GET /\nHa\n")


@pytest.mark.parametrize(
    "accept",
    [
        b"*/*",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
        b"*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
        b"text/css,*/*;q=0.1",
        b"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        b"video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5",
        b"text/event-stream",
    ],
)
def test_what_browsers_accept_by_themselves_leaves_the_key_alone(scan: Scan, accept: bytes) -> None:
    head = get(b"Accept: " + accept)
    assert scan(head, 0) == (len(head), b"1k-GET /\nHa\n")


def test_each_part_that_matters_changes_the_key(scan: Scan) -> None:
    heads = [
        get(),
        get().replace(b"GET", b"HEAD"),
        get().replace(b"1.1", b"1.0"),
        get().replace(b" / ", b" /x "),
        get().replace(b" / ", b" /?x "),
        get().replace(b"Host: a", b"Host: b"),
        get(b"Connection: close"),
        get(b"Content-Length: 1"),
        get(b"Range: x"),
        get(b"If-Range: x"),
        get(b"If-None-Match: x"),
        get(b"Accept: application/json"),
        get(b"Accept: text/plain"),
    ]
    keys = {result[1] for head in heads if (result := scan(head, 0)) is not None}
    assert len(keys) == len(heads)


def test_two_scans_do_not_share_a_buffer() -> None:
    first, second = make_scan(), make_scan()
    kept = first(get(), 0)
    second(NEXT, 0)
    first(NEXT, 0)
    assert kept == (len(get()), b"1k-GET /\nHa\n")
