"""Programs that the kernel refuses a system call, as a container's seccomp filter makes it."""

import platform
import sys
from typing import Final

_NUMBERS: Final = {
    "x86_64": {"io_setup": 206, "io_uring_setup": 425, "openat": 257, "accept4": 288},
    "aarch64": {"io_setup": 0, "io_uring_setup": 425, "openat": 56, "accept4": 242},
}

# The numbers are those of prctl(2), linux/seccomp.h and linux/filter.h; the offsets those of struct
# seccomp_data: the call, and the lower half of its third argument.
_REFUSING: Final = """
import ctypes, os, struct, sys
SET_NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, THIRD_ARGUMENT, ERRNO, ALLOW = 0, 32, 0x50000, 0x7FFF0000
call, flags, number = map(int, sys.argv[1:4])
instructions = [
    (LOAD_WORD, 0, 0, NUMBER),
    (JUMP_EQUAL, 0, 3 if flags else 1, call),
    *([(LOAD_WORD, 0, 0, THIRD_ARGUMENT), (JUMP_SET, 0, 1, flags)] if flags else []),
    (RETURN, 0, 0, ERRNO | number),
    (RETURN, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in instructions))
header = ctypes.create_string_buffer(
    struct.pack("@HP", len(instructions), ctypes.addressof(code))
)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(SET_SECCOMP, MODE_FILTER, header, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execvp(sys.argv[4], sys.argv[4:])
"""


def refusing(call: str, number: int, flags: int = 0) -> tuple[str, ...]:
    """Return the beginning of a command line whose rest is refused a call with an errno.

    With `flags`, only where the third argument has one of them.
    """
    calls = _NUMBERS[platform.machine()]
    return (sys.executable, "-c", _REFUSING, str(calls[call]), str(flags), str(number))
