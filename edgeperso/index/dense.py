"""Scores by vectors: the exact cosine with each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeperso import kernels
from edgeperso.index.found import Found, found_in
from edgeperso.types import Float32, Int64

__all__ = ["DenseScan", "VectorBlock", "products"]

_SCAN_ROWS = 1024


@dataclass(frozen=True, slots=True)
class VectorBlock:
    """One segment's ``vectors``, float16[n, dim] of unit length; zeros where ``present`` (bool[n]) is false."""

    vectors: NDArray[np.float16]
    present: NDArray[np.bool_]


class DenseScan:
    """Cosine with every vector, exact up to the float16 they are kept in, computed in float32."""

    def __init__(self, blocks: Iterable[VectorBlock]) -> None:
        self._blocks = tuple(blocks)
        self._starts = np.cumsum([0, *(len(block.vectors) for block in self._blocks)])

    def scores(self, vector: Float32) -> Float32:
        """``float32[rows]``, -1 to 1, NaN where a memory has no vector yet."""
        parts = [np.zeros(0, dtype=np.float32)]
        for block in self._blocks:
            out = np.full(len(block.vectors), np.nan, dtype=np.float32)
            parts.append(out)
            if block.present.any():
                out[:] = products(block.vectors, vector)
                out[~block.present] = np.nan
        return np.concatenate(parts)

    def top(self, vector: Float32, k: int, mask: NDArray[np.bool_] | None = None) -> Found:
        """The ``k`` best rows with a vector among those that ``mask`` (bool[rows]) lets through."""
        scores = self.scores(vector)
        present = ~np.isnan(scores)
        return found_in(scores, k, present if mask is None else present & mask, scores[present])

    def at(self, vector: Float32, rows: Int64) -> Float32:
        """``float32[len(rows)]``: the cosines of ``rows``, NaN without a vector."""
        out = np.full(len(rows), np.nan, dtype=np.float32)
        block_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(block_of):
            block, chosen = self._blocks[number], np.flatnonzero(block_of == number)
            local = rows[chosen] - self._starts[number]
            there = block.present[local]
            out[chosen[there]] = products(block.vectors[local[there]], vector)
        return out


def products(vectors: NDArray[np.float16], vector: Float32) -> Float32:
    """``float32[n]``: the products of ``vectors`` (float16[n, dim]) and ``vector`` (float32[dim]), in float32."""
    if kernels.AVAILABLE:
        from edgeperso._native import half_dots

        return half_dots(np.ascontiguousarray(vectors), np.ascontiguousarray(vector))
    out = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(out), _SCAN_ROWS):
        rows = slice(start, start + _SCAN_ROWS)
        np.dot(vectors[rows].astype(np.float32), vector, out=out[rows])
    return out
