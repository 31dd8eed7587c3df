"""The cosine with every vector through short codes: bits choose, bytes order, exact vectors decide at the top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from edgeperso import kernels
from edgeperso.index.codes import Codes, codes_of
from edgeperso.index.dense import products
from edgeperso.index.found import Found
from edgeperso.types import Float32, Int64

if TYPE_CHECKING:
    from edgeperso._native import CodeIndex, CodeRows

__all__ = ["CodeBlock", "CodeScan", "NumpyStages", "Stages"]

_CANDIDATES = 4096
"""So many rows, or twice those asked for, are compared by their codes."""
_WIDENING = 4
"""So many times the candidates are taken by their bits alone."""
_EXACT = 16
"""So many of them, or fewer, get their exact cosine."""
_SAMPLE = 4096


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CodeBlock:
    """One segment's codes, as `edgeperso.index.codes.codes_of` gives them.

    Attributes:
        bits: uint8[n, ceil(dim / 8)].
        codes: int8[n, dim]; of dim 0 where no row has a vector.
        scales: float32[n].
        present: bool[n], whether the row has a vector.
    """

    bits: NDArray[np.uint8]
    codes: NDArray[np.int8]
    scales: Float32
    present: NDArray[np.bool_]


class Stages(Protocol):
    """What is done over codes. An estimate is the product of two rows' codes times the row's scale, float32: the
    cosine, but for the question's own scale."""

    def nearest(
        self,
        bits: NDArray[np.uint8],
        codes: NDArray[np.int8],
        candidates: int,
        keep: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[Int64, Float32]:
        """Of the 4 × ``candidates`` rows whose bits differ least from ``bits`` (uint8[width]), the ``candidates`` for
        which ``codes`` sum up highest where their bits are set, and of these the ``keep`` best by estimate, with it.
        Ties go to the lower row each time."""
        ...

    def estimates(self, codes: NDArray[np.int8], rows: Int64) -> Float32:
        """float32[len(rows)]; NaN where there is no vector."""
        ...

    def moments(self, codes: NDArray[np.int8], step: int) -> tuple[float, float]:
        """Mean and deviation of the estimates of every ``step``-th row that has a vector; zeros if none has."""
        ...


class CodeScan:
    """Cosines by codes. ``exact`` gives the vectors of rows, float16[len(rows), dim] of unit length; it is asked for
    16 rows at most in a search, so they needn't be in memory."""

    def __init__(
        self,
        blocks: Sequence[CodeBlock],
        exact: Callable[[Int64], NDArray[np.float16]],
        stages: Stages | None = None,
    ) -> None:
        self._rows = sum(len(block.present) for block in blocks)
        self._exact = exact
        self._native = _native_stages(blocks) if stages is None and kernels.AVAILABLE else None
        self._stages = stages or self._native or NumpyStages(blocks)
        self._asked: tuple[Float32, Codes] | None = None

    @property
    def native(self) -> CodeIndex | None:
        """The blocks as the kernels search them, where they do."""
        return self._native

    def top(self, vector: Float32, k: int, mask: NDArray[np.bool_] | None = None) -> Found:
        """The ``k`` best rows with a vector among those that ``mask`` (bool[rows]) lets through: the first 16 by exact
        cosine, the rest by estimate (within 0.01). Statistics are of estimates."""
        question = self.coded(vector)
        scale = question.scales[0]
        keep = max(k, _EXACT)
        candidates = max(_CANDIDATES, 2 * k)
        rows, estimates = self._stages.nearest(question.bits[0], question.codes[0], candidates, keep, mask)
        scores = estimates * scale
        scores[:_EXACT] = self.at(vector, rows[:_EXACT])
        order = np.lexsort((rows, -scores))[:k]
        mean, deviation = self._moments(question)
        return Found(rows[order], scores[order], mean, deviation)

    def at(self, vector: Float32, rows: Int64) -> Float32:
        """``float32[len(rows)]``: the exact cosines of ``rows``, NaN without a vector."""
        out = np.full(len(rows), np.nan, dtype=np.float32)
        there = ~np.isnan(self.estimates(vector, rows))
        if there.any():
            out[there] = products(self._exact(rows[there]), vector)
        return out

    def estimates(self, vector: Float32, rows: Int64) -> Float32:
        """``float32[len(rows)]``: the cosines of ``rows`` within 0.01, without their exact vectors."""
        question = self.coded(vector)
        return np.asarray(self._stages.estimates(question.codes[0], rows) * question.scales[0], dtype=np.float32)

    def scores(self, vector: Float32) -> Float32:
        """``float32[rows]``: the estimates of all rows."""
        return self.estimates(vector, np.arange(self._rows, dtype=np.int64))

    def coded(self, vector: Float32) -> Codes:
        """The question's codes, of one row: one search asks for them several times."""
        if self._asked is None or self._asked[0] is not vector:
            self._asked = vector, codes_of(vector[None, :])
        return self._asked[1]

    def _moments(self, question: Codes) -> tuple[float, float]:
        step = max(1, -(-self._rows // _SAMPLE))
        mean, deviation = self._stages.moments(question.codes[0], step)
        return mean * float(question.scales[0]), deviation * float(question.scales[0])


def _native_stages(blocks: Sequence[CodeBlock]) -> CodeIndex:
    from edgeperso._native import CodeIndex

    return CodeIndex([_native_rows(block) for block in blocks])


_checked: WeakKeyDictionary[CodeBlock, CodeRows] = WeakKeyDictionary()
"""Blocks as the kernels search them. After a change of the vault nearly all of them are as they were."""


def _native_rows(block: CodeBlock) -> CodeRows:
    found = _checked.get(block)
    if found is None:
        from edgeperso._native import CodeRows

        found = _checked[block] = CodeRows(block.bits, block.codes, block.scales, block.present)
    return found


class NumpyStages:
    """The stages in numpy: the native ones' oracle, and what serves without them."""

    def __init__(self, blocks: Sequence[CodeBlock]) -> None:
        dim = max((block.codes.shape[1] for block in blocks), default=0)
        self._blocks = [
            block if block.codes.shape[1] == dim else _without_vectors(len(block.present), dim) for block in blocks
        ]
        self._starts = np.cumsum([0, *(len(block.present) for block in blocks)])

    def nearest(
        self,
        bits: NDArray[np.uint8],
        codes: NDArray[np.int8],
        candidates: int,
        keep: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[Int64, Float32]:
        far = 8 * len(bits) + 1
        distances = [np.zeros(0, dtype=np.int64)]
        for block in self._blocks:
            found = np.bitwise_count(block.bits ^ bits).sum(axis=1, dtype=np.int64)
            distances.append(np.where(block.present, found, far))
        distance = np.concatenate(distances)
        if mask is not None:
            distance[~mask] = far
        rows = np.argsort(distance, kind="stable")[: _WIDENING * candidates]
        rows = rows[distance[rows] < far]
        rows = rows[np.lexsort((rows, -self._sums(codes, rows)))][:candidates]
        estimates = self.estimates(codes, rows)
        order = np.lexsort((rows, -estimates))[:keep]
        return rows[order], estimates[order]

    def _sums(self, codes: NDArray[np.int8], rows: Int64) -> NDArray[np.float64]:
        """float64[len(rows)], whole numbers: the sum of ``codes`` where the bits of each row are set."""
        bits = [np.zeros((0, -(-len(codes) // 8)), dtype=np.uint8), *(block.bits for block in self._blocks)]
        chosen = np.unpackbits(np.concatenate(bits)[rows], axis=1, count=len(codes))
        return np.asarray(chosen @ codes.astype(np.float64))

    def estimates(self, codes: NDArray[np.int8], rows: Int64) -> Float32:
        out = np.full(len(rows), np.nan, dtype=np.float32)
        wide = codes.astype(np.float64)
        block_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(block_of):
            block, chosen = self._blocks[number], np.flatnonzero(block_of == number)
            local = rows[chosen] - self._starts[number]
            there = block.present[local]
            # Sums of products of bytes are whole numbers, exact in float64.
            dots = (block.codes[local[there]].astype(np.float64) @ wide).astype(np.float32)
            out[chosen[there]] = dots * block.scales[local[there]]
        return out

    def moments(self, codes: NDArray[np.int8], step: int) -> tuple[float, float]:
        estimates = self.estimates(codes, np.arange(0, self._starts[-1], step))
        known = estimates[~np.isnan(estimates)].astype(np.float64)
        return (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)


def _without_vectors(n: int, dim: int) -> CodeBlock:
    none = codes_of(np.zeros((n, dim), dtype=np.float16))
    return CodeBlock(*none, np.zeros(n, dtype=np.bool_))
