"""BM25 against bm25s, the best rows against all scores, and native kernels against numpy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import bm25s
import numpy as np
import pytest

from edgeperso import kernels
from edgeperso.embedding.passage import passage_text
from edgeperso.evals.readers import read_locomo
from edgeperso.index import Analyzer
from edgeperso.index.lexical import Bm25, NativeBm25
from edgeperso.index.scoring import LexicalScorer, lexical_scorer
from edgeperso.index.segment import Segment, build_segment
from edgeperso.types import Kind, Memory, Trust

WORDS = [f"w{number}" for number in range(60)]


def implementations() -> list[str]:
    if not kernels.AVAILABLE:
        return []
    from edgeperso import _native

    return _native.implementations()


def scorer_of(way: str, segments: Sequence[Segment], k1: float = 1.2, b: float = 0.5) -> LexicalScorer:
    if way == "numpy":
        return Bm25(segments, k1=k1, b=b)
    return NativeBm25(segments, k1=k1, b=b, implementation=way)


both_ways = pytest.mark.parametrize("way", ["numpy", *implementations()])


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


@both_ways
@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (1.2, 0.5), (0.9, 0.0)])
@pytest.mark.parametrize("cuts", [(0, 500), (0, 123, 124, 500)])
def test_bm25_scores_as_bm25s_does(way: str, k1: float, b: float, cuts: tuple[int, ...]) -> None:
    analyzer, corpus = Analyzer(), memories(500)
    tokens = [analyzer.terms(memory.text) for memory in corpus]
    reference = bm25s.BM25(k1=k1, b=b, method="lucene")
    reference.index(tokens, show_progress=False)
    segments = [build_segment(corpus[start:end], analyzer) for start, end in itertools.pairwise(cuts)]
    ours = scorer_of(way, segments, k1, b)
    for question in (["w0"], ["w3", "w20"], ["w1", "w59", "w7", "w30"]):
        expected = reference.get_scores(question)
        scores = ours.scores(dict.fromkeys(question, 1.0))
        np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=1e-6)
        apart = np.argsort(-expected, kind="stable")[:20]
        np.testing.assert_allclose(np.sort(scores)[::-1][:20], expected[apart], rtol=2e-5)


@pytest.fixture(scope="module")
def locomo(shared_data: Path) -> tuple[list[Memory], list[str]]:
    """All turns of LoCoMo as memories of one vault, and every fifth of its questions."""
    conversations = read_locomo(shared_data / "locomo" / "locomo7.json")
    records = [record for conversation in conversations for record in conversation.records]
    turns = [Memory(id=row, recorded_ms=0, language="en", **asdict(record)) for row, record in enumerate(records, 1)]
    return turns, [question.text for conversation in conversations for question in conversation.questions][::5]


@pytest.mark.shared
@both_ways
def test_bm25_scores_and_orders_locomo_as_bm25s_does(way: str, locomo: tuple[list[Memory], list[str]]) -> None:
    (turns, questions), analyzer = locomo, Analyzer()
    reference = bm25s.BM25(k1=1.2, b=0.5, method="lucene")
    reference.index([analyzer.terms(passage_text(turn)) for turn in turns], show_progress=False)
    ours = scorer_of(way, [build_segment(turns[at : at + 1500], analyzer) for at in range(0, len(turns), 1500)])
    for question in questions:
        terms = analyzer.query_terms(question, ["en"])
        expected = reference.get_scores(terms)
        scores = ours.scores(dict.fromkeys(terms, 1.0))
        np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=1e-6)
        order = np.argsort(-scores, kind="stable")
        ranked = expected[order]
        assert (ranked[1:] <= ranked[:-1] * (1 + 2e-5) + 1e-6).all()  # but for what rounding makes equal
        best = [row for row in order[:50].tolist() if expected[row] > 0]
        assert ours.top(dict.fromkeys(terms, 1.0), 50).rows.tolist() == best


@both_ways
def test_bm25_weights_and_unknown_terms(way: str) -> None:
    scorer = scorer_of(way, [build_segment(memories(50), Analyzer())])
    np.testing.assert_allclose(scorer.scores({"w0": 2.0}), 2 * scorer.scores({"w0": 1.0}), rtol=1e-6)
    assert scorer.idf("nowhere") == 0.0
    assert not scorer.scores({"nowhere": 1.0}).any()
    assert not scorer.scores({}).any()
    assert scorer.top({}, 5).rows.tolist() == []


@both_ways
def test_bm25_of_nothing(way: str) -> None:
    scorer = scorer_of(way, [])
    assert scorer.scores({"a": 1.0}).shape == (0,)
    found = scorer.top({"a": 1.0}, 3)
    assert (len(found.rows), found.mean, found.deviation) == (0, 0.0, 0.0)


@both_ways
@pytest.mark.parametrize("k", [1, 7, 1000])
@pytest.mark.parametrize("cuts", [(0, 500), (0, 123, 124, 500)])
def test_the_best_rows_are_the_highest_of_all_scores(way: str, k: int, cuts: tuple[int, ...]) -> None:
    analyzer, corpus = Analyzer(), memories(500)
    scorer = scorer_of(way, [build_segment(corpus[a:b], analyzer) for a, b in itertools.pairwise(cuts)])
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


@pytest.mark.parametrize("implementation", implementations())
def test_native_scores_are_numpys_to_the_bit(implementation: str) -> None:
    analyzer, corpus = Analyzer(), memories(1200)
    segments = [build_segment(corpus[a:b], analyzer) for a, b in itertools.pairwise((0, 1000, 1001, 1001, 1200))]
    ours, oracle = scorer_of(implementation, segments), Bm25(segments, k1=1.2, b=0.5)
    for terms in ({"w0": 1.0}, {"w5": 0.3, "w0": 1.0, "w44": 2.5, "w0w": 1.0}, dict.fromkeys(WORDS, 1.0)):
        np.testing.assert_array_equal(ours.scores(terms), oracle.scores(terms))
        assert [ours.idf(term) for term in terms] == [oracle.idf(term) for term in terms]
        found, expected = ours.top(terms, 20), oracle.top(terms, 20)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("k", [1, 3, 300])
@both_ways
def test_of_equal_scores_the_lower_row_stands_first(way: str, k: int) -> None:
    same = [memory for memory in memories(40)[:1] for _ in range(900)]
    segments = [build_segment(same[:400], Analyzer()), build_segment(same[400:], Analyzer())]
    word = same[0].text.split()[0]
    assert scorer_of(way, segments).top({word: 1.0}, k).rows.tolist() == list(range(k))


@pytest.mark.skipif(not kernels.AVAILABLE, reason="the extension is not built")
def test_a_scorer_takes_over_what_an_older_one_has_checked() -> None:
    analyzer, corpus = Analyzer(), memories(300)
    first, second, third = (build_segment(corpus[start : start + 100], analyzer) for start in (0, 100, 200))
    older = lexical_scorer([first, second], k1=1.2, b=0.5)
    newer = lexical_scorer([second, third], k1=1.2, b=0.5, reuse=older)
    assert isinstance(older, NativeBm25)
    assert isinstance(newer, NativeBm25)
    assert newer.parts[id(second)] is older.parts[id(second)]
    terms = {"w3": 1.0, "w20": 1.0}
    np.testing.assert_array_equal(newer.scores(terms), Bm25([second, third], k1=1.2, b=0.5).scores(terms))


def test_numpy_serves_where_the_extension_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "AVAILABLE", False)
    assert isinstance(lexical_scorer([], k1=1.2, b=0.5), Bm25)
