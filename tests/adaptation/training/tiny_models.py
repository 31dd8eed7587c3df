"""Tiny models of both families, and what they compute, written down once more: in plain torch, with autograd."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgeperso.adaptation.plan import LoraShape
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.types import Float32

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "engine" / "gguf_files.py")))

WIDTH, HIDDEN, HEADS, KV_HEADS, LAYERS, VOCABULARY = 64, 96, 4, 2, 2, 354
SIZE = WIDTH // HEADS
SHA = "ab" * 32
"""Names a base; nothing here reads it."""


def tensors(architecture: str, seed: int = 0) -> dict[str, Float32]:
    """Weights of a model whose query heads share key heads; qwen2's has biases and its embeddings for an output."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> Float32:
        return (random.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    def gains() -> Float32:
        return (1 + 0.2 * random.standard_normal(WIDTH)).astype(np.float32)

    found = {"token_embd.weight": weights(VOCABULARY, WIDTH) * 4, "output_norm.weight": gains()}
    if architecture == "llama":
        found["output.weight"] = weights(VOCABULARY, WIDTH) * 2
    for layer in range(LAYERS):
        name = f"blk.{layer}"
        found |= {f"{name}.attn_norm.weight": gains(), f"{name}.ffn_norm.weight": gains()}
        for matrix, (outputs, inputs) in matrices().items():
            found[f"{name}.{matrix}.weight"] = weights(outputs, inputs)
        if architecture == "qwen2":
            for matrix in ("attn_q", "attn_k", "attn_v"):
                found[f"{name}.{matrix}.bias"] = weights(matrices()[matrix][0]) * 4
    return found


def matrices() -> dict[str, tuple[int, int]]:
    """Outputs and inputs of each matrix of a layer."""
    keys = KV_HEADS * SIZE
    return {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (keys, WIDTH),
        "attn_v": (keys, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }


def model_bytes(architecture: str, *, name: str = "", **changes: Any) -> bytes:
    """A model file, under the name of another architecture where ``name`` is given. ``changes`` as in `gguf_files`."""
    own = name or architecture
    shape = MAKE.TinyShape(own, WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS)
    return bytes(MAKE.gguf(MAKE.tiny_metadata(shape, **changes), tensors(architecture)))


def random_lora(architecture: str, shape: LoraShape, *, seed: int = 1, size: float = 0.1) -> Lora:
    """A LoRA on every target, none of its matrices 0."""
    random = np.random.default_rng(seed)
    pairs = {}
    for layer in range(LAYERS):
        for target in shape.targets:
            outputs, inputs = matrices()[target]
            a = random.standard_normal((shape.rank, inputs)) * size
            b = random.standard_normal((outputs, shape.rank)) * size
            pairs[f"blk.{layer}.{target}"] = LoraPair(a.astype(np.float32), b.astype(np.float32))
    return Lora(SHA, architecture, shape.alpha, pairs)


@dataclass
class Plain:
    """The model in float64, a line for each formula; ``loras`` are pairs of tensors by name, with their scale."""

    torch: Any
    architecture: str
    loras: list[tuple[dict[str, tuple[Any, Any]], float]]

    def __post_init__(self) -> None:
        made = tensors(self.architecture)
        self.weights = {name: self.torch.from_numpy(value).double() for name, value in made.items()}

    def logits(self, x: Any) -> Any:
        """Of one sequence of embeddings ``[n, width]``."""
        for layer in range(LAYERS):
            a = self._norm(x, f"blk.{layer}.attn_norm")
            queries, keys, values = (
                self._matrix(a, f"blk.{layer}.{name}").view(len(x), -1, SIZE) for name in ("attn_q", "attn_k", "attn_v")
            )
            heads = [
                self._head(self._turn(queries[:, head]), self._turn(keys[:, head // 2]), values[:, head // 2])
                for head in range(HEADS)
            ]
            x = x + self._matrix(self.torch.cat(heads, 1), f"blk.{layer}.attn_output")
            a = self._norm(x, f"blk.{layer}.ffn_norm")
            gate, up = self._matrix(a, f"blk.{layer}.ffn_gate"), self._matrix(a, f"blk.{layer}.ffn_up")
            x = x + self._matrix(gate * self.torch.sigmoid(gate) * up, f"blk.{layer}.ffn_down")
        out = self.weights.get("output.weight", self.weights["token_embd.weight"])
        return self._norm(x, "output_norm") @ out.T

    def embed(self, tokens: Any) -> Any:
        return self.weights["token_embd.weight"][list(tokens)]

    def log_probs(self, x: Any, tokens: Any, learn_from: int) -> Any:
        """Of the tokens from ``learn_from`` on; ``x`` may begin with virtual tokens."""
        rows = self.torch.log_softmax(self.logits(x)[-len(tokens) :], 1)
        return self.torch.stack([rows[at - 1, tokens[at]] for at in range(learn_from, len(tokens))])

    def _matrix(self, a: Any, name: str) -> Any:
        out = a @ self.weights[f"{name}.weight"].T
        if (bias := self.weights.get(f"{name}.bias")) is not None:
            out = out + bias
        for pairs, scale in self.loras:
            if name in pairs:
                out = out + scale * (a @ pairs[name][0].T @ pairs[name][1].T)
        return out

    def _norm(self, x: Any, name: str) -> Any:
        return x / self.torch.sqrt((x * x).mean(1, keepdim=True) + 1e-5) * self.weights[f"{name}.weight"]

    def _head(self, queries: Any, keys: Any, values: Any) -> Any:
        scores = queries @ keys.T / SIZE**0.5
        hidden = self.torch.triu(self.torch.ones_like(scores), 1).bool()
        return self.torch.softmax(scores.masked_fill(hidden, -self.torch.inf), 1) @ values

    def _turn(self, x: Any) -> Any:
        """Positions, pair by pair."""
        half = SIZE // 2
        pairs = [(2 * i, 2 * i + 1) if self.architecture == "llama" else (i, i + half) for i in range(half)]
        out = list(x.unbind(1))
        for number, (first, second) in enumerate(pairs):
            angle = self.torch.arange(len(x)).double() * 10000.0 ** (-number / half)
            out[first] = x[:, first] * angle.cos() - x[:, second] * angle.sin()
            out[second] = x[:, second] * angle.cos() + x[:, first] * angle.sin()
        return self.torch.stack(out, 1)


def leaves(torch: Any, lora: Lora) -> dict[str, tuple[Any, Any]]:
    """A LoRA's matrices as float64 tensors that gather gradients."""
    return {
        name: tuple(torch.from_numpy(each).double().requires_grad_() for each in (pair.a, pair.b))  # type: ignore[misc]
        for name, pair in lora.pairs.items()
    }


def flat_gradient(found: dict[str, tuple[Any, Any]], names: list[str]) -> Float32:
    """Gradients of `leaves` end to end, in the order of ``names``."""
    parts = [each.grad.flatten().numpy() for name in names for each in found[name]]
    return np.concatenate(parts).astype(np.float32)


def sequences(seed: int = 0, lengths: tuple[int, ...] = (5, 9, 3)) -> list[tuple[int, ...]]:
    random = np.random.default_rng(seed)
    drawn = random.integers(VOCABULARY, size=sum(lengths)).tolist()
    ends = np.cumsum((0, *lengths)).tolist()
    return [tuple(drawn[start:stop]) for start, stop in pairwise(ends)]
