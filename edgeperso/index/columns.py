"""What the index knows of each memory beside words and vector: for filters, threads, authors and duplicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeperso.index.segment import Segment, Strings
from edgeperso.times import DAY_MS
from edgeperso.types import Int64, MemoryFilter

__all__ = ["Columns"]

_NAMES = ("kind", "source", "scope", "thread", "author", "language")
_PAUSE_MS = DAY_MS // 2
_EMPTY = np.zeros(0, dtype=np.int64)


class Columns:
    """The columns of all segments, one after another.

    Attributes:
        ids, when_ms, position: int64[n].
        digest: uint64[n], equal for equal texts.
        open: bool[n], not superseded.
        previous, next: int64[n], the row of the neighbour in the same thread and occasion, -1 where there is none.
        occasion: int64[n], 0 and up: equal for the memories of one thread that lie no more than twelve hours from the
            one before. A diary's days are occasions of their own, and so are the sittings of a long chat.
    """

    def __init__(self, segments: Sequence[Segment], open_ids: Int64) -> None:
        self.ids: Int64 = np.concatenate([_EMPTY, *(segment.ids for segment in segments)])
        self.when_ms: Int64 = np.concatenate([_EMPTY, *(segment.when_ms for segment in segments)])
        self.position: Int64 = np.concatenate([_EMPTY, *(segment.position for segment in segments)])
        self.digest: NDArray[np.uint64] = np.concatenate(
            [_EMPTY.astype(np.uint64), *(segment.digest for segment in segments)]
        )
        self.open: NDArray[np.bool_] = np.isin(self.ids, open_ids)
        self._strings = {name: _merge([segment.columns[name] for segment in segments]) for name in _NAMES}
        self.previous, self.next, self.occasion = self._occasions()

    def strings(self, name: str) -> Strings:
        """The column ``kind``, ``source``, ``scope``, ``thread``, ``author`` or ``language`` over all rows."""
        return self._strings[name]

    def mask(self, where: MemoryFilter) -> NDArray[np.bool_]:
        """bool[n]: which memories ``where`` lets through; the same as the vault's own filter."""
        mask = np.ones(len(self.ids), dtype=np.bool_)
        if where.sources:
            mask &= self._matching("source", lambda value: any(_under(value, prefix) for prefix in where.sources))
        if where.kinds:
            kinds = {kind.value for kind in where.kinds}
            mask &= self._matching("kind", kinds.__contains__)
        if where.scopes:
            mask &= self._matching("scope", where.scopes.__contains__)
        if where.after_ms is not None:
            mask &= self.when_ms >= where.after_ms
        if where.before_ms is not None:
            mask &= self.when_ms < where.before_ms
        if not where.include_closed:
            mask &= self.open
        return mask

    def _matching(self, name: str, accepts: Callable[[str], bool]) -> NDArray[np.bool_]:
        column = self._strings[name]
        accepted = np.array([accepts(value) for value in column.values], dtype=np.bool_)
        return accepted[column.codes] if len(accepted) else np.zeros(0, dtype=np.bool_)

    def _occasions(self) -> tuple[Int64, Int64, Int64]:
        thread = self._strings["thread"]
        order = np.lexsort((self.ids, self.position, thread.codes))
        before = np.full(len(order), -1, dtype=np.int64)
        after = before.copy()
        occasion = np.zeros(len(order), dtype=np.int64)
        if not len(order):
            return before, after, occasion
        named = np.array([bool(value) for value in thread.values], dtype=np.bool_)
        first, second = order[:-1], order[1:]
        together = (thread.codes[first] == thread.codes[second]) & named[thread.codes[first]]
        together &= np.abs(self.when_ms[first] - self.when_ms[second]) <= _PAUSE_MS
        before[second[together]] = first[together]
        after[first[together]] = second[together]
        occasion[order] = np.concatenate(([0], np.cumsum(~together)))
        return before, after, occasion


def _under(source: str, prefix: str) -> bool:
    folder = prefix.rstrip("/")
    return source == folder or source.startswith(f"{folder}/")


def _merge(columns: list[Strings]) -> Strings:
    numbers: dict[str, int] = {}
    parts = [np.zeros(0, dtype=np.int32)]
    for column in columns:
        codes = np.array([numbers.setdefault(value, len(numbers)) for value in column.values], dtype=np.int32)
        parts.append(codes[column.codes] if len(codes) else codes)
    return Strings(tuple(numbers), np.concatenate(parts))
