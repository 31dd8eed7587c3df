"""From what a question's vector and its words found in a large vault to all that it may be about: what lies beside the
best of it in its thread belongs to that, with scores of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeperso.index import Columns, Index
from edgeperso.index.found import Found
from edgeperso.index.lexical import NativeBm25
from edgeperso.index.scoring import CodeScan
from edgeperso.retrieval.fusion import Moments, standardized
from edgeperso.types import Float32, Int64

__all__ = ["Asked", "Gathered", "gathered", "gathered_by_numpy", "places"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what was found for it.

    Attributes:
        vector: float32[dim].
        terms: term to weight.
        by_vector, by_words: the best rows by each.
    """

    vector: Float32
    terms: Mapping[str, float]
    by_vector: Found
    by_words: Found


@dataclass(frozen=True, slots=True)
class Gathered:
    """Rows with their scores.

    Attributes:
        rows: int64[m], ascending.
        cosines: float32[m], within 0.01 where they weren't found, NaN without a vector.
        words: float32[m], BM25.
        previous, next: int64[m], the place in ``rows`` of the neighbour in the thread, -1 where it isn't there.
    """

    rows: Int64
    cosines: Float32
    words: Float32
    previous: Int64
    next: Int64


def gathered(index: Index, asked: Asked, *, leading: int, steps: int) -> Gathered:
    """All rows that were found, and those up to ``steps`` before and behind the ``leading`` best of them by the sum of
    both scores, each `standardized`."""
    dense, lexical, columns = index.dense, index.lexical, index.columns
    codes = dense.native if isinstance(dense, CodeScan) else None
    if codes is None or not isinstance(lexical, NativeBm25):
        return gathered_by_numpy(index, asked, leading=leading, steps=steps)
    from edgeperso._native import gather

    assert isinstance(dense, CodeScan)
    question = dense.coded(asked.vector)
    by_vector, by_words = (
        (found.rows, found.scores, found.mean, found.deviation) for found in (asked.by_vector, asked.by_words)
    )
    scale, terms = float(question.scales[0]), lexical.hashed(asked.terms)
    links = columns.previous, columns.next
    rows = gather(codes, lexical.native, question.codes[0], scale, *terms, *links, by_vector, by_words, leading, steps)
    return Gathered(*rows)


def gathered_by_numpy(index: Index, asked: Asked, *, leading: int, steps: int) -> Gathered:
    """What `gathered` gives, by numpy: its oracle, and what serves where the extension is missing or codes are still
    being read."""
    dense, columns, by_vector, by_words = index.dense, index.columns, asked.by_vector, asked.by_words

    def cosines(rows: Int64) -> Float32:
        return dense.estimates(asked.vector, rows) if isinstance(dense, CodeScan) else dense.at(asked.vector, rows)

    def words(rows: Int64) -> Float32:
        return index.lexical.at(asked.terms, rows)

    best = _distinct(by_vector.rows, by_words.rows)
    cosine = _filled(best, by_vector.rows, by_vector.scores, cosines)
    word = _filled(best, by_words.rows, by_words.scores, words)
    own = standardized(cosine, Moments(by_vector.mean, by_vector.deviation))
    own += standardized(word, Moments(by_words.mean, by_words.deviation))
    first = best if len(best) <= leading else best[np.lexsort((best, -own))[:leading]]
    rows = _distinct(best, *_beside(columns, first, steps))
    return Gathered(
        rows,
        _filled(rows, best, cosine, cosines),
        _filled(rows, best, word, words),
        places(rows, columns.previous[rows]),
        places(rows, columns.next[rows]),
    )


def places(rows: Int64, wanted: NDArray[np.int32]) -> Int64:
    """Where in ``rows`` (ascending) each of ``wanted`` is, -1 where it isn't."""
    if not len(rows):
        return rows
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[at] == wanted, at, -1)


def _beside(columns: Columns, rows: Int64, steps: int) -> Iterator[Int64]:
    """The rows up to ``steps`` before and behind ``rows``."""
    for chain in (columns.previous, columns.next):
        at = rows
        for _ in range(steps):
            at = chain[at].astype(np.int64)
            at = at[at >= 0]
            yield at


def _filled(rows: Int64, known_rows: Int64, known: Float32, score: Callable[[Int64], Float32]) -> Float32:
    """The scores of ``rows``, of which some are ``known``."""
    at = np.searchsorted(rows, known_rows)
    out = np.empty(len(rows), dtype=np.float32)
    out[at] = known
    others = np.ones(len(rows), dtype=np.bool_)
    others[at] = False
    out[others] = score(rows[others])
    return out


def _distinct(*parts: Int64) -> Int64:
    """All of ``parts``, ascending, each once. (`numpy.unique` takes five times as long.)"""
    rows = np.sort(np.concatenate(parts))
    return rows[np.diff(rows, prepend=-1) > 0]
