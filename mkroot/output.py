"""The output file: unnamed while it is written, put in place whole or not at all."""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

# File systems without O_TMPFILE say one of these.
_NO_UNNAMED_FILES: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)
_BUFFER_BYTES: Final = 1 << 20


class Output:
    """A context manager around the file; what is not committed leaves no trace."""

    file: BinaryIO

    def __init__(self, path: Path) -> None:
        """Write nothing yet; `path` is where `commit` puts the file."""
        self._path = path
        start = os.fsdecode(os.fsencode(path.name)[:200])
        self._temporary = path.parent / f".{start}.{secrets.token_hex(6)}"
        self._named = False

    def __enter__(self) -> "Output":
        """Open the file, readable and writable; raises OSError."""
        try:
            fd = os.open(self._path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            fd = os.open(self._temporary, flags, 0o666)
            self._named = True
        self.file = os.fdopen(fd, "w+b", buffering=_BUFFER_BYTES)
        return self

    def commit(self) -> None:
        """Make the file durable and give it its name, over what had it; raises OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not self._named:
                # With a descriptor given, Python calls linkat(2), which alone follows links.
                source = f"/proc/self/fd/{self.file.fileno()}"
                os.link(source, self._temporary.name, dst_dir_fd=directory)
                self._named = True
            os.rename(self._temporary, self._path)
            self._named = False
            os.fsync(directory)
        finally:
            os.close(directory)

    def __exit__(self, *_: object) -> None:
        """Close the file, and remove it unless it was committed."""
        if self._named:
            with suppress(OSError):
                os.unlink(self._temporary)
        # A failed flush would only repeat the error that is on its way.
        with suppress(OSError):
            self.file.close()
