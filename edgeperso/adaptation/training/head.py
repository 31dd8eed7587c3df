"""The output matrix, where tokens count: their log-probabilities and the loss's gradient, a few rows at a time, so that
the logits of a whole step are never held."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from edgeperso.adaptation.training.base import Base
from edgeperso.adaptation.training.decoder import norm, norm_back

__all__ = ["Head"]

_LOGITS: Final = 1 << 21
"""Logits that are computed at a time: 8 MB of float32."""


class Head:
    """The last norm and the output matrix of ``base``, which may be its token embeddings."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._gain = base.vector("output_norm.weight")
        self._matrix = base.matrix("output.weight" if base.has("output.weight") else "token_embd.weight")
        self._chunk = max(16, _LOGITS // len(self._matrix))

    def logits(self, x: Tensor) -> Tensor:
        """``float32[n, vocabulary]`` from ``float32[n, width]`` after the last layer."""
        return (norm(x, self._gain, self._base) @ self._matrix.T).float()

    def log_probs(self, x: Tensor, targets: Tensor) -> Tensor:
        """``float32[m]``: the natural logarithm of each target's probability.

        Args:
            x: ``float32[m, width]`` after the last layer, of the rows that count.
            targets: ``int64[m]``.
        """
        return torch.cat(
            [
                torch.log_softmax(self.logits(some), 1).gather(1, wanted[:, None])[:, 0]
                for some, wanted in zip(x.split(self._chunk), targets.split(self._chunk), strict=True)
            ]
        )

    def backward(self, x: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The log-probabilities as `log_probs` gives them, and the gradient of their sum weighted by ``weights``
        ``float32[m]`` by ``x``, ``float32[m, width]``."""
        chunks = zip(*(each.split(self._chunk) for each in (x, targets, weights)), strict=True)
        found = [self._chunk_back(*chunk) for chunk in chunks]
        return torch.cat([log_probs for log_probs, _ in found]), torch.cat([gradient for _, gradient in found])

    def _chunk_back(self, x: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.logits(x)
        places = targets[:, None]
        logits -= logits.amax(1, keepdim=True)
        log_probs = logits.gather(1, places)[:, 0]
        sums = logits.exp_().sum(1)
        log_probs -= sums.log()
        # d log p(target) / d logits = [target] - p
        logits *= (-weights / sums)[:, None]
        logits.scatter_add_(1, places, weights[:, None])
        of_normed = logits.to(self._base.dtype) @ self._matrix
        return log_probs, norm_back(of_normed, x, self._gain, self._base.sizes.epsilon)
