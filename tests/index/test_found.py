from __future__ import annotations

import numpy as np
import pytest

from edgeperso.index.found import best_rows, found_in


@pytest.mark.parametrize("k", [1, 2, 5, 40, 100])
def test_the_best_come_first_and_ties_go_to_the_lower_row(k: int) -> None:
    scores = np.random.default_rng(k).integers(0, 6, 60).astype(np.float32)
    rows = np.flatnonzero(scores != 3)
    expected = sorted(rows.tolist(), key=lambda row: (-scores[row], row))[:k]
    assert best_rows(scores, k, rows).tolist() == expected


def test_statistics_are_of_all_rows_and_rows_of_those_allowed() -> None:
    scores = np.array([0.0, 4.0, 2.0], dtype=np.float32)
    found = found_in(scores, 5, np.array([True, False, True]), scores)
    assert found.rows.tolist() == [2, 0]
    assert found.scores.tolist() == [2.0, 0.0]
    assert found.mean == pytest.approx(2.0)
    assert found.deviation == pytest.approx(np.std([0, 4, 2]))


def test_nothing_is_found_in_nothing() -> None:
    none = np.zeros(0, dtype=np.float32)
    found = found_in(none, 3, np.zeros(0, dtype=np.bool_), none)
    assert (len(found.rows), found.mean, found.deviation) == (0, 0.0, 0.0)


def test_less_than_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="k"):
        best_rows(np.zeros(3, dtype=np.float32), 0, np.arange(3))
