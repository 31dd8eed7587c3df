"""The memories that a question may be about: all of a small vault; the likeliest of a large one, and their neighbours.

In a large vault a pass over everything for each part of the score would take longer than finding the best by vectors
and by words. What is left out are memories that are among the best five hundred by neither, and not beside one of the
best few hundred; a memory beside those counts them, and its own scores are as exact as theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeperso.index import Columns, Index
from edgeperso.retrieval.fusion import Moments, moments, standardized
from edgeperso.retrieval.gathering import Asked, Gathered, gathered, places
from edgeperso.types import Float32, Int64

__all__ = ["Candidates", "candidates", "scored"]

_BEST = 500
"""So many are taken by vectors, and as many by words."""
_LEADING = 200
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
        occasion: int32[m], equal for those of one occasion.
    """

    rows: Int64
    cosine: Float32
    words: Float32
    dense: Float32
    lexical: Float32
    previous: Int64
    next: Int64
    occasion: NDArray[np.int32]


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
    asked = Asked(vector, terms, by_vector, by_words)
    return _of(index.columns, gathered(index, asked, leading=_LEADING, steps=2 * reach), dense, lexical)


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


def _placed(
    columns: Columns, rows: Int64, cosine: Float32, words: Float32, dense: Moments, lexical: Moments
) -> Candidates:
    beside = places(rows, columns.previous[rows]), places(rows, columns.next[rows])
    return _of(columns, Gathered(rows, cosine, words, *beside), dense, lexical)


def _of(columns: Columns, found: Gathered, dense: Moments, lexical: Moments) -> Candidates:
    return Candidates(
        rows=found.rows,
        cosine=found.cosines,
        words=found.words,
        dense=standardized(found.cosines, dense),
        lexical=standardized(found.words, lexical),
        previous=found.previous,
        next=found.next,
        occasion=columns.occasion[found.rows],
    )
