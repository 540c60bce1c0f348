"""A film and a PDF in a real browser, which asks for the parts that it needs."""

import re
import shutil
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from mkroot.build import Options, build
from tests.browser import Browser
from tests.conftest import Engine
from tests.servers import Server, eventually, put, skip_for_lack

SHADES: Final = Path(__file__).parent / "data" / "film" / "shades.mp4"
# As Debian's libjs-pdf has it: the PDF reader of Firefox.
PDF_JS: Final = Path("/usr/share/javascript/pdf/build")
# A second of the film is so far from the next that a player has to seek in the file, too.
GAP_BYTES: Final = 400_000
PAGES: Final = 20
PIXELS: Final = 400

FILM_PAGE: Final = """<!DOCTYPE html>
<title>film</title>
<video src="film.mp4" preload="metadata" muted></video>
<script>
const video = document.querySelector("video")
const happened = name => new Promise((resolve, reject) => {
  video.addEventListener(name, resolve, {once: true})
  video.addEventListener("error", () => reject(video.error.message), {once: true})
})
const loaded = video.readyState ? null : happened("loadedmetadata")
async function seek(second) {
  const seeked = happened("seeked")
  video.currentTime = second
  await seeked
  const picture = document.createElement("canvas").getContext("2d")
  picture.drawImage(video, 0, 0)
  return [video.currentTime, picture.getImageData(32, 32, 1, 1).data[0]]
}
</script>
"""
PDF_PAGE: Final = """<!DOCTYPE html>
<title>reader</title>
<script src="pdf.js"></script>
<script>
pdfjsLib.GlobalWorkerOptions.workerSrc = "pdf.worker.js"
// Only what a page needs, instead of all of the rest while nothing else is to do.
const asked = {url: "shades.pdf", disableAutoFetch: true, disableStream: true}
const reading = pdfjsLib.getDocument(asked).promise
async function render(number) {
  const page = await (await reading).getPage(number)
  const canvasContext = document.createElement("canvas").getContext("2d")
  await page.render({canvasContext, viewport: page.getViewport({scale: 1})}).promise
  return canvasContext.getImageData(50, 50, 1, 1).data[0]
}
</script>
"""


def make_film() -> bytes:
    """Return the film with each second's chunk of video far behind the one before.

    A file of boxes, each with its length and its type (ISO/IEC 14496-12 section 4.2): the chunks
    are in mdat; moov has a table of their places for each track, stco, the video's first.
    """
    clip = SHADES.read_bytes()
    data, index = clip.index(b"mdat") - 4, clip.index(b"moov") - 4
    moov = bytearray(clip[index:])
    places: list[tuple[int, int, bool]] = []
    table = moov.index(b"stco")
    for is_video in (True, False):
        (count,) = struct.unpack_from(">I", moov, table + 8)
        entries = range(table + 12, table + 12 + 4 * count, 4)
        places += [(*struct.unpack_from(">I", moov, entry), entry, is_video) for entry in entries]
        table = moov.find(b"stco", table + 4)
    places.sort()
    film = bytearray(clip[: places[0][0]])
    for (start, entry, is_video), (stop, *_) in pairwise([*places, (index, 0, False)]):
        film += bytes(GAP_BYTES if is_video else 0)
        struct.pack_into(">I", moov, entry, len(film))
        film += clip[start:stop]
    struct.pack_into(">I", film, data, len(film) - data)
    return bytes(film + moov)


def make_pdf() -> bytes:
    """Return a PDF whose page n is a large picture of the grey 10 * n (ISO 32000-1)."""
    first = 5
    kids = b" ".join(b"%d 0 R" % (first + page) for page in range(PAGES))
    drawing = b"300 0 0 300 0 0 cm /I Do"
    picture = (
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray"
        b" /BitsPerComponent 8 /Length %d >>\nstream\n%b\nendstream"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%b] >>" % (PAGES, kids),
        b"<< /Title (Shades of grey) >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawing), drawing),
        *(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents 4 0 R"
            b" /Resources << /XObject << /I %d 0 R >> >> >>" % (first + PAGES + page)
            for page in range(PAGES)
        ),
        *(
            picture % (PIXELS, PIXELS, PIXELS**2, bytes([10 * (page + 1)]) * PIXELS**2)
            for page in range(PAGES)
        ),
    ]
    parts = [b"%PDF-1.4\n"]
    places = []
    length = len(parts[0])
    for number, written in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % length)
        parts.append(b"%d 0 obj\n%b\nendobj\n" % (number, written))
        length += len(parts[-1])
    count = len(objects) + 1
    parts.append(b"xref\n0 %d\n0000000000 65535 f \n%b" % (count, b"".join(places)))
    parts.append(b"trailer\n<< /Size %d /Root 1 0 R /Info 3 0 R >>\n" % count)
    parts.append(b"startxref\n%d\n%%%%EOF\n" % length)
    return b"".join(parts)


