"""Declares the queue to cffi: the module `ashttpd.aio._aio`."""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).parent

ffibuilder = FFI()
ffibuilder.cdef((_HERE / "cdef.h").read_text())
ffibuilder.set_source(
    "ashttpd.aio._aio",
    (_HERE / "shim.c").read_text(),
    libraries=["aio"],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra"],
)
