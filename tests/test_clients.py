"""What people fetch files with: curl, wget, zsync and fsspec, each with what it does best."""

import email
import email.policy
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Final

import pytest

from mkroot.build import Options, build
from tests.conftest import Engine
from tests.servers import DEADLINE_SECONDS, Server, eventually, put, skip_for_lack

LARGE: Final = random.Random(5).randbytes(3_000_000)
CUT_BYTES: Final = 1_000_000
CONTENT: Final = {
    "large.bin": LARGE,
    "text.txt": b"".join(b"line %d\n" % number for number in range(5000)),
    "sub/page.html": b"<!DOCTYPE html><title>page</title><p>" + b"words " * 500,
    "sub/empty.txt": b"",
    "sub/deeper/a name & more.txt": b"with spaces\n",
    "sub/deeper/\u00e9t\u00e9 100%.txt": b"not only ASCII\n",
}


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, and what zsync needs to fetch the large one."""
    source = tmp_path_factory.mktemp("fetched") / "source"
    for name, data in CONTENT.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    if (zsyncmake := shutil.which("zsyncmake")) is not None:
        command = [zsyncmake, "-u", "large.bin", "-o", "large.bin.zsync", "large.bin"]
        subprocess.run(command, cwd=source, check=True, capture_output=True)
    return source


@pytest.fixture(scope="session")
def vhosts(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    vhosts = tmp_path_factory.mktemp("vhosts")
    webroot = source.parent / "webroot"
    build(source, webroot, Options(listing=True, last_modified=True), lambda _: None)
    put(vhosts, "__default__", webroot)
    return vhosts


@pytest.fixture(scope="module")
def fetched(
    engine: Engine, vhosts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path]]:
    """A server of these files, and its access log."""
    log = tmp_path_factory.mktemp("logs") / "access.log"
    with engine.serving(vhosts, "--access-log", str(log)) as running:
        yield running, log


@pytest.fixture
def base(fetched: tuple[Server, Path]) -> Iterator[str]:
    """Where the site is."""
    server, _ = fetched
    yield f"http://127.0.0.1:{server.port}"
    server.assert_well()


class Logged:
    """What the access log gets from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size

    def wait_for(self, agent: str, count: int) -> list[tuple[str, str, int]]:
        """Wait for so many lines of a client; returns each one's method, status and bytes."""

        def lines() -> list[str]:
            text = self._path.read_bytes()[self._start :].decode()
            return [line for line in text.splitlines() if f'"{agent}' in line]

        eventually(lambda: len(lines()) >= count)
        found = [line.replace('"', "").split() for line in lines()]
        assert len(found) == count
        return [(line[5], line[8], int(line[9].replace("-", "0"))) for line in found]


@pytest.fixture
def log(fetched: tuple[Server, Path]) -> Logged:
    return Logged(fetched[1])


