"""Log files: what can be one, and where a line begins."""

import os
import pty
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from ashttpd.logfile import LogFile, LogFileError, NoReaderError


def test_a_line_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    file = LogFile(path)
    file.open()
    assert file.write(b"one\n") == 4
    file.close()
    assert path.read_text() == "before\none\n"


@pytest.mark.parametrize("before", ["half a line", "one\nhalf"])
def test_a_file_that_ends_within_a_line_gets_a_newline_first(tmp_path: Path, before: str) -> None:
    path = tmp_path / "log"
    path.write_text(before)
    file = LogFile(path)
    file.open()
    file.write(b"one\n")
    file.write(b"two\n")
    file.close()
    assert path.read_text() == before + "\none\ntwo\n"


def test_a_fifo_that_was_left_within_a_line_gets_a_newline_first(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LogFile(path)
    file.open()
    file.write(b"half")
    file.open()
    file.write(b"one\n")
    file.close()
    assert os.read(reader, 100) == b"half\none\n"
    os.close(reader)


def test_a_fifo_without_a_reader_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    with pytest.raises(NoReaderError, match=f"{path}: no process reads"):
        LogFile(path).open()


def _fill(file: LogFile) -> None:
    """Write until there is no room, which has to be told and not waited for."""
    with suppress(BlockingIOError):
        while True:
            file.write(b"x" * 4096)


def test_a_full_pipe_that_others_share_does_not_block_and_stays_as_they_have_it() -> None:
    reader, writer = os.pipe()
    file = LogFile(writer)
    _fill(file)
    assert os.get_blocking(writer)
    file.close()
    os.close(writer)
    os.close(reader)


def test_a_terminal_that_takes_nothing_does_not_block_and_stays_as_others_have_it() -> None:
    master, terminal = pty.openpty()
    file = LogFile(terminal)
    assert file.fd is not None
    assert not os.get_blocking(file.fd)
    _fill(file)
    assert os.get_blocking(terminal)
    file.close()
    os.close(terminal)
    os.close(master)


def test_a_full_socket_does_not_block_and_stays_as_others_have_it() -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        file = LogFile(writer.fileno())
        _fill(file)
        assert writer.getblocking()
        file.close()
        assert writer.fileno() >= 0


def test_what_can_never_be_a_log_is_named_with_the_reason(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    (tmp_path / "file").touch()
    for name, reason in (
        (".", "it is a directory"),
        ("socket", "it is a socket"),
        ("missing/log", "No such file or directory"),
        ("file/log", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("\0", "null"),
    ):
        with pytest.raises(LogFileError, match=reason) as caught:
            LogFile(tmp_path / name).open()
        assert name.strip(".\0") in str(caught.value)


def test_a_descriptor_that_is_not_open_for_writing_is_told() -> None:
    reader, writer = os.pipe()
    with pytest.raises(LogFileError, match=f"descriptor {reader} is closed, or not open"):
        LogFile(reader).open()
    os.close(reader)
    os.close(writer)


def test_two_logs_in_one_file_do_not_overwrite_each_other_and_a_truncated_one_has_no_hole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log"
    given = os.open(path, os.O_WRONLY | os.O_CREAT)
    one, other = LogFile(given), LogFile(path)
    other.open()
    for number in range(3):
        one.write(b"one %d\n" % number)
        other.write(b"other %d\n" % number)
    assert path.read_text() == "".join(f"one {n}\nother {n}\n" for n in range(3))
    os.truncate(path, 0)
    one.write(b"after\n")
    assert path.read_bytes() == b"after\n"
    other.close()
    os.close(given)
