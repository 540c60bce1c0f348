"""What httplint, the judge inside of REDbot, says of every kind of answer of a whole site.

Each answer is judged with the request that it belongs to. An error or a warning has to be explained
in EXPLAINED, and what is explained there has to be said of something.
"""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from httplint import HttpRequestLinter, HttpResponseLinter, levels

from mkroot.build import Options, build
from mkroot.tree import Symlinks, TreeOptions
from tests.conftest import Engine
from tests.servers import Response, Server, put, request

MEDIA: Final = Path(__file__).parent / "data" / "media"
# Long enough to be worth compressing.
TEXT: Final = "".join(f"line {number} of a text that compresses\n" for number in range(200))
CONTENT: Final = {
    "index.html": f"<!DOCTYPE html>\n<title>home</title>\n<pre>\n{TEXT}</pre>\n",
    "short.html": "<!DOCTYPE html>\n<title>ein schöner Titel</title>\n",
    "text.txt": TEXT,
    "empty.txt": "",
    "data.json": json.dumps(TEXT.splitlines()),
    "feed.atom": f'<?xml version="1.0"?>\n<feed xmlns="http://www.w3.org/2005/Atom">{TEXT}</feed>',
    "style.css": "\n".join(f".a{number} {{ color: red }}" for number in range(200)),
    "code.js": "\n".join(f"let a{number} = {number};" for number in range(200)),
    "drawing.svg": f'<svg xmlns="http://www.w3.org/2000/svg"><desc>{TEXT}</desc></svg>',
    "directory/schön.txt": TEXT,
}
COPIES: Final = (
    *("dot.png", "dot.jpg", "dot.webp", "dot.pdf", "clip.mp4", "clip.webm", "tone.mp3"),
    *("box.woff2", "add.wasm", "note.zip", "note.txt.gz", "tiny.sqlite"),
)
FILES: Final = (
    "/",
    *(f"/{name}" for name in CONTENT if "/" not in name),
    "/directory/sch%C3%B6n.txt",
    *(f"/{name}" for name in COPIES),
)
CODINGS: Final = ("gzip", "br", "zstd", "gzip, deflate, br, zstd", "identity;q=0, *")
# How mkroot builds by default; and with listings, dates, and links as redirects.
PLAIN: Final = "plain.example"
DATED: Final = "dated.example"
# A bit of a body is flipped; overwritten while it is served.
DAMAGED: Final = "damaged.example"
OVERWRITTEN: Final = "overwritten.example"


@dataclass(frozen=True, slots=True)
class Explained:
    """A note that points at no fault of ours, in answers whose head holds a text."""

    note: str
    statuses: frozenset[int]
    within: bytes
    reason: str


def _explained(note: str, statuses: set[int], reason: str, within: bytes = b"") -> Explained:
    return Explained(note, frozenset(statuses), within, reason)


EXPLAINED: Final = (
    _explained(
        "FRESHNESS_HEURISTIC",
        {200, 206},
        "how long a cache may keep a page without asking is the site's to say, and it said nothing",
    ),
    _explained(
        "PARTIAL_WITHOUT_RANGE",
        {206},
        "each part has its own Content-Range; the head MUST NOT have one (RFC 9110 15.3.7.2)",
        within=b"\r\nContent-Type: multipart/byteranges; boundary=",
    ),
    *(
        _explained(
            note,
            {206},
            "a part of a copy cannot be decoded by itself (RFC 9110 section 14.2)",
            within=b"\r\nContent-Encoding: %b\r\n" % coding,
        )
        for note, coding in (("BAD_GZIP", b"gzip"), ("BAD_BROTLI", b"br"))
    ),
    _explained(
        "CSP_UNSAFE_INLINE",
        {200},
        "said of style-src; no script is allowed, inline or not, and a listing's template may be"
        " the user's, with styles of its own",
        within=b"\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; ",
    ),
    *(
        _explained(
            "CONTENT_TYPE_MISMATCH",
            {200},
            "sniffpy 1.0.0 finds `undefined/undefined` in every kind of audio and video",
            within=b"\r\nContent-Type: %b\r\n" % media_type,
        )
        for media_type in (b"video/mp4", b"video/webm", b"audio/mpeg")
    ),
    # These tell the author of the request what the status says: it was wrong on purpose.
    _explained("STATUS_BAD_REQUEST", {400}, "the request is malformed"),
    _explained("STATUS_URI_TOO_LONG", {414}, "the target is too long"),
    _explained("STATUS_VERSION_NOT_SUPPORTED", {505}, "the version is 2.0"),
)


def _explanation(note: str, response: Response) -> Explained | None:
    for known in EXPLAINED:
        said = known.note == note and response.status in known.statuses
        if said and known.within in response.head:
            return known
    return None


