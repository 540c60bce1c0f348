"""What a build has to remember and cannot hold in memory: digests of bodies, hashes of paths.

A private SQLite database that lives in its cache and goes to an unnamed temporary file when it
outgrows it; nothing of it survives the process.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from mkroot.errors import show

_CACHE_KIB: Final = 64 << 10


_VARIABLES: Final = ("SQLITE_TMPDIR", "TMPDIR")


def _is_usable(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def temporary_folder() -> str:
    """Return where temporary files are: where SQLite puts its own (sqlite.org/tempfiles.html).

    The first of these that is a folder which may be written.
    """
    named = map(os.environ.get, _VARIABLES)
    for folder in (*filter(None, named), "/var/tmp", "/usr/tmp", "/tmp"):
        if _is_usable(folder):
            return folder
    return os.curdir


def ignored_folders() -> Iterator[str]:
    """Yield a warning for each variable that names a folder which cannot be used."""
    for name in _VARIABLES:
        folder = os.environ.get(name)
        if folder and not _is_usable(folder):
            yield (
                f"{name} is {show(os.fsencode(folder))}, which is no folder that may be written; "
                f"temporary files are in {temporary_folder()}"
            )
        elif folder:
            return


def temporary_database() -> str:
    """Return what messages call the database."""
    folder = temporary_folder()
    system = os.statvfs(folder)
    free = system.f_bavail * system.f_frsize
    return f"the temporary database of digests in {folder} (TMPDIR), with {free:,} bytes free"


class Copy(NamedTuple):
    """A compressed copy of a body: its coding, and the digest and length of what is stored."""

    coding: str
    digest: bytes
    length: int


class Spill:
    """Maps by digest, and one sorted list."""

    def __init__(self) -> None:
        """Start empty."""
        self._database = sqlite3.connect("", isolation_level=None)
        self._execute = self._database.execute
        self._execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._execute("PRAGMA journal_mode = OFF")
        self._execute("PRAGMA synchronous = OFF")
        for table in (
            "body (digest BLOB PRIMARY KEY, offset INTEGER, head_digest BLOB, head_offset INTEGER)",
            "head (digest BLOB PRIMARY KEY, offset INTEGER)",
            "copy (digest BLOB, place INTEGER, coding TEXT, copy BLOB, length INTEGER, "
            "PRIMARY KEY (digest, place))",
            "slot (hash BLOB PRIMARY KEY, record INTEGER)",
        ):
            self._execute(f"CREATE TABLE {table} WITHOUT ROWID")
        self._execute("BEGIN")

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def find_body(self, digest: bytes) -> tuple[int, bytes, int] | None:
        """Return a body's offset, and the digest and offset of the head before it."""
        row: tuple[int, bytes, int] | None = self._execute(
            "SELECT offset, head_digest, head_offset FROM body WHERE digest = ?", (digest,)
        ).fetchone()
        return row

    def add_body(self, digest: bytes, offset: int, head_digest: bytes, head_offset: int) -> None:
        """Remember where a body and its head were written."""
        self._execute(
            "INSERT INTO body VALUES (?, ?, ?, ?)", (digest, offset, head_digest, head_offset)
        )

    def find_head(self, digest: bytes) -> int | None:
        """Return the offset of a head that stands apart."""
        row = self._execute("SELECT offset FROM head WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else int(row[0])

    def add_head(self, digest: bytes, offset: int) -> None:
        """Remember where a head that stands apart was written."""
        self._execute("INSERT INTO head VALUES (?, ?)", (digest, offset))

    def find_copies(self, digest: bytes) -> list[Copy]:
        """Return the copies of the body with this digest, in their order."""
        rows = self._execute(
            "SELECT coding, copy, length FROM copy WHERE digest = ? ORDER BY place", (digest,)
        )
        return [Copy(*row) for row in rows]

    def add_copies(self, digest: bytes, copies: Sequence[Copy]) -> None:
        """Remember the copies of a body; of one that is known already it changes nothing."""
        for place, copy in enumerate(copies):
            self._execute(
                "INSERT OR IGNORE INTO copy VALUES (?, ?, ?, ?, ?)", (digest, place, *copy)
            )

    def add_slot(self, hashed: bytes, record: int) -> None:
        """Remember the record of a path's hash; raises sqlite3.IntegrityError for a known one."""
        self._execute("INSERT INTO slot VALUES (?, ?)", (hashed, record))

    def slots(self) -> Iterator[tuple[bytes, int]]:
        """Yield hashes and records in ascending order of the hashes."""
        return self._execute("SELECT hash, record FROM slot ORDER BY hash")
