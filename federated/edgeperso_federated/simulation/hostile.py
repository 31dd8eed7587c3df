"""Clients that answer wrongly: what each kind sends in place of its honest answer."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import numpy as np

from edgeperso_federated.cohort import Purpose, chance
from edgeperso_federated.update import Update, update_from_bytes, update_to_bytes

__all__ = ["Attack", "attacked", "hostile_clients"]


class Attack(StrEnum):
    NAN = "nan"
    SHAPES = "shapes"
    NORM = "norm"
    GARBAGE = "garbage"
    SILENT = "silent"
    OPPOSITE = "opposite"
    """Within all that the schema allows: the honest change turned around. Only robust rules withstand it."""


_HUGE: Final = np.float32(1e6)


def hostile_clients(population: int, share: float, *, seed: int) -> frozenset[int]:
    """Which clients are hostile, in all rounds: a ``share`` in [0, 1) of ``population``, rounded."""
    random = chance(seed, Purpose.HOSTILE)
    return frozenset(random.choice(population, round(share * population), replace=False).tolist())


def attacked(attack: Attack, honest: bytes) -> bytes | None:
    """What a hostile client sends; ``honest`` is what it would have sent."""
    if attack is Attack.SILENT:
        return None
    if attack is Attack.GARBAGE:
        return b"\x80\x04" + honest[::-1]
    update = update_from_bytes(honest)
    tensors = {name: _CHANGES[attack](values) for name, values in update.tensors.items()}
    return update_to_bytes(Update(tensors, update.examples, update.metrics))


def _nan(values: np.ndarray) -> np.ndarray:
    return np.full_like(values, np.nan)


_CHANGES: Final[dict[Attack, Callable[[np.ndarray], np.ndarray]]] = {
    Attack.NAN: _nan,
    Attack.SHAPES: lambda values: values.reshape(-1, 1),
    Attack.NORM: lambda values: values * _HUGE + _HUGE,
    Attack.OPPOSITE: lambda values: -values,
}
