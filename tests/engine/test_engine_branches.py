"""What may come after each of many branches: together or one at a time, the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeperso.engine import Engine
from edgeperso.engine.native import N_BATCH, N_SEQUENCES, NativeModel
from edgeperso.errors import EmptyQuestion, QuestionTooLong, UsageError

NOISE = 2e-3
"""Nats of divergence: evaluating the same tokens in another batch rounds differently. Other branches are further."""
NATS_A_TOKEN = 0.2
"""The same of a token that is as unlikely as random ones are."""


@pytest.fixture(scope="module")
def loaded(gguf_files: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path: Path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    path.write_bytes(gguf_files.tiny_model())
    with Engine.open(path, n_threads=1) as engine:
        yield engine


@pytest.fixture
def tiny(loaded: Engine) -> Engine:
    loaded.clear()
    return loaded


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each call that evaluates branches."""
    seen: list[int] = []
    evaluate = NativeModel.evaluate_forks

    def counted(model: NativeModel, rows: list[tuple[int, int, int]], wanted: list[bool] | None = None) -> None:
        seen.append(len(rows))
        evaluate(model, rows, wanted)

    monkeypatch.setattr(NativeModel, "evaluate_forks", counted)
    return seen


def tokens(count: int, seed: int = 0) -> list[int]:
    drawn: list[int] = np.random.default_rng(seed).integers(3, 350, count).tolist()
    return drawn


def same(found: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    """Whether the two distributions differ by rounding alone."""
    first, second = found.astype(float), expected.astype(float)
    return float((np.exp(first) * (first - second)).sum()) < NOISE


def alone(engine: Engine, prefix: list[int], branches: list[list[int]]) -> list[NDArray[np.float32]]:
    """By a fresh evaluation of each branch as part of the prompt."""
    out = []
    for branch in branches:
        engine.clear()
        out.append(engine.next_log_probs([*prefix, *branch]))
    return out


def test_many_short_and_long_branches_give_what_each_gives_alone(tiny: Engine, calls: list[int]) -> None:
    sizes = [3, 0, 200, 1, 300, *([7] * 40), 512, 1, 0, 500, 12]
    prefix, branches = tokens(300), [tokens(size, seed=number) for number, size in enumerate(sizes)]
    together = tiny.branch_log_probs(prefix, branches)
    assert len(together) == len(sizes)
    assert max(calls) <= N_BATCH
    assert sum(calls) == sum(sizes)
    assert 5 < len(calls) < len(sizes) / 3, "short ones share calls"
    for found, expected in zip(together, alone(tiny, prefix, branches), strict=True):
        assert found.dtype == np.float32
        assert same(found, expected)
        assert np.exp(found.astype(float)).sum() == pytest.approx(1, abs=1e-4)


def test_the_order_and_the_company_of_branches_make_no_difference(tiny: Engine) -> None:
    prefix, branches = tokens(20), [tokens(size, seed=size) for size in (5, 90, 17, 1, 250, 33)]
    forwards = tiny.branch_log_probs(prefix, branches)
    backwards = tiny.branch_log_probs(prefix, branches[::-1])[::-1]
    single = [tiny.branch_log_probs(prefix, [branch])[0] for branch in branches]
    assert not same(forwards[0], forwards[1])
    for one, other, third in zip(forwards, backwards, single, strict=True):
        assert same(one, other)
        assert same(one, third)


def test_more_branches_than_sequences(tiny: Engine, calls: list[int]) -> None:
    count = 3 * N_SEQUENCES
    first, *others = tiny.branch_log_probs(tokens(10), [tokens(4)] * count)
    assert len(calls) == -(-count // (N_SEQUENCES - 1))
    assert all(same(found, first) for found in others)


def test_results_are_copies_that_later_calls_leave_alone(tiny: Engine) -> None:
    (found,) = tiny.branch_log_probs(tokens(10), [tokens(4)])
    kept = found.copy()
    tiny.branch_log_probs(tokens(10), [tokens(9, seed=5)] * 20)
    np.testing.assert_array_equal(found, kept)


def test_the_prefix_is_evaluated_once_and_held_afterwards(tiny: Engine) -> None:
    prefix = tokens(40)
    tiny.branch_log_probs(prefix, [tokens(5), tokens(88, seed=1)])
    assert tiny._model.held == prefix
    generation = tiny.generate([*prefix, 5, 6], max_tokens=1)
    list(generation)
    assert generation.stats.cached_tokens == len(prefix)


def test_a_refused_branch_leaves_the_prefix_and_the_next_call_whole(tiny: Engine) -> None:
    prefix, good = tokens(40), tokens(5, seed=2)
    expected = tiny.branch_log_probs(prefix, [good])[0]
    with pytest.raises(QuestionTooLong, match=r"513 tokens .* 512 fit"):
        tiny.branch_log_probs(prefix, [good, tokens(N_BATCH + 1)])
    assert tiny._model.held == prefix
    assert same(tiny.branch_log_probs(prefix, [good])[0], expected)


def test_the_context_s_end_is_the_branch_s_end(tiny: Engine) -> None:
    n_ctx = tiny.info.n_ctx
    prefix = tokens(n_ctx - 100)
    fitting = tiny.branch_log_probs(prefix, [tokens(100, seed=number) for number in range(3)])
    assert same(fitting[0], alone(tiny, prefix, [tokens(100)])[0])
    with pytest.raises(QuestionTooLong):
        tiny.branch_log_probs(prefix, [tokens(101)])
    full = tokens(n_ctx)
    assert same(tiny.branch_log_probs(full, [[]])[0], tiny.next_log_probs(full))


def test_an_empty_branch_asks_what_follows_the_prefix(tiny: Engine, calls: list[int]) -> None:
    prefix = tokens(10)
    one, other = tiny.branch_log_probs(prefix, [[], []])
    assert calls == []
    np.testing.assert_array_equal(one, other)
    assert same(one, tiny.next_log_probs(prefix))


def test_no_branches_no_prefix_and_unknown_tokens(tiny: Engine) -> None:
    assert tiny.branch_log_probs(tokens(10), []) == []
    with pytest.raises(EmptyQuestion):
        tiny.branch_log_probs([], [tokens(3)])
    for wrong in (-1, tiny.info.n_vocab):
        with pytest.raises(UsageError):
            tiny.branch_log_probs(tokens(10), [[wrong]])


def test_tails_are_grouped_in_the_same_way(tiny: Engine, calls: list[int]) -> None:
    prefix = tokens(30)
    branches = [
        (tokens(size, seed=size), tokens(6, seed=1000 + size)) for size in (1, 200, 30, 40, 500, 2, *range(3, 30))
    ]
    together = tiny.score_tails(prefix, branches)
    assert max(calls) <= N_BATCH
    assert len(calls) < len(branches) / 3
    for (context, tail), found in zip(branches, together, strict=True):
        rows = tiny.log_probs([*prefix, *context], tail)
        assert found.tokens == len(tail)
        assert found.log_likelihood == pytest.approx(
            float(rows[np.arange(len(tail)), tail].sum()), abs=6 * NATS_A_TOKEN
        )
