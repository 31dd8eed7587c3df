"""Adapters for the tiny models, with weights large enough to be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.engine import Engine, Lora, LoraPair, SoftPrompt
from edgeperso.engine.gguf import GgufHeader, check_model_file

BASE = "ab" * 32
"""What the tiny adapters call their base where no engine looks."""


def random_lora(
    header: GgufHeader,
    base: str = BASE,
    *,
    seed: int = 0,
    rank: int = 4,
    size: float = 0.3,
    names: Sequence[str] = ("attn_q", "ffn_down"),
) -> Lora:
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return (size * random.standard_normal(shape)).astype(np.float32)

    pairs = {}
    for tensor, place in header.tensors.items():
        if tensor.startswith("blk.") and tensor.endswith(".weight") and tensor.split(".")[2] in names:
            n_in, n_out = place.shape
            pairs[tensor.removesuffix(".weight")] = LoraPair(weights(rank, n_in), weights(n_out, rank))
    return Lora(base, header.architecture, 2.0 * rank, pairs)


@pytest.fixture
def makers(tiny_path: Path) -> SimpleNamespace:
    """``lora(seed, rank, size, names)`` and ``soft(seed, count)`` for the model of `tiny_path`."""
    header = check_model_file(tiny_path)
    width = int(header.metadata["llama.embedding_length"])

    def soft(seed: int = 0, count: int = 5, base: str = BASE) -> SoftPrompt:
        values = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
        return SoftPrompt(base, "llama", values)

    return SimpleNamespace(lora=lambda **options: random_lora(header, **options), soft=soft, random_lora=random_lora)


@pytest.fixture
def engine(tiny_path: Path) -> Iterator[Engine]:
    with Engine.open(tiny_path, n_ctx=256, n_threads=1) as engine:
        yield engine


@pytest.fixture
def fitting(makers: SimpleNamespace, engine: Engine) -> SimpleNamespace:
    """The makers, for the engine's own base."""
    base = engine.info.base_sha256
    return SimpleNamespace(
        lora=lambda **options: makers.lora(base=base, **options),
        soft=lambda **options: makers.soft(base=base, **options),
    )
