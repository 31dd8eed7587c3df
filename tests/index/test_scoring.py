"""BM25 against bm25s, the vector scan against plain numpy in float64."""

from __future__ import annotations

import itertools

import bm25s
import numpy as np
import pytest

from edgeperso.index import Analyzer
from edgeperso.index.scoring import Bm25, DenseScan, VectorBlock
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


def test_the_scan_is_exact_and_says_what_is_missing() -> None:
    rng = np.random.default_rng(2)
    blocks, exact = [], []
    for size in (1, 1024, 1500):
        vectors = rng.standard_normal((size, 32))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        present = rng.random(size) < 0.9
        blocks.append(VectorBlock(vectors, present))
        exact.append(np.where(present[:, None], vectors.astype(np.float64), np.nan))
    question = rng.standard_normal(32).astype(np.float32)
    expected = np.concatenate(exact) @ question.astype(np.float64)
    np.testing.assert_allclose(DenseScan(blocks).scores(question), expected, atol=1e-5)