@pytest.fixture(scope="session")
def vhosts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("media") / "source"
    source.mkdir()
    (source / "film.html").write_text(FILM_PAGE)
    (source / "film.mp4").write_bytes(make_film())
    (source / "pdf.html").write_text(PDF_PAGE)
    (source / "shades.pdf").write_bytes(make_pdf())
    for script in PDF_JS.glob("pdf*.js"):
        shutil.copy(script, source)
    build(source, source.parent / "webroot", Options(), lambda _: None)
    vhosts = source.parent / "vhosts"
    vhosts.mkdir()
    put(vhosts, "__default__", source.parent / "webroot")
    return vhosts


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def served(engine: Engine, vhosts: Path, log: Path) -> Iterator[Server]:
    with engine.serving(vhosts, "--access-log", str(log)) as server:
        yield server


def asked_from(browser: Browser, name: str) -> list[int]:
    """Return where the ranges of a file start that were asked for since the page was opened."""
    urls: dict[str, str] = {}
    starts = []
    for event in browser.events:
        said = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            urls[said["requestId"]] = said["request"]["url"]
    for event in browser.events:
        said = event["params"]
        # The fields as they went over the wire.
        if event["method"] == "Network.requestWillBeSentExtraInfo":
            found = re.match(r"bytes=(\d+)-", said["headers"].get("Range", ""))
            if found and urls.get(said["requestId"], "").endswith(f"/{name}"):
                starts.append(int(found[1]))
    return starts


def count_parts(log: Path, name: str) -> int:
    """Return how many times a part of a file was sent."""
    return len(re.findall(rf'"GET /{name} HTTP/1.1" 206 ', log.read_text()))


def test_a_film_is_sought_in_with_ranges_and_shows_the_right_frame(
    browser: Browser, served: Server, log: Path
) -> None:
    browser.open(f"http://127.0.0.1:{served.port}/film.html")
    assert browser.evaluate("loaded.then(() => video.duration)") == 30
    for second in (25.5, 3.5, 14.5, 29.25, 0.5):
        assert browser.evaluate(f"seek({second})") == [second, 16 + 7 * int(second)]
    film = make_film()
    starts = asked_from(browser, "film.mp4")
    # The index at the end, and a second in the last quarter, without all that lies before.
    assert max(starts) > film.index(b"moov") - GAP_BYTES
    assert any(20 * GAP_BYTES < start < 27 * GAP_BYTES for start in starts)
    eventually(lambda: count_parts(log, "film.mp4") >= 3)


def test_a_pdf_is_read_in_ranges_where_its_reader_asks_for_them(
    browser: Browser, served: Server, log: Path
) -> None:
    if not PDF_JS.is_dir():
        skip_for_lack("libjs-pdf is not installed")
    browser.open(f"http://127.0.0.1:{served.port}/pdf.html")
    assert browser.evaluate("reading.then(document => document.numPages)") == PAGES
    for page in (PAGES, 1):
        assert browser.evaluate(f"render({page})") == 10 * page
    # The middle was not needed, so it was not fetched.
    size = len(make_pdf())
    starts = asked_from(browser, "shades.pdf")
    assert min(starts) < size // 4
    assert max(starts) > size * 3 // 4
    assert not [start for start in starts if size // 4 < start < size * 3 // 4]
    eventually(lambda: count_parts(log, "shades.pdf") >= 3)


def test_a_pdf_is_shown_by_the_browser_itself(browser: Browser, served: Server) -> None:
    """It takes the whole; its title is known to who has read the document."""
    url = f"http://127.0.0.1:{served.port}/shades.pdf"
    browser.open(url)

    def is_read() -> bool:
        targets = browser.call("Target.getTargets")["targetInfos"]
        return any(target["title"] == "Shades of grey" for target in targets)

    eventually(is_read)
