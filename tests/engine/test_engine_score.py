"""Log-likelihoods against a plain recomputation by llama-cpp-python's own class."""

from __future__ import annotations

from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from edgeperso.engine import Engine
from edgeperso.errors import EmptyQuestion, QuestionTooLong, UsageError

PREFIX = "Question: What is the capital of France?\nAnswer: The capital of France is"
TEXTS = (" Paris.", " Lyon.", " a large city in the north, on the river Seine.", " Paris", "", " blue blue blue")
# Evaluating the same tokens in another batch rounds differently, by this much a token on the 4-bit model.
NATS_A_TOKEN = 0.12


@pytest.fixture(scope="module")
def plain(model_path: Path) -> llama_cpp.Llama:
    return llama_cpp.Llama(str(model_path), n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False, logits_all=True)


def recomputed(plain: llama_cpp.Llama, prefix: list[int], tokens: list[int]) -> float:
    plain.reset()
    plain.eval(prefix + tokens)
    total = 0.0
    for place, token in enumerate(tokens, start=len(prefix) - 1):
        row = np.asarray(plain.scores[place], dtype=np.float64)
        total += row[token] - row.max() - np.log(np.exp(row - row.max()).sum())
    return float(total)


def test_scores_are_those_of_a_plain_recomputation(engine: Engine, plain: llama_cpp.Llama) -> None:
    prefix = engine.tokenize(PREFIX)
    continuations = [engine.tokenize(text) for text in TEXTS]
    scores = engine.score(prefix, continuations)
    for score, tokens in zip(scores, continuations, strict=True):
        assert score.tokens == len(tokens)
        expected = recomputed(plain, prefix, tokens)
        assert score.log_likelihood == pytest.approx(expected, abs=NATS_A_TOKEN * max(1, len(tokens)))
    assert max(scores[:2], key=lambda score: score.log_likelihood) == scores[0]


def test_next_log_probs_are_those_of_a_plain_recomputation(engine: Engine, plain: llama_cpp.Llama) -> None:
    prefix = engine.tokenize(PREFIX)
    ours = engine.next_log_probs(prefix)
    assert ours.dtype == np.float32
    assert ours.shape == (49152,)
    assert np.exp(ours).sum() == pytest.approx(1.0, abs=1e-3)
    plain.reset()
    plain.eval(prefix)
    row = np.asarray(plain.scores[len(prefix) - 1], dtype=np.float64)
    expected = row - row.max() - np.log(np.exp(row - row.max()).sum())
    assert float(np.sum(np.exp(expected) * (expected - ours))) < 0.02
    assert int(ours.argmax()) == int(expected.argmax())


def test_more_texts_than_sequences_and_longer_than_a_call(engine: Engine) -> None:
    prefix = engine.tokenize(PREFIX)
    short = [engine.tokenize(f" Paris, number {number} of many") for number in range(40)]
    long = engine.tokenize(" and so on" * 100)
    scores = engine.score(prefix, [*short[:20], long, *short[20:]])
    assert len(scores) == 41
    assert scores[20].tokens == len(long) > 256
    alone = engine.score(prefix, [long])[0]
    assert scores[20].log_likelihood == pytest.approx(alone.log_likelihood, abs=0.01 * len(long))
    single = engine.score(prefix, [short[3]])[0]
    assert scores[3].log_likelihood == pytest.approx(single.log_likelihood, abs=NATS_A_TOKEN * single.tokens)


def test_scoring_leaves_the_prefix_for_the_next_call(engine: Engine) -> None:
    prefix = engine.tokenize(PREFIX)
    engine.score(prefix, [engine.tokenize(text) for text in TEXTS])
    generation = engine.generate([*prefix, *engine.tokenize(" Par")], max_tokens=2)
    list(generation)
    assert generation.stats.cached_tokens == len(prefix)


def test_scoring_between_the_pieces_of_an_answer(engine: Engine) -> None:
    prompt = engine.tokenize("1, 2, 3, 4,")
    whole = "".join(engine.generate(prompt, max_tokens=8))
    engine.clear()
    text = ""
    for piece in engine.generate(prompt, max_tokens=8):
        text += piece
        engine.score(engine.tokenize("The"), [engine.tokenize(" sea")])
    assert text == whole


def test_rows_of_log_probs_add_up_to_the_score(engine: Engine) -> None:
    prefix, tokens = engine.tokenize(PREFIX), engine.tokenize(" Paris, which lies on the Seine.")
    rows = engine.log_probs(prefix, tokens)
    assert rows.shape == (len(tokens), 49152)
    total = float(rows[np.arange(len(tokens)), tokens].sum())
    assert total == pytest.approx(engine.score(prefix, [tokens])[0].log_likelihood, abs=1e-2)


def test_nothing_to_score_is_no_error_and_no_prefix_is(engine: Engine) -> None:
    prefix = engine.tokenize(PREFIX)
    assert engine.score(prefix, []) == []
    assert engine.score(prefix, [[]])[0].mean == 0.0
    with pytest.raises(EmptyQuestion):
        engine.score([], [[1]])
    with pytest.raises(EmptyQuestion):
        engine.next_log_probs([])
    with pytest.raises(UsageError):
        engine.log_probs(prefix, [])
    with pytest.raises(UsageError):
        engine.score(prefix, [[-1]])
    with pytest.raises(QuestionTooLong):
        engine.score(prefix, [[5] * 2048])
