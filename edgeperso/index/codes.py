"""Short codes of vectors: one bit and one byte for each dimension, for the first stages of a search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeperso.types import Float32

__all__ = ["Codes", "codes_of"]

_TOP = np.float32(127.0)


class Codes(NamedTuple):
    """Codes of ``n`` vectors.

    Attributes:
        bits: uint8[n, ceil(dim / 8)], 1 where the vector is above 0; the first dimension in the highest bit, the rest
            of the last byte 0.
        codes: int8[n, dim], -127 to 127: the vector over its scale, rounded to even.
        scales: float32[n], the largest magnitude over 127; 0 for a vector of zeros.
    """

    bits: NDArray[np.uint8]
    codes: NDArray[np.int8]
    scales: Float32


def codes_of(vectors: NDArray[np.float16] | Float32) -> Codes:
    """The codes of ``vectors`` (float16 or float32[n, dim]). The same bytes on every machine.

    Not a number counts as 0, so that a hostile vector can't upset the others.
    """
    plain = np.nan_to_num(vectors.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    scales = np.abs(plain).max(axis=1, initial=0.0) / _TOP
    units = np.divide(plain, scales[:, None], out=np.zeros_like(plain), where=scales[:, None] > 0)
    return Codes(
        np.packbits(plain > 0, axis=1), np.rint(np.clip(units, -_TOP, _TOP)).astype(np.int8), scales.astype(np.float32)
    )
