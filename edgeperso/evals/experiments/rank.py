"""Ranking by taste: which of 20 reviews is a person's own, told from the rest of their history?

On reviews in LaMP's format (Salemi et al., 2023, arXiv:2304.11406). Of each person one review with 4 stars or more is
held out and put among as many of other people's, of the same category and with 4 stars or more too, so that liking
alone tells nothing. Rankers: chance; lengths, words and vectors of the history; the model, which reads some of the
history and weighs each candidate; and the model's scores with those by vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeperso.errors import DataInvalid, UsageError
from edgeperso.evals.experiments.held_out import RankCase, held_out, read_ratings
from edgeperso.evals.experiments.lamp_asking import lamp_records
from edgeperso.evals.experiments.tables import cell, result
from edgeperso.evals.methods import Method
from edgeperso.evals.metrics.checks import Float64
from edgeperso.evals.metrics.intervals import Resampling, bootstrap_mean, compare_means
from edgeperso.evals.metrics.ranking import hit_at, ndcg_at, reciprocal_rank
from edgeperso.evals.people import Cards
from edgeperso.evals.raw import RawOutputs
from edgeperso.evals.report import Column, Headline, Intervals, Result, Row, Table
from edgeperso.evals.setup import Setup
from edgeperso.index.scoring import Bm25
from edgeperso.index.segment import build_segment
from edgeperso.index.words import Analyzer
from edgeperso.knowledge import derive_facts
from edgeperso.times import DAY_MS
from edgeperso.types import Asking, Kind, Memory, MemoryFilter, Record, Trust
from edgeperso.vault import Vault

__all__ = ["RankRun", "run_rank"]

_VERSION: Final = 1
"""Part of each unit's name: goes up when what a unit does changes."""
_TASK: Final = "You know a person well by the reviews that they wrote."
_QUESTION: Final = "What would I write in a review of {category} that I like?"
_K1, _B = 1.2, 0.5
_SIMPLE: Final = ("random", "length", "bm25", "dense")
"""Rankers without a model."""
_MEASURES: Final = {
    "hr_at_1": "HR@1",
    "hr_at_5": "HR@5",
    "hr_at_10": "HR@10",
    "ndcg_at_10": "NDCG@10",
    "mrr": "MRR",
}


@dataclass(frozen=True, slots=True)
class RankRun:
    """How the model is asked, after which choices of its history (figures are of the last of both); candidates a
    person, of the first so many people."""

    methods: tuple[Method, ...] = (Method.parse("recent"),)
    askings: tuple[Asking, ...] = (Asking.GAIN,)
    candidates: int = 20
    limit: int | None = None

    def __post_init__(self) -> None:
        if any("persona" in method.additions for method in self.methods):
            raise UsageError("A persona quotes other people's reviews, among which the candidates are.")
        if self.candidates < 2:
            raise UsageError("There must be two candidates or more.")


def run_rank(setup: Setup, questions: Path, outputs: Path, run: RankRun) -> Result:
    """Rank every person's candidates by every ranker.

    Args:
        setup: what it runs on.
        questions, outputs: LaMP-3's two files, or others of their form.
        run: what is asked.

    Raises:
        SourceNotFound, DataInvalid: the files are missing or malformed, or no person is left.
        UsageError: the candidates are more than the way of asking takes.
    """
    items = read_ratings(questions, outputs)
    every = held_out(items, run.candidates, setup.seed)
    cases = every[: run.limit]
    if not cases:
        raise DataInvalid(f"{questions.name} holds nobody with enough reviews by others.", hint="Lower --candidates.")
    histories = [lamp_records(replace(case.item, profile=case.history)) for case in cases]
    scores: dict[str, list[Float64]] = {
        "length": [_by_length(case) for case in cases],
        "bm25": [_by_words(case) for case in cases],
        "dense": [_by_vectors(setup, case) for case in cases],
    }
    cards = Cards(setup, [(c.id, [r.text for r in h]) for c, h in zip(cases, histories, strict=True)], run.methods)
    raw = setup.raw("rank")
    for done, (case, history) in enumerate(zip(cases, histories, strict=True)):
        for name, weighed in _weigh(setup, run, case, history, cards, raw):
            scores.setdefault(name, []).append(np.array(weighed["scores"]))
        setup.progress("rank", done + 1, len(cases))
    for name in [name for name in scores if name not in _SIMPLE]:
        scores[f"{name}, with dense"] = [
            _standardized(one) + _standardized(other) for one, other in zip(scores[name], scores["dense"], strict=True)
        ]
    return _result(setup, run, cases, scores, left_out=len(items) - len(every))


def _by_length(case: RankCase) -> Float64:
    """How near each candidate's length comes to the history's mean: what habit alone tells."""
    usual = float(np.mean([len(text) for text in case.texts]))
    return -np.abs(np.array([len(text) for text in case.options], np.float64) - usual)


def _by_words(case: RankCase) -> Float64:
    """BM25 of each candidate for the history's words, each of them worth the share of the history that holds it."""
    analyzer = Analyzer()
    held = Counter(term for text in case.texts for term in set(analyzer.terms(text)))
    segment = build_segment([_memory(place, text) for place, text in enumerate(case.options)], analyzer)
    weights = {term: count / len(case.texts) for term, count in held.items()}
    return Bm25([segment], k1=_K1, b=_B).scores(weights).astype(np.float64)


def _memory(place: int, text: str) -> Memory:
    """A candidate as the index takes it."""
    return Memory(
        id=place + 1,
        text=text,
        kind=Kind.NOTE,
        source="",
        locator="",
        title="",
        author="",
        thread="",
        position=place,
        occurred_ms=None,
        recorded_ms=0,
        scope="",
        trust=Trust.OTHER,
        language="en",
    )


