"""Programs that are started without a standard input, output or error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import PROGRAM, run_program

# Runs with the standard descriptors closed, and prints to the pipe that it was given.
_WITHOUT_STANDARD = """
import os, sys
for fd in range(3):
    os.close(fd)
from ashttpd.logfile import LogFile, LogFileError
from ashttpd.standard import keep_standard_descriptors
keep_standard_descriptors()
opened = os.open("/dev/null", os.O_RDONLY)
try:
    os.write(1, b"to a client")
    said = "written"
except OSError as error:
    said = error.strerror
try:
    LogFile(1).open()
except LogFileError as error:
    said += f", {error}"
os.write(int(sys.argv[1]), f"{opened > 2}, {said}".encode())
"""


def test_no_file_gets_the_number_of_a_standard_descriptor_that_was_closed() -> None:
    reader, writer = os.pipe()
    arguments = (sys.executable, "-c", _WITHOUT_STANDARD, str(writer))
    subprocess.run(arguments, pass_fds=(writer,), check=True)
    os.close(writer)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    assert said == (
        "True, Bad file descriptor, the standard output is closed, or not open for writing"
    )


@pytest.mark.parametrize("program", [PROGRAM, (sys.executable, "-m", "mkroot")])
def test_without_a_standard_error_its_messages_do_not_go_to_the_standard_output(
    program: tuple[str, ...], tmp_path: Path
) -> None:
    shell = ("sh", "-c", 'exec "$@" 2>&-', "sh", *program)
    for arguments in ((str(tmp_path / "missing"), str(tmp_path / "output")), ("--unknown",)):
        done = run_program(*arguments, program=shell)
        assert done.returncode != 0
        assert (done.stdout, done.stderr) == ("", "")
