"""Search kernels in C++ (`native/`). Optional: whoever imports it has a numpy way as well.

Arrays must be C-contiguous and of the type that is named: nothing is copied, and what an object is made of is held by
it and must not change. The GIL is released. ``implementation`` is one of `implementations`; the fastest by default.

Raises:
    TypeError: another dtype, number of dimensions or memory layout.
    ValueError: sizes don't fit each other, or this CPU can't run that implementation.
    IndexError: no such row.
"""

import numpy as np
from numpy.typing import NDArray

INTERFACE: int
"""Raised with each change of what is declared here; `edgeperso.index.kernels` compares it."""

def hamming(
    codes: NDArray[np.uint8], query: NDArray[np.uint8], implementation: str | None = None
) -> NDArray[np.uint32]:
    """Count, for each row of ``uint8[n, width]``, the bits that differ from ``uint8[width]``."""

def half_dots(
    vectors: NDArray[np.float16], query: NDArray[np.float32], implementation: str | None = None
) -> NDArray[np.float32]:
    """``float32[n]``: the products of ``float16[n, dim]`` and ``float32[dim]``."""

def implementations() -> list[str]:
    """The kernels that this CPU can run, fastest first; ``scalar`` is always the last."""

class CodeIndex:
    """Blocks of ``bits``, ``codes``, ``scales`` and ``present``; see `edgeperso.index.code_scan` for what they hold and
    what the methods give."""

    def __init__(
        self,
        blocks: list[tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.float32], NDArray[np.bool_]]],
        implementation: str | None = None,
    ) -> None: ...
    def nearest(
        self,
        bits: NDArray[np.uint8],
        codes: NDArray[np.int8],
        candidates: int,
        keep: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...
    def estimates(self, codes: NDArray[np.int8], rows: NDArray[np.int64]) -> NDArray[np.float32]: ...
    def moments(self, codes: NDArray[np.int8], step: int) -> tuple[float, float]: ...

class SegmentPostings:
    """One segment's postings, checked once; the arrays are those of `edgeperso.index.segment.Segment`."""

    def __init__(
        self,
        hashes: NDArray[np.uint64],
        starts: NDArray[np.int32],
        rows: NDArray[np.uint16],
        counts: NDArray[np.uint16],
        lengths: NDArray[np.int32],
    ) -> None: ...

class Bm25Index:
    """BM25 over segments; the same scores as `edgeperso.index.lexical.Bm25`, which says what the methods give. A term
    is its hash.

    Args:
        average: of the lengths of all rows.
    """

    def __init__(
        self,
        segments: list[SegmentPostings],
        k1: float,
        b: float,
        average: float,
        implementation: str | None = None,
    ) -> None: ...
    def idf(self, term: int) -> float: ...
    def scores(self, hashes: NDArray[np.uint64], weights: NDArray[np.float64]) -> NDArray[np.float32]: ...
    def top(
        self,
        hashes: NDArray[np.uint64],
        weights: NDArray[np.float64],
        k: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[tuple[NDArray[np.int64], NDArray[np.float32]], float, float]: ...
    def at(
        self, hashes: NDArray[np.uint64], weights: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]: ...

class SecretPages:
    """Pages of one's own; see `edgeperso.secrecy`. Their memory lives as long as this object and its arrays do.

    Raises:
        MemoryError: there isn't so much.
    """

    def __init__(self, size: int, key: bool) -> None: ...
    def array(self) -> NDArray[np.uint8]: ...
    @property
    def undumped(self) -> bool: ...
    @property
    def locked(self) -> bool: ...
    @property
    def unforked(self) -> bool: ...
