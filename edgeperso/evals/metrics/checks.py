"""What every metric demands of its input: something there, equal lengths, real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Float64", "Numbers", "paired_numbers", "require_paired"]

Float64: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = Sequence[float] | NDArray[np.float64] | NDArray[np.int64] | NDArray[np.bool_]


def paired_numbers(*columns: Numbers) -> tuple[Float64, ...]:
    """Each of ``columns`` as float64[n], n at least 1.

    Raises:
        ValueError: there is no value, the lengths differ, a value is NaN or infinite, or a column has two dimensions.
    """
    require_paired(*columns)
    return tuple(_numbers(column) for column in columns)


def require_paired(*columns: Sequence[object] | Numbers) -> None:
    """Raise ValueError unless all have the same length, 1 or more."""
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"the lengths differ: {', '.join(map(str, lengths))}")
    if not lengths[0]:
        raise ValueError("there is no value to measure")


def _numbers(values: Numbers) -> Float64:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"one dimension is needed, not {array.ndim}")
    if not np.isfinite(array).all():
        raise ValueError("a value is NaN or infinite")
    return array
