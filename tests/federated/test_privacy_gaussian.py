"""The formulas of the Gaussian mechanism, against numbers from elsewhere, integration, and dp-accounting's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.errors import UsageError
from edgeperso_federated.privacy.gaussian import delta_of, epsilon_of, multiplier_for

MUS = (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 12.0, 40.0)
DELTAS = (1e-3, 1e-5, 1e-9)


@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_delta_is_the_hockey_stick_divergence(mu: float, epsilon: float) -> None:
    x = np.linspace(-20, 30, 2_000_001)
    density = np.exp(-((x - mu) ** 2) / 2) - math.exp(epsilon) * np.exp(-(x**2) / 2)
    integral = np.sum(np.maximum(density, 0)) * (x[1] - x[0]) / math.sqrt(2 * math.pi)
    assert delta_of(mu, epsilon) == pytest.approx(integral, rel=1e-6)


@pytest.mark.parametrize("mu", MUS)
@pytest.mark.parametrize("delta", DELTAS)
def test_epsilon_is_dp_accountings(mu: float, delta: float) -> None:
    accounting = pytest.importorskip("dp_accounting")
    assert epsilon_of(mu, delta) == pytest.approx(accounting.get_epsilon_gaussian(1 / mu, delta), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("epsilon", [0.01, 0.3, 1.0, 4.0, 50.0])
@pytest.mark.parametrize("delta", DELTAS)
def test_the_noise_for_a_budget_is_dp_accountings(epsilon: float, delta: float) -> None:
    accounting = pytest.importorskip("dp_accounting")
    assert multiplier_for(epsilon, delta) == pytest.approx(accounting.get_sigma_gaussian(epsilon, delta), rel=1e-9)


@given(st.floats(0.01, 100), st.floats(1e-12, 0.1), st.integers(1, 1000))
def test_noise_for_a_budget_keeps_to_it_and_wastes_none(epsilon: float, delta: float, releases: int) -> None:
    mu = math.sqrt(releases) / multiplier_for(epsilon, delta, releases)
    assert epsilon_of(mu, delta) <= epsilon * (1 + 1e-9)
    assert epsilon_of(mu * 1.001, delta) > epsilon


@given(st.floats(1e-3, 1e3), st.floats(1e-12, 0.5))
def test_epsilon_and_delta_are_each_others_inverse(mu: float, delta: float) -> None:
    epsilon = epsilon_of(mu, delta)
    assert delta_of(mu, epsilon) <= delta
    assert epsilon == 0 or delta_of(mu, epsilon * 0.999) > delta


def test_the_classical_formula_is_not_what_is_used() -> None:
    """``sqrt(2 ln(1.25/δ)) / ε`` holds below ε = 1 only, where it wastes noise; far above it isn't kept."""
    classical = math.sqrt(2 * math.log(1.25 / 1e-5)) / 20
    assert epsilon_of(1 / classical, 1e-5) > 20
    assert multiplier_for(0.5, 1e-5) < math.sqrt(2 * math.log(1.25 / 1e-5)) / 0.5


def test_the_ends() -> None:
    assert delta_of(0, 0) == 0
    assert delta_of(math.inf, 5) == 1
    assert epsilon_of(0, 1e-5) == 0
    assert epsilon_of(1e-6, 1e-5) == 0
    assert epsilon_of(math.inf, 1e-5) == math.inf
    assert epsilon_of(1e4, 1e-5) == pytest.approx(5e7, rel=0.01)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan])
def test_a_delta_out_of_range_is_refused(delta: float) -> None:
    with pytest.raises(UsageError):
        epsilon_of(1, delta)
    with pytest.raises(UsageError):
        multiplier_for(1, delta)


def test_other_numbers_out_of_range_are_refused() -> None:
    for mu in (-1.0, math.nan):
        with pytest.raises(UsageError):
            epsilon_of(mu, 1e-5)
    for epsilon, releases in ((0.0, 1), (math.inf, 1), (math.nan, 1), (1.0, 0)):
        with pytest.raises(UsageError):
            multiplier_for(epsilon, 1e-5, releases)
