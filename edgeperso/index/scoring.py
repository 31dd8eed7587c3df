"""The seam of the scorers: by words and by vectors. Rows are those of the segments, one segment after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeperso.index.code_scan import CodeBlock, CodeScan
from edgeperso.index.dense import DenseScan, VectorBlock
from edgeperso.index.found import Found
from edgeperso.index.lexical import Bm25
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
