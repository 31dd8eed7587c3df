"""What is held out: the newest part, because an adapter is to help with what comes, and no repetition of the rest."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_HELD_OUT", "MOST_HELD_OUT", "hold_out", "without_repetitions"]

LEAST_HELD_OUT: Final = 4
MOST_HELD_OUT: Final = 64
_SHARE: Final = 0.2
_SHINGLE_WORDS: Final = 3
_ALIKE: Final = 0.5
"""Jaccard similarity of shingles from which two texts count as one."""
_BANDS, _ROWS = 32, 4
"""Two texts of similarity s are compared with probability 1 − (1 − s^rows)^bands: 0.87 at 0.5, 0.99 at 0.6, 1 − 2e-8 at
0.8."""


class Dated(Protocol):
    @property
    def when_ms(self) -> int: ...

    @property
    def key(self) -> str: ...


Item = TypeVar("Item", bound=Dated)


def hold_out(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """``items`` by time in two: those to train on, and the newest fifth to judge by, at least `LEAST_HELD_OUT` and at
    most `MOST_HELD_OUT` of them."""
    ordered = sorted(items, key=lambda item: item.when_ms)
    held = min(max(round(_SHARE * len(ordered)), LEAST_HELD_OUT), MOST_HELD_OUT, len(ordered))
    return ordered[: len(ordered) - held], ordered[len(ordered) - held :]


def without_repetitions(items: Sequence[Item]) -> list[Item]:
    """``items`` by time, of those that say nearly the same (shingles of three words, Jaccard 0.5 or more) the first.

    Source: Broder, "On the resemblance and containment of documents", 1997; candidates by min-hashing in bands.
    """
    kept: list[Item] = []
    shingles: list[frozenset[int]] = []
    buckets: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    factors = np.random.default_rng(0).integers(1, 2**63, size=(2, _BANDS * _ROWS, 1), dtype=np.uint64)
    for item in sorted(items, key=lambda item: item.when_ms):
        own = _shingles(item.key)
        bands = _bands(own, factors)
        candidates = {place for band in bands for place in buckets.get(band, ())}
        if any(_jaccard(own, shingles[place]) >= _ALIKE for place in candidates):
            continue
        for band in bands:
            buckets[band].append(len(kept))
        kept.append(item)
        shingles.append(own)
    return kept


def _shingles(text: str) -> frozenset[int]:
    words = re.findall(r"\w+", text.casefold()) or [text]
    last = max(1, len(words) - _SHINGLE_WORDS + 1)
    return frozenset(_hash(" ".join(words[place : place + _SHINGLE_WORDS])) for place in range(last))


def _hash(shingle: str) -> int:
    """The same in every process, so that a training that goes on meets the same examples."""
    return int.from_bytes(blake2b(shingle.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _bands(shingles: frozenset[int], factors: NDArray[np.uint64]) -> list[tuple[int, bytes]]:
    values = np.fromiter(shingles, dtype=np.uint64, count=len(shingles))
    least = ((values | np.uint64(1)) * factors[0] + factors[1]).min(axis=1).reshape(_BANDS, _ROWS)
    return [(band, row.tobytes()) for band, row in enumerate(least)]


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
