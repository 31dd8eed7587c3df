"""Between which rows the memories of each thread lie, so that finding them needn't look at all rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeperso.types import Int64

__all__ = ["Extents"]

_NOWHERE = 2**31 - 1


class Extents:
    """Bounds of the rows of each thread, kept in step with changes of the rows; wider than need be at times, never
    narrower.

    Args:
        codes: int[n], the thread of each row.
        threads: how many there are.
    """

    def __init__(self, codes: NDArray[np.signedinteger[Any]], threads: int) -> None:
        rows = np.arange(len(codes), dtype=np.int32)
        self._first = np.full(threads, _NOWHERE, dtype=np.int32)
        self._last = np.full(threads, -1, dtype=np.int32)
        self._first[codes[::-1]] = rows[::-1]  # of several the one that is written last stays
        self._last[codes] = rows

    def replaced(self, start: int, stop: int, codes: NDArray[np.signedinteger[Any]], threads: int) -> None:
        """Rows with ``codes`` took the place of the rows from ``start`` to ``stop``; there are ``threads`` now."""
        moved = len(codes) - (stop - start)
        first, last = self._first, self._last
        if moved or start < stop:
            inside = (first >= start) & (first < stop)
            first[(first >= stop) & (first != _NOWHERE)] += moved
            first[inside] = start
            inside = (last >= start) & (last < stop)
            last[last >= stop] += moved
            last[inside] = start - 1
            gone = last < first
            first[gone], last[gone] = _NOWHERE, -1
        more = threads - len(first)
        self._first = np.append(first, np.full(more, _NOWHERE, dtype=np.int32))
        self._last = np.append(last, np.full(more, -1, dtype=np.int32))
        rows = np.arange(start, start + len(codes), dtype=np.int32)
        np.minimum.at(self._first, codes, rows)
        np.maximum.at(self._last, codes, rows)

    def rows(self, thread: int, codes: NDArray[np.signedinteger[Any]]) -> Int64:
        """int64[m]: the rows of ``thread`` out of ``codes``, the threads of all rows as they are now."""
        first, last = int(self._first[thread]), int(self._last[thread])
        return np.flatnonzero(codes[first : last + 1] == thread) + first
