"""Bytes as a C ``FILE`` that has no name: llama.cpp reads adapters from files, and an adapter must not lie in one.

Linux, macOS and other POSIX systems: ``fmemopen``, a stream over the process's own memory. There is no file, not even
an unnamed one. Windows has no such stream: a file in a new private folder, opened so that the system deletes it when
it is closed, or when the process ends, and keeps it in its cache where it can; others can't open it meanwhile.

Source: POSIX.1-2008, fmemopen; Microsoft C run-time library, _open (_O_TEMPORARY, _O_SHORT_LIVED) and _fdopen.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from edgeperso.errors import ModelError

__all__ = ["anonymous_file"]


@contextmanager
def anonymous_file(data: bytes) -> Iterator[ctypes.c_void_p]:
    """A ``FILE *`` at the start of ``data``, closed afterwards.

    Raises:
        ModelError: the system can't give one.
    """
    opened = _temporary(data) if sys.platform == "win32" else _in_memory(data)
    with opened as file:
        yield file


@contextmanager
def _in_memory(data: bytes) -> Iterator[ctypes.c_void_p]:
    library = _c_library()
    with _closing(library, library.fmemopen(data, len(data), b"rb")) as file:
        yield file


@contextmanager
def _temporary(data: bytes) -> Iterator[ctypes.c_void_p]:
    """A file that is gone once it is closed. The flags exist on Windows alone; elsewhere its name is removed by hand,
    so that this way can be tried on any system."""
    flags = sum(getattr(os, name, 0) for name in ("O_BINARY", "O_TEMPORARY", "O_SHORT_LIVED", "O_NOINHERIT"))
    library = _c_library()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o600)
        if not hasattr(os, "O_TEMPORARY"):
            path.unlink()
        _write(descriptor, data)
        fdopen = library._fdopen if sys.platform == "win32" else library.fdopen  # noqa: SLF001
        with _closing(library, fdopen(descriptor, b"rb")) as file:
            yield file


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.lseek(descriptor, 0, os.SEEK_SET)


@contextmanager
def _closing(library: ctypes.CDLL, file: int | None) -> Iterator[ctypes.c_void_p]:
    if not file:
        raise ModelError("The system gives no stream to load an adapter from.", hint="Free some memory.")
    try:
        yield ctypes.c_void_p(file)
    finally:
        library.fclose(file)


@cache
def _c_library() -> ctypes.CDLL:
    """The C library whose ``FILE`` llama.cpp uses: the process's own, on Windows the universal C runtime."""
    library = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
    names = ("_fdopen",) if sys.platform == "win32" else ("fdopen", "fmemopen")
    for name in names:
        getattr(library, name).restype = ctypes.c_void_p
    library.fclose.argtypes = [ctypes.c_void_p]
    return library
