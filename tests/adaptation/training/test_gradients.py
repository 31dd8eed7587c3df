"""The backward pass by hand against autograd on the same model written plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeperso.adaptation.plan import EVERY_MATRIX, Example, LoraShape, Pair, SoftShape
from edgeperso.engine.adapters.values import SoftPrompt
from edgeperso.types import Float32

from .tiny_models import SHA, WIDTH, Plain, flat_gradient, leaves, model_bytes, random_lora, sequences

torch = pytest.importorskip("torch")

from edgeperso.adaptation.training.model import Model  # noqa: E402
from edgeperso.adaptation.training.objectives import dpo_step, pair_log_probs, text_step  # noqa: E402

FAMILIES = ("llama", "qwen2")
SHAPE = LoraShape(rank=3, alpha=6.0, targets=EVERY_MATRIX)
BELOW = LoraShape(rank=2, alpha=1.0, targets=("attn_k", "ffn_down"))


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "tiny.gguf").write_bytes(model_bytes(request.param))
    return str(request.param)


def examples() -> list[Example]:
    return [Example(tokens, at) for tokens, at in zip(sequences(), (1, 6, 2), strict=True)]


def order(shape: LoraShape) -> list[str]:
    return [f"blk.{layer}.{target}" for layer in range(2) for target in shape.targets]


def near(found: Float32, expected: Float32, *, error: float = 1e-5) -> None:
    assert np.linalg.norm(found - expected) <= error * np.linalg.norm(expected)


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_a_loras_gradient(tmp_path: Path, family: str, dtype: str, error: float) -> None:
    lora, below = random_lora(family, SHAPE), random_lora(family, BELOW, seed=2)
    ours, fixed = leaves(torch, lora), leaves(torch, below)
    plain = Plain(torch, family, [(ours, 2.0), (fixed, 0.5 * 0.7)])
    log_probs = [plain.log_probs(plain.embed(one.tokens), one.tokens, one.learn_from) for one in examples()]
    expected = -torch.cat(log_probs).mean()
    expected.backward()

    path = tmp_path / "tiny.gguf"
    with torch.inference_mode(), Model(path, SHAPE, [(below, 0.7)], dtype=getattr(torch, dtype)) as model:
        loss, gradient = text_step(model, model.weights.flat(lora), examples())

    assert loss == pytest.approx(expected.item(), rel=1e-5 if dtype == "float32" else 0.01)
    near(gradient, flat_gradient(ours, order(SHAPE)), error=error)


def test_a_soft_prompts_gradient(tmp_path: Path, family: str) -> None:
    start = np.random.default_rng(3).standard_normal((4, WIDTH)).astype(np.float32)
    virtual = torch.from_numpy(start).double().requires_grad_()
    plain = Plain(torch, family, [])
    log_probs = [
        plain.log_probs(torch.cat((virtual, plain.embed(one.tokens))), one.tokens, one.learn_from) for one in examples()
    ]
    expected = -torch.cat(log_probs).mean()
    expected.backward()

    with torch.inference_mode(), Model(tmp_path / "tiny.gguf", SoftShape(4), dtype=torch.float32) as model:
        loss, gradient = text_step(model, model.weights.flat(SoftPrompt(SHA, family, start)), examples())

    assert loss == pytest.approx(expected.item(), rel=1e-5)
    near(gradient, virtual.grad.flatten().numpy().astype(np.float32))


def test_the_gradient_of_a_preference(tmp_path: Path, family: str) -> None:
    prompt, chosen, rejected, more = sequences(lengths=(4, 5, 3, 6))
    pairs = [Pair(prompt, chosen, rejected), Pair(chosen, more, prompt)]
    lora, beta = random_lora(family, SHAPE), 0.3
    ours = leaves(torch, lora)

    def margins(plain: Plain) -> list[object]:
        def whole(start: tuple[int, ...], answer: tuple[int, ...]) -> object:
            return plain.log_probs(plain.embed(start + answer), start + answer, len(start)).sum()

        return [whole(pair.prompt, pair.chosen) - whole(pair.prompt, pair.rejected) for pair in pairs]

    gains = torch.stack(margins(Plain(torch, family, [(ours, 2.0)])))
    before = torch.stack(margins(Plain(torch, family, [])))
    expected = -torch.nn.functional.logsigmoid(beta * (gains - before)).mean()
    expected.backward()

    with torch.inference_mode(), Model(tmp_path / "tiny.gguf", SHAPE, dtype=torch.float32) as model:
        reference = pair_log_probs(model, model.weights.first(0), pairs)
        loss, gradient = dpo_step(model, model.weights.flat(lora), pairs, reference, beta)

    assert loss == pytest.approx(expected.item(), rel=1e-5)
    near(gradient, flat_gradient(ours, order(SHAPE)))


def test_packing_equals_one_by_one(tmp_path: Path, family: str) -> None:
    """No example sees another one, and each starts at position 0."""
    flat_of = random_lora(family, SHAPE)
    with torch.inference_mode(), Model(tmp_path / "tiny.gguf", SHAPE, dtype=torch.float32) as model:
        flat = model.weights.flat(flat_of)
        loss, gradient = text_step(model, flat, examples())
        alone = [text_step(model, flat, [one]) for one in examples()]
    counts = np.array([len(one.tokens) - one.learn_from for one in examples()], np.float32)
    shares = counts / counts.sum()
    assert loss == pytest.approx(sum(share * one for share, (one, _) in zip(shares, alone, strict=True)), rel=1e-5)
    summed = np.sum([share * one for share, (_, one) in zip(shares, alone, strict=True)], axis=0)
    np.testing.assert_allclose(gradient, summed, rtol=1e-3, atol=1e-6)
