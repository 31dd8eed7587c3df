"""The proof of the bridge: PEFT with an adapter says what llama.cpp and our own decoder say with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.bridge.peft import export_peft, import_peft
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Lora
from edgeperso.types import Float32

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

TOKENS = [1, 300, 42, 77, 260, 261, 9, 320, 11, 12, 305, 280]
ALIKE = 0.99999
"""llama.cpp keeps keys and values in half precision."""


def logits_of(model: Any) -> Float32:
    with torch.no_grad():
        values: Float32 = model(torch.tensor([TOKENS])).logits[0].numpy()
    return values


def last_in_llama_cpp(path: Path) -> Float32:
    with Engine.open(path, n_ctx=256, n_threads=1) as engine:
        return engine.next_log_probs(TOKENS)


def cosine(ours: Float32, theirs: Float32) -> float:
    """Of two sets of logits, wherever their zeros lie (llama.cpp's come as log-probabilities)."""
    a, b = ours - ours.mean(), theirs - theirs.mean()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_two_bases_are_one_model(family: Any) -> None:
    """Else what follows would prove nothing."""
    ours = last_in_llama_cpp(family.path)
    theirs = logits_of(family.transformer())[-1]
    assert cosine(ours, theirs) > ALIKE


def test_peft_says_with_an_exported_adapter_what_llama_cpp_says(family: Any, tmp_path: Path) -> None:
    lora = family.lora()
    export_peft(lora, family.path, tmp_path / "peft")
    model = peft.PeftModel.from_pretrained(family.transformer(), str(tmp_path / "peft"))
    theirs = logits_of(model)[-1]
    assert cosine(last_in_llama_cpp(family.with_lora(lora)), theirs) > ALIKE
    assert cosine(last_in_llama_cpp(family.path), theirs) < 0.99


@pytest.mark.parametrize("uneven", [False, True])
def test_peft_says_what_our_decoder_says(family: Any, tmp_path: Path, uneven: bool) -> None:
    from edgeperso.adaptation.training import logits

    lora = family.lora()
    if uneven:  # not the same ranks, nor the same matrices in each layer
        pairs = {**family.lora(rank=2, names=("attn_q", "ffn_up")).pairs}
        pairs["blk.1.attn_q"] = lora.pairs["blk.1.attn_q"]
        del pairs["blk.0.ffn_up"]
        lora = Lora(lora.base_sha256, lora.architecture, 2.5, pairs)
    export_peft(lora, family.path, tmp_path / "peft")
    model = peft.PeftModel.from_pretrained(family.transformer(), str(tmp_path / "peft"))
    np.testing.assert_allclose(logits(family.path, lora, TOKENS), logits_of(model), atol=1e-4)
    adapted = {name.partition(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name}
    assert len(adapted) == len(lora.pairs)


@pytest.mark.parametrize(
    ("targets", "patterns"),
    [
        (["q_proj", "k_proj"], {}),
        (["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], {}),
        (
            ["q_proj", "down_proj"],
            {"rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"down_proj": 3}},
        ),
    ],
)
def test_what_peft_saved_is_read_as_peft_means_it(
    family: Any, tmp_path: Path, targets: list[str], patterns: dict[str, Any]
) -> None:
    config = peft.LoraConfig(
        r=4, lora_alpha=12, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False, **patterns
    )
    torch.manual_seed(1)
    model = peft.get_peft_model(family.transformer(), config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.mul_(0.3)
    model.save_pretrained(str(tmp_path / "peft"))
    lora = import_peft(tmp_path / "peft", family.path, "a" * 64)
    theirs = logits_of(model)[-1]
    assert cosine(last_in_llama_cpp(family.with_lora(lora)), theirs) > ALIKE
    assert cosine(last_in_llama_cpp(family.path), theirs) < 0.99
