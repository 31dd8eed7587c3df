"""Wearing LoRAs: against the same sums written into the weights, and what stays when something is refused."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.engine import Engine, Lora, LoraPair, Part, Worn
from edgeperso.engine.gguf import check_model_file
from edgeperso.engine.likeness import Likeness
from edgeperso.engine.optimize import Candidate, _publish
from edgeperso.engine.scoring import log_softmax
from edgeperso.errors import AdapterInvalid, AdapterMismatch, ModelError, UsageError

PROMPT = [1, *range(40, 75)]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = (np.exp(values) for values in (one, other))
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def merged(tensors: Mapping[str, np.ndarray], worn: list[Worn]) -> dict[str, np.ndarray]:
    out = dict(tensors)
    for each in worn:
        for name, pair in each.adapter.pairs.items():
            factor = np.float32(each.scale * each.adapter.alpha / pair.rank)
            out[f"{name}.weight"] = out[f"{name}.weight"] + factor * (pair.b @ pair.a)
    return out


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_stack_answers_as_its_sum_in_the_weights(
    gguf_files: SimpleNamespace, makers: SimpleNamespace, tmp_path: Path, architecture: str, count: int
) -> None:
    shape = gguf_files.TinyShape(architecture=architecture, heads=4, groups=2)
    metadata, tensors = gguf_files.tiny_metadata(shape), gguf_files.tiny_tensors(0, shape)
    base, sums = tmp_path / "base.gguf", tmp_path / "sums.gguf"
    base.write_bytes(gguf_files.gguf(metadata, tensors))
    with Engine.open(base, n_ctx=128, n_threads=1) as engine:
        every = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
        stack = [
            Worn(
                str(seed),
                makers.random_lora(
                    check_model_file(base), engine.info.base_sha256, seed=seed, rank=2 + seed, size=0.1, names=every
                ),
                scale=(1.0, 0.5, -0.7)[seed],
            )
            for seed in range(count)
        ]
        sums.write_bytes(gguf_files.gguf(metadata, merged(tensors, stack)))
        plain = engine.next_log_probs(PROMPT)
        engine.wear(stack)
        ours = engine.next_log_probs(PROMPT)
    with Engine.open(sums, n_ctx=128, n_threads=1) as engine:
        theirs = engine.next_log_probs(PROMPT)
    assert cosine(plain, theirs) < 0.9
    assert cosine(ours, theirs) > 0.99999


def test_taking_it_off_gives_the_model_back(engine: Engine, fitting: SimpleNamespace) -> None:
    plain = engine.next_log_probs(PROMPT)
    engine.wear([Worn("a", fitting.lora())])
    worn = engine.next_log_probs(PROMPT)
    engine.wear([])
    assert engine.worn == ()
    np.testing.assert_allclose(engine.next_log_probs(PROMPT), plain, atol=1e-3)
    assert np.abs(worn - plain).max() > 0.1


def test_scale_nothing_is_the_bare_model(engine: Engine, fitting: SimpleNamespace) -> None:
    plain = engine.next_log_probs(PROMPT)
    engine.wear([Worn("a", fitting.lora(), scale=0.0)])
    assert len(engine.worn) == 1
    np.testing.assert_allclose(engine.next_log_probs(PROMPT), plain, atol=1e-3)


def evaluated(engine: Engine, tokens: list[int]) -> int:
    generation = engine.generate(tokens, max_tokens=1)
    list(generation)
    return generation.stats.evaluated_tokens


def test_what_the_context_held_is_dropped_only_when_the_stack_changes(engine: Engine, fitting: SimpleNamespace) -> None:
    first, second = Worn("a", fitting.lora()), Worn("b", fitting.lora(seed=1))
    assert evaluated(engine, PROMPT) == len(PROMPT)
    engine.wear([])
    assert evaluated(engine, PROMPT) == 1
    for stack in ([first], [first, second], [first, dataclasses.replace(second, scale=0.5)], [second], []):
        engine.wear(stack)
        assert evaluated(engine, PROMPT) == len(PROMPT)
        engine.wear(stack)
        assert evaluated(engine, PROMPT) == 1
        assert engine.worn == tuple(stack)


def test_an_answer_under_way_goes_on_with_what_is_worn_by_then(engine: Engine, fitting: SimpleNamespace) -> None:
    generation = engine.generate(PROMPT, max_tokens=6)
    next(generation)
    written = generation.tokens
    engine.wear([Worn("a", fitting.lora())])
    next(generation)
    expected = engine.next_log_probs(PROMPT + written).argmax()
    assert generation.tokens[len(written)] == expected


@pytest.fixture
def refused(engine: Engine, fitting: SimpleNamespace) -> dict[str, tuple[list[Worn], type[ModelError | UsageError]]]:
    lora, soft = fitting.lora(), fitting.soft()
    pair = lora.pairs["blk.0.attn_q"]
    wide = LoraPair(np.ones((4, 65), np.float32), pair.b)
    tall = LoraPair(pair.a, np.ones((65, 4), np.float32))

    def but(**changes: object) -> list[Worn]:
        return [Worn("new", dataclasses.replace(lora, **changes))]

    def instead(name: str, pair: LoraPair) -> list[Worn]:
        return but(pairs={**lora.pairs, name: pair})

    return {
        "another base": (but(base_sha256="cd" * 32), AdapterMismatch),
        "no base": (but(base_sha256=""), AdapterMismatch),
        "another architecture": (but(architecture="qwen2"), AdapterMismatch),
        "a layer too many": (instead("blk.2.attn_q", pair), AdapterMismatch),
        "an unknown matrix": (instead("blk.0.attn_z", pair), AdapterMismatch),
        "a vector": (instead("blk.0.attn_norm", pair), AdapterMismatch),
        "the vocabulary": (instead("token_embd", pair), AdapterMismatch),
        "wide": (instead("blk.0.attn_q", wide), AdapterMismatch),
        "tall": (instead("blk.0.attn_q", tall), AdapterMismatch),
        "not numbers": (instead("blk.0.attn_q", LoraPair(pair.a * np.float32("nan"), pair.b)), AdapterInvalid),
        "empty": (but(pairs={}), AdapterInvalid),
        "twice": ([Worn("new", lora), Worn("new", lora)], UsageError),
        "nine": ([Worn(str(number), lora) for number in range(9)], UsageError),
        "endless": ([Worn("new", lora, scale=float("inf"))], UsageError),
        "nan scale": ([Worn("new", lora, scale=float("nan"))], UsageError),
        "the second of two": ([Worn("good", lora), *but(base_sha256="cd" * 32)], AdapterMismatch),
        "one that is off": (
            [Worn("new", dataclasses.replace(lora, base_sha256="cd" * 32), scale=0.0)],
            AdapterMismatch,
        ),
        "two soft prompts": ([Worn("s", soft), Worn("t", soft)], UsageError),
        "a scaled soft prompt": ([Worn("s", soft, scale=0.5)], UsageError),
        "a soft prompt of another width": (
            [Worn("s", dataclasses.replace(soft, embeddings=np.ones((2, 65), np.float32)))],
            AdapterMismatch,
        ),
        "a soft prompt as long as the context": ([Worn("s", fitting.soft(count=256))], AdapterMismatch),
    }


def test_whatever_is_refused_nothing_changes(engine: Engine, fitting: SimpleNamespace, refused: dict) -> None:
    engine.wear([Worn("a", fitting.lora(seed=5)), Worn("soft", fitting.soft(seed=5))])
    before, stack, n_ctx = engine.next_log_probs(PROMPT), engine.worn, engine.info.n_ctx
    for what, (wanted, error) in refused.items():
        with pytest.raises(error):
            engine.wear(wanted)
        assert engine.worn == stack, what
        assert engine.info.n_ctx == n_ctx, what
        assert evaluated(engine, PROMPT) == 1, what
    np.testing.assert_allclose(engine.next_log_probs(PROMPT), before, atol=1e-3)


def test_when_llama_refuses_nothing_changes(
    engine: Engine, fitting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.wear([Worn("a", fitting.lora())])
    before = engine.next_log_probs(PROMPT)
    for name, answer in (("llama_adapter_lora_init_from_file_ptr", None), ("llama_set_adapters_lora", 1)):
        monkeypatch.setattr(f"edgeperso.engine.native.ffi.{name}", lambda *_args, answer=answer: answer)
        with pytest.raises(ModelError):
            engine.wear([Worn(f"new {name}", fitting.lora(seed=1))])
        monkeypatch.undo()
        assert engine.worn[0].key == "a"
        np.testing.assert_allclose(engine.next_log_probs(PROMPT), before, atol=1e-3)


def test_adapters_are_loaded_once_and_the_longest_unused_are_freed(
    engine: Engine, fitting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = engine._model
    loads, frees = [], []
    monkeypatch.setattr(native, "load_lora", lambda data, load=native.load_lora: loads.append(1) or load(data))
    monkeypatch.setattr(native, "free_lora", lambda handle, free=native.free_lora: frees.append(1) or free(handle))
    adapters = [Worn(str(seed), fitting.lora(seed=seed)) for seed in range(10)]
    for each in adapters[:8]:
        engine.wear([each])
    assert (len(loads), len(frees)) == (8, 0)
    engine.wear(adapters[:8])
    assert (len(loads), len(frees)) == (8, 0)
    engine.wear([adapters[0]])
    engine.wear([adapters[8], adapters[9]])
    assert (len(loads), len(frees)) == (10, 2)
    engine.wear([adapters[0]])
    assert len(loads) == 10
    engine.wear([adapters[1]])
    assert len(loads) == 11


def test_nothing_is_written_while_an_adapter_is_loaded(
    engine: Engine, fitting: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    opened: list[object] = []
    monkeypatch.setattr(os, "open", lambda path, *rest, own=os.open: opened.append(path) or own(path, *rest))
    engine.wear([Worn("a", fitting.lora())])
    assert (opened, set(tmp_path.rglob("*"))) == ([], before)


def test_an_optimized_file_wears_what_was_made_for_its_original(
    gguf_files: SimpleNamespace, tiny_path: Path, makers: SimpleNamespace
) -> None:

    copy = tiny_path.with_name("made.gguf")
    copy.write_bytes(gguf_files.gguf(gguf_files.tiny_metadata(), gguf_files.tiny_tensors(seed=1)))
    target = tiny_path.with_name("tiny.optimized-F32.gguf")
    _publish(tiny_path, copy, target, Candidate("F32", 1, Likeness(0, 0, 1, 0, 1), None, None))
    with Engine.open(tiny_path, n_threads=1) as original, Engine.open(target, n_threads=1) as optimized:
        assert original.info.base_sha256 == original.info.sha256 == optimized.info.base_sha256
        assert optimized.info.sha256 != original.info.sha256
        optimized.wear([Worn("a", makers.lora(base=original.info.sha256))])
    target.write_bytes(target.read_bytes()[:-1] + b"x")
    with Engine.open(target, n_threads=1) as altered:
        assert altered.info.base_sha256 == altered.info.sha256


def test_a_closed_engine_wears_nothing(tiny_path: Path) -> None:
    engine = Engine.open(tiny_path, n_threads=1)
    engine.close()
    with pytest.raises(ModelError):
        engine.wear([])


def test_numbers_that_grow_beyond_all_bounds_are_laid_to_the_adapter(engine: Engine, fitting: SimpleNamespace) -> None:
    lora = fitting.lora()
    huge = {name: LoraPair(pair.a * 0 + 6e4, pair.b * 0 + 6e4) for name, pair in lora.pairs.items()}
    engine.wear([Worn("huge", Lora(lora.base_sha256, "llama", 6e4, huge), scale=100.0)])
    with pytest.raises(AdapterInvalid):
        list(engine.generate(PROMPT, max_tokens=2))
    engine.wear([])
    assert np.isfinite(engine.next_log_probs(PROMPT)).all()


def test_the_context_for_spliced_prompts_wears_the_same(engine: Engine, fitting: SimpleNamespace) -> None:
    """What was worn before that context was made, what is put on later, and nothing once it is off."""
    engine.wear([Worn("a", fitting.lora(seed=1))])
    splicer = engine.splicer
    assert splicer is not None
    seen = []
    for stack in (engine.worn, (Worn("b", fitting.lora(seed=2), 0.5),), ()):
        engine.wear(stack)
        expected = engine.next_log_probs(PROMPT)
        list(splicer.generate([Part(PROMPT)], max_tokens=1))
        ours = log_softmax(splicer._native.logits())
        assert cosine(ours, expected) > 0.999, "but for flash attention"
        seen.append(expected)
    assert max(cosine(seen[0], seen[1]), cosine(seen[1], seen[2])) < 0.99