@dataclass(slots=True)
class Verdicts:
    """What was said of the answers: complaints by note and status, and what explained others."""

    complaints: dict[tuple[str, int], str] = field(default_factory=dict)
    used: set[Explained] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)

    def judge(self, asked: bytes, response: Response, method: str) -> None:
        """Let httplint see an exchange."""
        now = time.time()
        head, _, content = asked.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        wanted = HttpRequestLinter(start_time=now)
        wanted.process_request_topline(*line.split(b" ", 2))
        wanted.process_headers([_field(line) for line in lines])
        wanted.feed_content(content)
        wanted.finish_content(complete=True)

        came = HttpResponseLinter(start_time=now)
        came.request = wanted
        came.is_head_response = method == "HEAD"
        line, *lines = response.head.removesuffix(b"\r\n").split(b"\r\n")
        version, status, phrase = line.split(b" ", 2)
        came.process_response_topline(version, status, phrase)
        came.process_headers([_field(line) for line in lines])
        came.feed_content(response.body)
        came.finish_content(complete=True)
        self.statuses.add(response.status)
        for note in (each for top in came.notes for each in (top, *top.subnotes)):
            if note.level not in (levels.BAD, levels.WARN):
                continue
            name = type(note).__name__
            known = _explanation(name, response)
            if known is not None:
                self.used.add(known)
            else:
                said = f"{note.level.name}: {note.summary} {head[:500]!r} {response.head!r}"
                self.complaints.setdefault((name, response.status), said)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip()


@dataclass(slots=True)
class Judged:
    """A client whose every exchange is judged."""

    server: Server
    verdicts: Verdicts = field(default_factory=Verdicts)

    def ask(
        self, path: str, *fields: str, host: str = PLAIN, method: str = "GET", content: bytes = b""
    ) -> Response:
        asked = request(path, host, "User-Agent: test", *fields, method=method) + content
        return self.send(asked, method)

    def send(self, asked: bytes, method: str = "GET") -> Response:
        with self.server.connect() as client:
            client.send(asked)
            response = client.read(to_head=method == "HEAD")
        self.verdicts.judge(asked, response, method)
        return response


def _plant(source: Path) -> None:
    for name, text in CONTENT.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in COPIES:
        shutil.copy(MEDIA / name, source)
    (source / "link").symlink_to("directory")


@pytest.fixture(scope="session")
def webroots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("linted")
    _plant(directory / "source")
    dated = Options(tree=TreeOptions(symlinks=Symlinks.REDIRECT), listing=True, last_modified=True)
    options = {PLAIN: Options(), DATED: dated, DAMAGED: Options(), OVERWRITTEN: Options()}
    for host, chosen in options.items():
        build(directory / "source", directory / host, chosen, lambda _: None)
    data = (directory / DAMAGED).read_bytes()
    (directory / DAMAGED).write_bytes(data.replace(TEXT.encode(), TEXT.upper().encode()))
    return {host: directory / host for host in options}


@pytest.fixture
def judged(engine: Engine, webroots: dict[str, Path], tmp_path: Path) -> Iterator[Judged]:
    vhosts = tmp_path / "vhosts"
    vhosts.mkdir()
    for host, webroot in webroots.items():
        put(vhosts, host, webroot)
    broken = tmp_path / "broken"
    shutil.copy(webroots[OVERWRITTEN], broken)
    put(vhosts, OVERWRITTEN, broken)
    with engine.serving(vhosts, "--head-seconds", "1") as server:
        with broken.open("r+b") as file:
            file.write(b"no webroot any more")
        server.log.wait_for(f"{OVERWRITTEN}: overwritten or truncated in place")
        yield Judged(server)


def _ask_for_files(judged: Judged) -> None:
    """Every file whole, in every coding, and again with what is known of it."""
    for path in FILES:
        _ask_for_file(judged, path, host=DATED)
        _ask_for_file(judged, path)
        for coding in CODINGS:
            _ask_for_file(judged, path, f"Accept-Encoding: {coding}")


def _ask_for_file(judged: Judged, path: str, *fields: str, host: str = PLAIN) -> None:
    whole = judged.ask(path, *fields, host=host)
    assert whole.status == 200, path
    judged.ask(path, *fields, host=host, method="HEAD")
    tag = f"If-None-Match: {whole.fields['etag']}"
    assert judged.ask(path, tag, *fields, host=host).status == 304, path


