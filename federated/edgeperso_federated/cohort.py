"""Who is asked in a round: drawn from the run's seed and the round's number, so that a resumed run draws the same.

The seed of a real run is secret: whoever knows who was drawn has no doubt left that random sampling could protect.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from edgeperso_federated.privacy.plans import Sampling

__all__ = ["Purpose", "chance", "drawn"]


class Purpose(StrEnum):
    """What chance is for: streams that share nothing."""

    COHORT = "cohort"
    GROUPS = "groups"
    TRAINING = "training"
    ABSENCE = "absence"
    HOSTILE = "hostile"
    SPLIT = "split"
    CANARIES = "canaries"


def chance(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """A generator of its own for each purpose and numbers (such as round and client), the same each time."""
    words = [int.from_bytes(purpose.encode().ljust(8, b"\0")[:8], "little"), *numbers]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(words)))


def drawn(sampling: Sampling, *, population: int, asked: int, seed: int, turn: int) -> tuple[int, ...]:
    """The clients of round ``turn``, numbers from 0 below ``population``, ascending.

    Args:
        sampling: Poisson tosses a coin for each, so that ``asked`` is the mean alone, and a round may be empty; fixed
            draws exactly so many.
        population: 1 or more.
        asked: 1 up to ``population``.
        seed, turn: of the run, and of the round.
    """
    random = chance(seed, Purpose.COHORT, turn)
    if sampling is Sampling.POISSON:
        chosen = np.flatnonzero(random.random(population) < asked / population)
    else:
        chosen = np.sort(random.choice(population, asked, replace=False))
    return tuple(chosen.tolist())
