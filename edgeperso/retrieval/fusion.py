"""Putting scores of different kinds on one scale, and letting the memories of a thread help each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeperso.types import Float32, Int64

__all__ = ["Moments", "from_neighbours", "from_occasion", "moments", "standardized"]


class Moments(NamedTuple):
    """Mean and standard deviation of the scores of all memories."""

    mean: float
    deviation: float


def moments(scores: Float32) -> Moments:
    """Of ``scores`` without the missing ones (NaN); zeros where all are."""
    known = scores[~np.isnan(scores)]
    return Moments(float(known.mean()), float(known.std())) if len(known) else Moments(0.0, 0.0)


def standardized(scores: Float32, of: Moments) -> Float32:
    """``scores`` as distances from the mean in standard deviations; a missing one (NaN) counts as the mean.

    Source: z-score normalization for fusion, Montague & Aslam, "Relevance score normalization for metasearch", 2001.
    """
    if of.deviation < 1e-6:
        return np.zeros_like(scores)
    out = np.asarray((scores - np.float32(of.mean)) / np.float32(of.deviation), dtype=np.float32)
    out[np.isnan(out)] = 0.0
    return out


def from_neighbours(
    scores: Float32, previous: Int64, following: Int64, *, before: float, after: float, decay: float, reach: int
) -> Float32:
    """float32[n]: what each row gains from the rows around it in its thread.

    Args:
        scores: float32[n].
        previous, following: int64[n], the row's neighbours, -1 for none.
        before: share of the previous row's score, after: of the following one's.
        decay: each step further counts so much less.
        reach: steps to each side.
    """
    padded = np.append(scores, np.float32(0.0))
    gain = np.zeros_like(scores)
    for chain, share in ((previous, before), (following, after)):
        # Row -1 is the padding's: a chain that has ended stays there.
        step = np.append(chain, -1)
        at = chain
        for _ in range(reach):
            gain += np.float32(share) * padded[at]
            at, share = step[at], share * decay
    return gain


def from_occasion(scores: Float32, occasion: NDArray[np.int32] | Int64, weight: float) -> Float32:
    """float32[n]: ``weight`` times the best score in each row's occasion, its own where it stands alone."""
    order = np.argsort(occasion, kind="stable")
    first = np.flatnonzero(np.diff(occasion[order], prepend=-1))
    best = np.maximum.reduceat(scores[order], first) if len(first) else scores[:0]
    out = np.empty_like(scores)
    out[order] = np.repeat(best, np.diff(first, append=len(order)))
    return np.asarray(np.float32(weight) * out, dtype=np.float32)
