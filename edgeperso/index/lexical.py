"""Scores by words: BM25 over the segments' postings, in numpy and by native kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeperso.index.found import Found, found_in
from edgeperso.index.segment import Segment, term_hash
from edgeperso.types import Float32, Int64

if TYPE_CHECKING:
    from edgeperso._native import SegmentPostings

__all__ = ["Bm25", "NativeBm25"]


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
        average = _average(sum(int(segment.lengths.sum()) for segment in self._segments), self._total)
        self._norms = (k1 * (1.0 - b + b * lengths / average)).astype(np.float32)

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


class NativeBm25:
    """The same scores from the extension. Nothing is merged: a segment's postings are used as they lie.

    Args:
        reuse: an older scorer, whose segments needn't be checked again where they are the same objects.

    Attributes:
        native: the segments as the kernels search them.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        *,
        k1: float,
        b: float,
        reuse: NativeBm25 | None = None,
        implementation: str | None = None,
    ) -> None:
        from edgeperso._native import Bm25Index

        known = reuse.parts if reuse else {}
        # By identity, which is safe since the parts hold their segments.
        self.parts: dict[int, _Part] = {
            id(segment): known.get(id(segment)) or _Part.of(segment) for segment in segments
        }
        parts = [self.parts[id(segment)] for segment in segments]
        average = _average(sum(part.length for part in parts), sum(len(segment.ids) for segment in segments))
        self.native = Bm25Index([part.postings for part in parts], k1, b, average, implementation)

    def idf(self, term: str) -> float:
        """How telling ``term`` is, 0 where nothing holds it."""
        return self.native.idf(term_hash(term))

    def scores(self, terms: Mapping[str, float]) -> Float32:
        """``float32[rows]``, 0 and more: the weighted sum over ``terms`` (term to weight)."""
        return self.native.scores(*self.hashed(terms))

    def top(self, terms: Mapping[str, float], k: int, mask: NDArray[np.bool_] | None = None) -> Found:
        """The ``k`` best rows above 0 among those that ``mask`` (bool[rows]) lets through."""
        (rows, scores), mean, deviation = self.native.top(*self.hashed(terms), k, mask)
        return Found(rows, scores, mean, deviation)

    def at(self, terms: Mapping[str, float], rows: Int64) -> Float32:
        """``float32[len(rows)]``: the scores of ``rows``."""
        return self.native.at(*self.hashed(terms), np.ascontiguousarray(rows))

    @staticmethod
    def hashed(terms: Mapping[str, float]) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """Terms and their weights as the kernels take them."""
        return np.array([term_hash(term) for term in terms], np.uint64), np.array(list(terms.values()), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A segment that was checked: ``length`` is that of all its memories together, in terms."""

    segment: Segment
    postings: SegmentPostings
    length: int

    @classmethod
    def of(cls, segment: Segment) -> _Part:
        from edgeperso._native import SegmentPostings

        postings = segment.native or SegmentPostings(
            segment.hashes, segment.starts, segment.rows, segment.counts, segment.lengths
        )
        return cls(segment, postings, int(segment.lengths.sum()))


def _average(length: int, rows: int) -> float:
    """Terms in a memory, above 0."""
    return max(length / max(rows, 1), 1e-9)
