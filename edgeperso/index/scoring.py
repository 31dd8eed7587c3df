"""Scores of every memory for a question: BM25 over postings, cosine over vectors.

Native kernels are to fill the same seams.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeperso.index.segment import Segment
from edgeperso.types import Float32

__all__ = ["Bm25", "DenseScan", "DenseScorer", "LexicalScorer", "VectorBlock"]

_SCAN_ROWS = 1024


class LexicalScorer(Protocol):
    """Scores by words. Rows are those of the segments, one segment after another."""

    def idf(self, term: str) -> float: ...

    def scores(self, terms: Mapping[str, float]) -> Float32: ...


class DenseScorer(Protocol):
    """Scores by vectors, for the same rows."""

    def scores(self, vector: Float32) -> Float32: ...


class Bm25:
    """BM25 as Lucene computes it, with ``k1`` and ``b``, exact.

    ``idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5))``; a term adds ``idf * tf / (tf + k1 * (1 - b + b * dl / avgdl))``.
    Source: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; the form without the
    constant ``k1 + 1`` as in Kamphuis et al., "Which BM25 do you mean?", ECIR 2020.
    """

    def __init__(self, segments: Sequence[Segment], *, k1: float, b: float) -> None:
        self._segments = tuple(segments)
        sizes = [len(segment.ids) for segment in self._segments]
        self._offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        self._total = int(self._offsets[-1])
        none = np.zeros(0, dtype=np.float32)
        lengths = np.concatenate([none, *(segment.lengths.astype(np.float32) for segment in self._segments)])
        average = float(lengths.mean()) if self._total else 0.0
        self._norms = (k1 * (1.0 - b + b * lengths / max(average, 1e-9))).astype(np.float32)

    def idf(self, term: str) -> float:
        """How telling ``term`` is, 0 where nothing holds it."""
        holding = sum(len(segment.postings(term)[0]) for segment in self._segments)
        return math.log1p((self._total - holding + 0.5) / (holding + 0.5)) if holding else 0.0

    def scores(self, terms: Mapping[str, float]) -> Float32:
        """``float32[rows]``, 0 and more: the weighted sum over ``terms`` (term to weight)."""
        out = np.zeros(self._total, dtype=np.float32)
        for term, weight in terms.items():
            gain = weight * self.idf(term)
            if gain == 0.0:
                continue
            for segment, start, end in zip(self._segments, self._offsets, self._offsets[1:], strict=False):
                rows, counts = segment.postings(term)
                frequency = counts.astype(np.float32)
                out[start:end][rows] += gain * frequency / (frequency + self._norms[start:end][rows])
        return out


@dataclass(frozen=True, slots=True)
class VectorBlock:
    """One segment's ``vectors``, float16[n, dim] of unit length; zeros where ``present`` (bool[n]) is false."""

    vectors: NDArray[np.float16]
    present: NDArray[np.bool_]


class DenseScan:
    """Cosine with every vector, exact up to the float16 they are kept in, computed in float32."""

    def __init__(self, blocks: Iterable[VectorBlock]) -> None:
        self._blocks = tuple(blocks)

    def scores(self, vector: Float32) -> Float32:
        """``float32[rows]``, -1 to 1, NaN where a memory has no vector yet."""
        parts = [np.zeros(0, dtype=np.float32)]
        for block in self._blocks:
            out = np.full(len(block.vectors), np.nan, dtype=np.float32)
            parts.append(out)
            if not block.present.any():
                continue
            for start in range(0, len(out), _SCAN_ROWS):
                rows = slice(start, start + _SCAN_ROWS)
                np.dot(block.vectors[rows].astype(np.float32), vector, out=out[rows])
            out[~block.present] = np.nan
        return np.concatenate(parts)