def _ask_for_parts(judged: Judged) -> None:
    for host in (PLAIN, DATED):
        for path in ("/text.txt", "/dot.png"):
            for coding in ((), *((f"Accept-Encoding: {coding}",) for coding in CODINGS)):
                tag = judged.ask(path, *coding, host=host).fields["etag"]
                for wanted in ("bytes=0-9", "bytes=-5", "bytes=9-", "bytes=0-1,150-160"):
                    fields = (f"Range: {wanted}", *coding)
                    assert judged.ask(path, *fields, host=host).status == 206
                    fields = (f"Range: {wanted}", f"If-Range: {tag}", *coding)
                    assert judged.ask(path, *fields, host=host).status == 206
                fields = ("Range: bytes=999999-", *coding)
                assert judged.ask(path, *fields, host=host).status == 416


def _ask_with_conditions(judged: Judged) -> None:
    for host in (PLAIN, DATED):
        assert judged.ask("/text.txt", 'If-Match: "other"', host=host).status == 412
        assert judged.ask("/text.txt", "If-Match: *", host=host).status == 200
        assert judged.ask("/text.txt", "If-None-Match: *", host=host).status == 304
    modified = judged.ask("/text.txt", host=DATED).fields["last-modified"]
    since = f"If-Modified-Since: {modified}"
    assert judged.ask("/text.txt", since, host=DATED).status == 304
    before = "If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT"
    assert judged.ask("/text.txt", before, host=DATED).status == 412
    digest = judged.ask("/text.txt", "Want-Repr-Digest: sha-256=1")
    assert "repr-digest" in digest.fields


def _ask_for_directories(judged: Judged) -> None:
    for accept in ("text/html", "application/json"):
        for method in ("GET", "HEAD"):
            fields = (f"Accept: {accept}",)
            listing = judged.ask("/directory/", *fields, host=DATED, method=method)
            assert listing.fields["content-type"].startswith(accept)
        known = f"If-None-Match: {listing.fields['etag']}"
        assert judged.ask("/directory/", *fields, known, host=DATED).status == 304
    assert judged.ask("/directory/", host=PLAIN).status == 404
    for host in (PLAIN, DATED):
        moved = judged.ask("/directory?a=b", host=host)
        assert (moved.status, moved.fields["location"]) == (301, "directory/?a=b")
        assert judged.ask("/directory", host=host, method="HEAD").status == 301
    assert judged.ask("/link", host=DATED).status == 302


def _ask_wrongly(judged: Judged) -> None:
    """What no site answers, and what is wrong with a site."""
    for method in ("GET", "HEAD"):
        for accept in ("text/html", "application/json", "text/plain"):
            fields = (f"Accept: {accept}",)
            assert judged.ask("/nothing", *fields, method=method).status == 404
        assert judged.ask("/", host="unknown.example", method=method).status == 404
        assert judged.ask("/%zz", method=method).status == 400
        assert judged.ask("/text.txt", "Expect: x", method=method).status == 417
        assert judged.ask("/", host=OVERWRITTEN, method=method).status == 503
    assert judged.ask("/text.txt", host=DAMAGED).status == 500
    for target in ("*", "/", "/nothing"):
        assert judged.ask(target, method="OPTIONS").status == 204
    length = "Content-Length: 2"
    assert judged.ask("/", length, method="POST", content=b"hi").status == 405
    assert judged.ask("/", method="DELETE").status == 405
    assert judged.ask("/", method="BREW").status == 501
    assert judged.ask("/", "Content-Length: 9999999", method="POST").status == 413
    assert judged.ask("/" + "a" * 9000).status == 414
    assert judged.ask("/", f"Cookie: {'a' * 17000}").status == 431
    agent = b"User-Agent: test\r\n"
    assert judged.send(b"GET / HTTP/1.1\r\n" + agent + b"\r\n").status == 400
    assert judged.send(b"GET / HTTP/2.0\r\n" + agent + b"\r\n").status == 505
    old = b"Connection: keep-alive\r\n" + agent + b"Host: plain.example\r\n\r\n"
    assert judged.send(b"GET / HTTP/1.0\r\n" + old).status == 200
    assert judged.ask("/", "Connection: close").status == 200


def test_httplint_finds_no_error_and_no_unexplained_warning_in_any_answer(judged: Judged) -> None:
    with judged.server.connect() as waiting:
        half = b"GET / HTTP/1.1\r\nHost: plain.example\r\nUser-Agent: test\r\n"
        waiting.send(half)
        # At once, or its date would be an old one.
        judged.verdicts.judge(half + b"\r\n", waiting.read(), "GET")
    _ask_for_files(judged)
    _ask_for_parts(judged)
    _ask_with_conditions(judged)
    _ask_for_directories(judged)
    _ask_wrongly(judged)
    verdicts = judged.verdicts
    asked_for = {200, 204, 206, 301, 302, 304, 400, 404, 405, 408, 412, 413, 414, 416, 417}
    assert verdicts.statuses == asked_for | {431, 500, 501, 503, 505}
    assert not verdicts.complaints
    assert set(EXPLAINED) == verdicts.used
