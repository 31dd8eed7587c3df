"""Rank measures against values computed by hand, numpy, and trec_eval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeperso.evals.metrics.ranking import hit_at, ndcg_at, recall_at, reciprocal_rank

RANKED = st.permutations(range(8)).flatmap(lambda ids: st.integers(0, 8).map(lambda size: list(ids[:size])))
GAINS = st.dictionaries(st.integers(0, 9), st.integers(0, 3), min_size=1).filter(lambda gains: any(gains.values()))
K = st.integers(1, 10)


def trec(ranked: list[int], gains: dict[int, int], measure: str) -> float:
    """``ranked`` isn't empty: for a query without a run trec_eval says nothing."""
    evaluator = pytrec_eval.RelevanceEvaluator({"q": {str(one): gain for one, gain in gains.items()}}, {measure})
    run = {str(one): 1.0 / (1 + place) for place, one in enumerate(ranked)}
    (value,) = evaluator.evaluate({"q": run})["q"].values()
    return float(value)


def dcg(gains: list[int]) -> float:
    return float(np.sum(np.array(gains) / np.log2(np.arange(2, len(gains) + 2))))


def test_by_hand() -> None:
    ranked, gold = [5, 3, 9, 1], {3, 1, 7}
    assert recall_at(ranked, gold, 2) == pytest.approx(1 / 3)
    assert recall_at(ranked, gold, 4) == pytest.approx(2 / 3)
    assert [hit_at(ranked, gold, k) for k in (1, 2)] == [0.0, 1.0]
    assert reciprocal_rank(ranked, gold) == 0.5
    assert reciprocal_rank(ranked, gold, 1) == 0.0
    assert ndcg_at(ranked, gold, 2) == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert ndcg_at(ranked, {3: 2, 5: 1}, 2) == pytest.approx((1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3)))


def test_names_serve_as_well_as_numbers() -> None:
    assert ndcg_at(["10", "9", "b"], {"9"}, 3) == pytest.approx(1 / np.log2(3))
    assert recall_at(["a", "b"], ["b", "c"], 2) == 0.5


@given(RANKED, GAINS, K)
@settings(deadline=None)
def test_against_trec_eval_and_numpy(ranked: list[int], gains: dict[int, int], k: int) -> None:
    in_order = [gains.get(one, 0) for one in ranked[:k]]
    ideal = sorted(gains.values(), reverse=True)[:k]
    assert ndcg_at(ranked, gains, k) == pytest.approx(dcg(in_order) / dcg(ideal))
    if ranked:
        assert recall_at(ranked, gains, k) == pytest.approx(trec(ranked, gains, f"recall.{k}"))
        assert hit_at(ranked, gains, k) == trec(ranked, gains, f"success.{k}")
        assert reciprocal_rank(ranked, gains) == pytest.approx(trec(ranked, gains, "recip_rank"))
        assert ndcg_at(ranked, gains, k) == pytest.approx(trec(ranked, gains, f"ndcg_cut.{k}"))
        assert reciprocal_rank(ranked, gains, k) == reciprocal_rank(ranked[:k], gains)


@given(RANKED, GAINS, K)
@settings(deadline=None)
def test_bounds(ranked: list[int], gains: dict[int, int], k: int) -> None:
    values = [measure(ranked, gains, k) for measure in (recall_at, hit_at, reciprocal_rank, ndcg_at)]
    assert all(0 <= value <= 1 for value in values)
    assert len({value > 0 for value in values}) == 1
    best = sorted(gains, key=lambda one: -gains[one])
    assert ndcg_at(best, gains, k) == pytest.approx(1.0)


@pytest.mark.parametrize("measure", [recall_at, hit_at, reciprocal_rank, ndcg_at])
def test_nothing_found_is_nothing(measure) -> None:
    assert measure([], {1}, 3) == 0.0


@pytest.mark.parametrize("measure", [recall_at, hit_at, reciprocal_rank, ndcg_at])
@pytest.mark.parametrize(
    ("ranked", "gold", "k", "named"),
    [
        ([1], set(), 5, "right answer"),
        ([1], {1: 0}, 5, "right answer"),
        ([1], {1: -1}, 5, "gain"),
        ([1], {1: 0.5}, 5, "gain"),
        ([1], {1}, 0, "k must be"),
        ([1, 1], {1}, 5, "once"),
    ],
)
def test_what_cannot_be_measured(measure, ranked: list[int], gold: Any, k: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        measure(ranked, gold, k)
