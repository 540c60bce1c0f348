"""The document root every server serves.

The bodies are random bytes, so that no server can win by sending a compressed copy: the same bytes
have to leave all of them.  A fixed seed makes every run serve the same site.
"""

from pathlib import Path
from random import Random

KIB = 1024
MIB = 1024 * KIB

# The size of nginx's welcome page, by now the customary small page of such comparisons.
PAGE_BYTES = 612

# Names a charset in which any bytes are text, as a page should that is not in UTF-8.
PAGE_START = b'<!doctype html><meta charset="windows-1252">'

PAGE_DIRECTORIES = 100
PAGES_PER_DIRECTORY = 100
PAGES = PAGE_DIRECTORIES * PAGES_PER_DIRECTORY

BODIES = {
    "16k.bin": 16 * KIB,
    "100k.bin": 100 * KIB,
    "1m.bin": MIB,
    "100m.bin": 100 * MIB,
}


def page_target(number: int) -> str:
    """The URL path of one of the many pages; `number` is in [0, PAGES)."""
    directory, page = divmod(number, PAGES_PER_DIRECTORY)
    return f"/pages/{directory:02d}/{page:02d}.html"


def write_site(root: Path) -> None:
    """Fill `root`, which must not exist yet."""
    random = Random(612)
    for directory in range(PAGE_DIRECTORIES):
        (root / f"pages/{directory:02d}").mkdir(parents=True)
    for target in ("/page.html", *map(page_target, range(PAGES))):
        noise = random.randbytes(PAGE_BYTES - len(PAGE_START))
        (root / target.lstrip("/")).write_bytes(PAGE_START + noise)
    for name, size in BODIES.items():
        with (root / name).open("wb") as file:
            for start in range(0, size, MIB):
                file.write(random.randbytes(min(MIB, size - start)))
