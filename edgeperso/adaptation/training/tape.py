"""What forward keeps for backward: memory that is taken once and written over by every step.

Steps differ in length; tensors that come and go in other sizes each time would leave the heap full of holes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import Architecture

__all__ = ["Kept", "Tape"]


@dataclass(slots=True, eq=False)
class Kept:
    """Of one layer, ``float32[n, …]``: its input and its middle ``[n, width]``; queries, keys and values after turning
    ``[n, heads + 2 kv_heads, head_size]``; attention's result ``[n, heads, head_size]``, and its kernel's sums."""

    start: Tensor
    middle: Tensor
    qkv: Tensor
    attended: Tensor
    sums: list[Tensor] = field(default_factory=list)


class Tape:
    """Room for steps of up to ``tokens`` tokens. Where nothing is learnt, two layers take turns."""

    def __init__(self, sizes: Architecture, tokens: int, *, learn: bool) -> None:
        self.tokens = tokens
        self.learn = learn
        slots = sizes.layers + 1 if learn else 2
        heads = (sizes.heads + 2 * sizes.kv_heads, sizes.head_size)
        self._layers = [
            Kept(
                torch.empty(tokens, sizes.width),
                torch.empty(tokens, sizes.width),
                torch.empty(tokens, *heads),
                torch.empty(tokens, sizes.heads, sizes.head_size),
            )
            for _ in range(slots)
        ]

    def layer(self, number: int, length: int) -> Kept:
        """What is kept of layer ``number``, for a step of ``length`` tokens; the result is the input of one more."""
        kept = self._layers[number % len(self._layers)]
        return Kept(kept.start[:length], kept.middle[:length], kept.qkv[:length], kept.attended[:length], kept.sums)
