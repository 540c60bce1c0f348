"""What the kernel has of a file in its memory, and in pages of which size."""

import mmap
import os
from contextlib import closing
from pathlib import Path
from typing import Final

from ashttpd.aio.queue import cached_pages
from tests.servers import skip_for_lack

# madvise(2); mmap has no name for it.
MADV_POPULATE_READ: Final = 22


def forget(path: str | Path) -> None:
    """Have the kernel forget a file, where it can."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def cached(path: str | Path) -> int:
    """How many bytes of a file are in the kernel's memory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return cached_pages(fd, 0, os.stat(fd).st_size) * mmap.PAGESIZE
    except OSError as error:
        skip_for_lack(f"cachestat: {error}")
        raise
    finally:
        os.close(fd)


def mapped_huge(path: str | Path) -> int:
    """How many bytes of a file we have mapped in by huge pages: proc_pid_smaps(5)."""
    total, is_it = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            is_it = rest[-1] == str(path)
        elif is_it and name == "FilePmdMapped:":
            total += int(rest[0]) * 1024
    return total


def lack_of_huge_pages(path: Path) -> str:
    """Say why a file cannot be read by huge pages, or nothing; the kernel forgets it."""
    forget(path)
    with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)) as map_:
        try:
            map_.madvise(mmap.MADV_HUGEPAGE)
            map_.madvise(MADV_POPULATE_READ)
        except OSError as error:
            return f"huge pages: {error}"
        found = mapped_huge(path)
    forget(path)
    return "" if found else f"{path}: its filesystem reads no huge pages"
