"""What a run promises: how far updates are clipped, how much noise is added, and how people are drawn.

A plan is fixed before the run. Nothing that happens in it, least of all who drops out, changes noise or denominator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgeperso.errors import UsageError
from edgeperso_federated.privacy.gaussian import epsilon_of, multiplier_for

__all__ = ["LEAST_MULTIPLIER", "MOST_MULTIPLIER", "Central", "Local", "Sampling", "small_cohort"]

LEAST_MULTIPLIER: Final = 1e-2
"""Of noise: less is no privacy (ε in the thousands), and is not called so."""

MOST_MULTIPLIER: Final = 1e4


class Sampling(StrEnum):
    """How the people of a round are drawn."""

    POISSON = "poisson"
    """Each by a toss of its own, with the same chance, and nobody tells who was drawn. Only this amplifies privacy."""
    FIXED = "fixed"
    """Anything else: a set number, all of them, whoever is there. Everybody is reckoned to be in every round."""


@dataclass(frozen=True, slots=True)
class Central:
    """The server adds noise to the sum of a round. It is trusted with the sum; those who get the adapter are not.

    Args:
        clip: the greatest norm of an update, above 0 (the first one, where it adapts).
        noise_multiplier: standard deviation of the noise on the sum over ``clip``; 0.01 to 10,000.
        cohort: what the sum is divided by, whoever answers: the answers that a round is planned for, 1 or more.
        asked: how many are asked for that (over-sampling), on average with Poisson; ``cohort`` up to ``population``.
        population: how many may be drawn.
        delta: above 0, below 1 / ``population``: else publishing a whole person at random would pass for private.
        sampling: see `Sampling`.

    Raises:
        UsageError: a number is out of its range.
    """

    clip: float
    noise_multiplier: float
    cohort: int
    asked: int
    population: int
    delta: float
    sampling: Sampling = Sampling.FIXED

    def __post_init__(self) -> None:
        _check(self.clip, self.noise_multiplier, self.delta)
        if not 1 <= self.cohort <= self.asked <= self.population:
            raise UsageError("A cohort is 1 up to those asked, and those are no more than there are.")
        if self.delta >= 1 / self.population:
            raise UsageError("A δ has to be smaller than one over the number of people.")

    @property
    def rate(self) -> float:
        """The chance of each person to be asked in a round, in (0, 1]."""
        return self.asked / self.population


@dataclass(frozen=True, slots=True)
class Local:
    """Each device adds noise to its own update before it leaves. Nobody is trusted, and the noise is accordingly large.

    Any update may turn into any other one, and two of norm ``clip`` are up to twice that apart: the sensitivity is
    ``2 · clip``.

    Args:
        clip: the greatest norm of an update before noise, above 0.
        noise_multiplier: standard deviation of the noise over ``2 · clip``; 0.01 to 10,000.
        delta: in (0, 1).

    Raises:
        UsageError: a number is out of its range.
    """

    clip: float
    noise_multiplier: float
    delta: float

    def __post_init__(self) -> None:
        _check(self.clip, self.noise_multiplier, self.delta)

    @classmethod
    def of_budget(cls, clip: float, epsilon: float, delta: float, rounds: int) -> Local:
        """The plan of least noise under which ``rounds`` updates of a device cost (ε, δ) together.

        Raises:
            UsageError: a number is out of its range.
        """
        return cls(clip, multiplier_for(epsilon, delta, rounds), delta)

    def epsilon(self, rounds: int) -> float:
        """Of a device that sent so many updates (0 or more), against everybody."""
        return epsilon_of(math.sqrt(rounds) / self.noise_multiplier, self.delta)


def small_cohort(plan: Central, size: int) -> str | None:
    """What to tell people where noise drowns a round, else None.

    The noise on a mean of ``size`` values has the norm ``noise_multiplier · clip · sqrt(size) / cohort``; the mean
    itself is at most ``clip`` long. The text is for a cohort in which the noise is the longer of the two.
    """
    needed = math.ceil(plan.noise_multiplier * math.sqrt(size))
    if plan.cohort >= needed:
        return None
    return (
        f"Central privacy is often of little use to a cohort of {plan.cohort:,}: the noise of a round is "
        f"{needed / plan.cohort:.1f} times as long as the longest mean of {size:,} values can be. What points the same "
        "way round after round may still come through: the held-out loss says whether anything did. Without such "
        f"luck it takes about {needed:,} people a round, fewer values, or less noise, which is less privacy."
    )


def _check(clip: float, multiplier: float, delta: float) -> None:
    if not 0 < clip < math.inf:
        raise UsageError("A clipping norm is a positive number.")
    if not LEAST_MULTIPLIER <= multiplier <= MOST_MULTIPLIER:
        raise UsageError(f"A noise multiplier is {LEAST_MULTIPLIER:g} to {MOST_MULTIPLIER:g}.")
    if not 0 < delta < 1:
        raise UsageError("A δ lies between 0 and 1.")
