"""Small frames and LoRAs of them, and what they add as whole matrices in float64: the oracle that sums are held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeperso.adaptation.plan import LoraShape
from edgeperso.engine.adapters.values import Lora
from edgeperso.types import Float32
from edgeperso_federated.factors import Frame, lora_from, narrowed
from edgeperso_federated.update import Tensors

MATRICES = {"blk.0.attn_q": (12, 9), "blk.0.attn_v": (6, 9), "blk.1.attn_q": (12, 9)}


def frame(rank: int = 8, alpha: float = 16.0, *, matrices: Mapping[str, tuple[int, int]] = MATRICES) -> Frame:
    return Frame("0" * 64, "llama", LoraShape(rank, alpha, ("attn_q", "attn_v")), matrices, 9, b"a public seed")


def trained(of: Frame, rank: int, held: Mapping[str, Float32], seed: int, parts: str = "b") -> Lora:
    """What a device of ``rank`` makes of the held adapter: its first ranks, those ``parts`` moved at random."""
    lora = lora_from(narrowed(of, rank), held)
    random = np.random.default_rng(seed)
    for pair in lora.pairs.values():
        for part in parts:
            values = getattr(pair, part)
            values += random.standard_normal(values.shape).astype(np.float32)
    return lora


def difference(after: Tensors, before: Tensors, names: Sequence[str]) -> Tensors:
    return {name: after[name] - before[name] for name in names}


def product(lora: Lora) -> NDArray[np.float64]:
    """Everything that the adapter adds, as one vector."""
    parts = [
        (lora.alpha / pair.rank * pair.b.astype(np.float64) @ pair.a.astype(np.float64)).ravel()
        for _, pair in sorted(lora.pairs.items())
    ]
    return np.concatenate(parts)


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The distance as a share of the second's length."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))
