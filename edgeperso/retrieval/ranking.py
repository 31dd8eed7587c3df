"""The list after scoring: no text twice, and nothing superseded above what superseded it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeperso.types import Float32, Hit, Int64

if TYPE_CHECKING:
    from edgeperso.index import Index

__all__ = ["below_successors", "without_duplicates"]

_SAME_COSINE = 0.97
_STEP = 0.01


def without_duplicates(index: Index, rows: Int64, limit: int) -> tuple[Int64, dict[int, int]]:
    """The first ``limit`` of ``rows`` (best first) that say something new, and how many each of them stands for.

    The same is said by texts equal but for case and spacing, or with a cosine of 0.97 and more. An open memory is
    never dropped in favour of a closed one.
    """
    columns = index.columns
    kept: list[int] = []
    repeated: dict[int, int] = {}
    seen: dict[int, int] = {}
    vectors = index.vectors(rows[:0])
    for start in range(0, len(rows), limit):
        chunk = rows[start : start + limit]
        before, fresh = len(kept), index.vectors(chunk)
        among = np.concatenate([vectors, fresh]) @ fresh.T
        near = _near_something_better(among, before)
        places = list(range(before))  # in ``among``, of what is kept
        for place, (row, digest) in enumerate(zip(chunk.tolist(), columns.digest[chunk].tolist(), strict=True)):
            twin = seen.get(digest)
            if twin is None and near[place]:
                cosines = among[places, place]
                nearest = int(np.argmax(cosines))
                twin = kept[nearest] if cosines[nearest] >= _SAME_COSINE else None
            if twin is not None and (columns.open[twin] or not columns.open[row]):
                repeated[twin] = repeated.get(twin, 0) + 1
                continue
            places.append(before + place)
            kept.append(row)
            seen.setdefault(digest, row)
            if len(kept) == limit:
                return np.array(kept, dtype=np.int64), repeated
        vectors = np.concatenate([vectors, fresh[[place - before for place in places[before:]]]])
    return np.array(kept, dtype=np.int64), repeated


def _near_something_better(among: Float32, before: int) -> list[bool]:
    """For each of the last rows of ``among`` (float32[before + m, m], its cosines with all rows) whether one of those
    before it says the same, be it kept or not: mostly none does, and none needs a closer look."""
    itself_or_worse = np.tri(len(among), among.shape[1], -before, np.bool_)
    near: list[bool] = np.asarray(((among >= _SAME_COSINE) & ~itself_or_worse).any(axis=0)).tolist()
    return near


def below_successors(hits: list[Hit]) -> list[Hit]:
    """``hits`` with every superseded memory below the one that superseded it, where both are there."""
    by_id = {hit.memory.id: hit for hit in hits}
    ceiling: dict[int, float] = {}

    def height(hit: Hit) -> float:
        if hit.memory.id not in ceiling:
            ceiling[hit.memory.id] = hit.score  # a chain that bites its tail ends here
            successor = by_id.get(hit.memory.superseded_by or 0)
            if successor is not None:
                ceiling[hit.memory.id] = min(hit.score, height(successor) - _STEP)
        return ceiling[hit.memory.id]

    lowered = [
        replace(hit, score=height(hit), parts={**hit.parts, "closed": hit.parts["closed"] + height(hit) - hit.score})
        if height(hit) < hit.score
        else hit
        for hit in hits
    ]
    return sorted(lowered, key=lambda hit: (-hit.score, hit.memory.id))
