"""The output matrix, where tokens count: their log-probabilities and the loss's gradient, a few rows at a time, so that
the logits of a whole step are never held."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from edgeperso.adaptation.training.base import Base
from edgeperso.adaptation.training.decoder import norm, norm_back

__all__ = ["Head"]

_ROWS: Final = 128
"""Rows whose logits are held at a time, in the computing type: fewer would read the output matrix more often."""
_ROUND: Final = 32
"""Rows are filled up to a multiple of it: see `model`."""
_FLOATS: Final = 16
"""Of those, rows that are looked at in float32 at a time: they stay in the cache."""


class Head:
    """The last norm and the output matrix of ``base``, which may be its token embeddings."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._gain = base.vector("output_norm.weight")
        self._matrix = base.matrix("output.weight" if base.has("output.weight") else "token_embd.weight")

    def logits(self, x: Tensor) -> Tensor:
        """``float32[n, vocabulary]`` from ``float32[n, width]`` after the last layer."""
        return (norm(x, self._gain, self._base) @ self._matrix.T).float()

    def log_probs(self, x: Tensor, targets: Tensor) -> Tensor:
        """``float32[m]``: the natural logarithm of each target's probability.

        Args:
            x: ``float32[m, width]`` after the last layer, of the rows that count.
            targets: ``int64[m]``.
        """
        found = []
        for some, wanted in zip(*(_filled(each).split(_ROWS) for each in (x, targets)), strict=True):
            logits = norm(some, self._gain, self._base) @ self._matrix.T
            for few, places in zip(logits.split(_FLOATS), wanted.split(_FLOATS), strict=True):
                found.append(torch.log_softmax(few.float(), 1).gather(1, places[:, None])[:, 0])
        return torch.cat(found)[: len(x)]

    def backward(self, x: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The log-probabilities as `log_probs` gives them, and the gradient of their sum weighted by ``weights``
        ``float32[m]`` by ``x``, ``float32[m, width]``."""
        log_probs, gradients = [], []
        for some, wanted, by in zip(*(_filled(each).split(_ROWS) for each in (x, targets, weights)), strict=True):
            logits = norm(some, self._gain, self._base) @ self._matrix.T
            for few, places, weight in zip(*(each.split(_FLOATS) for each in (logits, wanted, by)), strict=True):
                log_probs.append(_gradient_of_logits_(few, places[:, None], weight[:, None]))
            gradients.append(norm_back(logits @ self._matrix, some, self._gain, self._base.sizes.epsilon))
        return torch.cat(log_probs)[: len(x)], torch.cat(gradients)[: len(x)]


def _filled(x: Tensor) -> Tensor:
    """``x`` with rows of zeros after it."""
    return torch.cat((x, x.new_zeros(-len(x) % _ROUND, *x.shape[1:])))


def _gradient_of_logits_(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The targets' log-probabilities; ``logits`` become the gradient of their weighted sum: ``[target] - p`` each."""
    logs = torch.log_softmax(logits.float(), 1)
    log_probs = logs.gather(1, targets)[:, 0]
    logs.exp_().mul_(-weights).scatter_add_(1, targets, weights)
    logits.copy_(logs)
    return log_probs
