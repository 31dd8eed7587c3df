"""What forward keeps for backward: memory that is taken once and written over by every step.

Steps differ in length; tensors that come and go in other sizes each time would leave the heap full of holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import Architecture

__all__ = ["LOGIT_ROWS", "Kept", "Tape"]

LOGIT_ROWS: Final = 128
"""Fewer would read the output matrix more often."""


@dataclass(slots=True, eq=False)
class Kept:
    """Of one layer, ``float32[n, …]``: its input ``[n, width]``, attention's result ``[n, heads, head_size]`` and its
    kernel's sums, and what the norms multiply by, ``[n, 1]``. Computed again for backward, in memory that all layers
    share: queries, keys and values after turning ``[n, heads + 2 kv_heads, head_size]``, and the layer's middle
    ``[n, width]``."""

    start: Tensor
    attended: Tensor
    sums: list[Tensor]
    start_inverse: Tensor
    middle_inverse: Tensor
    qkv: Tensor
    middle: Tensor


class Tape:
    """Room for steps of up to ``tokens`` tokens. Where nothing is learnt, two layers take turns.

    ``logits`` is room for `LOGIT_ROWS` rows of logits and of their gradient, ``[2, rows, vocabulary]`` of ``dtype``.
    """

    def __init__(self, sizes: Architecture, tokens: int, dtype: torch.dtype, *, learn: bool) -> None:
        self.tokens = tokens
        self.learn = learn
        slots = sizes.layers + 1 if learn else 2
        self.logits = torch.empty(2, LOGIT_ROWS if learn else 0, sizes.vocabulary, dtype=dtype)
        self._by_slot = [
            torch.empty(slots, tokens, sizes.width),
            torch.empty(slots, tokens, sizes.heads, sizes.head_size),
            torch.empty(slots, tokens, 1),
            torch.empty(slots, tokens, 1),
        ]
        self._shared = [
            torch.empty(1, tokens, sizes.heads + 2 * sizes.kv_heads, sizes.head_size),
            torch.empty(1, tokens, sizes.width),
        ]
        self._sums: list[list[Tensor]] = [[] for _ in range(slots)]

    def layer(self, number: int, length: int) -> Kept:
        """What is kept of layer ``number``, for a step of ``length`` tokens; the result is the input of one more."""
        at = number % len(self._sums)
        start, attended, start_inverse, middle_inverse = (each[at, :length] for each in self._by_slot)
        qkv, middle = (each[0, :length] for each in self._shared)
        return Kept(start, attended, self._sums[at], start_inverse, middle_inverse, qkv, middle)

    def shares(self, tokens: Sequence[int]) -> list[Tape]:
        """This memory shared out: a tape for each number of ``tokens``, which together fit into this one."""
        edges = [0, *accumulate(tokens)]
        rows = self.logits.shape[1] // len(tokens)
        return [self._share(number, *edge, rows) for number, edge in enumerate(pairwise(edges))]

    def _share(self, number: int, low: int, high: int, rows: int) -> Tape:
        share = copy(self)
        share.tokens = high - low
        share.logits = self.logits[:, number * rows : (number + 1) * rows]
        share._by_slot = [each[:, low:high] for each in self._by_slot]  # noqa: SLF001
        share._shared = [each[:, low:high] for each in self._shared]  # noqa: SLF001
        share._sums = [[] for _ in self._sums]  # noqa: SLF001
        return share
