"""Declares the ring to cffi: the module `ashttpd.uring._uring`."""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).parent
# The scan is one piece of code, whoever calls it.
_SCAN = _HERE.parent / "http"

ffibuilder = FFI()
ffibuilder.cdef((_SCAN / "scan.h").read_text() + (_HERE / "cdef.h").read_text())
ffibuilder.set_source(
    "ashttpd.uring._uring",
    (_HERE / "shim.c").read_text(),
    libraries=["uring"],
    include_dirs=[str(_HERE), str(_SCAN), str(_HERE.parent)],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra"],
)
