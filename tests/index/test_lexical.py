"""BM25 against bm25s, and the best rows against all scores."""

from __future__ import annotations

import itertools

import bm25s
import numpy as np
import pytest

from edgeperso.index import Analyzer
from edgeperso.index.lexical import Bm25
from edgeperso.index.segment import build_segment
from edgeperso.types import Kind, Memory, Trust

WORDS = [f"w{number}" for number in range(60)]


def memories(count: int) -> list[Memory]:
    rng = np.random.default_rng(1)
    weights = 1.0 / np.arange(1, 61)
    return [
        Memory(
            id=row + 1, text=" ".join(rng.choice(WORDS, rng.integers(1, 30), p=weights / weights.sum())),
            kind=Kind.NOTE, source="", locator="", title="", author="", thread="", position=0, occurred_ms=None,
            recorded_ms=0, scope="personal", trust=Trust.SELF, language="en",
        )
        for row in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (1.2, 0.5), (0.9, 0.0)])
@pytest.mark.parametrize("cuts", [(0, 500), (0, 123, 124, 500)])
def test_bm25_scores_as_bm25s_does(k1: float, b: float, cuts: tuple[int, ...]) -> None:
    analyzer, corpus = Analyzer(), memories(500)
    tokens = [analyzer.terms(memory.text) for memory in corpus]
    reference = bm25s.BM25(k1=k1, b=b, method="lucene")
    reference.index(tokens, show_progress=False)
    segments = [build_segment(corpus[start:end], analyzer) for start, end in itertools.pairwise(cuts)]
    ours = Bm25(segments, k1=k1, b=b)
    for question in (["w0"], ["w3", "w20"], ["w1", "w59", "w7", "w30"]):
        expected = reference.get_scores(question)
        scores = ours.scores(dict.fromkeys(question, 1.0))
        np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=1e-6)
        apart = np.argsort(-expected, kind="stable")[:20]
        np.testing.assert_allclose(np.sort(scores)[::-1][:20], expected[apart], rtol=2e-5)


def test_bm25_weights_and_unknown_terms() -> None:
    scorer = Bm25([build_segment(memories(50), Analyzer())], k1=1.2, b=0.5)
    np.testing.assert_allclose(scorer.scores({"w0": 2.0}), 2 * scorer.scores({"w0": 1.0}), rtol=1e-6)
    assert scorer.idf("nowhere") == 0.0
    assert not scorer.scores({"nowhere": 1.0}).any()


def test_bm25_of_nothing() -> None:
    assert Bm25([], k1=1.2, b=0.5).scores({"a": 1.0}).shape == (0,)


@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("cuts", [(0, 500), (0, 123, 124, 500)])
def test_the_best_rows_are_the_highest_of_all_scores(k: int, cuts: tuple[int, ...]) -> None:
    analyzer, corpus = Analyzer(), memories(500)
    scorer = Bm25([build_segment(corpus[a:b], analyzer) for a, b in itertools.pairwise(cuts)], k1=1.2, b=0.5)
    mask = np.random.default_rng(k).random(500) < 0.3
    for terms in ({"w0": 1.0}, {"w3": 1.0, "w20": 0.5}, {"w1": 1.0, "w59": 2.0, "w7": 1.0, "w30": 1.0}, {"none": 1.0}):
        scores = scorer.scores(terms)
        for allowed in (None, mask, np.zeros(500, dtype=np.bool_)):
            found = scorer.top(terms, k, allowed)
            rows = np.flatnonzero(scores > 0 if allowed is None else (scores > 0) & allowed)
            assert found.rows.tolist() == sorted(rows.tolist(), key=lambda row: (-scores[row], row))[:k]
            np.testing.assert_array_equal(found.scores, scores[found.rows])
            assert (found.mean, found.deviation) == pytest.approx((scores.mean(), scores.std()), rel=1e-5)
        some = np.array([499, 0, 123, 124, 0])
        np.testing.assert_array_equal(scorer.at(terms, some), scores[some])
