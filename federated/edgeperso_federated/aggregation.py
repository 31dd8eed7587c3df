"""From clients' updates to the next global tensors, one update at a time: memory doesn't grow with clients.

Sums run in float64 and are rounded to float32 once. They depend on the order of `add` in the last bit of float64, so
a run that is to be repeated adds in one order. Updates have passed `check_update`; only their layout is asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.adaptation.stacking import distance, merged, norm, reduced
from edgeperso.engine.adapters.values import Lora
from edgeperso.errors import UsageError
from edgeperso.types import Float32
from edgeperso_federated.errors import RoundFailed
from edgeperso_federated.factors import Frame, lora_from, tensors_of
from edgeperso_federated.update import Schema, Tensors, Update, check_layout, unflatten

__all__ = ["FloraStack", "Mean", "Weighting", "advanced", "weight_of"]

_WIDTH: Final = 128
"""Ranks that a FLoRA stack holds at most before it is folded: 64 after it, eight times a usual adapter's."""


class Weighting(StrEnum):
    """What a client counts in a mean."""

    EXAMPLES = "examples"
    """As many times as it has examples, up to the schema's ``max_examples``."""
    EQUAL = "equal"


def weight_of(update: Update, weighting: Weighting) -> int:
    """The update's weight, 1 or more."""
    return update.examples if weighting is Weighting.EXAMPLES else 1


def advanced(held: Mapping[str, Float32], change: Mapping[str, Float32]) -> Tensors:
    """The global tensors after ``change``; those that didn't travel stay as they are.

    Raises:
        UsageError: what changed is not among the held.
    """
    if change.keys() - held.keys():
        raise UsageError("A tensor travelled that isn't among the global ones.")
    return {
        name: values if name not in change else np.add(values, change[name], dtype=np.float64).astype(np.float32)
        for name, values in held.items()
    }


class Mean:
    """The weighted mean of changes.

    It stands for the mean of what the adapters add wherever that is linear in what travels: ``ffa`` (``a`` is the
    seed's), either half of ``rolora``, and ``soft``. For ``fedavg`` it is the plain mean of both factors, which is not.
    """

    def __init__(self, schema: Schema, held: Mapping[str, Float32], weighting: Weighting = Weighting.EXAMPLES) -> None:
        self._schema = schema
        self._held = held
        self._weighting = weighting
        self._total = np.zeros(schema.size)
        self.clients = 0
        self.weight = 0

    @property
    def total(self) -> NDArray[np.float64]:
        """``Σ weight · change`` as ``float64[schema.size]``, in `flatten`'s order: for a mean over a denominator that
        doesn't depend on who answered."""
        return self._total.copy()

    def add(self, update: Update) -> None:
        """Count one client.

        Raises:
            UpdateInvalid: the tensors are not laid out as the schema's; nothing was added.
        """
        check_layout(self._schema, update.tensors)
        weight = weight_of(update, self._weighting)
        start = 0
        for one in self._schema.fields:
            values = update.tensors[one.name].reshape(-1)
            self._total[start : start + one.size] += np.multiply(values, weight, dtype=np.float64)
            start += one.size
        self.clients += 1
        self.weight += weight

    def change(self) -> Tensors:
        """The mean change.

        Raises:
            RoundFailed: no update was added.
        """
        if not self.weight:
            raise _nobody()
        return unflatten(self._schema, self._total / self.weight)

    def result(self) -> Tensors:
        """The global tensors after the mean change. See `change`."""
        return advanced(self._held, self.change())


class FloraStack:
    """The weighted mean of adapters as they are, not of their factors: ranks laid side by side on the held ones, and
    in the end the nearest adapter of the run's rank.

    Clients send whole factors of an adapter that began anew on top of the held one. The server sees each client's
    factors, so this goes with neither secure aggregation nor noise on the sum. A stack wider than ``width`` ranks is
    folded to half of it, so that memory is bounded; what a fold loses is counted in `residual`. Nothing is lost where
    half the width is at least the smaller side of every matrix.
    """

    def __init__(
        self,
        frame: Frame,
        schema: Schema,
        held: Mapping[str, Float32],
        weighting: Weighting = Weighting.EXAMPLES,
        *,
        width: int = _WIDTH,
    ) -> None:
        self._frame = frame
        self._schema = schema
        self._held = lora_from(frame, held)
        self._weighting = weighting
        self._folded = max(width // 2, frame.lora.rank)
        self._width = max(width, self._folded + frame.lora.rank)
        self._stack: list[tuple[Lora, float]] = []
        self._lost = 0.0
        self.clients = 0
        self.weight = 0
        self.residual = 0.0
        """After `result`: how far it is at most from the exact sum of the held adapter and the mean, as a share of what
        the stack has of that sum (Frobenius norms)."""

    def add(self, update: Update) -> None:
        """Count one client. See `Mean.add`."""
        check_layout(self._schema, update.tensors)
        weight = weight_of(update, self._weighting)
        self._stack.append((lora_from(self._frame, update.tensors), float(weight)))
        self.clients += 1
        self.weight += weight
        if sum(_rank(lora) for lora, _ in self._stack) > self._width:
            whole = merged(self._stack)
            part = reduced(whole, self._folded)
            self._lost += distance(whole, part)
            self._stack = [(part, 1.0)]

    def result(self) -> Tensors:
        """The held adapter plus the mean of the clients', at the run's rank; sets `residual`.

        Raises:
            RoundFailed: no update was added.
        """
        if not self.weight:
            raise _nobody()
        exact = merged([(self._held, 1.0), *((lora, scale / self.weight) for lora, scale in self._stack)])
        nearest = reduced(exact, self._frame.lora.rank)
        length = norm(exact)
        lost = self._lost / self.weight + distance(exact, nearest)
        self.residual = lost / length if length else 0.0
        return tensors_of(self._frame, nearest)


def _rank(lora: Lora) -> int:
    return max(pair.rank for pair in lora.pairs.values())


def _nobody() -> RoundFailed:
    return RoundFailed("No client's update was left in the round.")
