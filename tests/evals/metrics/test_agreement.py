"""Agreement against values computed by hand, definitions written out, and residuals of a regression."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeperso.evals.metrics.agreement import kendall_tau_b, partial_spearman, quadratic_weighted_kappa, spearman

RATING = st.integers(1, 5)
PAIRS = st.lists(st.tuples(RATING, RATING), min_size=2, max_size=25)
TRIPLES = st.lists(st.tuples(RATING, RATING, RATING), min_size=4, max_size=25)


def ranks(values: np.ndarray) -> np.ndarray:
    return np.array([(values < one).sum() + ((values == one).sum() + 1) / 2 for one in values])


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / np.sqrt((x**2).sum() * (y**2).sum()))


def residuals(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    design = np.column_stack([np.ones(len(z)), z])
    return x - design @ np.linalg.lstsq(design, x, rcond=None)[0]


def kappa(x: np.ndarray, y: np.ndarray) -> float:
    """From the mean squared distance of pairs, and of all with all."""
    observed = ((x - y) ** 2).mean()
    return float(1 - observed / ((x[:, None] - y[None, :]) ** 2).mean())


def columns(rows: list[tuple[int, ...]]) -> np.ndarray:
    return np.array(rows, dtype=float).T


def test_by_hand() -> None:
    assert spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.8207826816681233)
    assert spearman([1, 2, 3], [1, 4, 9]) == pytest.approx(1.0)
    assert kendall_tau_b([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx((5 - 1) / 6)
    assert kendall_tau_b([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(2 * 3))
    assert quadratic_weighted_kappa([1, 2, 3], [1, 2, 3], low=1, high=5) == 1.0
    assert quadratic_weighted_kappa([1, 3], [3, 1], low=1, high=3) == pytest.approx(-1.0)


@given(PAIRS)
@settings(deadline=None)
def test_correlations_against_definitions(pairs: list[tuple[int, int]]) -> None:
    x, y = columns(pairs)
    assume(len(set(x)) > 1)
    assume(len(set(y)) > 1)
    assert spearman(x, y) == pytest.approx(pearson(ranks(x), ranks(y)))
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in combinations(range(len(x)), 2)]
    untied_x, untied_y = (sum(sign[side] != 0 for sign in signs) for side in (0, 1))
    assert kendall_tau_b(x, y) == pytest.approx(sum(a * b for a, b in signs) / math.sqrt(untied_x * untied_y))


@given(PAIRS)
@settings(deadline=None)
def test_kappa_against_its_definition(pairs: list[tuple[int, int]]) -> None:
    x, y = columns(pairs)
    assume(len(set(x) | set(y)) > 1)
    assert quadratic_weighted_kappa(x, y, low=1, high=5) == pytest.approx(kappa(x, y), abs=1e-12)


@given(PAIRS)
@settings(deadline=None)
def test_bounds_and_symmetry(pairs: list[tuple[int, int]]) -> None:
    x, y = columns(pairs)
    for measure in (spearman, kendall_tau_b, lambda a, b: quadratic_weighted_kappa(a, b, low=1, high=5)):
        value = measure(x, y)
        assert math.isnan(value) or -1 - 1e-9 <= value <= 1 + 1e-9
        assert value == pytest.approx(measure(y, x), nan_ok=True)
        assert value == pytest.approx(measure(x[::-1], y[::-1]), nan_ok=True)


@given(TRIPLES)
@settings(deadline=None)
def test_partial_correlation_against_residuals(rows: list[tuple[int, int, int]]) -> None:
    x, y, z = columns(rows)
    assume(all(len(set(column)) > 1 for column in (x, y, z)))
    rest_of_x, rest_of_y = residuals(ranks(x), ranks(z)), residuals(ranks(y), ranks(z))
    value = partial_spearman(x, y, z)
    if min(np.abs(rest_of_x).max(), np.abs(rest_of_y).max()) < 1e-9:
        assert math.isnan(value)
    else:
        assert value == pytest.approx(pearson(rest_of_x, rest_of_y), abs=1e-9)
        assert value == pytest.approx(partial_spearman(y, x, z))


def test_what_a_third_explains_is_taken_out() -> None:
    rng = np.random.default_rng(4)
    z = rng.standard_normal(4000)
    x, y = z + rng.standard_normal(4000), z + rng.standard_normal(4000)
    assert spearman(x, y) > 0.4
    assert abs(partial_spearman(x, y, z)) < 0.05


@pytest.mark.parametrize(
    ("rating", "grade"), [(0.2, 1), (1.49, 1), (1.5, 2), (2.5, 3), (3.5, 4), (4.4999, 4), (4.5, 5), (9.0, 5)]
)
def test_real_ratings_go_to_the_nearest_grade_halves_up(rating: float, grade: int) -> None:
    fixed = [1, 2, 3, 4, 5, 3]
    real, whole = [1.0, 2.0, 3.0, 4.0, 5.0, rating], [1, 2, 3, 4, 5, grade]
    assert quadratic_weighted_kappa(fixed, real, low=1, high=5) == quadratic_weighted_kappa(fixed, whole, low=1, high=5)


def test_a_step_need_not_be_whole() -> None:
    halves = quadratic_weighted_kappa([1.0, 1.5, 2.0], [1.0, 2.0, 1.5], low=1, high=2, step=0.5)
    assert halves == quadratic_weighted_kappa([1, 2, 3], [1, 3, 2], low=1, high=3)
    # 1.15 lies half a step above 1.1, though not in binary.
    tenths = quadratic_weighted_kappa([1.0, 1.2], [1.0, 1.15], low=1, high=2, step=0.1)
    assert tenths == 1.0


@pytest.mark.parametrize(("low", "high", "step"), [(1, 1, 1), (5, 1, 1), (1, 5, 0), (1, 5, -1), (1, 5, 3)])
def test_a_scale_must_be_one(low: float, high: float, step: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        quadratic_weighted_kappa([1, 2], [1, 2], low=low, high=high, step=step)


def test_constant_judges() -> None:
    constant, other, third = [2, 2, 2, 2], [1, 2, 3, 4], [1, 4, 2, 3]
    for measure in (spearman, kendall_tau_b):
        assert math.isnan(measure(constant, other))
        assert math.isnan(measure(other, constant))
        assert math.isnan(measure([1], [1]))
    for three in ((constant, other, third), (other, constant, third), (other, third, constant)):
        assert math.isnan(partial_spearman(*three))
    assert math.isnan(quadratic_weighted_kappa(constant, constant, low=1, high=5))
    assert quadratic_weighted_kappa(constant, other, low=1, high=5) == pytest.approx(0.0)


def test_a_third_that_says_it_all_leaves_nothing() -> None:
    """Also where the correlation of equal ranks comes out a rounding error below 1."""
    for size in range(3, 60):
        first, second = np.arange(size), np.random.default_rng(size).permutation(size)
        assert math.isnan(partial_spearman(first, second, first * 10.0))
        assert math.isnan(partial_spearman(second, first, -first))


@pytest.mark.parametrize(
    "measure",
    [
        spearman,
        kendall_tau_b,
        lambda x, y: partial_spearman(x, y, y),
        lambda x, y: quadratic_weighted_kappa(x, y, low=1, high=5),
    ],
)
def test_what_cannot_be_measured(measure) -> None:
    with pytest.raises(ValueError, match="no value"):
        measure([], [])
    with pytest.raises(ValueError, match="differ"):
        measure([1, 2], [1])
    with pytest.raises(ValueError, match="NaN"):
        measure([1.0, math.nan], [1.0, 2.0])
