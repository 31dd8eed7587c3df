"""What a run may promise, and what a small cohort is told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edgeperso.errors import UsageError
from edgeperso_federated.privacy.gaussian import epsilon_of
from edgeperso_federated.privacy.plans import Central, Local, small_cohort

PLAN: dict[str, Any] = {
    "clip": 1.0,
    "noise_multiplier": 1.0,
    "cohort": 50,
    "asked": 60,
    "population": 1000,
    "delta": 1e-5,
}


@pytest.mark.parametrize(
    "changed",
    [
        {"clip": 0.0},
        {"clip": math.nan},
        {"clip": math.inf},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": 0.001},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": 1e5},
        {"cohort": 0},
        {"cohort": 61},
        {"asked": 1001},
        {"delta": 0.0},
        {"delta": 0.001},
    ],
)
def test_a_central_plan_out_of_range_is_refused(changed: dict[str, Any]) -> None:
    assert Central(**PLAN).rate == 0.06
    with pytest.raises(UsageError):
        Central(**{**PLAN, **changed})


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 1e-5), (1.0, 0.0, 1e-5), (1.0, 1.0, 1.0), (1.0, math.nan, 1e-5)])
def test_a_local_plan_out_of_range_is_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError):
        Local(*numbers)


def test_a_local_budget_is_spent_by_its_rounds_and_no_fewer() -> None:
    plan = Local.of_budget(0.5, 8.0, 1e-5, 10)
    assert plan.epsilon(10) == pytest.approx(8.0, rel=1e-9)
    assert plan.epsilon(9) < 8 < plan.epsilon(11)
    assert plan.epsilon(0) == 0
    assert plan.epsilon(1) == epsilon_of(1 / plan.noise_multiplier, 1e-5)


def test_a_small_cohort_is_told_what_noise_does_to_it() -> None:
    told = small_cohort(Central(**PLAN), 10_000)
    assert told is not None
    assert "of little use to a cohort of 50" in told
    assert "2.0 times" in told
    assert "about 100 people" in told


def test_a_cohort_that_is_large_enough_is_told_nothing() -> None:
    assert small_cohort(Central(**{**PLAN, "cohort": 100, "asked": 100}), 10_000) is None
    assert small_cohort(Central(**PLAN), 2_500) is None
    assert small_cohort(Central(**{**PLAN, "noise_multiplier": 0.5}), 10_000) is None
