"""The decoder's layers, forward and backward, by hand.

Base weights are frozen, so that backward needs the gradient by the inputs alone; and it is dequantizing, not
multiplying, that costs time where the processor multiplies bfloat16. So forward keeps each layer's input and its
attention's result; the rest is computed again in backward, from matrices that are needed there anyway.

The residual stream, norms, positions and attention are float32; matrices are multiplied in the base's type. What a LoRA
adds is added in float32: it is little, and bfloat16 would lose it in a result that is rounded already.
Source of the layer: Touvron et al., "LLaMA", 2023 (arXiv:2302.13971); Yang et al., "Qwen2.5", 2024 (arXiv:2412.15115).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import SITES
from edgeperso.adaptation.training.attention import Turns, attend, attend_back
from edgeperso.adaptation.training.base import Base
from edgeperso.adaptation.training.norms import inverse_rms, norm, norm_back
from edgeperso.adaptation.training.tape import Kept, Tape
from edgeperso.adaptation.training.weights import LowRank, Weights

__all__ = ["Decoder"]

_silu = torch.nn.functional.silu
_silu_back = torch.ops.aten.silu_backward.grad_input


class Decoder:
    """All layers of ``base`` with ``weights`` added to them; one step's tensors at a time.

    Args:
        base: the frozen weights.
        weights: the layout of what is added.
    """

    def __init__(self, base: Base, weights: Weights) -> None:
        self._base = base
        self._weights = weights
        self._gains = [
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
        epsilon, dtype = self._base.sizes.epsilon, self._base.dtype
        turns = Turns(self._base.sizes, bounds, len(x), self._factors)
        tape.layer(0, len(x)).start.copy_(x)
        for number, low in enumerate(added):
            kept, layer = tape.layer(number, len(x)), _Layer(self._base.layer(number), low)
            kept.start_inverse.copy_(inverse_rms(kept.start, epsilon))
            self._project(kept, number, layer, turns)
            attend(kept, bounds)
            layer.add("o", kept.attended.flatten(1).to(dtype), kept.start, kept.middle)
            kept.middle_inverse.copy_(inverse_rms(kept.middle, epsilon))
            a = norm(kept.middle, kept.middle_inverse, self._gains[number][1], dtype)
            gate, up = layer.apply("gate_up", a).chunk(2, dim=1)
            layer.add("down", _silu(gate).mul_(up).to(dtype), kept.middle, tape.layer(number + 1, len(x)).start)
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
        for number in reversed(range(len(added))):
            kept, layer = tape.layer(number, len(gradient)), _Layer(self._base.layer(number), added[number])
            attended = kept.attended.flatten(1).to(self._base.dtype)
            layer.add("o", attended, kept.start, kept.middle)
            gradient = self._feed_forward_back(gradient, kept, number, layer, into)
            a = self._project(kept, number, layer, turns)
            of_attended = self._pull(number, "o", layer, attended, gradient.to(attended.dtype), into)
            of_qkv = attend_back(of_attended.float().view_as(kept.attended), kept, bounds)
            turns.turn_(of_qkv[:, : -self._base.sizes.kv_heads], back=True)
            of_a = self._pull(number, "qkv", layer, a, of_qkv.flatten(1).to(a.dtype), into)
            gradient = norm_back(of_a, kept.start, kept.start_inverse, self._gains[number][0]).add_(gradient)
        return gradient

    def _project(self, kept: Kept, number: int, layer: _Layer, turns: Turns) -> Tensor:
        """Fill ``kept.qkv``; returns what the matrices read, ``[n, width]``."""
        a = norm(kept.start, kept.start_inverse, self._gains[number][0], self._base.dtype)
        layer.put("qkv", a, kept.qkv.flatten(1))
        if (bias := self._biases[number]) is not None:
            kept.qkv += bias.view(-1, self._base.sizes.head_size)
        turns.turn_(kept.qkv[:, : -self._base.sizes.kv_heads])
        return a

    def _feed_forward_back(self, gradient: Tensor, kept: Kept, number: int, layer: _Layer, into: Tensor) -> Tensor:
        gain, dtype = self._gains[number][1], self._base.dtype
        a = norm(kept.middle, kept.middle_inverse, gain, dtype)
        gate, up = layer.apply("gate_up", a).chunk(2, dim=1)
        silu = _silu(gate)
        product = (silu * up).to(dtype) if self._weights.trains(number, "down") else None
        of_product = self._pull(number, "down", layer, product, gradient.to(dtype), into).to(gate.dtype)
        both = torch.empty(len(a), 2 * gate.shape[1], dtype=gate.dtype)
        of_gate, of_up = both.chunk(2, dim=1)
        torch.mul(of_product, silu, out=of_up)
        _silu_back(of_product.mul_(up), gate, grad_input=of_gate)
        of_a = self._pull(number, "gate_up", layer, a, both.to(dtype), into)
        return norm_back(of_a, kept.middle, kept.middle_inverse, gain).add_(gradient)

    def _pull(self, number: int, site: str, layer: _Layer, a: Tensor | None, gradient: Tensor, into: Tensor) -> Tensor:
        """The gradient by a site's input ``[n, inputs]``, from that of its output ``[n, outputs]``; ``a`` is the input,
        and may be missing where nothing is trained."""
        of_a = gradient @ layer.matrices[site]
        if (low := layer.low.get(site)) is None:
            return of_a
        of_low = gradient @ low.b.to(gradient.dtype)
        if a is not None and self._weights.trains(number, site):
            low_a = a @ low.a.T.to(a.dtype)
            self._weights.add_gradient(into, number, site, of_low.T @ a, gradient.T @ low_a)
        return of_a.float().addmm_(of_low.float(), low.a)


class _Layer:
    """One layer's matrices and what is added to them, by site."""

    def __init__(self, matrices: dict[str, Tensor], low: dict[str, LowRank]) -> None:
        self.matrices = matrices
        self.low = low

    def apply(self, site: str, a: Tensor) -> Tensor:
        """``[n, outputs]`` from ``[n, inputs]``: float32 where something is added, else in the computing type."""
        out = a @ self.matrices[site].T
        return self._lift(site, a, out.float()) if site in self.low else out

    def put(self, site: str, a: Tensor, into: Tensor) -> None:
        """The same as float32, into ``into``."""
        self._lift(site, a, into.copy_(a @ self.matrices[site].T))

    def add(self, site: str, a: Tensor, x: Tensor, into: Tensor) -> None:
        """The same added to ``x``, both float32, into ``into``."""
        self._lift(site, a, torch.add(x, a @ self.matrices[site].T, out=into))

    def _lift(self, site: str, a: Tensor, out: Tensor) -> Tensor:
        if (low := self.low.get(site)) is not None:
            out.addmm_((a @ low.a.T.to(a.dtype)).float(), low.b.T)
        return out
