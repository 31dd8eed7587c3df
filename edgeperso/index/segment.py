"""A segment: the postings of up to 4,096 memories, which words each of them holds and how often.

Words are kept as hashes: a million memories have millions of words in their segments, and as Python strings they would
take more memory than all else together, and seconds to load.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeperso import kernels
from edgeperso.embedding import passage_text
from edgeperso.index.payload import SegmentInvalid, seal, unseal
from edgeperso.secrecy import private

if TYPE_CHECKING:
    from edgeperso._native import SegmentPostings
    from edgeperso.index.words import Analyzer
    from edgeperso.types import Int64, Memory

__all__ = ["MAX_MEMORIES", "Segment", "build_segment", "decode", "encode", "joined", "term_hash"]

MAX_MEMORIES = 4096
_KIND = "words"
_DTYPES = ("<u8", "<i4", "<u2", "<u2", "<i4")


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Postings of ``n`` memories, by row; rows are in the order of ``ids``, ascending.

    The postings of the term with ``hashes[t]`` are ``rows[starts[t]:starts[t + 1]]``, ascending, with the term's count
    in each of them in ``counts``. Every term is in at least one row.

    Attributes:
        ids: int64[n].
        hashes: uint64[terms], ascending: `term_hash` of each term.
        starts: int32[terms + 1].
        rows: uint16[postings].
        counts: uint16[postings], capped at 65,535.
        lengths: int32[n], terms in each memory.
        native: the same arrays as the kernels search them, where they were checked already.
    """

    ids: Int64
    hashes: NDArray[np.uint64]
    starts: NDArray[np.int32]
    rows: NDArray[np.uint16]
    counts: NDArray[np.uint16]
    lengths: NDArray[np.int32]
    native: SegmentPostings | None = None

    def postings(self, term: str) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Rows that hold ``term``, and how often."""
        wanted = np.uint64(term_hash(term))
        at = int(np.searchsorted(self.hashes, wanted))
        if at == len(self.hashes) or self.hashes[at] != wanted:
            return self.rows[:0], self.counts[:0]
        span = slice(int(self.starts[at]), int(self.starts[at + 1]))
        return self.rows[span], self.counts[span]

    def kept(self, keep: NDArray[np.bool_]) -> Segment:
        """The segment of the rows where ``keep`` (bool[n]); nothing of the others is in it, nor their words."""
        there = keep[self.rows]
        left = np.concatenate(([0], np.cumsum(there, dtype=np.int32)))[self.starts]
        told = np.diff(left) > 0
        place = (np.cumsum(keep) - 1).astype(np.uint16)
        return Segment(
            ids=self.ids[keep],
            hashes=private(self.hashes[told]),
            starts=np.append(left[:-1][told], left[-1]).astype(np.int32),
            rows=private(place[self.rows[there]]),
            counts=private(self.counts[there]),
            lengths=self.lengths[keep],
        )


def term_hash(term: str) -> int:
    """64 bits of BLAKE2b. Two of a vocabulary of a million are taken for one with a chance of 3e-8."""
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def build_segment(memories: Sequence[Memory], analyzer: Analyzer) -> Segment:
    """The segment of ``memories``, which are at most `MAX_MEMORIES`, by ascending id."""
    known: dict[str, int] = {}
    owners: list[int] = []
    rows: list[int] = []
    counts: list[int] = []
    lengths = np.zeros(len(memories), dtype=np.int32)
    for row, memory in enumerate(memories):
        found = analyzer.terms(passage_text(memory), memory.language)
        lengths[row] = len(found)
        for term, count in Counter(found).items():
            if term not in known:
                known[term] = term_hash(term)
            owners.append(known[term])
            rows.append(row)
            counts.append(min(count, 65_535))
    ids = np.array([memory.id for memory in memories], dtype=np.int64)
    return _of_postings(
        ids, np.array(owners, np.uint64), np.array(rows, np.int64), np.array(counts, np.uint16), lengths
    )


def joined(segments: Sequence[Segment]) -> Segment:
    """One segment of all rows of ``segments``, by ascending id."""
    ids = np.concatenate([segment.ids for segment in segments])
    starts = np.cumsum([0, *(len(segment.ids) for segment in segments)])
    owners = np.concatenate([np.repeat(segment.hashes, np.diff(segment.starts)) for segment in segments])
    rows = np.concatenate([segment.rows + start for segment, start in zip(segments, starts, strict=False)])
    counts = np.concatenate([segment.counts for segment in segments])
    lengths = np.concatenate([segment.lengths for segment in segments])
    order = np.argsort(ids)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return _of_postings(ids[order], owners, place[rows], counts, lengths[order])


def encode(segment: Segment, space: str) -> bytes:
    """``segment`` as the vault keeps it."""
    arrays = (segment.hashes, segment.starts, segment.rows, segment.counts, segment.lengths)
    return seal(_KIND, space, segment.ids, arrays)


def decode(payload: bytes, space: str, ids: Int64) -> Segment:
    """The segment of ``ids`` in ``payload``.

    Raises:
        SegmentInvalid: of another form, of other memories, or damaged.
    """
    held = private(np.frombuffer(payload, np.uint8)).data.toreadonly()
    hashes, starts, rows, counts, lengths = unseal(held, _KIND, space, ids, _DTYPES)
    found = Segment(ids, hashes, starts, rows, counts, lengths)  # type: ignore[arg-type]
    if len(lengths) != len(ids):
        raise SegmentInvalid
    if not kernels.AVAILABLE:
        if not _is_sound(found):
            raise SegmentInvalid
        return found
    from edgeperso._native import SegmentPostings

    try:
        native = SegmentPostings(found.hashes, found.starts, found.rows, found.counts, found.lengths)
    except ValueError:
        raise SegmentInvalid from None
    return replace(found, native=native)


def _is_sound(segment: Segment) -> bool:
    """What the kernels check: sizes that fit, terms and each one's rows ascending, nothing beyond the last row."""
    hashes, starts, rows = segment.hashes, segment.starts, segment.rows
    if (
        len(starts) != len(hashes) + 1
        or len(rows) != len(segment.counts)
        or starts[0] != 0
        or starts[-1] != len(rows)
        or (starts[1:] < starts[:-1]).any()
    ):
        return False
    rising = np.append(True, rows[1:] > rows[:-1])[: len(rows)]
    rising[starts[:-1][starts[:-1] < len(rows)]] = True
    inside = (rows < len(segment.ids)).all() and (segment.lengths >= 0).all()
    return bool(inside and rising.all() and (hashes[1:] > hashes[:-1]).all())


def _of_postings(
    ids: Int64,
    owners: NDArray[np.uint64],
    rows: Int64,
    counts: NDArray[np.uint16],
    lengths: NDArray[np.int32],
) -> Segment:
    """A segment of postings in any order: each one's term, row and count."""
    order = np.lexsort((rows, owners))
    return _of_sorted(ids, owners[order], rows[order], counts[order], lengths)


def _of_sorted(
    ids: Int64,
    owners: NDArray[np.uint64],
    rows: Int64,
    counts: NDArray[np.uint16],
    lengths: NDArray[np.int32],
) -> Segment:
    """A segment of postings by term and row."""
    first = np.flatnonzero(np.diff(owners, prepend=owners[:1] + np.uint64(1)))
    return Segment(
        ids=ids,
        hashes=private(owners[first]),
        starts=np.append(first, len(owners)).astype(np.int32),
        rows=private(rows.astype(np.uint16)),
        counts=private(counts),
        lengths=lengths,
    )
