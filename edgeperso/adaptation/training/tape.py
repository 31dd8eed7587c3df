"""What forward keeps for backward: memory that is taken once and written over by every step.

Steps differ in length; tensors that come and go in other sizes each time would leave the heap full of holes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import Architecture

__all__ = ["Kept", "Tape"]


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
    """Room for steps of up to ``tokens`` tokens. Where nothing is learnt, two layers take turns."""

    def __init__(self, sizes: Architecture, tokens: int, *, learn: bool) -> None:
        self.tokens = tokens
        self.learn = learn
        slots = sizes.layers + 1 if learn else 2
        self._starts = torch.empty(slots, tokens, sizes.width)
        self._attended = torch.empty(slots, tokens, sizes.heads, sizes.head_size)
        self._sums: list[list[Tensor]] = [[] for _ in range(slots)]
        self._inverses = torch.empty(slots, 2, tokens, 1)
        self._qkv = torch.empty(tokens, sizes.heads + 2 * sizes.kv_heads, sizes.head_size)
        self._middle = torch.empty(tokens, sizes.width)

    def layer(self, number: int, length: int) -> Kept:
        """What is kept of layer ``number``, for a step of ``length`` tokens; the result is the input of one more."""
        at = number % len(self._sums)
        return Kept(
            self._starts[at, :length],
            self._attended[at, :length],
            self._sums[at],
            self._inverses[at, 0, :length],
            self._inverses[at, 1, :length],
            self._qkv[:length],
            self._middle[:length],
        )
