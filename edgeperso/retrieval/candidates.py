"""The memories that a question may be about: all of a small vault; the likeliest of a large one, and their neighbours.

In a large vault a pass over everything for each part of the score would take longer than finding the best by vectors
and by words. What is left out are memories that are among the best five hundred by neither, and not beside one of the
best few hundred; a memory beside those counts them, and its own scores are as exact as theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeperso.index import Columns, Index
from edgeperso.retrieval.fusion import Moments, moments, standardized
from edgeperso.types import Float32, Int64

__all__ = ["Candidates", "candidates", "scored"]

_BEST = 500
"""So many are taken by vectors, and as many by words."""
_LEADING = 200
"""So many of them, best by both, bring what is beside them."""
Mask = NDArray[np.bool_]
Known = tuple[Int64, Float32]


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

    def scores(rows: Int64, cosines: Known, words: Known) -> tuple[Float32, Float32]:
        return (
            _filled(rows, cosines, lambda others: index.estimates(vector, others)),
            _filled(rows, words, lambda others: index.lexical.at(terms, others)),
        )

    best = _distinct(by_vector.rows, by_words.rows)
    cosine, words = scores(best, (by_vector.rows, by_vector.scores), (by_words.rows, by_words.scores))
    own = standardized(cosine, dense) + standardized(words, lexical)
    leading = best if len(best) <= _LEADING else best[np.argpartition(own, -_LEADING)[-_LEADING:]]
    rows = _distinct(best, *_beside(index.columns, leading, 2 * reach))
    return _placed(index.columns, rows, *scores(rows, (best, cosine), (best, words)), dense, lexical)


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


def _beside(columns: Columns, rows: Int64, reach: int) -> Iterator[Int64]:
    """The rows up to ``reach`` steps before and after ``rows``."""
    for chain in (columns.previous, columns.next):
        at = rows
        for _ in range(reach):
            at = chain[at].astype(np.int64)
            at = at[at >= 0]
            yield at


def _filled(rows: Int64, known: Known, score: Callable[[Int64], Float32]) -> Float32:
    """The scores of ``rows``, of which some are ``known``."""
    known_rows, known_scores = known
    at = np.searchsorted(rows, known_rows)
    out = np.empty(len(rows), dtype=np.float32)
    out[at] = known_scores
    others = np.ones(len(rows), dtype=np.bool_)
    others[at] = False
    out[others] = score(rows[others])
    return out


def _distinct(*parts: Int64) -> Int64:
    """All of ``parts``, ascending, each once. (`numpy.unique` takes five times as long.)"""
    rows = np.sort(np.concatenate(parts))
    return rows[np.diff(rows, prepend=-1) > 0]


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
        occasion=columns.occasion[rows],
    )


def _places(rows: Int64, wanted: NDArray[np.int32]) -> Int64:
    """Where in ``rows`` each of ``wanted`` is, -1 where it isn't."""
    if not len(rows):
        return rows
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[at] == wanted, at, -1)
