"""Declares the compiled scan to cffi: the module `ashttpd.http._scan`."""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).parent

ffibuilder = FFI()
ffibuilder.cdef((_HERE / "scan.h").read_text())
ffibuilder.set_source(
    "ashttpd.http._scan",
    (_HERE / "scan.c").read_text(),
    include_dirs=[str(_HERE)],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra"],
)
