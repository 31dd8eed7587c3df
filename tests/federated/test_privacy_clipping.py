"""Clipping: what is no number is refused, nothing is ever longer than the bound, and a bound that adapts finds its
quantile."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeperso.errors import UsageError
from edgeperso.types import Float32
from edgeperso_federated.errors import Fault, UpdateInvalid
from edgeperso_federated.privacy.clipping import WITHIN, Adaptive, clip, within_of
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.privacy.plans import Central

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def norm(vector: Float32) -> float:
    return float(np.linalg.norm(vector.astype(np.float64)))


@given(arrays(np.float32, st.integers(1, 50), elements=FINITE), st.floats(1e-6, 1e6))
def test_nothing_is_longer_than_the_bound_or_turned(vector: Float32, bound: float) -> None:
    before = vector.copy()
    clipped = clip(vector, bound)
    assert clipped.vector.dtype == np.float32
    assert norm(clipped.vector) <= bound
    assert clipped.within == (norm(vector) <= bound)
    assert np.array_equal(vector, before)
    if clipped.within:
        assert np.array_equal(clipped.vector, vector)
    else:
        assert norm(clipped.vector) >= bound * (1 - 1e-6)
        assert np.allclose(clipped.vector, before * np.float64(bound / norm(before)), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_before_all_else(bad: float) -> None:
    vector = np.full(9, 3e38, np.float32)
    vector[4] = bad
    with pytest.raises(UpdateInvalid) as caught:
        clip(vector, 1.0)
    assert caught.value.reason is Fault.NOT_FINITE


def test_zeros_and_the_largest_floats_survive() -> None:
    zeros = clip(np.zeros(7, np.float32), 0.1)
    assert zeros.within
    assert not zeros.vector.any()
    largest = clip(np.full(1000, np.finfo(np.float32).max, np.float32), 1.0)
    assert norm(largest.vector) == pytest.approx(1.0, rel=1e-6)


def test_what_is_within_is_a_copy() -> None:
    vector = np.ones(3, np.float32)
    clip(vector, 10).vector[0] = 5
    assert vector[0] == 1


@pytest.mark.parametrize("bit", [2.0, -1.0, 0.5, 1e9, math.nan, None])
def test_a_bit_that_would_count_for_many_is_refused(bit: float | None) -> None:
    with pytest.raises(UpdateInvalid) as caught:
        within_of({} if bit is None else {WITHIN: bit})
    assert caught.value.reason is Fault.METRICS
    assert within_of({WITHIN: 1.0}) is True
    assert within_of({WITHIN: 0.0}) is False


# ---- a bound that adapts -------------------------------------------------------------------------------------------


def plan(cohort: int = 200, multiplier: float = 1.0, first: float = 0.01) -> Central:
    return Central(first, multiplier, cohort, cohort, 10_000, 1e-5)


def followed(adaptive: Adaptive, of: Central, norms: np.ndarray, rounds: int) -> float:
    bound = of.clip
    for number in range(rounds):
        within = int(np.sum(norms <= bound))
        key, binding = NoiseKey.of_simulation(3), (b"run", bytes([number]))
        bound = adaptive.next_bound(of, bound, within=within, answered=len(norms), key=key, binding=binding)
    return bound


@pytest.mark.parametrize("quantile", [0.5, 0.8])
@pytest.mark.parametrize("first", [0.02, 8.0])
def test_it_finds_its_quantile_from_far_off(quantile: float, first: float) -> None:
    norms = np.random.default_rng(1).lognormal(0, 0.5, 200)
    found = followed(Adaptive(quantile), plan(first=first), norms, 80)
    assert abs(np.mean(norms <= found) - quantile) < 0.12


def test_dropouts_change_neither_noise_nor_denominator() -> None:
    """Of 200 planned, those who don't answer count as half within: a bound that is right for the median stays."""
    alone = Adaptive().next_bound(plan(), 1.0, within=0, answered=0, key=NoiseKey.new(), binding=())
    assert 0.85 < alone < 1.15


def test_both_releases_together_cost_what_the_plan_says() -> None:
    for of in (plan(), plan(20, 5.0), plan(3, 0.7)):
        bits = max(of.cohort / 20, of.noise_multiplier)
        multiplier = Adaptive().multiplier(of)
        assert multiplier**-2 + (2 * bits) ** -2 == pytest.approx(of.noise_multiplier**-2)
        assert of.noise_multiplier < multiplier < 1.2 * of.noise_multiplier


def test_the_noise_on_the_bits_is_what_was_reckoned() -> None:
    of = plan(400)
    bounds = [
        Adaptive().next_bound(of, 0.01, within=200, answered=400, key=NoiseKey.new(), binding=()) for _ in range(600)
    ]
    deviations = np.log(np.array(bounds) / 0.01) / 0.2 * 400
    assert np.std(deviations) == pytest.approx(400 / 20, rel=0.12)
    assert abs(np.mean(deviations)) < 4


def test_it_stays_near_the_plan_and_asks_for_sense() -> None:
    of = plan(1, 1.0, first=1.0)
    bound = 1.0
    for number in range(3000):
        args = {"within": 0, "answered": 1, "key": NoiseKey.of_simulation(number), "binding": ()}
        bound = Adaptive(0.99, 1.0).next_bound(of, bound, **args)  # type: ignore[arg-type]
        assert 0.001 <= bound <= 1000
    with pytest.raises(UsageError):
        Adaptive().next_bound(of, 1.0, within=2, answered=1, key=NoiseKey.new(), binding=())
    for quantile, rate in ((0.0, 0.2), (1.0, 0.2), (math.nan, 0.2), (0.5, 0.0), (0.5, 1.5)):
        with pytest.raises(UsageError):
            Adaptive(quantile, rate)
