"""What one search found, and the choice of the best rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeperso.types import Float32, Int64

__all__ = ["Found", "best_rows", "found_in"]


@dataclass(frozen=True, slots=True)
class Found:
    """The best rows of one search.

    Attributes:
        rows: int64[m], best first; of equal scores the lower row stands first.
        scores: float32[m], theirs.
        mean, deviation: of the scores of all rows, also of those that a mask hides.
    """

    rows: Int64
    scores: Float32
    mean: float
    deviation: float


def found_in(scores: Float32, k: int, allowed: NDArray[np.bool_], known: Float32) -> Found:
    """The ``k`` best of ``scores`` (float32[n]) where ``allowed`` (bool[n]); statistics of ``known``."""
    rows = best_rows(scores, k, np.flatnonzero(allowed))
    if not len(known):
        return Found(rows, scores[rows], 0.0, 0.0)
    return Found(rows, scores[rows], float(known.mean()), float(known.std()))


def best_rows(scores: Float32, k: int, rows: Int64) -> Int64:
    """int64[min(k, len(rows))]: those of ``rows`` with the highest ``scores`` (float32[n]), best first, ties to the
    lower row.

    Raises:
        ValueError: ``k`` is below 1.
    """
    if k < 1:
        raise ValueError("k must be 1 or more")
    if len(rows) > k:
        own = scores[rows]
        # All that equal the k-th are kept until the order decides.
        rows = rows[own >= np.partition(own, len(rows) - k)[len(rows) - k]]
    return rows[np.lexsort((rows, -scores[rows]))][:k]
