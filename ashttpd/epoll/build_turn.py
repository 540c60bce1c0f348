"""Declares the compiled turn to cffi: the module `ashttpd.epoll._turn`."""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).parent

ffibuilder = FFI()
# The scan is one piece of code, whoever calls it.
_SCAN = _HERE.parent / "http"
ffibuilder.cdef((_SCAN / "scan.h").read_text() + (_HERE / "turn.h").read_text())
ffibuilder.set_source(
    "ashttpd.epoll._turn",
    (_HERE / "turn.c").read_text(),
    include_dirs=[str(_SCAN), str(_HERE.parent)],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra"],
)
