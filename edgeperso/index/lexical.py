"""Scores by words: BM25 over the segments' postings, in numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeperso.index.found import Found, found_in
from edgeperso.index.segment import Segment
from edgeperso.types import Float32, Int64

__all__ = ["Bm25"]


class Bm25:
    """BM25 as Lucene computes it, with ``k1`` and ``b``, exact.

    ``idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5))``; a term adds ``idf * tf / (tf + k1 * (1 - b + b * dl / avgdl))``.
    Source: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; the form without the
    constant ``k1 + 1`` as in Kamphuis et al., "Which BM25 do you mean?", ECIR 2020.
    """

    def __init__(self, segments: Sequence[Segment], *, k1: float, b: float) -> None:
        self._segments = tuple(segments)
        sizes = [len(segment.ids) for segment in self._segments]
        self._offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        self._total = int(self._offsets[-1])
        none = np.zeros(0, dtype=np.float32)
        lengths = np.concatenate([none, *(segment.lengths.astype(np.float32) for segment in self._segments)])
        average = float(lengths.mean()) if self._total else 0.0
        self._norms = (k1 * (1.0 - b + b * lengths / max(average, 1e-9))).astype(np.float32)

    def idf(self, term: str) -> float:
        """How telling ``term`` is, 0 where nothing holds it."""
        holding = sum(len(segment.postings(term)[0]) for segment in self._segments)
        return math.log1p((self._total - holding + 0.5) / (holding + 0.5)) if holding else 0.0

    def scores(self, terms: Mapping[str, float]) -> Float32:
        """``float32[rows]``, 0 and more: the weighted sum over ``terms`` (term to weight)."""
        out = np.zeros(self._total, dtype=np.float32)
        for term, weight in terms.items():
            gain = weight * self.idf(term)
            if gain == 0.0:
                continue
            for segment, start, end in zip(self._segments, self._offsets, self._offsets[1:], strict=False):
                rows, counts = segment.postings(term)
                frequency = counts.astype(np.float32)
                out[start:end][rows] += gain * frequency / (frequency + self._norms[start:end][rows])
        return out

    def top(self, terms: Mapping[str, float], k: int, mask: NDArray[np.bool_] | None = None) -> Found:
        """The ``k`` best rows above 0 among those that ``mask`` (bool[rows]) lets through."""
        scores = self.scores(terms)
        allowed = scores > 0
        return found_in(scores, k, allowed if mask is None else allowed & mask, scores)

    def at(self, terms: Mapping[str, float], rows: Int64) -> Float32:
        """``float32[len(rows)]``: the scores of ``rows``."""
        return self.scores(terms)[rows]
