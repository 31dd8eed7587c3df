"""Putting scores of different kinds on one scale, and letting neighbours in a thread help each other."""

from __future__ import annotations

import numpy as np

from edgeperso.types import Float32, Int64

__all__ = ["standardized", "with_neighbours"]


def standardized(scores: Float32) -> Float32:
    """``scores`` as distances from their mean in standard deviations; a missing one (NaN) counts as the mean."""
    known = scores[~np.isnan(scores)]
    if not len(known):
        return np.zeros_like(scores)
    deviation = float(known.std())
    if deviation < 1e-9:
        return np.zeros_like(scores)
    return np.asarray(np.nan_to_num((scores - known.mean()) / deviation), dtype=np.float32)


def with_neighbours(scores: Float32, previous: Int64, following: Int64, weight: float) -> Float32:
    """What each row gains from the rows before and after it in its thread: ``weight`` times their scores."""
    padded = np.append(scores, np.float32(0.0))
    return np.asarray(weight * (padded[previous] + padded[following]), dtype=np.float32)
