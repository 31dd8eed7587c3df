"""The memories that a question may be about: all of a small vault; the likeliest of a large one, and their neighbours.

In a large vault a pass over everything for each part of the score would take longer than finding the best by vectors
and by words. What is left out are memories that are among the best thousand by neither and not beside one of the best
few hundred; a memory beside those counts them, and its own scores are as exact as theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeperso.index import Columns, Index
from edgeperso.retrieval.fusion import Moments, moments, standardized
from edgeperso.types import Float32, Int64

__all__ = ["Candidates", "candidates", "scored"]

_BEST = 1000
"""So many are taken by vectors, and as many by words."""
_LEADING = 300
"""So many of them, best by both, bring what is beside them."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows of the index with their scores.

    Attributes:
        rows: int64[m], ascending.
        cosine: float32[m], NaN without a vector.
        words: float32[m], BM25.
        dense, lexical: float32[m], both as distances from the mean of all memories in standard deviations.
        previous, next: int64[m], the place in ``rows`` of the neighbour in the thread, -1 where it isn't there.
        occasion: int64[m], equal for those of one occasion, 0 and up.
    """

    rows: Int64
    cosine: Float32
    words: Float32
    dense: Float32
    lexical: Float32
    previous: Int64
    next: Int64
    occasion: Int64


def candidates(
    index: Index, vector: Float32, terms: Mapping[str, float], mask: Mask | None, *, reach: int
) -> Candidates:
    """The candidates for a question among the rows that ``mask`` (bool[n], None for all) lets through, with others that
    lie up to ``2 * reach`` steps beside them in their threads."""
    if index.is_small:
        cosine, words = index.dense.scores(vector), index.lexical.scores(terms)
        return _placed(index.columns, np.arange(len(index)), cosine, words, moments(cosine), moments(words))
    by_vector = index.dense.top(vector, _BEST, mask)
    by_words = index.lexical.top(terms, _BEST, mask)
    dense, lexical = Moments(by_vector.mean, by_vector.deviation), Moments(by_words.mean, by_words.deviation)
    rows = np.union1d(by_vector.rows, by_words.rows)
    own = standardized(index.estimates(vector, rows), dense) + standardized(index.lexical.at(terms, rows), lexical)
    leading = rows if len(rows) <= _LEADING else rows[np.argpartition(own, -_LEADING)[-_LEADING:]]
    rows = np.union1d(rows, _beside(index.columns, leading, 2 * reach))
    cosine, words = index.estimates(vector, rows), index.lexical.at(terms, rows)
    cosine[np.searchsorted(rows, by_vector.rows)] = by_vector.scores  # exact for the best
    return _placed(index.columns, rows, cosine, words, dense, lexical)


def scored(index: Index, vector: Float32, terms: Mapping[str, float], rows: Int64) -> Candidates:
    """These ``rows`` (ascending), whatever their scores."""
    if index.is_small:
        cosine, words = index.dense.scores(vector), index.lexical.scores(terms)
        dense, lexical = moments(cosine), moments(words)
        return _placed(index.columns, rows, cosine[rows], words[rows], dense, lexical)
    by_vector, by_words = index.dense.top(vector, 1), index.lexical.top(terms, 1)
    return _placed(
        index.columns,
        rows,
        index.dense.at(vector, rows),
        index.lexical.at(terms, rows),
        Moments(by_vector.mean, by_vector.deviation),
        Moments(by_words.mean, by_words.deviation),
    )


def _beside(columns: Columns, rows: Int64, reach: int) -> Int64:
    """``rows`` and the rows up to ``reach`` steps before and after them."""
    found = [rows]
    for chain in (columns.previous, columns.next):
        at = rows
        for _ in range(reach):
            at = chain[at].astype(np.int64)
            at = at[at >= 0]
            found.append(at)
    return np.unique(np.concatenate(found))


def _placed(
    columns: Columns, rows: Int64, cosine: Float32, words: Float32, dense: Moments, lexical: Moments
) -> Candidates:
    return Candidates(
        rows=rows,
        cosine=cosine,
        words=words,
        dense=standardized(cosine, dense),
        lexical=standardized(words, lexical),
        previous=_places(rows, columns.previous[rows]),
        next=_places(rows, columns.next[rows]),
        occasion=np.unique(columns.occasion[rows], return_inverse=True)[1],
    )


def _places(rows: Int64, wanted: NDArray[np.int32]) -> Int64:
    """Where in ``rows`` each of ``wanted`` is, -1 where it isn't."""
    if not len(rows):
        return rows
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[at] == wanted, at, -1)
