"""Intervals and paired tests against scipy, against each other, and against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgeperso.evals.metrics import intervals
from edgeperso.evals.metrics.agreement import spearman
from edgeperso.evals.metrics.intervals import (
    Resampling,
    bootstrap,
    bootstrap_mean,
    bootstrap_ratio,
    compare,
    compare_means,
    mcnemar,
    proportion,
    wilcoxon,
)

QUICK = Resampling(resamples=500, seed=3)
ITEMS = st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 5), st.sampled_from("abcd")), min_size=2, max_size=20)


def bounds(one: intervals.Interval) -> tuple[float, float, float]:
    return one.value, one.low, one.high


def people(count: int, items: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Values that differ mostly between people."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(count), items)
    return rng.standard_normal(count)[users] + 0.3 * rng.standard_normal(count * items), users.tolist()


def test_the_mean_is_scipys_bootstrap_over_people() -> None:
    values, users = people(12, 5, seed=1)
    values, users = values[:-3], users[:-3]  # people needn't have equally many
    groups = [values[np.array(users) == user] for user in range(12)]

    def mean_of(drawn: np.ndarray) -> float:
        return float(np.concatenate([groups[user] for user in drawn]).mean())

    expected = stats.bootstrap(
        (np.arange(12),), mean_of, vectorized=False, n_resamples=500, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    found = bootstrap_mean(values, users, QUICK)
    assert bounds(found) == pytest.approx((values.mean(), expected.low, expected.high))
    assert (found.n, found.units) == (57, 12)


@given(ITEMS)
@settings(max_examples=25, deadline=None)
def test_the_general_way_and_the_fast_ways_agree(items: list[tuple[int, int, str]]) -> None:
    above, below, users = (list(column) for column in zip(*items, strict=True))
    top, bottom = np.array(above, dtype=float), np.array(below, dtype=float)

    def ratio(places: np.ndarray) -> float:
        total = bottom[places].sum()
        return float(top[places].sum() / total) if total else math.nan

    few = Resampling(resamples=100, seed=3)
    mean = bootstrap(lambda places: float(top[places].mean()), users, few)
    assert bounds(bootstrap_mean(top, users, few)) == pytest.approx(bounds(mean), nan_ok=True)
    general = bootstrap(ratio, users, few)
    assert bounds(bootstrap_ratio(top, bottom, users, few)) == pytest.approx(bounds(general), nan_ok=True)
    fast = compare_means(top, bottom, users, few)
    slow = compare(lambda places: float(top[places].mean()), lambda places: float(bottom[places].mean()), users, few)
    assert bounds(fast.difference) == pytest.approx(bounds(slow.difference), nan_ok=True)


@given(ITEMS, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_items_does_not_matter(items: list[tuple[int, int, str]], random) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    found = []
    for rows in (items, shuffled):
        above, below, users = (list(column) for column in zip(*rows, strict=True))
        compared = compare_means(above, below, users, QUICK)
        found.append((*bounds(bootstrap_mean(above, users, QUICK)), *bounds(compared.difference), compared.p))
    assert found[0] == pytest.approx(found[1], nan_ok=True)


@given(ITEMS)
@settings(max_examples=25, deadline=None)
def test_bounds_lie_among_the_values_and_move_with_them(items: list[tuple[int, int, str]]) -> None:
    values, _, users = (list(column) for column in zip(*items, strict=True))
    found = bootstrap_mean(values, users, QUICK)
    if found.units == 1:
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        return
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    moved = bootstrap_mean([3 * value + 1 for value in values], users, QUICK)
    assert bounds(moved) == pytest.approx(tuple(3 * bound + 1 for bound in bounds(found)))


def test_a_seed_gives_the_same_again_and_another_gives_another() -> None:
    values, users = people(15, 4, seed=2)
    assert bootstrap_mean(values, users, QUICK) == bootstrap_mean(values, users, QUICK)
    assert bootstrap_mean(values, users, QUICK) != bootstrap_mean(values, users, Resampling(500, seed=4))


def test_a_higher_level_is_wider() -> None:
    values, users = people(15, 4, seed=2)
    wide = bootstrap_mean(values, users, Resampling(500, level=0.99))
    narrow = bootstrap_mean(values, users, Resampling(500, level=0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_batches_bound_the_memory_and_change_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_CELLS", 64)
    sizes = [batch.shape for batch in intervals._draws(10, Resampling(20))]
    assert sizes == [(6, 10), (6, 10), (6, 10), (2, 10)]
    assert [batch.shape for batch in intervals._draws(1000, Resampling(2))] == [(1, 1000), (1, 1000)]


def test_intervals_over_people_hold_the_truth_and_those_over_items_do_not() -> None:
    few = Resampling(resamples=300)
    covered = {"people": 0, "items": 0}
    for seed in range(100):
        values, users = people(30, 10, seed)
        for name, units in (("people", users), ("items", range(len(users)))):
            found = bootstrap_mean(values, units, few)
            covered[name] += found.low <= 0 <= found.high
    assert covered["people"] >= 86
    assert covered["items"] <= 60


def test_any_statistic_can_be_resampled() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal(60)
    y = x + rng.standard_normal(60)
    found = bootstrap(lambda places: spearman(x[places], y[places]), (np.arange(60) // 3).tolist(), QUICK)
    assert -1 <= found.low < found.value < found.high <= 1
    assert (found.n, found.units) == (60, 20)


def test_a_ratio_of_means() -> None:
    with_, without, users = [1.0, 2.0, 3.0, 0.0], [2.0, 2.0, 4.0, 4.0], ["a", "a", "b", "c"]
    found = bootstrap_ratio(with_, without, users, QUICK)
    assert found.value == pytest.approx(6 / 12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    same = bootstrap_ratio(without, without, users, QUICK)
    assert bounds(same) == (1.0, 1.0, 1.0)


def test_a_ratio_to_nothing_is_no_number() -> None:
    assert all(map(math.isnan, bounds(bootstrap_ratio([1, 2], [0, 0], ["a", "b"], QUICK))))
    # Of two people one has nothing: a quarter of the resamples are without a ratio.
    found = bootstrap_ratio([1, 2], [0, 4], ["a", "b"], QUICK)
    assert found.value == pytest.approx(3 / 4)
    assert math.isnan(found.low)
    # Of many, hardly any are.
    few = bootstrap_ratio([1] * 8, [0] * 4 + [1] * 4, range(8), QUICK)
    assert few.low < 2 < few.high
    with pytest.raises(ValueError, match="below 0"):
        bootstrap_ratio([1], [-1], ["a"])


def test_constant_values_have_a_point_for_an_interval() -> None:
    found = bootstrap_mean([0.5] * 6, ["a", "a", "b", "b", "c", "c"], QUICK)
    assert bounds(found) == (0.5, 0.5, 0.5)
    compared = compare_means([1, 2, 3], [1, 2, 3], range(3), QUICK)
    assert (bounds(compared.difference), compared.p) == ((0.0, 0.0, 0.0), 1.0)


def test_one_person_says_nothing_of_others() -> None:
    found = compare_means([1, 2, 3], [2, 2, 2], ["a", "a", "a"], QUICK)
    assert found.difference.value == 0.0
    assert found.difference.units == 1
    assert all(map(math.isnan, (found.difference.low, found.difference.high, found.p)))


@given(ITEMS)
@settings(max_examples=25, deadline=None)
def test_a_comparison_turned_around(items: list[tuple[int, int, str]]) -> None:
    first, second, users = (list(column) for column in zip(*items, strict=True))
    one, other = compare_means(first, second, users, QUICK), compare_means(second, first, users, QUICK)
    turned = (-other.difference.value, -other.difference.high, -other.difference.low)
    assert bounds(one.difference) == pytest.approx(turned, nan_ok=True, abs=1e-9)
    assert one.p == pytest.approx(other.p, nan_ok=True)
    assert math.isnan(one.p) or 0 < one.p <= 1


def test_p_and_interval_say_the_same() -> None:
    rng = np.random.default_rng(6)
    for shift in (0.0, 0.1, 0.2, 0.3, 0.5):
        first = rng.standard_normal(40) + shift
        found = compare_means(first, np.zeros(40), range(40), Resampling(2000))
        outside = found.difference.low > 0 or found.difference.high < 0
        assert outside == (found.p < 0.05) or found.p == pytest.approx(0.05, abs=0.005)


def test_a_clear_difference_has_the_least_p() -> None:
    found = compare_means([2.0] * 10, [1.0] * 10, range(10), Resampling(999))
    assert found.p == pytest.approx(2 / 1000)


def test_p_keeps_its_level_where_nothing_differs() -> None:
    rng = np.random.default_rng(8)
    few = Resampling(300)
    ps = [compare_means(rng.standard_normal(30), rng.standard_normal(30), range(30), few).p for _ in range(200)]
    assert 0.01 <= np.mean([p < 0.05 for p in ps]) <= 0.11


def test_wilcoxon_by_hand_and_over_people() -> None:
    found = wilcoxon([1, 2, 3, 4, 5], [0, 0, 0, 0, 0], range(5))
    assert (found.statistic, found.p, found.n) == (0.0, pytest.approx(2 / 2**5), 5)
    # Each person's mean: 1, -2, 0; the third doesn't differ.
    means = wilcoxon([2, 0, -1, -3, 1, -1], [0] * 6, ["a", "a", "b", "b", "c", "c"])
    assert (means.statistic, means.p, means.n) == (1.0, 1.0, 2)
    assert wilcoxon([0.1 + 0.2], [0.3], ["a"]) == intervals.SignedRank(0.0, 1.0, 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
@settings(deadline=None)
def test_mcnemar_against_the_binomial(answers: list[tuple[bool, bool]]) -> None:
    first, second = ([pair[side] for pair in answers] for side in (0, 1))
    found = mcnemar(first, second)
    only = [answers.count((True, False)), answers.count((False, True))]
    assert [found.first_only, found.second_only] == only
    differing = sum(only)
    tail = sum(math.comb(differing, count) for count in range(min(only) + 1)) / 2**differing
    assert found.p == pytest.approx(min(1.0, 2 * tail))
    assert found.p == pytest.approx(mcnemar(second, first).p)


def test_what_cannot_be_measured() -> None:
    for empty in (
        lambda: bootstrap_mean([], []),
        lambda: bootstrap_ratio([], [], []),
        lambda: bootstrap(float, []),
        lambda: compare_means([], [], []),
        lambda: compare(float, float, []),
        lambda: wilcoxon([], [], []),
        lambda: mcnemar([], []),
    ):
        with pytest.raises(ValueError, match="no value"):
            empty()
    for unequal in (
        lambda: bootstrap_mean([1, 2], ["a"]),
        lambda: bootstrap_ratio([1, 2], [1], ["a", "a"]),
        lambda: compare_means([1, 2], [1, 2], ["a"]),
        lambda: wilcoxon([1, 2], [1, 2], ["a"]),
        lambda: mcnemar([True], [True, False]),
    ):
        with pytest.raises(ValueError, match="differ"):
            unequal()
    with pytest.raises(ValueError, match="NaN"):
        bootstrap_mean([1.0, math.nan], ["a", "b"])
    with pytest.raises(ValueError, match="true or false"):
        mcnemar([2], [1])  # type: ignore[list-item]


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"level": 0.0}, {"level": 1.0}, {"level": math.nan}])
def test_a_resampling_must_be_one(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Resampling(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (0, 60), (3, 10), (10, 10), (499, 1000)])
def test_a_share_has_the_bounds_of_clopper_and_pearson(successes: int, n: int) -> None:
    """By their definition: quantiles of two beta distributions."""
    low = stats.beta.ppf(0.025, successes, n - successes + 1) if successes else 0.0
    high = stats.beta.ppf(0.975, successes + 1, n - successes) if successes < n else 1.0
    found = proportion(successes, n)
    assert bounds(found) == pytest.approx((successes / n, low, high), abs=1e-9)
    assert found.n == found.units == n
    wider = proportion(successes, n, level=0.99)
    assert wider.low <= found.low
    assert wider.high >= found.high


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_a_share_of_nothing_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="a trial or more"):
        proportion(successes, n)
