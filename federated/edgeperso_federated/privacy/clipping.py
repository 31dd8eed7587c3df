"""No update is longer than a bound: what makes one person's part in a sum limited, and its noise finite.

A bound of one's own may be known beforehand, or follow a quantile of the norms (`Adaptive`), which itself is learnt
under noise: each device says by one bit whether its update was within the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgeperso.errors import UsageError
from edgeperso.types import Float32
from edgeperso_federated.errors import Fault, UpdateInvalid
from edgeperso_federated.privacy.noise import NoiseKey, deviation, noised
from edgeperso_federated.privacy.plans import Central

__all__ = ["WITHIN", "Adaptive", "Clipped", "clip", "within_of"]

WITHIN: Final = "within"
"""The metric of the bit, where no secure aggregation hides it: 1.0 or 0.0."""

_ROUNDING: Final = 1 - 2.0**-23
"""Twice what rounding to float32 can add to a norm."""
_FARTHEST: Final = 1000.0
"""By which factor a bound that adapts may leave the plan's at most, either way."""


@dataclass(frozen=True, slots=True, eq=False)
class Clipped:
    """An update within its bound.

    Args:
        vector: ``float32[size]``, a new array; its norm, in float64, is no greater than the bound.
        within: whether it was so before, and is unchanged.
    """

    vector: Float32
    within: bool


def clip(vector: Float32, bound: float) -> Clipped:
    """The update, shortened to the norm ``bound`` (above 0) where it is longer; its direction stays.

    Raises:
        UpdateInvalid: ``not_finite``: a NaN or an infinity, asked before anything else; a NaN has no length to clip.
    """
    if not np.isfinite(vector).all():
        raise UpdateInvalid(Fault.NOT_FINITE)
    values = vector.astype(np.float64)
    norm = float(np.linalg.norm(values))
    if norm <= bound:
        return Clipped(vector.copy(), within=True)
    return Clipped((values * (bound / norm * _ROUNDING)).astype(np.float32), within=False)


def within_of(metrics: Mapping[str, float]) -> bool:
    """The bit among an update's metrics.

    Raises:
        UpdateInvalid: ``metrics``: it is missing, or neither 0 nor 1: as a larger number it would count for many.
    """
    bit = metrics.get(WITHIN)
    if bit not in (0.0, 1.0):
        raise UpdateInvalid(Fault.METRICS)
    return bit == 1.0


@dataclass(frozen=True, slots=True)
class Adaptive:
    """A bound that follows a quantile of the updates' norms.

    The bits' noise is a cohort's twentieth; the updates get a little more, so that both together cost what the plan's
    noise multiplier z alone would: ``1/z² = 1/z_updates² + 1/(2 σ_bits)²``. In cohorts below ``20 z`` the bits get σ
    = z instead of that twentieth, for which no noise on the updates could make up.

    Source: Andrew, Thakkar, McMahan & Ramaswamy, "Differentially Private Learning with Adaptive Clipping", NeurIPS 2021
    (arXiv:1905.03871), algorithm 1 and theorem 1.

    Args:
        quantile: the share of updates that shall be within, in (0, 1). rate: how fast the bound follows, above 0, at
        most 1; a round moves it by the factor e^-rate at most, noise aside.

    Raises:
        UsageError: a number is out of its range.
    """

    quantile: float = 0.5
    rate: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.quantile < 1 and 0 < self.rate <= 1):
            raise UsageError("A clipping quantile is between 0 and 1, its rate above 0 and at most 1.")

    def multiplier(self, plan: Central) -> float:
        """The noise multiplier of the updates, somewhat more than the plan's."""
        return 1 / math.sqrt(plan.noise_multiplier**-2 - (2 * _bits_std(plan)) ** -2)

    def next_bound(
        self, plan: Central, bound: float, *, within: int, answered: int, key: NoiseKey, binding: tuple[bytes, ...]
    ) -> float:
        """The bound of the next round: ``bound · e^(-rate · (noisy share within − quantile))``.

        Args:
            plan: of the run, without regard to how many answered.
            bound: of this round.
            within: how many of those in the sum were within it.
            answered: how many are in the sum. Those who aren't count as half within.
            key: of the run.
            binding: which run and round.

        Raises:
            UsageError: more were within than answered.
        """
        if not 0 <= within <= answered:
            raise UsageError("Those within the bound are some of those who answered.")
        std = deviation(2 * _bits_std(plan), 0.5, 1)
        noisy = noised(np.array([within - answered / 2]), std, key, b"bits", *binding)
        share = float(noisy[0]) / plan.cohort + 0.5
        moved = bound * math.exp(-self.rate * (share - self.quantile))
        return min(max(moved, plan.clip / _FARTHEST), plan.clip * _FARTHEST)


def _bits_std(plan: Central) -> float:
    return max(plan.cohort / 20, plan.noise_multiplier)
