"""What torch computes on the file against what llama.cpp does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeperso.adaptation.plan import Example
from edgeperso.adaptation.training import logits, losses
from edgeperso.engine import Engine

from .tiny_models import model_bytes, sequences

torch = pytest.importorskip("torch")

TOKENS = sequences(lengths=(24,))[0]


def log_softmax(rows: np.ndarray) -> np.ndarray:
    shifted = rows.astype(np.float64) - rows.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_logits_are_llama_cpps(tmp_path: Path, family: str) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(model_bytes(family))
    ours = log_softmax(logits(path, None, TOKENS))
    with Engine.open(path, n_ctx=64, n_threads=1) as engine:
        for length in (1, 2, 9, 24):
            theirs = engine.next_log_probs(TOKENS[:length])
            row = ours[length - 1]
            assert row @ theirs / np.linalg.norm(row) / np.linalg.norm(theirs) > 0.99999
            np.testing.assert_allclose(row, theirs, atol=0.03)  # keys and values are float16 there


@pytest.mark.model
def test_losses_of_the_default_model_are_llama_cpps(models_dir: Path) -> None:
    """Its weights are quantized, and llama.cpp quantizes what it multiplies them with too."""
    path = models_dir / "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"
    text = "My sister Marit plays the cello, and on Thursdays she teaches children in the old school by the river."
    with Engine.open(path, n_ctx=64, n_threads=1) as engine:
        tokens = engine.bos + engine.tokenize(text)
        rows = engine.log_probs(tokens[:1], tokens[1:])
    theirs = -float(rows[np.arange(len(rows)), tokens[1:]].mean())
    assert losses(path, None, [Example(tuple(tokens), 1)])[0] == pytest.approx(theirs, abs=0.05)