def run(
    program: str, *arguments: str, cwd: Path, status: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """Run a client to its end, and hold it against its exit status."""
    path = shutil.which(program)
    if path is None:
        skip_for_lack(f"{program} is not installed")
    assert path is not None
    done = subprocess.run(
        [path, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        # No settings of this machine's user, and messages in English.
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert done.returncode == status, done.stderr.decode("utf-8", "replace")
    return done


def curl(cwd: Path, *arguments: str) -> bytes:
    """Run curl; returns what it prints."""
    return run("curl", "--silent", "--show-error", *arguments, cwd=cwd).stdout


def wget(cwd: Path, *arguments: str) -> str:
    """Run wget; returns what it says."""
    return run("wget", *arguments, cwd=cwd).stderr.decode()


def _cut_off(listener: socket.socket, port: int) -> None:
    """Pass a request on to a server, and the first bytes of its answer back."""
    client, _ = listener.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        server.sendall(client.recv(1 << 16))
        left = CUT_BYTES
        while left:
            data = server.recv(left)
            assert data
            client.sendall(data)
            left -= len(data)


@pytest.fixture
def broken(fetched: tuple[Server, Path], tmp_path: Path) -> Path:
    """A download of the large file that broke off, as curl leaves it."""
    path = tmp_path / "large.bin"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cutting = Thread(target=_cut_off, args=(listener, fetched[0].port))
        cutting.start()
        port = listener.getsockname()[1]
        partial = 18  # "Only a part of the file was transferred", curl(1)
        url = f"http://127.0.0.1:{port}/large.bin"
        run("curl", "-o", path.name, url, cwd=tmp_path, status=partial)
        cutting.join()
    assert 0 < path.stat().st_size < CUT_BYTES
    return path


def test_curl_resumes_a_broken_download(base: str, broken: Path, log: Logged) -> None:
    have = broken.stat().st_size
    curl(broken.parent, "-C", "-", "-A", "resume", "-o", "large.bin", f"{base}/large.bin")
    assert broken.read_bytes() == LARGE
    assert log.wait_for("resume", 1) == [("GET", "206", len(LARGE) - have)]


def test_curl_resumes_a_text_while_it_accepts_codings(base: str, tmp_path: Path) -> None:
    text = CONTENT["text.txt"]
    copy = tmp_path / "text.txt"
    # Longer than any copy is; shorter than every one of them.
    for have in (len(text) // 2, len(text) - 1, 100):
        copy.write_bytes(text[:have])
        curl(tmp_path, "--compressed", "-C", "-", "-o", copy.name, f"{base}/text.txt")
        assert copy.read_bytes() == text


# Asks for the length with HEAD and identity, and for parts with gzip and deflate.
_FSSPEC: Final = """
import sys, fsspec
with fsspec.open(sys.argv[1], block_size=1000, cache_type="none") as file:
    for place in sys.argv[2:]:
        file.seek(int(place))
        sys.stdout.buffer.write(file.read(500))
"""


def test_fsspec_reads_a_text_with_copies_at_every_place(base: str, tmp_path: Path) -> None:
    text = CONTENT["text.txt"]
    places = range(0, len(text), 4_000)
    url = f"{base}/text.txt"
    done = run(sys.executable, "-c", _FSSPEC, url, *map(str, places), cwd=tmp_path)
    assert done.stdout == b"".join(text[place : place + 500] for place in places)


def test_wget_resumes_a_broken_download_and_leaves_a_whole_one_alone(
    base: str, broken: Path, log: Logged
) -> None:
    have = broken.stat().st_size
    wget(broken.parent, "-c", "-U", "continue", f"{base}/large.bin")
    assert broken.read_bytes() == LARGE
    said = wget(broken.parent, "-c", "-U", "continue", f"{base}/large.bin")
    assert "The file is already fully retrieved" in said
    assert broken.read_bytes() == LARGE
    first, second = log.wait_for("continue", 2)
    assert first == ("GET", "206", len(LARGE) - have)
    assert second[1] == "416"


def test_curl_reads_every_coding_that_it_asks_for(base: str, tmp_path: Path) -> None:
    came = ("-o", "body", "-w", "%header{content-encoding}")
    for path in ("/text.txt", "/sub/page.html"):
        url = base + path
        body = CONTENT[path[1:]]
        assert curl(tmp_path, "--compressed", url) == body
        assert curl(tmp_path, url) == body
        for coding in ("gzip", "br", "zstd"):
            # What it asked for by hand it decodes all the same.
            field = f"Accept-Encoding: {coding}"
            assert curl(tmp_path, "--compressed", "-H", field, *came, url) == coding.encode()
            assert (tmp_path / "body").read_bytes() == body
        assert curl(tmp_path, "--compressed", "-H", "Accept-Encoding: deflate", *came, url) == b""
        assert (tmp_path / "body").read_bytes() == body


def test_curl_gets_several_ranges_with_their_places(base: str, tmp_path: Path) -> None:
    head = ("-D", "head")
    body = curl(tmp_path, "-r", "0-9,1000-1009,-5", *head, f"{base}/large.bin")
    status, _, fields = (tmp_path / "head").read_bytes().partition(b"\r\n")
    assert b" 206 " in status
    message = email.message_from_bytes(fields + body, policy=email.policy.HTTP)
    last = len(LARGE) - 1
    assert [(part["content-range"], part.get_content()) for part in message.iter_parts()] == [
        (f"bytes 0-9/{len(LARGE)}", LARGE[:10]),
        (f"bytes 1000-1009/{len(LARGE)}", LARGE[1000:1010]),
        (f"bytes {last - 4}-{last}/{len(LARGE)}", LARGE[-5:]),
    ]


def test_curl_fetches_what_is_newer_or_other_than_what_it_has(base: str, tmp_path: Path) -> None:
    url = f"{base}/text.txt"
    asked = ("-o", "text.txt", "-w", "%{http_code}", url)
    copy = tmp_path / "text.txt"
    assert curl(tmp_path, "-R", *asked) == b"200"
    assert copy.stat().st_mtime == 1_000_000_000
    assert curl(tmp_path, "-z", "text.txt", *asked) == b"304"
    assert curl(tmp_path, "-z", "Sun, 09 Sep 2001 01:46:39 GMT", *asked) == b"200"
    # Not modified since, said the other way round.
    assert curl(tmp_path, "-z", "-Sun, 09 Sep 2001 01:46:39 GMT", *asked) == b"412"
    tags = ("--etag-save", "tag", "--etag-compare", "tag")
    assert curl(tmp_path, *tags, *asked) == b"200"
    assert copy.read_bytes() == CONTENT["text.txt"]
    assert curl(tmp_path, *tags, *asked) == b"304"
    assert copy.read_bytes() == CONTENT["text.txt"]


def test_curl_is_answered_in_every_way_of_asking(base: str, tmp_path: Path) -> None:
    body = CONTENT["text.txt"]
    assert curl(tmp_path, "--http1.0", f"{base}/text.txt") == body
    assert curl(tmp_path, "--path-as-is", f"{base}/sub/../../text.txt") == body
    assert b"\r\nContent-Length: %d\r\n" % len(body) in curl(tmp_path, "-I", f"{base}/text.txt")
    options = curl(tmp_path, "-i", "-X", "OPTIONS", f"{base}/text.txt")
    assert b"\r\nAllow: GET, HEAD, OPTIONS\r\n" in options
    assert curl(tmp_path, "-L", "-w", " %{url_effective}", f"{base}/sub?a=b").endswith(
        f" {base}/sub/?a=b".encode()
    )
    urls = [f"{base}/{name}" for name in ("text.txt", "large.bin", "sub/page.html")]
    connects = curl(tmp_path, "-w", "%{num_connects} ", *urls, "-o", "a", "-o", "b", "-o", "c")
    assert connects == b"1 0 0 "
    assert [(tmp_path / name).stat().st_size for name in "abc"] == [
        len(CONTENT[name]) for name in ("text.txt", "large.bin", "sub/page.html")
    ]


@pytest.mark.parametrize("size", [100, 100_000, 5_000_000])
def test_curl_is_told_at_once_that_nobody_takes_its_upload(
    base: str, tmp_path: Path, size: int
) -> None:
    """Above a megabyte it asks first, with Expect: 100-continue."""
    (tmp_path / "upload").write_bytes(bytes(size))
    start = time.monotonic()
    said = ("-o", "answer", "-w", "%{http_code}")
    assert curl(tmp_path, "-T", "upload", *said, f"{base}/upload") == b"405"
    assert time.monotonic() - start < DEADLINE_SECONDS / 2


def test_wget_mirrors_a_site_from_its_listings(base: str, source: Path, tmp_path: Path) -> None:
    options = ("-r", "-np", "-nH", "-l", "inf", "--restrict-file-names=nocontrol")
    wget(tmp_path, *options, f"{base}/sub/")
    names = [name for name in CONTENT if name.startswith("sub/")]
    for name in names:
        assert (tmp_path / name).read_bytes() == CONTENT[name]
        assert (tmp_path / name).stat().st_mtime == 1_000_000_000
    # A listing for each directory, and nothing from above.
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    listings = {"sub/index.html", "sub/deeper/index.html"}
    assert found - {".wget-hsts"} == {*names, *listings}


def test_wget_fetches_no_file_again_that_has_not_changed(
    base: str, tmp_path: Path, log: Logged
) -> None:
    for _ in range(2):
        said = wget(tmp_path, "-N", "-U", "newer", f"{base}/text.txt")
    assert "304 Not Modified" in said
    assert (tmp_path / "text.txt").read_bytes() == CONTENT["text.txt"]
    size = len(CONTENT["text.txt"])
    assert log.wait_for("newer", 2) == [("GET", "200", size), ("GET", "304", 0)]


@pytest.mark.parametrize("changes", [1, 10, 100])
def test_zsync_fetches_only_what_has_changed(
    base: str, log: Logged, tmp_path: Path, changes: int
) -> None:
    """It asks for up to twenty ranges at once, in one request after the other."""
    old = bytearray(LARGE)
    for place in random.Random(changes).sample(range(len(old) // 10_000), changes):
        old[place * 10_000 : place * 10_000 + 10] = bytes(10)
    (tmp_path / "old.bin").write_bytes(old)
    run("zsync", "-i", "old.bin", "-o", "new.bin", f"{base}/large.bin.zsync", cwd=tmp_path)
    assert (tmp_path / "new.bin").read_bytes() == LARGE
    # The first is the description of the file.
    lines = log.wait_for("zsync/", 1 + -(-changes // 20))
    assert [status for _, status, _ in lines] == ["200", *["206"] * (len(lines) - 1)]
    assert sum(size for _, _, size in lines[1:]) < changes * 5_000 + 5_000
