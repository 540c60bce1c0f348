"""Every engine: requests and their answers, however the bytes of the requests arrive."""

import email.policy
import re
from base64 import b64encode
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from hashlib import sha256

import pytest

from ashttpd.http.ranges import MAX_RANGES
from tests.servers import Server, request, wait_until_read

HELLO = b"hello, world\n"


def test_get_of_1_1_gets_the_file_and_the_connection_stays(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            response = client.get("/hello.txt")
            assert (response.status, response.body) == (200, HELLO)
            assert response.fields["content-type"] == "text/plain; charset=utf-8"
            assert "connection" not in response.fields


def test_head_gets_the_fields_of_get_and_no_body(server: Server) -> None:
    with server.connect() as client:
        for target in ("/hello.txt", "/5m.bin", "/nothing"):
            full = client.get(target)
            client.send(request(target, method="HEAD"))
            head = client.read(to_head=True)
            dates = full.fields.pop("date"), head.fields.pop("date")
            assert all(dates)
            assert (head.status, head.fields) == (full.status, full.fields)
        assert client.get("/hello.txt").body == HELLO


def test_options_gets_204_and_allow(server: Server) -> None:
    with server.connect() as client:
        for target in ("/hello.txt", "*"):
            client.send(request(target, method="OPTIONS"))
            response = client.read()
            assert (response.status, response.fields["allow"]) == (204, "GET, HEAD, OPTIONS")
            assert "content-length" not in response.fields


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_a_method_that_a_file_has_no_use_for_gets_405_with_allow(
    server: Server, method: str
) -> None:
    with server.connect() as client:
        client.send(request("/hello.txt", method=method))
        response = client.read()
        assert (response.status, response.fields["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert client.get("/hello.txt").status == 200


def test_an_unknown_method_gets_501_and_the_connection_stays(server: Server) -> None:
    with server.connect() as client:
        client.send(request("/hello.txt", method="BREW"))
        assert client.read().status == 501
        assert client.get("/hello.txt").status == 200


def test_1_0_is_answered_and_closed(server: Server) -> None:
    with server.connect() as client:
        client.send(b"GET /hello.txt HTTP/1.0\r\nHost: site.example\r\n\r\n")
        response = client.read()
        assert (response.body, response.fields["connection"]) == (HELLO, "close")
        assert client.read_rest() == b""


def test_1_0_with_keep_alive_is_told_so_and_kept(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.send(
                b"GET /hello.txt HTTP/1.0\r\nHost: site.example\r\nConnection: keep-alive\r\n\r\n"
            )
            response = client.read()
            assert (response.body, response.fields["connection"]) == (HELLO, "keep-alive")


@pytest.mark.parametrize("target", ["/hello.txt", "/5m.bin"])
def test_connection_close_is_answered_whole_then_closed(
    server: Server, content: Mapping[str, bytes], target: str
) -> None:
    with server.connect() as client:
        response = client.get(target, "site.example", "Connection: close")
        assert response.body == content[target[1:]]
        assert response.fields["connection"] == "close"
        assert client.read_rest() == b""


def test_a_date_is_now_and_the_same_for_all_of_a_second(server: Server) -> None:
    with server.connect() as client:
        dates = [client.get("/hello.txt").fields["date"] for _ in range(100)]
    moments = [parsedate_to_datetime(date) for date in dates]
    assert moments == sorted(moments)
    assert (moments[-1] - moments[0]).total_seconds() <= 20


def test_a_thousand_requests_in_one_write_get_their_answers_in_order(
    server: Server, content: Mapping[str, bytes]
) -> None:
    targets = ["/hello.txt", "/empty.txt", "/", "/nothing", "/docs"] * 200
    with server.connect() as client:
        alone = {target: client.get(target) for target in set(targets)}
        client.send(b"".join(request(target) for target in targets))
        for target in targets:
            response = client.read()
            assert response.status == alone[target].status, target
            assert response.body == alone[target].body, target
        assert client.get("/hello.txt").body == content["hello.txt"]


def test_pipelined_large_bodies_come_whole_and_in_order(
    server: Server, content: Mapping[str, bytes]
) -> None:
    names = ["64k+1.bin", "hello.txt", "5m.bin", "64k.bin", "256k.bin", "empty.txt"] * 3
    with server.connect() as client:
        client.send(b"".join(request(f"/{name}") for name in names))
        for name in names:
            assert client.read().body == content[name], name


def test_hundreds_of_pipelined_bodies_that_a_fast_reader_takes_at_once_all_come(
    server: Server, content: Mapping[str, bytes]
) -> None:
    # As many as one read of the server holds, each too large to be kept in memory.
    count = 550
    line = b"GET /64k+1.bin HTTP/1.1\r\nHost:site.example\r\n\r\n"
    with server.connect(receive_bytes=32 << 20) as client:
        client.send(line * count)
        for _ in range(count):
            assert client.read().body == content["64k+1.bin"]


@pytest.mark.parametrize("target", ["/hello.txt", "/64k+1.bin"])
def test_what_is_pipelined_behind_connection_close_gets_no_answer(
    server: Server, content: Mapping[str, bytes], target: str
) -> None:
    with server.connect() as client:
        client.send(
            request(target)
            + request(target, "site.example", "Connection: close")
            + request(target) * 100
        )
        assert client.read().body == content[target[1:]]
        last = client.read()
        assert (last.body, last.fields["connection"]) == (content[target[1:]], "close")
        assert client.read_rest() == b""


def test_a_request_split_at_any_byte_gets_the_same_answer(server: Server) -> None:
    whole = request("/hello.txt", "site.example", "Accept: */*")
    with server.connect() as client:
        for cut in range(1, len(whole)):
            client.send(whole[:cut])
            wait_until_read(server, client)
            client.send(whole[cut:])
            assert client.read().body == HELLO, cut


def test_a_request_that_comes_byte_by_byte_is_answered_with_the_next_behind_it(
    server: Server,
) -> None:
    whole = request("/hello.txt")
    with server.connect() as client:
        for byte in whole[:-1]:
            client.send(bytes((byte,)))
            wait_until_read(server, client)
        client.send(whole[-1:] + request("/nothing"))
        assert client.read().body == HELLO
        assert client.read().status == 404


# What answers it, how often it is asked, and on which connection must make no difference.
ASKED_AGAIN = {
    "a page": request("/hello.txt"),
    "the same of another host": request("/hello.txt", "other.example"),
    "a body that is sent from its file": request("/256k.bin"),
    "a large body": request("/5m.bin"),
    "an empty body": request("/empty.txt"),
    "HEAD": request("/hello.txt", method="HEAD"),
    "HEAD of a large body": request("/5m.bin", method="HEAD"),
    "OPTIONS": request("/hello.txt", method="OPTIONS"),
    "a method for no file": request("/hello.txt", method="DELETE"),
    "a range": request("/hello.txt", "site.example", "Range: bytes=1-3"),
    "another range": request("/hello.txt", "site.example", "Range: bytes=1-4"),
    "a range behind the end": request("/hello.txt", "site.example", "Range: bytes=1000-"),
    "a precondition that holds": request("/hello.txt", "site.example", "If-Match: *"),
    "one that does not": request("/hello.txt", "site.example", 'If-Match: "x"'),
    "not modified": request("/hello.txt", "site.example", "If-None-Match: *"),
    "nothing": request("/nothing"),
    "nothing with a long name": request("/" + "nothing" * 100),
    "1.0 with keep-alive": b"GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "with a body": request("/hello.txt", "site.example", "Content-Length: 3") + b"abc",
}


def test_what_is_asked_again_and_again_by_many_is_answered_the_same(server: Server) -> None:
    with server.connect() as first, server.connect() as second:
        for name, wire in ASKED_AGAIN.items():
            to_head = wire.startswith(b"HEAD")
            answers = []
            for client in (first, second, second, first) * 4:
                client.send(wire)
                answer = client.read(to_head=to_head)
                answer.fields.pop("date")
                answers.append((answer.status, answer.fields, answer.body))
            assert answers == [answers[0]] * len(answers), name
        # Each in turn, so that one follows the other's answer.
        alone: dict[str, tuple[int, dict[str, str], bytes]] = {}
        for times in range(8):
            for name, wire in ASKED_AGAIN.items():
                first.send(wire)
                answer = first.read(to_head=wire.startswith(b"HEAD"))
                answer.fields.pop("date")
                told = (answer.status, answer.fields, answer.body)
                assert alone.setdefault(name, told) == told, (name, times)


def test_an_empty_line_before_a_request_is_passed_over(server: Server) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.send(b"\r\n" + request("/hello.txt"))
            assert client.read().body == HELLO


def test_if_none_match_with_the_tag_gets_304_without_a_body(server: Server) -> None:
    with server.connect() as client:
        full = client.get("/hello.txt")
        tag = full.fields["etag"]
        for field in (tag, f'"other", W/{tag}', "*"):
            response = client.get("/hello.txt", "site.example", f"If-None-Match: {field}")
            assert (response.status, response.fields["etag"]) == (304, tag)
        assert client.get("/hello.txt", "site.example", 'If-None-Match: "other"').body == HELLO


@pytest.mark.parametrize("name", ["64k.bin", "64k+1.bin", "5m.bin", "20m.bin"])
def test_several_ranges_come_as_parts_that_say_where_they_belong(
    server: Server, content: Mapping[str, bytes], name: str
) -> None:
    whole = content[name]
    middle = len(whole) // 2
    # The second part is larger than what leaves at once, where the file is.
    spans = [(len(whole) - 10, len(whole)), (0, 1), (1000, middle)]
    field = ",".join(f"{start}-{stop - 1}" for start, stop in spans)
    with server.connect() as client:
        for _ in range(2):
            response = client.get(f"/{name}", "site.example", f"Range: bytes={field}")
            assert response.status == 206
            message = email.message_from_bytes(
                f"Content-Type: {response.fields['content-type']}\r\n".encode() + response.body,
                policy=email.policy.HTTP,
            )
            parts = list(message.iter_parts())
            assert not message.defects
            assert [part["content-range"] for part in parts] == [
                f"bytes {start}-{stop - 1}/{len(whole)}" for start, stop in spans
            ]
            for part, (start, stop) in zip(parts, spans, strict=True):
                assert part["content-type"] == "application/octet-stream"
                assert part.get_payload(decode=True) == whole[start:stop]
            assert client.get("/hello.txt").body == HELLO


def test_as_many_ranges_as_are_answered_come_whole_and_one_more_gets_the_file(
    server: Server, content: Mapping[str, bytes]
) -> None:
    whole = content["5m.bin"]
    spans = [(number * 50_000, number * 50_000 + 20_000) for number in range(MAX_RANGES + 1)]
    ranges = [f"{start}-{stop - 1}" for start, stop in spans]
    with server.connect() as client:
        fields = f"Range: bytes={','.join(ranges[:-1])}"
        response = client.get("/5m.bin", "site.example", fields)
        assert response.status == 206
        boundary = response.fields["content-type"].partition("boundary=")[2].encode()
        _, *parts, _ = response.body.split(b"--" + boundary)
        assert len(parts) == MAX_RANGES
        for part, (start, stop) in zip(parts, spans[:-1], strict=True):
            assert part.partition(b"\r\n\r\n")[2] == whole[start:stop] + b"\r\n"
        fields = f"Range: bytes={','.join(ranges)}"
        response = client.get("/5m.bin", "site.example", fields)
        assert (response.status, response.body == whole) == (200, True)


def test_a_digest_is_told_to_who_wants_one(server: Server, content: Mapping[str, bytes]) -> None:
    with server.connect() as client:
        for name in ("hello.txt", "5m.bin"):
            want = ("Want-Repr-Digest: sha-512=3, sha-256=10", "Range: bytes=0-0")
            response = client.get(f"/{name}", "site.example", *want)
            digest = b64encode(sha256(content[name]).digest()).decode()
            assert response.status == 206
            assert response.fields["repr-digest"] == f"sha-256=:{digest}:"
            assert "repr-digest" not in client.get(f"/{name}").fields


def test_each_precondition_is_heard(server: Server) -> None:
    with server.connect() as client:
        full = client.get("/hello.txt")
        tag, modified = full.fields["etag"], full.fields["last-modified"]
        before, after = "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"
        for field, status in (
            (f"If-Match: {tag}", 200),
            ('If-Match: "other"', 412),
            (f"If-Match: W/{tag}", 412),
            (f"If-Modified-Since: {modified}", 304),
            (f"If-Modified-Since: {before}", 200),
            (f"If-Unmodified-Since: {before}", 412),
            (f"If-Unmodified-Since: {after}", 200),
        ):
            response = client.get("/hello.txt", "site.example", field)
            assert response.status == status, field
            assert (response.body == HELLO) == (status == 200), field
        part = client.get("/hello.txt", "site.example", "Range: bytes=1-3", f"If-Range: {modified}")
        assert (part.status, part.body) == (206, HELLO[1:4])
        whole = client.get("/hello.txt", "site.example", "Range: bytes=1-3", f"If-Range: {before}")
        assert (whole.status, whole.body) == (200, HELLO)


def test_a_directory_without_its_slash_is_redirected_with_the_query(server: Server) -> None:
    response = server.get("/docs?a=b")
    assert (response.status, response.fields["location"]) == (301, "docs/?a=b")


def test_a_host_without_a_site_gets_404(server: Server) -> None:
    assert server.get("/", "other.example").status == 404


@pytest.mark.parametrize(
    ("field", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=5242879-", (5 << 20) - 1, 5 << 20),
        ("bytes=-1000", (5 << 20) - 1000, 5 << 20),
        ("bytes=1-99999999", 1, 5 << 20),
        ("bytes=65536-131072", 65536, 131073),
        ("bytes=0-", 0, 5 << 20),
    ],
)
def test_a_range_gets_exactly_its_bytes(
    server: Server, content: Mapping[str, bytes], field: str, start: int, stop: int
) -> None:
    with server.connect() as client:
        response = client.get("/5m.bin", "site.example", f"Range: {field}")
        assert response.status == 206
        assert response.fields["content-range"] == f"bytes {start}-{stop - 1}/{5 << 20}"
        assert response.body == content["5m.bin"][start:stop]


def test_a_range_behind_the_end_gets_416_with_the_length(server: Server) -> None:
    response = server.get("/5m.bin")
    with server.connect() as client:
        response = client.get("/5m.bin", "site.example", f"Range: bytes={5 << 20}-")
        assert (response.status, response.fields["content-range"]) == (416, f"bytes */{5 << 20}")


@pytest.mark.parametrize("name", ["64k.bin", "64k+1.bin", "256k.bin", "5m.bin", "20m.bin"])
def test_a_large_body_is_the_same_whole_and_put_together_from_ranges(
    server: Server, content: Mapping[str, bytes], name: str
) -> None:
    with server.connect() as client:
        whole = client.get(f"/{name}")
        assert whole.body == content[name]
        assert sha256(whole.body).digest() == sha256(content[name]).digest()
        step = len(whole.body) // 7 + 1
        starts = range(0, len(whole.body), step)
        client.send(
            b"".join(
                request(
                    f"/{name}",
                    "site.example",
                    f"Range: bytes={start}-{start + step - 1}",
                    f"If-Range: {whole.fields['etag']}",
                )
                for start in starts
            )
        )
        parts = [client.read() for _ in starts]
        assert {part.status for part in parts} == {206}
        assert b"".join(part.body for part in parts) == content[name]


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)), 400),  # TLS hello
        (b"\0" * 100, 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: site.example\n\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"a" * 20000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_at_once_and_the_connection_ends(
    server: Server, garbage: bytes, status: int
) -> None:
    with server.connect() as client:
        client.send(request("/hello.txt") + garbage)
        assert client.read().body == HELLO
        refusal = client.read()
        assert (refusal.status, refusal.fields["connection"]) == (status, "close")
        assert client.read_rest() == b""
    assert server.get("/hello.txt").body == HELLO


def test_nothing_names_the_server(server: Server) -> None:
    heads = server.get("/hello.txt").head + server.get("/nothing").head
    assert not re.search(rb"(?i)^server:|ashttpd|python", heads)
