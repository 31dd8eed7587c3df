"""The decoder's layers, forward and backward, by hand.

Base weights are frozen, so that backward needs the gradient by the inputs alone; and it is dequantizing, not
multiplying, that costs time where the processor multiplies bfloat16. So forward keeps each layer's input, what is in
the middle of it and its attention; the rest is computed again in backward, from matrices that are needed there anyway.

The residual stream, norms, positions and attention are float32; matrices are multiplied in the base's type.
Source of the layer: Touvron et al., "LLaMA", 2023 (arXiv:2302.13971); Yang et al., "Qwen2.5", 2024 (arXiv:2412.15115).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import SITES
from edgeperso.adaptation.training.attention import Attended, Turns, attend, attend_back
from edgeperso.adaptation.training.base import Base
from edgeperso.adaptation.training.weights import LowRank, Weights

__all__ = ["Decoder", "Saved", "norm", "norm_back"]

_silu_back = torch.ops.aten.silu_backward


class Saved(NamedTuple):
    """Of one layer: its input and its middle, ``float32[n, width]``, and its attention."""

    start: Tensor
    middle: Tensor
    attended: Attended


class Decoder:
    """All layers of ``base`` with ``weights`` added to them; one step's tensors at a time.

    Args:
        base: the frozen weights.
        weights: the layout of what is added.
    """

    def __init__(self, base: Base, weights: Weights) -> None:
        self._base = base
        self._weights = weights
        self._norms = [
            tuple(base.vector(f"blk.{layer}.{name}.weight") for name in ("attn_norm", "ffn_norm"))
            for layer in range(base.sizes.layers)
        ]
        self._biases = [
            torch.cat([base.vector(f"blk.{layer}.{name}.bias") for name in SITES["qkv"]]) if base.sizes.biases else None
            for layer in range(base.sizes.layers)
        ]
        self._factors = base.vector("rope_freqs.weight") if base.has("rope_freqs.weight") else None

    def forward(
        self, x: Tensor, bounds: Sequence[int], added: Sequence[dict[str, LowRank]], saved: list[Saved] | None
    ) -> Tensor:
        """``float32[n, width]`` after the last layer, from the embeddings of packed sequences.

        Args:
            x: ``float32[n, width]``.
            bounds: where each sequence starts, and n.
            added: `Weights.sites`.
            saved: takes what `backward` needs; None where there will be none.
        """
        turns = Turns(self._base.sizes, bounds, self._factors)
        for layer, low in enumerate(added):
            matrices = self._base.layer(layer)
            first, second = self._norms[layer]
            attended = self._attention(norm(x, first, self._base), layer, matrices, low, turns, bounds)
            middle = x + _apply(attended.out.flatten(1).to(self._base.dtype), matrices["o"], low.get("o"))
            if saved is not None:
                saved.append(Saved(x, middle, attended))
            gate, up = _apply(norm(middle, second, self._base), matrices["gate_up"], low.get("gate_up")).chunk(2, dim=1)
            x = middle + _apply(torch.nn.functional.silu(gate).mul_(up), matrices["down"], low.get("down"))
        return x

    def backward(
        self,
        gradient: Tensor,
        bounds: Sequence[int],
        added: Sequence[dict[str, LowRank]],
        saved: list[Saved],
        into: Tensor,
    ) -> Tensor:
        """The embeddings' gradient ``float32[n, width]``, from that of `forward`'s result; ``saved`` is used up.

        Args:
            gradient: ``float32[n, width]``; it is written over.
            bounds, added, saved: as they were in `forward`.
            into: the flat vector that gradients of weights are added to.
        """
        turns = Turns(self._base.sizes, bounds, self._factors)
        for layer in reversed(range(len(added))):
            matrices, low, kept = self._base.layer(layer), added[layer], saved.pop()
            pull = _Pull(self._weights, layer, matrices, low, into)
            gradient = self._feed_forward_back(gradient, layer, kept, pull)
            gradient = self._attention_back(gradient, layer, kept, pull, turns, bounds)
        return gradient

    def _attention(
        self,
        a: Tensor,
        layer: int,
        matrices: dict[str, Tensor],
        low: dict[str, LowRank],
        turns: Turns,
        bounds: Sequence[int],
    ) -> Attended:
        sizes = self._base.sizes
        qkv = _apply(a, matrices["qkv"], low.get("qkv")).float()
        if (bias := self._biases[layer]) is not None:
            qkv += bias
        heads = qkv.view(len(a), -1, sizes.head_size)
        queries, keys, values = heads.split((sizes.heads, sizes.kv_heads, sizes.kv_heads), dim=1)
        return attend(turns.turn(queries), turns.turn(keys), values, bounds)

    def _feed_forward_back(self, gradient: Tensor, layer: int, kept: Saved, pull: _Pull) -> Tensor:
        gain = self._norms[layer][1]
        a = norm(kept.middle, gain, self._base)
        gate, up = pull.again("gate_up", a).chunk(2, dim=1)
        silu = torch.nn.functional.silu(gate)
        product = silu * up if pull.trains("down") else None
        of_product = pull("down", product, gradient.to(self._base.dtype))
        both = torch.empty(len(a), 2 * gate.shape[1], dtype=a.dtype)
        torch.mul(of_product, silu, out=both[:, gate.shape[1] :])
        both[:, : gate.shape[1]] = _silu_back(of_product.mul_(up), gate)
        return norm_back(pull("gate_up", a, both), kept.middle, gain, self._base.sizes.epsilon).add_(gradient)

    def _attention_back(
        self, gradient: Tensor, layer: int, kept: Saved, pull: _Pull, turns: Turns, bounds: Sequence[int]
    ) -> Tensor:
        gain, dtype = self._norms[layer][0], self._base.dtype
        out = kept.attended.out
        of_out = pull("o", out.flatten(1).to(dtype) if pull.trains("o") else None, gradient.to(dtype))
        queries, keys, values = attend_back(of_out.float().view(out.shape), kept.attended, bounds)
        parts = (turns.turn(queries, back=True), turns.turn(keys, back=True), values)
        of_qkv = torch.cat([part.flatten(1) for part in parts], dim=1).to(dtype)
        a = norm(kept.start, gain, self._base) if pull.trains("qkv") else None
        return norm_back(pull("qkv", a, of_qkv), kept.start, gain, self._base.sizes.epsilon).add_(gradient)


class _Pull:
    """Takes gradients through the sites of one layer."""

    def __init__(
        self, weights: Weights, layer: int, matrices: dict[str, Tensor], low: dict[str, LowRank], into: Tensor
    ) -> None:
        self._weights = weights
        self._layer = layer
        self._matrices = matrices
        self._low = low
        self._into = into

    def trains(self, site: str) -> bool:
        return self._weights.trains(self._layer, site)

    def again(self, site: str, a: Tensor) -> Tensor:
        return _apply(a, self._matrices[site], self._low.get(site))

    def __call__(self, site: str, a: Tensor | None, gradient: Tensor) -> Tensor:
        """The gradient by the site's input ``[n, inputs]``, from that of its output ``[n, outputs]``; ``a`` is the
        input where the site is trained."""
        of_a = gradient @ self._matrices[site]
        if (low := self._low.get(site)) is not None:
            of_low = gradient @ low.b
            of_a.addmm_(of_low, low.a)
            if a is not None and self.trains(site):
                self._weights.add_gradient(self._into, self._layer, site, of_low.T @ a, gradient.T @ (a @ low.a.T))
        return of_a


def norm(x: Tensor, gain: Tensor, base: Base) -> Tensor:
    """RMSNorm of ``float32[n, width]``, in the base's type. Zhang & Sennrich, 2019 (arXiv:1910.07467)."""
    return (x * _inverse_rms(x, base.sizes.epsilon)).mul_(gain).to(base.dtype)


def norm_back(gradient: Tensor, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """The gradient of `norm` by ``x``, ``float32[n, width]``, from that of its result."""
    inverse = _inverse_rms(x, epsilon)
    scaled = gradient * gain
    along = (scaled * x).sum(-1, keepdim=True).mul_(inverse**3 / x.shape[1])
    return scaled.mul_(inverse).addcmul_(x, along, value=-1)


def _inverse_rms(x: Tensor, epsilon: float) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[1]).add_(epsilon).rsqrt_()


def _apply(a: Tensor, matrix: Tensor, low: LowRank | None) -> Tensor:
    """``a @ matrix.T`` and what is added, ``[n, outputs]``."""
    out = a @ matrix.T
    return out if low is None else out.addmm_(a @ low.a.T, low.b.T)
