"""Who doesn't answer: models of absence, drawn from the seed, round and client, so that a run can be repeated."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

from edgeperso.errors import UsageError
from edgeperso_federated.cohort import Purpose, chance

__all__ = ["Absence", "DropoutModel", "absences"]

Absence = Callable[[int, int], bool]
"""``absence(client, round)``: whether the client gives no answer."""


class DropoutModel(StrEnum):
    CHANCE = "chance"
    """Everybody fails alike, each round anew."""
    UNRELIABLE = "unreliable"
    """Each client has a share of its own, the same in all rounds, drawn from Beta(2p, 2(1-p)): some hardly ever answer,
    and what they know is missing."""
    BURSTS = "bursts"
    """All clients of a round share one: rounds at night fail more than others (twice the share, or none)."""


def absences(model: DropoutModel, share: float, *, seed: int) -> Absence:
    """Absence of ``share`` in [0, 1) on average.

    Raises:
        UsageError: the share is out of range.
    """
    if not 0 <= share < 1:
        raise UsageError("The share that drops out is 0 or more and below 1.")

    def likely(client: int, turn: int) -> float:
        if model is DropoutModel.CHANCE or not share:
            return share
        if model is DropoutModel.UNRELIABLE:
            return float(chance(seed, Purpose.ABSENCE, 1, client).beta(2 * share, 2 * (1 - share)))
        night = min(2 * share, 1.0)
        return night * (float(chance(seed, Purpose.ABSENCE, 2, turn).random()) < share / night)

    def absent(client: int, turn: int) -> bool:
        drawn = float(chance(seed, Purpose.ABSENCE, 0, client, turn).random())
        return drawn < likely(client, turn) and not math.isclose(share, 0.0)

    return absent
