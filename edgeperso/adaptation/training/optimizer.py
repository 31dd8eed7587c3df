"""AdamW on one flat vector, and how its rate rises and falls."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Final

import numpy as np

from edgeperso.types import Float32

__all__ = ["Moments", "clipped", "rate_at", "update"]

_BETA1: Final = 0.9
_BETA2: Final = 0.999
_EPSILON: Final = 1e-8
_DECAY: Final = 0.01
_MOST_NORM: Final = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The weights and AdamW's running means of their gradients and squared gradients, ``float32[size]`` each, after
    ``updates`` updates. A new one is made for every update, so that an interrupted step leaves a whole one behind."""

    flat: Float32
    mean: Float32
    square: Float32
    updates: int

    @classmethod
    def start(cls, flat: Float32) -> Moments:
        return cls(flat, np.zeros_like(flat), np.zeros_like(flat), 0)


def update(now: Moments, gradient: Float32, rate: float) -> Moments:
    """One step. Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019 (arXiv:1711.05101), algorithm 2."""
    # Written in place, so that a step's own memory is little.
    updates = now.updates + 1
    mean = now.mean * np.float32(_BETA1)
    mean += gradient * np.float32(1 - _BETA1)
    square = gradient * gradient
    square *= np.float32(1 - _BETA2)
    square += now.square * np.float32(_BETA2)
    change = square / np.float32(1 - _BETA2**updates)
    np.sqrt(change, out=change)
    change += np.float32(_EPSILON)
    np.divide(mean, change, out=change)
    change *= np.float32(rate / (1 - _BETA1**updates))
    flat = now.flat * np.float32(1 - rate * _DECAY)
    flat -= change
    return Moments(flat, mean, square, updates)


def clipped(gradient: Float32) -> Float32 | None:
    """``gradient`` with a norm of 1 at most; None where it is not finite."""
    norm = float(np.linalg.norm(gradient))
    if not np.isfinite(norm):
        return None
    return gradient if norm <= _MOST_NORM else gradient * np.float32(_MOST_NORM / norm)


def rate_at(peak: float, done: float, *, warmup: float) -> float:
    """The rate when the share ``done`` in [0, 1] of the training is over: a line up to ``peak`` at the share
    ``warmup``, then a cosine down to 0. Loshchilov & Hutter, "SGDR", 2017 (arXiv:1608.03983)."""
    if done < warmup:
        return peak * done / warmup
    return peak * (1 + cos(pi * min(1.0, (done - warmup) / (1 - warmup)))) / 2
