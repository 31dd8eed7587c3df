"""The check that a new global adapter passes before it is published.

It is asked on texts that are public (the package's general set, say): a question to people's data would have to be paid
for in privacy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgeperso_federated.update import Tensors

__all__ = ["Check", "Regression", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``loss`` of the candidate, nats a token, and whether it may be published."""

    loss: float
    passed: bool


class Check(Protocol):
    def __call__(self, candidate: Tensors) -> Verdict: ...


class Regression:
    """Refuses an adapter with which the model knows the texts worse by more than ``tolerance`` than without any. It is
    held against the base, not the round before: else it could get worse a little in every round.

    Args:
        loss_of: nats a token of global tensors.
        first: those before the first round.
        tolerance: 0 or more.
    """

    def __init__(self, loss_of: Callable[[Tensors], float], first: Tensors, tolerance: float = 0.05) -> None:
        self._loss_of = loss_of
        self._most = loss_of(first) + tolerance

    def __call__(self, candidate: Tensors) -> Verdict:
        loss = self._loss_of(candidate)
        # Written so that a NaN fails it too.
        return Verdict(loss, passed=math.isfinite(loss) and loss <= self._most)
