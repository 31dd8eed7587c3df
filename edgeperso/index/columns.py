"""What the index knows of each memory beside words and vector: for filters, threads, authors and duplicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeperso import kernels
from edgeperso.index.attributes import STRING_COLUMNS, Attributes, Strings
from edgeperso.index.extents import Extents
from edgeperso.times import DAY_MS
from edgeperso.types import Int64, MemoryFilter

__all__ = ["Columns"]

_PAUSE_MS = DAY_MS // 2
# Ids, positions and numbers of strings get wider when one needs it.
_NUMBERS = {
    "ids": "i4",
    "when_ms": "i8",
    "position": "i1",
    "digest": "u8",
    "open": "?",
    "previous": "i4",
    "next": "i4",
    "occasion": "i4",
    **dict.fromkeys(STRING_COLUMNS, "i1"),
}
_SPARE = 4096
"""Rows of room at the end, so that a new memory moves nothing."""
_FEW_THREADS = 16
_AT_ONCE = 1 << 15
"""Rows of a long column that are taken together: what is made of them on the way stays in the processor's cache."""


class Columns:
    """The columns of all segments, one after another, changed in place by `replace`.

    They lie in the middle of their arrays, so that where rows leave the fewer of those before and behind them move.

    Attributes:
        ids: int32[n], or wider as the largest needs it.
        when_ms: int64[n].
        position: int8[n], or wider as the largest needs it.
        digest: uint64[n], equal for equal texts.
        open: bool[n], not superseded.
        previous, next: int32[n], the row of the neighbour in the same thread and occasion, -1 where there is none.
        occasion: int32[n], 0 and up: equal for the memories of one thread that lie no more than twelve hours from the
            one before. A diary's days are occasions of their own, and so are the sittings of a long chat.
    """

    ids: NDArray[np.signedinteger[Any]]
    when_ms: Int64
    position: NDArray[np.signedinteger[Any]]
    digest: NDArray[np.uint64]
    open: NDArray[np.bool_]
    previous: NDArray[np.int32]
    next: NDArray[np.int32]
    occasion: NDArray[np.int32]

    def __init__(self) -> None:
        self._room: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype) for name, dtype in _NUMBERS.items()}
        self._shown: dict[str, NDArray[Any]] = {}
        self._values: dict[str, dict[str, int]] = {name: {} for name in STRING_COLUMNS}
        self._lists: dict[str, list[str]] = {name: [] for name in STRING_COLUMNS}
        self._masks: dict[MemoryFilter, NDArray[np.bool_]] = {}
        self._occasions = 0
        self._extents: Extents | None = None
        self._show(0, 0)

    def __len__(self) -> int:
        return len(self.ids)

    def strings(self, name: str) -> Strings:
        """The column ``kind``, ``source``, ``scope``, ``thread``, ``author`` or ``language`` over all rows. Values that
        no row has any more may still be among its values until the vault is opened again."""
        return Strings(self._lists[name], self._shown[name])

    def mask(self, where: MemoryFilter) -> NDArray[np.bool_]:
        """bool[n]: which memories ``where`` lets through; the same as the vault's own filter."""
        if where not in self._masks:
            self._masks = {where: self._mask(where)}
        return self._masks[where]

    def close(self, ids: Int64) -> None:
        """Say which memories are superseded: these, and no others."""
        self.open[:] = ~np.isin(self.ids, ids)
        self._masks.clear()

    def replace(self, start: int, stop: int, blocks: Sequence[tuple[Int64, Attributes]]) -> None:
        """Put the rows of ``blocks`` (ids and columns) in the place of the rows from ``start`` to ``stop``. New rows
        are open."""
        fresh = sum(len(ids) for ids, _ in blocks)
        gone = self._shown["thread"][start:stop].copy()
        self._shift(start, stop, fresh)
        at = start
        for ids, attributes in blocks:
            self._write(slice(at, at + len(ids)), ids, attributes)
            at += len(ids)
        if self._extents is not None:
            self._extents.replaced(start, stop, self._shown["thread"][start:at], len(self._lists["thread"]))
        touched = np.zeros(len(self._lists["thread"]), dtype=np.bool_)
        touched[gone] = touched[self._shown["thread"][start:at]] = True
        if "" in self._values["thread"]:
            touched[self._values["thread"][""]] = False
        self._link(touched)
        self._masks.clear()

    def remove(self, start: int, keep: NDArray[np.bool_]) -> None:
        """Take out of the rows from ``start`` on those where ``keep`` is false."""
        gone = np.flatnonzero(~keep)
        if not len(gone):
            return
        first, last = int(gone[0]), int(gone[-1]) + 1
        between = start + first + np.flatnonzero(keep[first:last])
        is_open = self.open[between].copy()
        self.replace(start + first, start + last, [(self.ids[between].astype(np.int64), self.attributes(between))])
        self.open[start + first : start + first + len(between)] = is_open

    def attributes(self, rows: Int64) -> Attributes:
        """The columns of ``rows``, as a segment keeps them."""
        strings = {}
        for name in STRING_COLUMNS:
            used, codes = np.unique(self._shown[name][rows], return_inverse=True)
            values = self._lists[name]
            strings[name] = Strings(tuple(values[code] for code in used.tolist()), codes.astype(np.int32))
        return Attributes(self.when_ms[rows], self.position[rows].astype(np.int64), self.digest[rows], strings)

    def _show(self, first: int, rows: int) -> None:
        """Say that the columns are the ``rows`` of their arrays from ``first`` on."""
        self._first = first
        self._shown = {name: column[first : first + rows] for name, column in self._room.items()}
        for name in ("ids", "when_ms", "position", "digest", "open", "previous", "next", "occasion"):
            setattr(self, name, self._shown[name])

    def _shift(self, start: int, stop: int, fresh: int) -> None:
        """Make room for ``fresh`` rows from ``start`` on, in the place of those up to ``stop``."""
        rows, moved = len(self), fresh - (stop - start)
        if moved < 0 and start < rows - stop:
            for column in self._room.values():
                shown = column[self._first :]
                _move(shown, 0, start, -moved)
                shown[:-moved] = 0  # what left doesn't stay before the beginning
            self._show(self._first - moved, rows + moved)
        else:
            self._move_last(start, stop, fresh)
        if stop < rows and moved:
            for links in (self.previous, self.next):
                _shift_links(links, stop, moved)

    def _move_last(self, start: int, stop: int, fresh: int) -> None:
        """What `_shift` does, by the rows from ``stop`` on."""
        rows, after = len(self), len(self) + fresh - (stop - start)
        roomy = self._first + after <= len(self._room["ids"])
        first = self._first if roomy else 0
        for name, shown in self._shown.items():
            column = self._room[name]
            if roomy:
                _move(column[first:], stop, rows, start + fresh)
            else:
                column = np.empty(after + _SPARE, column.dtype)
                column[:start] = shown[:start]
                column[start + fresh : after] = shown[stop:]
                self._room[name] = column
            column[first + after : first + rows] = 0  # what left doesn't stay behind the end
        self._show(first, after)

    def _write(self, span: slice, ids: Int64, attributes: Attributes) -> None:
        self._widen("ids", ids)
        self.ids[span] = ids
        self.when_ms[span] = attributes.when_ms
        self._widen("position", attributes.position)
        self.position[span] = attributes.position
        self.digest[span] = attributes.digest
        self.open[span] = True
        for name, column in attributes.strings.items():
            known, values = self._values[name], self._lists[name]
            for value in column.values:
                if value not in known:
                    known[value] = len(values)
                    values.append(value)
            codes = np.array([known[value] for value in column.values], dtype=np.int32)
            self._widen(name, codes)
            self._shown[name][span] = codes[column.codes] if len(codes) else 0
        self.previous[span] = self.next[span] = -1
        self.occasion[span] = np.arange(self._occasions, self._occasions + len(ids))
        self._occasions += len(ids)

    def _widen(self, name: str, numbers: NDArray[np.signedinteger[Any]]) -> None:
        """Give a column as many bytes a row as ``numbers`` need."""
        column = self._room[name]
        # The negative number that takes as much room as the largest, so that the type is a signed one.
        furthest = min(-1 - int(numbers.max(initial=0)), int(numbers.min(initial=0)))
        needed = np.result_type(column.dtype, np.min_scalar_type(furthest))
        if needed != column.dtype:
            self._room[name] = column.astype(needed)
            self._show(self._first, len(self))

    def _link(self, touched: NDArray[np.bool_]) -> None:
        """Find neighbours and occasions anew for all memories of the threads that are ``touched`` (bool[threads])."""
        codes = self._shown["thread"]
        rows = self._rows_of(touched)
        if not len(rows):
            return
        order = rows[np.lexsort((self.ids[rows], self.position[rows], codes[rows]))]
        first, second = order[:-1], order[1:]
        together = (codes[first] == codes[second]) & (np.abs(self.when_ms[first] - self.when_ms[second]) <= _PAUSE_MS)
        self.previous[order] = self.next[order] = -1
        self.previous[second[together]] = first[together]
        self.next[first[together]] = second[together]
        occasions = self._occasions + np.cumsum(np.concatenate(([True], ~together)))
        self.occasion[order] = occasions
        self._occasions = int(occasions[-1]) + 1

    def _rows_of(self, touched: NDArray[np.bool_]) -> Int64:
        """The rows whose thread is ``touched`` (bool[threads])."""
        codes, threads = self._shown["thread"], np.flatnonzero(touched)
        if len(threads) > _FEW_THREADS:
            return np.flatnonzero(touched[codes])
        if self._extents is None:  # only now, since loading a vault has no use for them
            self._extents = Extents(codes, len(touched))
        return np.concatenate(
            [np.zeros(0, dtype=np.int64), *(self._extents.rows(thread, codes) for thread in threads.tolist())]
        )

    def _mask(self, where: MemoryFilter) -> NDArray[np.bool_]:
        mask = np.ones(len(self), dtype=np.bool_)
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
        column = self.strings(name)
        accepted = np.array([accepts(value) for value in column.values], dtype=np.bool_)
        return accepted[column.codes] if len(accepted) else np.zeros(0, dtype=np.bool_)


def _move(column: NDArray[Any], start: int, stop: int, to: int) -> None:
    """Move numbers to another place, which may lie over their own. (numpy takes twice as long to move them on.)"""
    numbers = column.data
    numbers[to : to + stop - start] = numbers[start:stop]


def _shift_links(links: NDArray[np.int32], start: int, moved: int) -> None:
    """Add ``moved`` to those of ``links`` that are ``start`` or more."""
    if kernels.AVAILABLE:
        from edgeperso._native import shift

        shift(links, start, moved)
        return
    for at in range(0, len(links), _AT_ONCE):
        some = links[at : at + _AT_ONCE]
        some += (some >= start) * np.int32(moved)


def _under(source: str, prefix: str) -> bool:
    folder = prefix.rstrip("/")
    return source == folder or source.startswith(f"{folder}/")