def _by_vectors(setup: Setup, case: RankCase) -> Float64:
    """Cosine of each candidate with the mean of the history."""
    mean = setup.embedder.embed(list(case.texts)).mean(axis=0)
    cosines: Float64 = (setup.embedder.embed(list(case.options)) @ mean).astype(np.float64)
    return cosines / max(float(np.linalg.norm(mean)), 1e-9)


def _weigh(
    setup: Setup, run: RankRun, case: RankCase, history: list[Record], cards: Cards, raw: RawOutputs
) -> list[tuple[str, dict[str, Any]]]:
    """The model's scores under every method and way of asking. Each begins with an empty context: see `RawOutputs`."""
    now_ms = max((record.occurred_ms or 0 for record in history), default=0) + DAY_MS
    question = _QUESTION.format(category=case.category.replace("_", " ").lower() or "something")
    with ExitStack() as stack:

        @cache
        def vault() -> Vault:
            opened = stack.enter_context(setup.vault(history))
            derive_facts(opened)  # now, so that what one method finds doesn't hang on which was asked before
            return opened

        def weigh(method: Method, asking: Asking) -> dict[str, Any]:
            setup.engine.clear()
            me = setup.assistant(vault(), method, now_ms=now_ms)
            cards.give(me, case.id, method)
            hits, _ = me.find(question, MemoryFilter())
            weighed = me.weigher(_TASK, most=setup.most).weigh(method.asked(question), case.options, hits, asking)
            return {"scores": [round(score, 6) for score in weighed.scores], "memories": len(weighed.sources)}

        out = []
        for method in dict.fromkeys(run.methods):
            for asking in dict.fromkeys(run.askings):
                of = {
                    "rank": _VERSION,
                    "models": setup.models,
                    "method": method.name,
                    "asking": asking.value,
                    "most": setup.most,
                    "seed": setup.seed if method.choice == "random" else 0,
                    "question": question,
                    "options": case.options,
                    "history": [astuple(record) for record in history],
                }
                label = {"id": case.id, "method": method.name, "asking": asking.value, "right": case.right}
                name = f"{method.name}, {asking.value}"
                out.append((name, raw.unit(of, label, partial(weigh, method, asking))))
        return out


def _standardized(scores: Float64) -> Float64:
    deviation = float(scores.std())
    return (scores - scores.mean()) / deviation if deviation else np.zeros_like(scores)


def _by_place(candidates: int) -> list[dict[str, float]]:
    """The measures of a ranking by the place, from 0, of the one right candidate in it."""
    order = list(range(candidates))
    return [
        {
            **{f"hr_at_{k}": hit_at(order, {place}, k) for k in (1, 5, 10)},
            "ndcg_at_10": ndcg_at(order, {place}, 10),
            "mrr": reciprocal_rank(order, {place}),
        }
        for place in order
    ]


def _measured(cases: Sequence[RankCase], scores: Mapping[str, list[Float64]], candidates: int) -> dict[str, Any]:
    """By ranker and measure, a value a person. Chance is its expectation over all orders; of equal scores the first
    candidate leads, in an order that the seed drew."""
    known = _by_place(candidates)
    chance = {name: np.full(len(cases), float(np.mean([of[name] for of in known]))) for name in _MEASURES}
    found: dict[str, dict[str, Float64]] = {"random": chance}
    for ranker, by_case in scores.items():
        places = [
            int(np.flatnonzero(np.argsort(-one, kind="stable") == case.right)[0])
            for case, one in zip(cases, by_case, strict=True)
        ]
        found[ranker] = {name: np.array([known[place][name] for place in places]) for name in _MEASURES}
    return found


def _result(
    setup: Setup, run: RankRun, cases: Sequence[RankCase], scores: Mapping[str, list[Float64]], *, left_out: int
) -> Result:
    users = [case.id for case in cases]
    found = _measured(cases, scores, run.candidates)
    resampling = Resampling(seed=setup.seed)
    rows = tuple(
        Row(
            ranker,
            {
                name: cell(
                    bootstrap_mean(values, users, resampling),
                    None if ranker == "random" else compare_means(values, found["random"][name], users, resampling),
                )
                for name, values in of.items()
            },
            n=len(cases),
            baseline=ranker == "random",
        )
        for ranker, of in found.items()
    )
    columns = tuple(Column(name, label, "higher") for name, label in _MEASURES.items())
    table = Table("The person's own review found", "ranker", columns, rows, note="p: against random, over people.")
    last = f"{run.methods[-1].name}, {run.askings[-1].value}"
    named = {"": last, "_combined": f"{last}, with dense"} | {f"_{ranker}": ranker for ranker in _SIMPLE}
    figures = {
        f"{name}{suffix}": float(np.mean(found[ranker][name])) for suffix, ranker in named.items() for name in _MEASURES
    }
    return result(
        setup,
        "rank",
        figures | {"people": float(len(cases)), "left_out": float(left_out)},
        n=len(cases),
        title="Ranking",
        question="Is a person's own review found among other people's, by what they wrote before?",
        tables=(table,),
        plots=(Intervals.of(table, "ndcg_at_10", title=f"NDCG@10 of {run.candidates} candidates"),),
        headline=Headline("ndcg_at_10", last),
        notes=(
            "Texts of reviews are ranked, not things: how a person writes tells as well as what they like.",
            "Length: how near a candidate's comes to the history's mean, which says nothing of taste.",
            f"Of {run.candidates} candidates, all with 4 stars or more and of one category, cut to the same length.",
            "Random is the expectation over all orders.",
            f"{left_out} people are left out, who liked nothing or whose category has too few reviews by others.",
        ),
    )
