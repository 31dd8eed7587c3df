"""The decoder's layers, forward and backward, by hand.

Base weights are frozen, so that backward needs the gradient by the inputs alone; and it is dequantizing, not
multiplying, that costs time where the processor multiplies bfloat16. So forward keeps each layer's input and its
attention's result; the rest is computed again in backward, from matrices that are needed there anyway.

The residual stream, norms, positions and attention are float32; matrices are multiplied in the base's type.
Source of the layer: Touvron et al., "LLaMA", 2023 (arXiv:2302.13971); Yang et al., "Qwen2.5", 2024 (arXiv:2412.15115).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import SITES
from edgeperso.adaptation.training.attention import Turns, attend, attend_back
from edgeperso.adaptation.training.base import Base
from edgeperso.adaptation.training.tape import Kept, Tape
from edgeperso.adaptation.training.weights import LowRank, Weights

__all__ = ["Decoder", "norm", "norm_back"]

_silu_back = torch.ops.aten.silu_backward


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

    def forward(self, x: Tensor, bounds: Sequence[int], added: Sequence[dict[str, LowRank]], tape: Tape) -> Tensor:
        """``float32[n, width]`` after the last layer, from the embeddings of packed sequences.

        Args:
            x: ``float32[n, width]``.
            bounds: where each sequence starts, and where the last one ends; up to n rows may fill up the step.
            added: `Weights.sites`.
            tape: takes what `backward` needs, and the result.
        """
        turns = Turns(self._base.sizes, bounds, len(x), self._factors)
        tape.layer(0, len(x)).start.copy_(x)
        for layer, low in enumerate(added):
            matrices, kept = self._base.layer(layer), tape.layer(layer, len(x))
            self._project(kept, layer, matrices, low, turns)
            attend(kept, bounds)
            self._add_attended(kept, matrices, low)
            a = norm(kept.middle, self._norms[layer][1], self._base)
            gate, up = _apply(a, matrices["gate_up"], low.get("gate_up")).chunk(2, dim=1)
            product = torch.nn.functional.silu(gate).mul_(up).to(self._base.dtype)
            after = tape.layer(layer + 1, len(x)).start
            torch.add(kept.middle, _apply(product, matrices["down"], low.get("down")), out=after)
        return tape.layer(len(added), len(x)).start

    def backward(
        self, gradient: Tensor, bounds: Sequence[int], added: Sequence[dict[str, LowRank]], tape: Tape, into: Tensor
    ) -> Tensor:
        """The embeddings' gradient ``float32[n, width]``, from that of `forward`'s result.

        Args:
            gradient: ``float32[n, width]``.
            bounds, added, tape: as `forward` had and left them.
            into: the flat vector that gradients of weights are added to.
        """
        turns = Turns(self._base.sizes, bounds, len(gradient), self._factors)
        for layer in reversed(range(len(added))):
            matrices, low, kept = self._base.layer(layer), added[layer], tape.layer(layer, len(gradient))
            pull = _Pull(self._weights, layer, matrices, low, into)
            self._add_attended(kept, matrices, low)
            gradient = self._feed_forward_back(gradient, layer, kept, pull)
            a = self._project(kept, layer, matrices, low, turns)
            gradient = self._attention_back(gradient, layer, kept, a, pull, turns, bounds)
        return gradient

    def _project(
        self, kept: Kept, layer: int, matrices: dict[str, Tensor], low: dict[str, LowRank], turns: Turns
    ) -> Tensor:
        """Fill ``kept.qkv``; returns what the matrices read, ``[n, width]``."""
        sizes = self._base.sizes
        a = norm(kept.start, self._norms[layer][0], self._base)
        kept.qkv.copy_(_apply(a, matrices["qkv"], low.get("qkv")).view_as(kept.qkv))
        if (bias := self._biases[layer]) is not None:
            kept.qkv += bias.view(-1, sizes.head_size)
        turns.turn_(kept.qkv[:, : sizes.heads + sizes.kv_heads])
        return a

    def _add_attended(self, kept: Kept, matrices: dict[str, Tensor], low: dict[str, LowRank]) -> None:
        """Fill ``kept.middle``."""
        attended = kept.attended.flatten(1).to(self._base.dtype)
        torch.add(kept.start, _apply(attended, matrices["o"], low.get("o")), out=kept.middle)

    def _feed_forward_back(self, gradient: Tensor, layer: int, kept: Kept, pull: _Pull) -> Tensor:
        gain, dtype = self._norms[layer][1], self._base.dtype
        a = norm(kept.middle, gain, self._base)
        gate, up = pull.again("gate_up", a).chunk(2, dim=1)
        silu = torch.nn.functional.silu(gate)
        product = (silu * up).to(dtype) if pull.trains("down") else None
        of_product = pull("down", product, gradient.to(dtype)).to(gate.dtype)
        both = torch.empty(len(a), 2 * gate.shape[1], dtype=dtype)
        torch.mul(of_product, silu, out=both[:, gate.shape[1] :])
        both[:, : gate.shape[1]] = _silu_back(of_product.mul_(up), gate)
        return norm_back(pull("gate_up", a, both), kept.middle, gain, self._base.sizes.epsilon).add_(gradient)

    def _attention_back(
        self, gradient: Tensor, layer: int, kept: Kept, a: Tensor, pull: _Pull, turns: Turns, bounds: Sequence[int]
    ) -> Tensor:
        sizes, dtype = self._base.sizes, self._base.dtype
        of_attended = pull("o", kept.attended.flatten(1).to(dtype), gradient.to(dtype))
        of_qkv = attend_back(of_attended.float().view_as(kept.attended), kept, bounds)
        turns.turn_(of_qkv[:, : sizes.heads + sizes.kv_heads], back=True)
        of_a = pull("qkv", a, of_qkv.flatten(1).to(dtype))
        return norm_back(of_a, kept.start, self._norms[layer][0], sizes.epsilon).add_(gradient)


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
        if (low := self._low.get(site)) is None:
            return of_a
        of_low = gradient @ low.b.to(gradient.dtype)
        if a is not None and self.trains(site):
            low_a = a @ low.a.T.to(a.dtype)
            self._weights.add_gradient(self._into, self._layer, site, of_low.T @ a, gradient.T @ low_a)
        return of_a.float().addmm_(of_low.float(), low.a)


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
    """``a @ matrix.T`` and what is added, ``[n, outputs]``: the sum in float32, where little things are added to large
    ones that bfloat16 has rounded already."""
    out = a @ matrix.T
    return out if low is None else out.float().addmm_((a @ low.a.T.to(a.dtype)).float(), low.b.T)
