"""ε as reported is dp-accounting's own, amplified only where it may be, the same whoever drops out."""

from __future__ import annotations

import builtins
import math
from dataclasses import replace
from typing import Any

import pytest

from edgeperso.errors import ExtraMissing, UsageError
from edgeperso_federated.privacy.accounting import Accountant, calibrated, epsilon, views
from edgeperso_federated.privacy.plans import Central, Local, Sampling

PLAN = Central(clip=1.0, noise_multiplier=1.0, cohort=40, asked=50, population=1000, delta=1e-5)
POISSON = replace(PLAN, sampling=Sampling.POISSON)


def accounting() -> Any:
    return pytest.importorskip("dp_accounting")


@pytest.mark.parametrize(("multiplier", "rounds"), [(1.0, 20), (0.7, 5), (2.5, 100)])
@pytest.mark.parametrize("accountant", Accountant)
def test_epsilon_is_dp_accountings_own(multiplier: float, rounds: int, accountant: Accountant) -> None:
    dp = accounting()
    fresh = {Accountant.PLD: dp.pld.PLDAccountant, Accountant.RDP: dp.rdp.RdpAccountant}[accountant]
    gaussian = dp.GaussianDpEvent(multiplier)
    sampled = dp.PoissonSampledDpEvent(0.05, gaussian)

    poisson = epsilon(replace(POISSON, noise_multiplier=multiplier), rounds, accountant)
    assert poisson == fresh().compose(sampled, rounds).get_epsilon(1e-5)

    fixed = epsilon(replace(PLAN, noise_multiplier=multiplier), rounds, accountant)
    theirs = fresh().compose(gaussian, rounds).get_epsilon(1e-5)
    assert fixed == pytest.approx(theirs, rel=1e-3)
    assert fixed <= theirs


def test_only_tosses_for_each_person_amplify() -> None:
    accounting()
    for accountant in Accountant:
        fixed = epsilon(PLAN, 10, accountant)
        assert epsilon(POISSON, 10, accountant) < fixed / 3
        assert epsilon(replace(PLAN, asked=40), 10, accountant) == fixed
        assert epsilon(replace(POISSON, asked=1000), 10, accountant) == pytest.approx(fixed, rel=1e-3)


def test_asking_more_than_are_planned_for_costs_and_who_answers_does_not_matter() -> None:
    accounting()
    assert epsilon(replace(POISSON, asked=100), 10) > epsilon(POISSON, 10)
    assert epsilon(replace(POISSON, cohort=1), 10) == epsilon(POISSON, 10)


def test_rounds_add_up_from_nothing() -> None:
    accounting()
    assert epsilon(POISSON, 0) == 0
    spent = [epsilon(POISSON, rounds) for rounds in (1, 2, 50)]
    assert spent == sorted(set(spent))
    assert epsilon(POISSON, 50, Accountant.RDP) > spent[-1]
    with pytest.raises(UsageError):
        epsilon(POISSON, -1)


def test_a_figure_that_protects_nobody_is_renyis() -> None:
    accounting()
    plan = replace(POISSON, noise_multiplier=0.05)
    assert epsilon(plan, 100) == epsilon(plan, 100, Accountant.RDP) > 100


@pytest.mark.parametrize("plan", [PLAN, POISSON])
@pytest.mark.parametrize("target", [0.5, 8.0])
def test_noise_for_a_target_keeps_to_it_and_wastes_none(plan: Central, target: float) -> None:
    accounting()
    accountant = Accountant.RDP if plan is POISSON else Accountant.PLD
    found = calibrated(plan, 20, target, accountant)
    assert replace(found, noise_multiplier=plan.noise_multiplier) == plan
    assert 0.99 * target < epsilon(found, 20, accountant) <= target


def test_a_target_out_of_reach_is_refused() -> None:
    accounting()
    for target, rounds in ((1e-9, 1), (1e9, 1), (0.0, 1), (1.0, 0)):
        with pytest.raises(UsageError):
            calibrated(replace(PLAN, delta=1e-12), rounds, target)


def test_each_pair_of_eyes_has_its_figure() -> None:
    dp = accounting()
    seen = views(POISSON, 20, taken=3)
    assert seen.delta == 1e-5
    assert seen.published == epsilon(POISSON, 20)
    assert seen.device == pytest.approx(dp.get_epsilon_gaussian(1 / math.sqrt(3), 1e-5), rel=1e-9)
    assert seen.server == math.inf
    with pytest.raises(UsageError):
        views(POISSON, 2, taken=3)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **more: Any) -> Any:
        if name == "dp_accounting":
            raise ImportError
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    for call in (lambda: epsilon(PLAN, 1), lambda: calibrated(PLAN, 1, 1.0), lambda: views(PLAN, 1, taken=0)):
        with pytest.raises(ExtraMissing) as caught:
            call()
        assert "edgeperso[federated]" in caught.value.hint


def test_local_noise_holds_against_the_server_too_and_needs_no_library() -> None:
    plan = Local(1.0, 2.0, 1e-6)
    seen = views(plan, 20, taken=3)
    assert (seen.delta, seen.published) == (1e-6, plan.epsilon(20))
    assert seen.device == seen.server == plan.epsilon(3) < seen.published


def test_without_noise_nothing_is_promised() -> None:
    seen = views(None, 20, taken=0)
    assert (seen.published, seen.device, seen.server) == (math.inf, 0, 0)
    assert views(None, 20, taken=1).device == views(None, 20, taken=1).server == math.inf
