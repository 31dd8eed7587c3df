"""A short and repeatable run of what ``scripts/fuzz_segments.py`` does for as long as one likes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edgeperso import kernels
from edgeperso.index import payload
from edgeperso.index.payload import SegmentInvalid
from edgeperso.index.segment import decode

from .hostile import SPACE, attack

NUMPY = pytest.param(False, id="numpy")
NATIVE = pytest.param(
    True, id="native", marks=pytest.mark.skipif(not kernels.AVAILABLE, reason="the extension is not built")
)


@pytest.mark.parametrize("native", [NUMPY, NATIVE])
def test_hostile_segments_are_refused_or_searched_without_harm(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "AVAILABLE", native)
    outcomes = Counter(attack(seed) for seed in range(1200))
    assert len(outcomes) == 8, "each kind is refused at times, and let through at times"
    assert min(outcomes.values()) > 50


@pytest.mark.parametrize("native", [NUMPY, NATIVE])
@pytest.mark.parametrize(
    "lie",
    [
        {"hashes": [9, 5]},
        {"hashes": [5, 5]},
        {"starts": [1, 2, 3]},
        {"starts": [0, 2, 4]},
        {"starts": [0, 4, 3]},
        {"starts": [0, 2**31 - 1, -(2**31)]},
        {"starts": [0, 3]},
        {"rows": [1, 0, 0]},
        {"rows": [0, 0, 0]},
        {"rows": [0, 2, 0]},
        {"counts": [1, 1]},
        {"lengths": [3, -1]},
        {"lengths": [3]},
    ],
)
def test_postings_that_lie_are_refused_when_they_are_read(
    lie: dict[str, list[int]], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the run above: the kernels refused these, but later, where nobody could build the segment anew."""
    monkeypatch.setattr(kernels, "AVAILABLE", native)
    sound = {"hashes": [5, 9], "starts": [0, 2, 3], "rows": [0, 1, 0], "counts": [1, 2, 1], "lengths": [3, 2]}
    types = {"hashes": "<u8", "starts": "<i4", "rows": "<u2", "counts": "<u2", "lengths": "<i4"}
    ids = np.array([3, 4], dtype=np.int64)

    def read(told: dict[str, list[int]]) -> None:
        decode(payload.seal("words", SPACE, ids, [np.array(told[name], types[name]) for name in types]), SPACE, ids)

    read(sound)
    with pytest.raises(SegmentInvalid):
        read(sound | lie)
