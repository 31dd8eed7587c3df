"""What a published adapter gives away of those who took part: two attacks by somebody who holds the adapter.

*Membership inference*: did this person take part? The attacker knows the person's texts and takes by how much better
the model knows them with the adapter than without: a loss threshold, calibrated with the base model. Source: Yeom et
al., "Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting", CSF 2018; the calibration as in Watson
et al., "On the Importance of Difficulty Calibration in Membership Inference Attacks", ICLR 2022.

*Canary exposure*: which secret did a person write? Some clients hold a text with a random code; the attacker ranks it
among codes that nobody wrote, by the same gain. ``exposure = log2 |R| - log2 rank``. Source: Carlini et al., "The
Secret Sharer", USENIX Security 2019.

Both are run on a control as well, the adapter that a canary's holder trains alone: where the control gives nothing away
either, the attacks prove nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.adaptation.plan import Example
from edgeperso.engine.adapters.values import Adapter
from edgeperso_federated.cohort import Purpose, chance
from edgeperso_federated.simulation.partitions import Split, Writing
from edgeperso_federated.simulation.people import People, person_losses

__all__ = [
    "CHANCE_BITS",
    "REFERENCES",
    "Attacker",
    "Canaries",
    "Leak",
    "membership_auc",
    "with_canaries",
    "without_canary",
]

CHANCE_BITS: Final = float(1 / np.log(2))
"""The mean exposure of a code that nobody learnt: log2 of R over a rank that is uniform, for large R."""
_PEOPLE: Final = 40
"""Of each side at most, whose texts the attacker reads."""
_TEXTS: Final = 4
_OTHERS_ALONE: Final = 5
"""People who didn't take part, to hold each holder's own adapter against."""
REFERENCES: Final = 255
_REPEATS: Final = 3
_FRAME: Final = "The code of my locker is {}."

Losses = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Canaries:
    """Who holds which code.

    Args:
        holders: clients. codes: of each holder. references: codes that nobody holds.
    """

    holders: tuple[int, ...]
    codes: tuple[str, ...]
    references: tuple[str, ...]

    @classmethod
    def drawn(cls, count: int, clients: int, *, seed: int) -> Canaries:
        """``count`` holders among the clients, no more than there are, and six-digit codes, no two of them alike."""
        random = chance(seed, Purpose.CANARIES)
        holders = random.choice(clients, min(count, clients), replace=False)
        codes = [f"{code:06d}" for code in random.choice(10**6, len(holders) + REFERENCES, replace=False)]
        return cls(tuple(holders.tolist()), tuple(codes[: len(holders)]), tuple(codes[len(holders) :]))

    def texts(self) -> list[list[Writing]]:
        """A text for each holder's code, then for each reference: one "person" each, for `tokenized`."""
        return [[_written(code)] for code in (*self.codes, *self.references)]

    def exposures(self, gains: Losses) -> Losses:
        """``float64[holders]``, bits: 0 up to log2 of the references and one.

        Args:
            gains: by how many nats a token the adapter helps the texts of `texts`; what ties with a reference ranks
                below it.
        """
        own, others = -gains[: len(self.codes)], np.sort(-gains[len(self.codes) :])
        ranks = 1 + np.searchsorted(others, own, side="right")
        return np.asarray(np.log2((len(others) + 1) / ranks), np.float64)


def with_canaries(split: Split, canaries: Canaries) -> Split:
    """The same people; each holder wrote the code three times, the latest among their texts."""
    clients = list(split.clients)
    for holder, code in zip(canaries.holders, canaries.codes, strict=True):
        clients[holder] = (*clients[holder], *[_written(code)] * _REPEATS)
    return replace(split, clients=tuple(clients))


def without_canary(texts: Sequence[Example]) -> list[Example]:
    """A holder's texts but for the code."""
    return list(texts[:-_REPEATS])


@dataclass(frozen=True, slots=True, eq=False)
class Leak:
    """What an adapter gives away.

    Args:
        members: by how many nats a token the adapter helps the texts of people who took part; others: of people who
            didn't.
        exposures: of the canaries, bits.
    """

    members: Losses
    others: Losses
    exposures: Losses

    @property
    def auc(self) -> float:
        return membership_auc(self.members, self.others)


def membership_auc(members: Losses, others: Losses) -> float:
    """The share of pairs in which the member gains more, half of those that tie with it: 0.5 is chance."""
    pairs = members[:, None] - others[None, :]
    return float(np.mean(pairs > 0) + 0.5 * np.mean(pairs == 0))


@dataclass(frozen=True, slots=True, eq=False)
class Attacker:
    """What the attacker reads, with the base model's losses of it.

    Args:
        model: the GGUF file.
        canaries: codes, and their ``texts`` as tokens.
        members: texts of people who may have taken part, the canaries' holders first; others: of people who didn't.
    """

    model: Path
    canaries: Canaries
    texts: People
    members: People
    others: People
    base_texts: Losses
    base_members: Losses
    base_others: Losses

    @classmethod
    def of(cls, model: Path, canaries: Canaries, texts: People, members: People, others: People) -> Attacker:
        """The first texts of some of the people, read with the base model."""
        members, others = _some(members), _some(others)
        base = [person_losses(model, None, people) for people in (texts, members, others)]
        return cls(model, canaries, texts, members, others, *base)

    def attack(self, adapter: Adapter) -> Leak:
        """Both attacks on an adapter that all members may have trained."""
        gains = self.base_members - person_losses(self.model, adapter, self.members)
        return Leak(gains, self._others(adapter), self.canaries.exposures(self._codes(adapter)))

    def control(self, owners: Sequence[Adapter]) -> Leak:
        """The same for adapters that members trained alone: each is attacked for its own owner.

        Args:
            owners: those of the canaries' holders, who are the first of the members.
        """
        gains, others, exposures = [], [], []
        for place, adapter in enumerate(owners):
            own = person_losses(self.model, adapter, [self.members[place]])[0]
            gains.append(float(self.base_members[place] - own))
            others.append(self._others(adapter, _OTHERS_ALONE))
            exposures.append(float(self.canaries.exposures(self._codes(adapter))[place]))
        return Leak(np.array(gains), np.concatenate(others), np.array(exposures))

    def _others(self, adapter: Adapter, count: int = _PEOPLE) -> Losses:
        return self.base_others[:count] - person_losses(self.model, adapter, self.others[:count])

    def _codes(self, adapter: Adapter) -> Losses:
        return self.base_texts - person_losses(self.model, adapter, self.texts)


def _some(people: People) -> list[list[Example]]:
    return [list(texts[:_TEXTS]) for texts in people[:_PEOPLE]]


def _written(code: str) -> Writing:
    return Writing(_FRAME.format(code), "")
