"""llama.cpp wearing what crossed the bridge, and what was added up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeperso.adaptation.bridge.exchange import export_adapter, import_adapter
from edgeperso.adaptation.stacking import merged, reduced
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Lora, Worn
from edgeperso.types import Float32

TOKENS = [1, 300, 42, 77, 260, 261, 9, 320, 11, 12, 305, 280]


def cosine(a: Float32, b: Float32) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def based(engine: Engine, lora: Lora) -> Lora:
    return Lora(engine.info.base_sha256, lora.architecture, lora.alpha, lora.pairs)


def test_an_adapter_that_went_out_and_in_is_worn_as_if_in_the_weights(family: Any, tmp_path: Path) -> None:
    with Engine.open(family.path, n_ctx=256, n_threads=1) as engine:
        plain = engine.next_log_probs(TOKENS)
        export_adapter(based(engine, family.lora()), tmp_path / "a.gguf")
        engine.wear([Worn("a", import_adapter(tmp_path / "a.gguf", family.path, engine.info))])
        worn = engine.next_log_probs(TOKENS)
    with Engine.open(family.with_lora(family.lora()), n_ctx=256, n_threads=1) as engine:
        inside = engine.next_log_probs(TOKENS)
    assert cosine(worn, inside) > 0.99999
    assert cosine(worn, plain) < 0.99


def test_three_worn_say_what_their_sum_says(family: Any) -> None:
    with Engine.open(family.path, n_ctx=256, n_threads=1) as engine:
        three = [
            (based(engine, family.lora(1)), 0.5),
            (based(engine, family.lora(2, rank=2, alpha=1.0)), 1.0),
            (based(engine, family.lora(3, rank=8, names=("attn_q", "attn_k", "ffn_down"))), 0.8),
        ]
        engine.wear([Worn(f"{place}", lora, scale) for place, (lora, scale) in enumerate(three)])
        stacked = engine.next_log_probs(TOKENS)
        total = merged(three)
        engine.wear([Worn("sum", total)])
        summed = engine.next_log_probs(TOKENS)
        engine.wear([Worn("less", reduced(total, 14))])
        reduced_to_all = engine.next_log_probs(TOKENS)
        engine.wear([Worn("little", reduced(total, 2))])
        reduced_to_little = engine.next_log_probs(TOKENS)
        engine.wear([])
        plain = engine.next_log_probs(TOKENS)
    np.testing.assert_allclose(stacked, summed, atol=0.02)
    np.testing.assert_allclose(stacked, reduced_to_all, atol=0.02)
    assert cosine(stacked, summed) > 0.999999
    assert cosine(stacked, plain) < cosine(stacked, reduced_to_little) < 0.9999
