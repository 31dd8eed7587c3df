"""Soft prompts: against the same vectors as tokens of the vocabulary, in every way that an engine is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.engine import Engine, Score, SoftPrompt, Worn
from edgeperso.errors import QuestionTooLong

VIRTUAL = [70, 300, 45, 99, 310]
PROMPT = [1, *range(40, 60)]


@pytest.fixture
def soft(engine: Engine, gguf_files: SimpleNamespace) -> SoftPrompt:
    """The embeddings of the tokens `VIRTUAL`: the model can't tell them from these tokens."""
    vectors = gguf_files.tiny_tensors()["token_embd.weight"][VIRTUAL]
    return SoftPrompt(engine.info.base_sha256, "llama", vectors)


@pytest.fixture
def wearing(engine: Engine, soft: SoftPrompt) -> Engine:
    engine.wear([Worn("soft", soft)])
    return engine


@pytest.fixture
def reading(tiny_path: Path) -> Iterator[Engine]:
    """Another engine, which gets `VIRTUAL` as tokens."""
    with Engine.open(tiny_path, n_ctx=256, n_threads=1) as engine:
        yield engine


ASKED: dict[str, Callable[[Engine, list[int]], object]] = {
    "next": lambda engine, prompt: engine.next_log_probs(prompt),
    "rows": lambda engine, prompt: engine.log_probs(prompt, [50, 60, 70, 80]),
    "branches": lambda engine, prompt: np.stack(engine.branch_log_probs(prompt, [[], [50], [60, 61, 62]])),
    "score": lambda engine, prompt: [
        each.log_likelihood for each in engine.score(prompt, [[50, 51], [60], [], [7] * 9])
    ],
    "tails": lambda engine, prompt: [
        each.log_likelihood for each in engine.score_tails(prompt, [([50, 51], [52, 53]), ([60], [61])])
    ],
    "quote": lambda engine, prompt: _quoted(engine, prompt),
    "generate": lambda engine, prompt: _generated(engine, prompt),
}


def _sums(scores: list[Score]) -> list[float]:
    return [score.log_likelihood for score in scores]


def _quoted(engine: Engine, prompt: list[int]) -> list[int]:
    answer = engine.quote(prompt, ["the cat sat on a mat", "a dog"])
    list(answer)
    return answer.tokens


def _generated(engine: Engine, prompt: list[int]) -> list[int]:
    generation = engine.generate(prompt, max_tokens=12)
    list(generation)
    return generation.tokens


@pytest.mark.parametrize("way", ASKED)
def test_it_is_as_if_the_vectors_were_tokens(wearing: Engine, reading: Engine, way: str) -> None:
    ours = ASKED[way](wearing, PROMPT)
    again = ASKED[way](wearing, PROMPT)
    theirs = ASKED[way](reading, VIRTUAL + PROMPT)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=2e-3)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(again), atol=2e-3)


def test_without_it_the_answers_are_others(wearing: Engine) -> None:
    with_it = wearing.next_log_probs(PROMPT)
    wearing.wear([])
    assert np.abs(wearing.next_log_probs(PROMPT) - with_it).max() > 0.1


def test_all_ways_one_after_the_other_on_the_same_context(wearing: Engine, reading: Engine) -> None:
    """What a call leaves in the context must serve the next, whatever comes after what."""
    random = np.random.default_rng(0)
    prompts = [PROMPT, PROMPT[:7], [*PROMPT[:9], 90, 91], [80, 81], [*PROMPT, 77, 78]]
    for _ in range(40):
        way, prompt = random.choice(list(ASKED)), prompts[random.integers(len(prompts))]
        if random.random() < 0.1:
            wearing.clear()
        ours, theirs = ASKED[way](wearing, prompt), ASKED[way](reading, VIRTUAL + prompt)
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=2e-3)


def test_it_is_evaluated_once_and_stays_in_the_cache(wearing: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    native, sizes = wearing._model, []
    decode = native._decode

    def spy(size: int, cancel: object, vectors: object = None) -> bool:
        sizes.append((size, vectors is not None))
        return decode(size, cancel, vectors)

    monkeypatch.setattr(native, "_decode", spy)
    _generated(wearing, PROMPT)
    _generated(wearing, [*PROMPT, 50])
    _generated(wearing, [90, 91])
    assert [size for size, vectors in sizes if vectors] == [len(VIRTUAL)]
    assert (len(PROMPT), False) in sizes
    wearing.clear()
    _generated(wearing, PROMPT)
    assert [size for size, vectors in sizes if vectors] == [len(VIRTUAL)] * 2


def test_it_takes_its_length_of_the_context(engine: Engine, fitting: SimpleNamespace) -> None:
    whole = engine.info.n_ctx
    engine.wear([Worn("soft", fitting.soft(count=100))])
    assert engine.info.n_ctx == whole - 100
    room = engine.info.n_ctx
    assert 1 <= len(_generated(engine, [40] * (room - 12))) <= 12
    for call in (
        lambda: engine.generate([40] * room, max_tokens=1),
        lambda: engine.next_log_probs([40] * (room + 1)),
        lambda: engine.score([40] * room, [[41]]),
    ):
        with pytest.raises(QuestionTooLong):
            call()
    engine.wear([])
    assert engine.info.n_ctx == whole


def test_an_answer_under_way_that_no_longer_fits(engine: Engine, fitting: SimpleNamespace) -> None:
    generation = engine.generate([40] * 250, max_tokens=6)
    next(generation)
    engine.wear([Worn("soft", fitting.soft(count=100))])
    with pytest.raises(QuestionTooLong):
        list(generation)


def test_together_with_a_lora(engine: Engine, reading: Engine, soft: SoftPrompt, fitting: SimpleNamespace) -> None:
    lora = Worn("lora", fitting.lora(), scale=0.5)
    engine.wear([lora, Worn("soft", soft)])
    reading.wear([lora])
    np.testing.assert_allclose(engine.next_log_probs(PROMPT), reading.next_log_probs(VIRTUAL + PROMPT), atol=2e-3)


def test_other_vectors_under_another_key_are_other_answers(engine: Engine, fitting: SimpleNamespace) -> None:
    rows = []
    for seed in (0, 1, 0):
        engine.wear([Worn(f"soft {seed}", fitting.soft(seed=seed))])
        rows.append(engine.next_log_probs(PROMPT))
    np.testing.assert_array_equal(rows[0], rows[2])
    assert np.abs(rows[0] - rows[1]).max() > 0.1
