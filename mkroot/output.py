"""The output file: unnamed while it is written, put in place whole or not at all.

It takes the place of a regular file, or of nothing: a rename would replace a device, a FIFO, a
socket or a symlink as well, and nobody means that. Where OUTPUT is a symlink, the file that it
leads to is replaced and the symlink stays.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from mkroot.beneath import look, real_path
from mkroot.disk import buffered, explained, reason_of
from mkroot.errors import BuildError, show

# File systems without O_TMPFILE say one of these.
_NO_UNNAMED_FILES: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)
_KINDS: Final = {
    stat.S_IFDIR: "a directory; name a file in it",
    stat.S_IFCHR: "a character device, and no file that can be replaced",
    stat.S_IFBLK: "a block device, and no file that can be replaced",
    stat.S_IFIFO: "a FIFO, and no file that can be replaced",
    stat.S_IFSOCK: "a socket, and no file that can be replaced",
    stat.S_IFLNK: "a symlink now, and was none when the build began",
}

# A symlink of /proc, such as /dev/stdout leads to.
_OPEN_FILE: Final = "a symlink to what a process has open, which cannot be replaced"


def names_directory(text: str) -> bool:
    """Whether the text of a path can only mean a directory; a Path does not tell any more."""
    return text.rpartition("/")[2] in ("", ".", "..")


def place_of(path: Path) -> Path:
    """Return where a webroot is put: at `path`, or at what a symlink there leads to.

    Raises BuildError, which names `path`, where something else than a regular file is there.
    """
    try:
        status = os.lstat(path)
        if not stat.S_ISLNK(status.st_mode):
            _refuse_special(path, status.st_mode)
            return path
        return _place_of_symlink(path)
    except (FileNotFoundError, NotADirectoryError):
        # It is the folder that may be missing, which is told when it is opened.
        _refuse_links_to_directories(path)
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    except OSError as error:
        raise BuildError(f"{_shown(path)}: {error.strerror}") from error


def _refuse_links_to_directories(path: Path) -> None:
    """Refuse symlinks that lead to nothing by a text that can only mean a directory."""
    place = path
    while place.is_symlink():
        text = os.readlink(place)
        if names_directory(text):
            raise BuildError(f"{_shown(path)}: a symlink to {_KINDS[stat.S_IFDIR]}")
        place = place.parent / text


def _place_of_symlink(path: Path) -> Path:
    try:
        fd = look(os.fsencode(path))
    except OSError as error:
        if error.errno == errno.ELOOP:
            what = "a symlink that leads back to itself" if _is_loop(path) else _OPEN_FILE
            raise BuildError(f"{_shown(path)}: {what}; name a file") from error
        raise
    try:
        _refuse_special(path, os.fstat(fd).st_mode, "a symlink to ")
        return Path(os.fsdecode(real_path(fd)))
    finally:
        os.close(fd)


def _is_loop(path: Path) -> bool:
    """Whether a symlink that may not be followed cannot be."""
    try:
        os.stat(path)
    except OSError:
        return True
    return False


def _refuse_special(path: Path, mode: int, prefix: str = "") -> None:
    if not stat.S_ISREG(mode):
        raise BuildError(f"{_shown(path)}: {prefix}{_KINDS[stat.S_IFMT(mode)]}")


def _shown(path: Path) -> str:
    return show(os.fsencode(path))


class Output:
    """A context manager around the file; what is not committed leaves no trace."""

    file: BinaryIO

    def __init__(self, path: Path) -> None:
        """Write nothing yet; raises BuildError for a path where no webroot can be put."""
        self.place = place_of(path)
        self._path = path
        start = os.fsdecode(os.fsencode(self.place.name)[:200])
        self._temporary = f".{start}.{secrets.token_hex(6)}"
        self._named = False

    def _failed(self, error: OSError) -> BuildError:
        folder = _shown(self.place.parent.absolute())
        reason = error.strerror
        with suppress(OSError):
            reason = reason_of(error, os.statvfs(self.place.parent))
        return BuildError(f"{_shown(self._path)}: its folder {folder}: {reason}")

    def __enter__(self) -> "Output":
        """Open the file, readable and writable; raises BuildError where the folder forbids it."""
        try:
            # Opened once: nothing that is exchanged above it matters after that.
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            self._folder = os.open(self.place.parent, flags)
            try:
                fd = self._create()
            except BaseException:
                os.close(self._folder)
                raise
        except OSError as error:
            raise self._failed(error) from error
        self.file = buffered(fd, _shown(self._path), _shown(self.place.parent.absolute()))
        return self

    def _create(self) -> int:
        try:
            return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=self._folder)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        fd = os.open(self._temporary, flags, 0o666, dir_fd=self._folder)
        self._named = True
        return fd

    def commit(self) -> None:
        """Make the file durable and give it its name, over the file that had it.

        Raises BuildError where something else has taken the name meanwhile, and OSError.
        """
        self.file.flush()
        fd = self.file.fileno()
        try:
            os.fsync(fd)
        except OSError as error:
            folder = _shown(self.place.parent.absolute())
            raise explained(error, fd, _shown(self._path), folder) from error
        with suppress(FileNotFoundError):
            status = os.stat(self.place.name, dir_fd=self._folder, follow_symlinks=False)
            _refuse_special(self._path, status.st_mode)
        try:
            self._name(fd)
        except OSError as error:
            raise self._failed(error) from error

    def _name(self, fd: int) -> None:
        folder = self._folder
        if not self._named:
            # With a descriptor given, Python calls linkat(2), which alone follows links.
            os.link(f"/proc/self/fd/{fd}", self._temporary, dst_dir_fd=folder)
            self._named = True
        os.rename(self._temporary, self.place.name, src_dir_fd=folder, dst_dir_fd=folder)
        self._named = False
        # A folder that may be written and not be read cannot be synchronized either.
        with suppress(PermissionError):
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
            try:
                os.fsync(readable)
            finally:
                os.close(readable)

    def __exit__(self, *_: object) -> None:
        """Close the file, and remove it unless it was committed."""
        if self._named:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)
        # A failed flush would only repeat the error that is on its way.
        with suppress(OSError):
            self.file.close()
        os.close(self._folder)
