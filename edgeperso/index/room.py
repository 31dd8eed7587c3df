"""Memory of the index: large tables that many parts share, and what is given back to the system."""

from __future__ import annotations

import ctypes
import mmap
import sys
import weakref
from typing import Any

from numpy.typing import DTypeLike, NDArray

from edgeperso.secrecy import secret_array

__all__ = ["Room", "give_back"]


class Room:
    """Rows for the arrays of many parts, one after another: a `secret_array` of many megabytes lies in large
    pages, and to look at rows here and there, or at all of them, takes a fifth less time than in small ones.

    Args:
        rows, width: how many rows there are to take, and their length.
    """

    def __init__(self, rows: int, width: int, dtype: DTypeLike) -> None:
        self._table: NDArray[Any] = secret_array((rows, width), dtype)
        self._taken = 0

    @property
    def left(self) -> int:
        return len(self._table) - self._taken

    def take(self, rows: int, width: int) -> NDArray[Any]:
        """An array [rows, width] of zeros; one of its own where not so many rows of that width are left. When it is
        dropped, what it held is overwritten: hold no view of it longer than itself."""
        if rows > self.left or width != self._table.shape[1]:
            return secret_array((rows, width), self._table.dtype)
        taken = self._table[self._taken : self._taken + rows]
        weakref.finalize(taken, _wipe, self._table, self._taken, rows).atexit = False
        self._taken += rows
        return taken


def _wipe(table: NDArray[Any], start: int, rows: int) -> None:
    gone = table[start : start + rows]
    gone[:] = 0
    if sys.platform == "linux":
        # Its whole pages go back to the system, which gives zeros for them: nobody takes these rows again.
        first = -(-gone.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (gone.ctypes.data + gone.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last:
            advise = ctypes.CDLL(None).madvise
            advise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), mmap.MADV_DONTNEED)


def give_back() -> None:
    """Return what was freed: of payloads that were read, unpacked or rewritten, glibc keeps 60 MB and more."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
