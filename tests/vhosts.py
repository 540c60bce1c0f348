"""A vhosts directory, webroots to put there, and what the home page of a site says."""

from dataclasses import dataclass
from pathlib import Path

from ashttpd.http.dates import second_of
from ashttpd.http.plan import Plan
from ashttpd.vhosts.watch import Watch
from tests.servers import build_site, put

_SECOND = second_of(0)


@dataclass(frozen=True)
class Place:
    """A vhosts directory and where webroots lie."""

    vhosts: Path
    webroots: Path

    def webroot(self, name: str, text: str, size: int = 0) -> Path:
        """Build a webroot whose home page is a text, with a body of some size."""
        content = {"index.html": text.encode()}
        if size:
            content["large.bin"] = text.encode().ljust(16, b".") * (size // 16)
        return build_site(content, self.webroots / name)

    def link(self, name: str, text: str, size: int = 0) -> Path:
        """Make a new webroot of a text the site of a name; returns the webroot."""
        webroot = self.webroot(f"{name}-{text}", text, size)
        put(self.vhosts, name, webroot)
        return webroot


def make_place(directory: Path) -> Place:
    found = Place(directory / "vhosts", directory / "webroots")
    found.vhosts.mkdir()
    found.webroots.mkdir()
    return found


def ask(watch: Watch, host: str) -> Plan:
    return watch.find(b"1k-GET /\nH" + host.encode() + b"\n", _SECOND)


def text_of(watch: Watch, host: str = "a.example") -> str:
    """What the home page of a host says, or the status instead."""
    plan = ask(watch, host)
    if plan.status != 200:
        return str(plan.status)
    return plan.head.partition(b"\r\n\r\n")[2].decode()


def half_of(place: Place, text: str = "two") -> tuple[Path, bytes]:
    """Return a file with the first half of a webroot, and the second half."""
    whole = place.webroot("whole", text, 1 << 20).read_bytes()
    half = place.webroots / "half"
    half.write_bytes(whole[: len(whole) // 2])
    return half, whole[len(whole) // 2 :]
