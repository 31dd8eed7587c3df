"""The bundled model, whose weights are quantized, wearing adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.engine import Engine, SoftPrompt, Worn
from edgeperso.engine.dequantize import dequantize
from edgeperso.engine.gguf import check_model_file

EVERY = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
TEXT = "The lighthouse keeper wrote a letter to"


@pytest.fixture(scope="module")
def real(model_path: Path) -> Iterator[Engine]:
    with Engine.open(model_path, n_ctx=256, n_threads=1) as engine:
        yield engine


def test_a_soft_prompt_of_words_reads_as_these_words(real: Engine) -> None:
    words, rest = real.tokenize("My dog is called Bruno."), real.tokenize(" The name of my dog is")
    place = check_model_file(real.info.path).tensors["token_embd.weight"]
    row_bytes, width = place.size_bytes // place.shape[1], place.shape[0]
    with real.info.path.open("rb") as file:
        file.seek(place.offset)
        data = file.read(place.size_bytes)
    rows = [dequantize(data[word * row_bytes : (word + 1) * row_bytes], place.kind, width) for word in words]
    bare, read = real.next_log_probs(rest), real.next_log_probs(words + rest)
    real.wear([Worn("words", SoftPrompt(real.info.base_sha256, "llama", np.stack(rows)))])
    worn = real.next_log_probs(rest)
    real.wear([])
    (name,) = real.tokenize(" Bruno")
    assert worn[name] > bare[name] + 3
    np.testing.assert_allclose(worn, read, atol=0.05)


def test_eight_adapters_on_every_matrix_run_and_come_off_again(real: Engine, makers: SimpleNamespace) -> None:
    """llama.cpp plans its graph by what is loaded, and ends the process if it planned too small."""
    prompt = real.tokenize(TEXT)
    bare = real.next_log_probs(prompt)
    header, base = check_model_file(real.info.path), real.info.base_sha256
    stack = [
        Worn(str(seed), makers.random_lora(header, base, seed=seed, rank=2, size=0.02, names=EVERY), scale=0.5)
        for seed in range(8)
    ]
    assert len(stack[0].adapter.pairs) == 30 * len(EVERY)
    real.wear(stack)
    worn = real.next_log_probs(prompt)
    assert len(real.score(prompt, [prompt, prompt[:3], prompt[:1]])) == 3
    real.wear([])
    assert np.isfinite(worn).all()
    assert np.abs(worn - bare).max() > 0.5
    np.testing.assert_allclose(real.next_log_probs(prompt), bare, atol=1e-3)
