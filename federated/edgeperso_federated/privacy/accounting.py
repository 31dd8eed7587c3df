"""What a run costs, by dp-accounting: the ε of the published adapters, and whose eyes which figure is for.

Every round counts that was begun, also one that failed. Random sampling makes a run cheaper (amplification) only
where the plan's sampling is Poisson's. How many dropped out is no argument of anything here.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from edgeperso.errors import ExtraMissing, UsageError
from edgeperso_federated.privacy.gaussian import epsilon_of
from edgeperso_federated.privacy.plans import LEAST_MULTIPLIER, MOST_MULTIPLIER, Central, Local, Sampling

__all__ = ["Accountant", "Views", "calibrated", "epsilon", "views"]

_HOPELESS: Final = 100.0
"""An ε that protects nobody: to tighten it would take minutes, since the distributions grow as long as it."""


class Accountant(StrEnum):
    """How rounds are added up. Both are upper bounds."""

    PLD = "pld"
    """Distributions of the privacy loss: tight. Where Rényi's bound is above 100 it is given instead."""
    RDP = "rdp"
    """Rényi differential privacy: what most papers report; somewhat above."""


@dataclass(frozen=True, slots=True)
class Views:
    """The ε of the same run for different eyes, all at ``delta``; infinite where nothing is promised.

    Args:
        published: against whoever sees all published adapters and nothing else: the server's figure. It holds for any
            person of the population, and trusts the server to draw people and to add the noise as planned.
        device: against the same, of one device that took part in so many rounds, of which everybody may know: its
        ledger's
            figure. Without amplification: the device can't see how the others were drawn.
        server: against the server itself. Infinite with central noise, which it adds itself; secure aggregation hides
            single updates from it, but that is no ε.
    """

    delta: float
    published: float
    device: float
    server: float


def epsilon(plan: Central, rounds: int, accountant: Accountant = Accountant.PLD) -> float:
    """The ε of the adapters that so many rounds published, at ``plan.delta``.

    Args:
        plan: of the run.
        rounds: 0 or more.
        accountant: see `Accountant`.

    Raises:
        ExtraMissing: dp-accounting isn't installed.
        UsageError: fewer than 0 rounds.
    """
    if rounds < 0:
        raise UsageError("Rounds are 0 or more.")
    return _epsilon(_library(), plan, rounds, accountant) if rounds else 0.0


def calibrated(plan: Central, rounds: int, target: float, accountant: Accountant = Accountant.PLD) -> Central:
    """The same plan with the least noise (to a thousandth) with which ``rounds`` rounds cost no more than ε =
    ``target``.

    Raises:
        ExtraMissing: dp-accounting isn't installed.
        UsageError: no noise multiplier within bounds does it.
    """
    library = _library()
    if not (rounds >= 1 and target > 0):
        raise UsageError("A budget is a positive ε for one round or more.")

    def cost(multiplier: float) -> float:
        return _epsilon(library, replace(plan, noise_multiplier=multiplier), rounds, accountant)

    # From above, where accounting is quick: very little noise makes very long distributions.
    high = 1.0
    while cost(high) > target:
        high *= 2
        if high > MOST_MULTIPLIER:
            raise UsageError("No amount of noise is enough for so small an ε.")
    low = high / 2
    while cost(low) <= target:
        low, high = low / 2, low
        if low < LEAST_MULTIPLIER:
            raise UsageError("So large an ε needs no noise.")
    while high - low > high / 1000:
        middle = (low + high) / 2
        low, high = (low, middle) if cost(middle) <= target else (middle, high)
    return replace(plan, noise_multiplier=high)


def views(plan: Central | Local | None, rounds: int, *, taken: int, accountant: Accountant = Accountant.PLD) -> Views:
    """The figures to be shown side by side.

    Args:
        plan: of the run; None: nothing is noised.
        rounds: of the run so far, 0 or more.
        taken: those in which the device took part, 0 up to ``rounds``.
        accountant: of the published figure.

    Raises:
        ExtraMissing: dp-accounting isn't installed, and the plan is central.
        UsageError: ``taken`` is out of its range.
    """
    if not 0 <= taken <= rounds:
        raise UsageError("A device takes part in 0 up to all rounds.")
    if plan is None:
        return Views(0.0, *(math.inf if count else 0.0 for count in (rounds, taken, taken)))
    if isinstance(plan, Local):
        return Views(plan.delta, plan.epsilon(rounds), plan.epsilon(taken), plan.epsilon(taken))
    device = epsilon_of(math.sqrt(taken) / plan.noise_multiplier, plan.delta)
    return Views(plan.delta, epsilon(plan, rounds, accountant), device, math.inf if taken else 0.0)


def _epsilon(library: Any, plan: Central, rounds: int, accountant: Accountant) -> float:
    amplified = plan.sampling is Sampling.POISSON
    if accountant is Accountant.PLD and not amplified:
        # The same distribution in closed form; on a grid it takes minutes where ε is large.
        return float(library.get_epsilon_gaussian(plan.noise_multiplier / math.sqrt(rounds), plan.delta))
    event = library.GaussianDpEvent(plan.noise_multiplier)
    if amplified:
        event = library.PoissonSampledDpEvent(plan.rate, event)
    bound = float(library.rdp.RdpAccountant().compose(event, rounds).get_epsilon(plan.delta))
    if accountant is Accountant.RDP or bound > _HOPELESS:
        return bound
    return float(library.pld.PLDAccountant().compose(event, rounds).get_epsilon(plan.delta))


def _library() -> Any:
    """dp-accounting, which this module alone imports, and only when asked: it brings scipy along."""
    try:
        import dp_accounting
    except ImportError:
        raise ExtraMissing(
            "Accounting of privacy needs dp-accounting.",
            hint='Install the extra: `pip install "edgeperso[federated]"`.',
        ) from None
    # It leaves out orders of Rényi's divergence whose series is slow, and warns of each: the bound holds without them.
    logging.getLogger("absl").setLevel(logging.ERROR)
    return dp_accounting
