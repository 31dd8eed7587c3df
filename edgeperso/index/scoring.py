"""The seam of the scorers: by words and by vectors. Rows are those of the segments, one segment after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeperso import kernels
from edgeperso.index.code_scan import CodeBlock, CodeScan
from edgeperso.index.dense import DenseScan, VectorBlock
from edgeperso.index.found import Found
from edgeperso.index.lexical import Bm25, NativeBm25
from edgeperso.index.segment import Segment
from edgeperso.types import Float32, Int64

__all__ = [
    "Bm25",
    "CodeBlock",
    "CodeScan",
    "DenseScan",
    "DenseScorer",
    "Found",
    "LexicalScorer",
    "VectorBlock",
    "lexical_scorer",
]


class LexicalScorer(Protocol):
    """Scores by words; ``terms`` gives each term its weight."""

    def idf(self, term: str) -> float: ...

    def scores(self, terms: Mapping[str, float]) -> Float32: ...

    def top(self, terms: Mapping[str, float], k: int, mask: NDArray[np.bool_] | None = None) -> Found:
        """The ``k`` best rows that hold a term, among those that ``mask`` (bool[rows]) lets through."""
        ...

    def at(self, terms: Mapping[str, float], rows: Int64) -> Float32:
        """float32[len(rows)]: the scores of ``rows``."""
        ...


class DenseScorer(Protocol):
    """Scores by vectors, -1 to 1; NaN where a memory has no vector yet."""

    def scores(self, vector: Float32) -> Float32: ...

    def top(self, vector: Float32, k: int, mask: NDArray[np.bool_] | None = None) -> Found:
        """The ``k`` best rows with a vector, among those that ``mask`` (bool[rows]) lets through. The mean and the
        deviation are of all rows with a vector, from 16,385 on of an evenly spaced sample of them."""
        ...

    def at(self, vector: Float32, rows: Int64) -> Float32:
        """float32[len(rows)]: the exact cosines of ``rows``."""
        ...


def lexical_scorer(
    segments: Sequence[Segment], *, k1: float, b: float, reuse: LexicalScorer | None = None
) -> LexicalScorer:
    """BM25 by native kernels, or by numpy where the extension is missing.

    Args:
        reuse: the scorer before, which makes this one quick to build where most segments are the same objects.
    """
    if kernels.AVAILABLE:
        return NativeBm25(segments, k1=k1, b=b, reuse=reuse if isinstance(reuse, NativeBm25) else None)
    return Bm25(segments, k1=k1, b=b)
