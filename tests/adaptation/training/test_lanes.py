"""Sharing a step out among threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeperso.adaptation.plan import Example, LoraShape, Plan
from edgeperso.adaptation.training import train
from edgeperso.engine.adapters.values import Lora

from .tiny_models import SHA, model_bytes, sequences

torch = pytest.importorskip("torch")

from edgeperso.adaptation.training import lanes, loop  # noqa: E402

TEXTS = [Example(tokens, 2) for tokens in sequences(lengths=(8, 6, 10, 7, 9, 5, 12))]
PLAN = Plan(shape=LoraShape(rank=4), epochs=2, batch_tokens=40, rate=1e-2, threads=1)


def test_shares_are_about_alike_and_hold_everything_once() -> None:
    lengths = [50, 10, 30, 20, 60, 5]
    shares = lanes.share_out([0, 1, 2, 3, 4, 5], lengths, 2)
    assert sorted(number for share in shares for number in share) == [0, 1, 2, 3, 4, 5]
    assert [sum(lengths[number] for number in share) for share in shares] == [90, 85]
    assert lanes.share_out([3], lengths, 2) == [(3,)]


def test_lanes_give_what_one_thread_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(model_bytes("llama"))
    whole = train(path, SHA, TEXTS, PLAN)
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    monkeypatch.setattr(loop, "LANE_TOKENS", 20)
    counts: list[int] = []
    run = lanes.Lanes.run
    monkeypatch.setattr(lanes.Lanes, "run", lambda self, *given: counts.append(len(given[1])) or run(self, *given))
    shared, again = (train(path, SHA, TEXTS, replace(PLAN, threads=2)) for _ in range(2))
    assert set(counts) == {2}
    np.testing.assert_allclose(shared.losses, whole.losses, rtol=5e-3)
    assert isinstance(shared.adapter, Lora)
    assert isinstance(again.adapter, Lora)
    for name, pair in shared.adapter.pairs.items():
        np.testing.assert_array_equal(pair.b, again.adapter.pairs[name].b)
