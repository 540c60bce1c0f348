"""Real trees: every file, fetched over HTTP, is the file on disk."""

import random
import sysconfig
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

import pytest

from mkroot.build import Options, build
from mkroot.tree import Symlinks, TreeOptions
from tests.conftest import ENGINES, Engine
from tests.servers import Server, put, request

FILES: Final = 10_000
CONNECTIONS: Final = 4
BATCH: Final = 20


def _name(random_of: random.Random, number: int) -> bytes:
    """A name with what makes trouble in URLs, in shells and in encodings; no index."""
    letters = b"abcXYZ019 -_.,;:+=~!@#$%&'()[]{}?\"<>|\\^`*\t\x7f\x80\xc3\xa9\xff"
    middle = bytes(random_of.choices(letters, k=random_of.randrange(12)))
    suffix = random_of.choice([b".txt", b".html", b".bin", b".png", b".js", b".css", b".json", b""])
    return b"%d" % number + middle + suffix


def _plant(source: Path) -> None:
    """Make the tree: names, sizes and contents of many kinds, always the same."""
    random_of = random.Random(2)
    sizes = (0, 1, 15, 16, 17, 100, 1000, 4095, 4096, 4097, 20_000)
    for number in range(FILES):
        directory = bytes(source / f"d{number % 37}" / f"e{number % 11}")
        if number < 37 * 11:
            Path(directory.decode()).mkdir(parents=True)
        size = 300_000 if number % 500 == 0 else random_of.choice(sizes)
        text = number % 2 == 0
        content = (b"line %d\n" % number * (size // 8 + 1))[:size] if text else b""
        with open(directory + b"/" + _name(random_of, number), "wb") as file:
            file.write(content or random_of.randbytes(size))


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tree and its webroot."""
    directory = tmp_path_factory.mktemp("generated")
    _plant(directory / "source")
    # Brotli at its best would take a minute.
    options = Options(compress=("gzip", "zstd"))
    build(directory / "source", directory / "webroot", options, lambda _: None)
    return directory / "source", directory / "webroot"


@pytest.fixture(scope="session")
def stdlib(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A part of Python's standard library and its webroot: text that people wrote."""
    source = Path(sysconfig.get_path("stdlib")) / "encodings"
    webroot = tmp_path_factory.mktemp("stdlib") / "webroot"
    options = Options(tree=TreeOptions(symlinks=Symlinks.SKIP))
    build(source, webroot, options, lambda _: None)
    return source, webroot


def _files(source: Path) -> list[Path]:
    return sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())


def _fetch(server: Server, source: Path, files: Sequence[Path], wrong: list[str]) -> None:
    """Fetch files with one connection, some requests ahead; notes what differs."""
    with server.connect() as client:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            for path in batch:
                target = quote_from_bytes(b"/" + bytes(path.relative_to(source)))
                client.send(request(target, "any.example"))
            for path in batch:
                response = client.read()
                if (response.status, response.body) != (200, path.read_bytes()):
                    wrong.append(f"{path}: {response.status}, {len(response.body)} bytes")


@pytest.mark.parametrize("tree", ["generated", "stdlib"])
def test_every_file_of_a_tree_comes_back_as_it_is_on_disk(
    engine: Engine, tree: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source, webroot = request.getfixturevalue(tree)
    files = _files(source)
    assert len(files) == FILES if tree == "generated" else len(files) > 100
    # A small file goes the same way in every engine, so one of them fetches all.
    files = files[:: 1 if engine is ENGINES[0] else 5]
    put(tmp_path, "__default__", webroot)
    wrong: list[str] = []
    with engine.serving(tmp_path) as server:
        threads = [
            threading.Thread(
                target=_fetch, args=(server, source, files[number::CONNECTIONS], wrong)
            )
            for number in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:10]
