"""The scan in each of its builds, behind one signature: bytes and an offset in, a verdict out."""

import ctypes
import mmap
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Final

from ashttpd.http.errors import HTTPError
from ashttpd.http.limits import Limits
from ashttpd.http.scan import ANSWERS, Fault, scan_slowly
from fuzz.shared import shared

# The length of the head and its key, why it is refused, or None for "not enough bytes yet".
Verdict = tuple[int, bytes] | Fault | None

_DRIVER: Final = Path(__file__).parent / "scan_sanitized.c"
_PROT_NONE: Final = 0
_PAGES: Final = 32


def _verdict(packed: int, key: bytes) -> Verdict:
    if packed < 0:
        return Fault(-packed)
    return (packed & 0xFFFFFFFF, key) if packed else None


def _numbers(limits: Limits) -> tuple[int, int, int]:
    """The limits as scan.h has them."""
    return limits.head_bytes, limits.target_bytes, limits.head_fields


def scan_with_twin(limits: Limits, data: bytes, offset: int) -> Verdict:
    """Scan in Python."""
    try:
        return scan_slowly(data, offset, limits)
    except HTTPError as error:
        return next(f for f, answer in ANSWERS.items() if answer == (error.status, str(error)))


class _Fenced:
    """Memory with a page in front of it and one behind that nobody may touch: who does, dies."""

    def __init__(self) -> None:
        page = mmap.PAGESIZE
        self.length = _PAGES * page
        # The pages stay until the process ends.
        self._memory = mmap.mmap(-1, self.length + 2 * page)
        fence = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._start = fence + page
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        for address in (fence, self._start + self.length):
            if mprotect(ctypes.c_void_p(address), ctypes.c_size_t(page), _PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")

    def at_start(self, data: bytes) -> int:
        """Put bytes right behind the first fence; returns their address."""
        ctypes.memmove(self._start, data, len(data))
        return self._start

    def at_end(self, data: bytes) -> int:
        """Put bytes right before the last fence; returns their address."""
        start = self._start + self.length - len(data)
        ctypes.memmove(start, data, len(data))
        return start


class FencedScan:
    """The compiled scan as the server has it, its input and its key between fences."""

    def __init__(self, module: ModuleType) -> None:
        """Take `ashttpd.http._scan`."""
        self._ffi, self._lib = module.ffi, module.lib
        self._input, self._key = _Fenced(), _Fenced()

    def at_start(self, limits: Limits, data: bytes, offset: int) -> Verdict:
        """Scan what stands right behind a fence."""
        return self._scan(limits, self._input.at_start(data), offset, len(data))

    def at_end(self, limits: Limits, data: bytes, offset: int) -> Verdict:
        """Scan what stands right before a fence."""
        return self._scan(limits, self._input.at_end(data), offset, len(data))

    def _scan(self, limits: Limits, address: int, offset: int, length: int) -> Verdict:
        c_limits = self._ffi.new("struct ashttpd_limits *", _numbers(limits))
        pointer = self._ffi.cast("char *", address)
        key = self._ffi.cast("char *", self._key.at_end(bytes(self._lib.ashttpd_max_key(c_limits))))
        packed = self._lib.ashttpd_scan(c_limits, pointer, offset, length, key)
        return _verdict(packed, self._ffi.buffer(key, max(packed, 0) >> 32)[:])


class SanitizedScan:
    """The scan under AddressSanitizer and UndefinedBehaviorSanitizer, in a process of its own."""

    def __init__(self, program: Path) -> None:
        """Start no process yet: whatever ends one, the next case gets another."""
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._report: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # until close

    def __call__(self, limits: Limits, data: bytes, offset: int) -> Verdict:
        """Scan; raises AssertionError with the sanitizer's report."""
        return self.scan_lied_to(limits, data, offset, len(data))

    def scan_lied_to(self, limits: Limits, data: bytes, offset: int, length: int) -> Verdict:
        """Scan bytes of which the scan is told another length."""
        if self._process is None:
            self._process = self._start()
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        try:
            pipe_in.write(struct.pack("=6i", *_numbers(limits), len(data), offset, length) + data)
            pipe_in.flush()
            result = pipe_out.read(8)
        except BrokenPipeError:
            result = b""
        if len(result) < 8:
            raise AssertionError(self._end())
        (packed,) = struct.unpack("=q", result)
        return _verdict(packed, pipe_out.read(max(packed, 0) >> 32))

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [self._program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._report,
            # Looking for leaks takes ptrace(2), which containers often forbid.
            env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"},
        )

    def _end(self) -> str:
        """Wait for the process; returns what it said and how it ended."""
        assert self._process is not None
        self._process.communicate()
        status, self._process = self._process.returncode, None
        self._report.seek(0)
        report = self._report.read().decode("utf-8", "replace")
        self._report.seek(0)
        self._report.truncate()
        return f"the sanitized scan ended with {status}\n{report}"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._end()
        self._report.close()


@shared
@contextmanager
def sanitized_scan() -> Iterator[SanitizedScan]:
    """Compile the driver and return the scan in it; raises CalledProcessError."""
    compiler = os.environ.get("CC", "cc").split()
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    with tempfile.TemporaryDirectory(prefix="ashttpd-fuzz-") as directory:
        program = Path(directory) / "scan"
        command = [*compiler, *flags, *checks, "-o", str(program), str(_DRIVER)]
        subprocess.run(command, check=True)
        scan = SanitizedScan(program)
        try:
            yield scan
        finally:
            scan.close()
