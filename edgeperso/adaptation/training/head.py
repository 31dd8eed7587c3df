"""The output matrix, where tokens count: their log-probabilities and the loss's gradient, a few rows at a time, so that
the logits of a whole step are never held."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from edgeperso.adaptation.training.base import Base
from edgeperso.adaptation.training.norms import inverse_rms, norm, norm_back
from edgeperso.adaptation.training.tape import LOGIT_ROWS, Tape

__all__ = ["Head"]

_ROUND: Final = 32
"""Rows are filled up to a multiple of it: see `model`."""
_FLOATS: Final = 16
"""Rows that are measured in float32 at a time: they stay in the cache."""


class Head:
    """The last norm and the output matrix of ``base``, which may be its token embeddings."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._gain = base.vector("output_norm.weight")
        self._matrix = base.matrix("output.weight" if base.has("output.weight") else "token_embd.weight")

    def logits(self, x: Tensor) -> Tensor:
        """``float32[n, vocabulary]`` from ``float32[n, width]`` after the last layer."""
        return self._products(x).float()

    def log_probs(self, x: Tensor, targets: Tensor) -> Tensor:
        """``float32[m]``: the natural logarithm of each target's probability.

        Args:
            x: ``float32[m, width]`` after the last layer, of the rows that count.
            targets: ``int64[m]``.
        """
        found = []
        for some, wanted in zip(*(_filled(each).split(LOGIT_ROWS) for each in (x, targets)), strict=True):
            logits = self._products(some)
            for few, places in zip(logits.split(_FLOATS), wanted.split(_FLOATS), strict=True):
                found.append(torch.log_softmax(few.float(), 1).gather(1, places[:, None])[:, 0])
        return torch.cat(found)[: len(x)]

    def backward(self, x: Tensor, targets: Tensor, weights: Tensor, tape: Tape) -> tuple[Tensor, Tensor]:
        """The log-probabilities, as exact as the computing type, and the gradient of their sum weighted by ``weights``
        ``float32[m]`` by ``x``, ``float32[m, width]``. The logits lie in ``tape`` meanwhile."""
        log_probs, gradients = [], []
        rows = tape.logits.shape[1]
        for some, wanted, by in zip(*(_filled(each).split(rows) for each in (x, targets, weights)), strict=True):
            inverse = inverse_rms(some, self._base.sizes.epsilon)
            normed = norm(some, inverse, self._gain, self._base.dtype)
            logits, probs = tape.logits[:, : len(some)]
            torch.softmax(torch.mm(normed, self._matrix.T, out=logits), 1, out=probs)
            places = wanted[:, None]
            log_probs.append(probs.gather(1, places)[:, 0].float().log())
            # d log p(target) / d logits = [target] - p
            probs.scatter_add_(1, places, -torch.ones_like(places, dtype=probs.dtype))
            of_normed = (probs @ self._matrix).float().mul_(-by[:, None])
            gradients.append(norm_back(of_normed, some, inverse, self._gain))
        return torch.cat(log_probs)[: len(x)], torch.cat(gradients)[: len(x)]

    def _products(self, x: Tensor) -> Tensor:
        """The logits in the computing type."""
        inverse = inverse_rms(x, self._base.sizes.epsilon)
        return norm(x, inverse, self._gain, self._base.dtype) @ self._matrix.T


def _filled(x: Tensor) -> Tensor:
    """``x`` with rows of zeros after it."""
    return torch.cat((x, x.new_zeros(-len(x) % _ROUND, *x.shape[1:])))
