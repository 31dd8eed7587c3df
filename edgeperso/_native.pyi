"""Kernels in C++ (`native/`). Optional: whoever imports it has another way as well.

Arrays must be C-contiguous and of the type that is named: nothing is copied, and what an object is made of is held by
it and must not change. The GIL is released. ``implementation`` is one of `implementations`; the fastest by default.

Raises:
    TypeError: another dtype, number of dimensions or memory layout.
    ValueError: sizes don't fit each other, or this CPU can't run that implementation.
    IndexError: no such row.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

INTERFACE: int
"""Raised with each change of what is declared here; `edgeperso.kernels` compares it."""

def hamming(
    codes: NDArray[np.uint8], query: NDArray[np.uint8], implementation: str | None = None
) -> NDArray[np.uint32]:
    """Count, for each row of ``uint8[n, width]``, the bits that differ from ``uint8[width]``."""

def half_dots(
    vectors: NDArray[np.float16], query: NDArray[np.float32], implementation: str | None = None
) -> NDArray[np.float32]:
    """``float32[n]``: the products of ``float16[n, dim]`` and ``float32[dim]``."""

def shift(rows: NDArray[np.int32], start: int, by: int) -> None:
    """Add ``by`` to those of ``rows`` (int32[n], changed in place) that are ``start`` or more."""

def implementations() -> list[str]:
    """The kernels that this CPU can run, fastest first; ``scalar`` is always the last."""

def multiply(
    codes: NDArray[np.uint8], weights: NDArray[np.int8], implementation: str | None = None
) -> NDArray[np.int32]:
    """``int32[n, columns]``: the encoder's product of ``uint8[n, depth]`` and ``int8[depth, columns]``.

    Depth is a multiple of 4, columns one of 16; ``implementation`` is one of `encoders`.
    """

def encoders() -> list[str]:
    """The encoder's implementations that this CPU can run, fastest first; ``scalar`` is always the last."""

_Pair: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
_Table: TypeAlias = tuple[NDArray[np.int8], NDArray[np.float32]]
_Matrix: TypeAlias = tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]

_Layer: TypeAlias = tuple[_Matrix, _Matrix, _Pair, _Matrix, _Matrix, _Pair]

class Encoder:
    """A BERT encoder with int8 weights, mean pooling and unit length.

    Args:
        words: ``int8[vocabulary, model]`` with ``float32[vocabulary]`` scales; ``positions`` likewise.
        type: ``float32[model]``, added to every token.
        first: the layer norm's weight and bias, ``float32[model]`` each.
        layers: of each the matrices and norms in the order in which they serve: questions, keys and values side by side
            (``int8[model, 3 * model]``); what the attention goes through; a norm; up; down; a norm. A matrix has a
            scale and a bias for each column.
        heads: ``model`` is a multiple of 16 times as many.
        attention_scale: of a question's product with a key.
        epsilon: the layer norms'.
        implementation: one of `encoders`.
    """

    def __init__(
        self,
        words: _Table,
        positions: _Table,
        type: NDArray[np.float32],  # noqa: A002
        first: _Pair,
        layers: list[_Layer],
        heads: int,
        attention_scale: float,
        epsilon: float,
        implementation: str | None = None,
    ) -> None: ...
    @property
    def dim(self) -> int:
        """Of a vector."""

    def encode(self, ids: NDArray[np.int32], starts: NDArray[np.int64], threads: int) -> NDArray[np.float32]:
        """``float32[n, model]``: of each sequence ``ids[starts[i]:starts[i + 1]]`` its vector, the same bytes on any
        number of threads; zeros for an empty one. ``starts`` is ``int64[n + 1]``."""

class CodeRows:
    """One segment's codes, checked once; the arrays are those of `edgeperso.index.code_scan.CodeBlock`."""

    def __init__(
        self,
        bits: NDArray[np.uint8],
        codes: NDArray[np.int8],
        scales: NDArray[np.float32],
        present: NDArray[np.bool_],
    ) -> None: ...

class CodeIndex:
    """Blocks of one number of dimensions, or without vectors; see `edgeperso.index.code_scan` for what the methods
    give."""

    def __init__(self, blocks: list[CodeRows], implementation: str | None = None) -> None: ...
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

_Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32], float, float]

def gather(
    dense: CodeIndex,
    lexical: Bm25Index,
    codes: NDArray[np.int8],
    scale: float,
    hashes: NDArray[np.uint64],
    weights: NDArray[np.float64],
    previous: NDArray[np.int32],
    following: NDArray[np.int32],
    by_vector: _Found,
    by_words: _Found,
    leading: int,
    steps: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """The fields of `edgeperso.retrieval.gathering.Gathered`.

    Args:
        scale: by which the question's estimates are multiplied.
        previous, following: the neighbours of all rows, below 0 for none.
        by_vector, by_words: rows, scores, and the mean and deviation of the scores of all rows.
    """

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
