"""Experiment 1: what a person's own history is worth for their ratings and titles, in LaMP's format.

Salemi et al., "LaMP: When Large Language Models Meet Personalization", 2023 (arXiv:2304.11406). Each person's profile
goes into a vault; their assistant, under a method, answers the question. A rating is the median of the distribution
that the model gives over the scores, which minimizes the expected absolute error; a title is the answer's first line.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from edgeperso.errors import DataInvalid
from edgeperso.evals.experiments.tables import cell, key, result
from edgeperso.evals.methods import ConditionedAssistant, Method
from edgeperso.evals.metrics.checks import Float64
from edgeperso.evals.metrics.intervals import Resampling, bootstrap, bootstrap_mean, bootstrap_ratio, compare_means
from edgeperso.evals.metrics.text import rouge
from edgeperso.evals.people import Cards
from edgeperso.evals.readers import LampItem, read_lamp
from edgeperso.evals.report import Cell, Column, Headline, Intervals, Result, Row, Table
from edgeperso.evals.setup import Setup
from edgeperso.times import DAY_MS
from edgeperso.types import Int64, Kind, MemoryFilter, Record

__all__ = ["LampTask", "lamp_records", "run_lamp"]

LampTask = Literal["rating", "title"]
_VERSION: Final = 1
"""Part of each unit's name: goes up when what a unit does changes."""
_EXCERPT: Final = 400
"""Characters of an earlier text that its memory keeps: what a score rests on mostly stands at its beginning."""
_ASKED: Final = 1500
"""Characters of the question that are asked."""
_SCORES: Final = ("1", "2", "3", "4", "5")
_RATING: Final = "You predict the score that a person gives, from what they wrote and how they scored before."
_TITLE_TOKENS: Final = 24
_TARGETS: Final = ("score", "title", "tag", "category", "citation")


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """One method's outputs, in the items' order."""

    method: str
    outputs: list[dict[str, Any]]


def run_lamp(
    setup: Setup, task: LampTask, questions: Path, outputs: Path, methods: Sequence[Method], *, limit: int | None = None
) -> Result:
    """Ask every question under every method.

    Args:
        setup: what it runs on.
        task: ``rating`` (LaMP-3's form) or ``title`` (LaMP-5's).
        questions, outputs: LaMP's two files.
        methods: conditions; the last one stands in the figures, ``none`` is always run and is what it is compared with.
        limit: of questions, the first so many.

    Raises:
        SourceNotFound, DataInvalid: the files are missing or malformed.
    """
    items = list(islice(read_lamp(questions, outputs), limit))
    _check(task, items, questions)
    chosen = list(dict.fromkeys([Method.parse("none"), *methods]))
    cards = Cards(setup, [(item.id, [record.text for record in lamp_records(item)]) for item in items], chosen)
    raw = setup.raw(f"lamp-{task}")
    found: dict[str, list[dict[str, Any]]] = {method.name: [] for method in chosen}
    for done, item in enumerate(items):
        for method, output in _ask(setup, task, item, chosen, cards, raw.unit):
            found[method].append(output)
        setup.progress(f"lamp {task}", done + 1, len(items))
    outcomes = [_Outcomes(method.name, found[method.name]) for method in chosen]
    return (_rating_result if task == "rating" else _title_result)(setup, items, outcomes)


def lamp_records(item: LampItem) -> list[Record]:
    """The profile as memories: each earlier text with what the person gave it, oldest first."""
    ordered = sorted(item.profile, key=lambda entry: entry.when_ms or 0)
    return [
        Record(
            text=_entry_text(entry.fields),
            kind=Kind.NOTE,
            source="lamp",
            locator=entry.id,
            author="me",
            position=place,
            occurred_ms=entry.when_ms,
        )
        for place, entry in enumerate(ordered)
    ]


def _entry_text(fields: dict[str, str]) -> str:
    """``Text: … Score: 4``: what was written first, what was given to it last."""
    target = next((name for name in _TARGETS if name in fields), "")
    written = next(
        (name for name in ("text", "abstract", "description", "title") if name in fields and name != target), ""
    )
    label = "Review" if target in ("score", "title") else written.capitalize()
    head = f"{label}: {fields[written][:_EXCERPT]}" if written else ""
    tail = f"{target.capitalize()}: {fields[target]}" if target else ""
    return "\n".join(part for part in (head, tail) if part) or "; ".join(fields.values())


def _check(task: LampTask, items: list[LampItem], path: Path) -> None:
    if not items:
        raise DataInvalid(f"{path.name} holds no question.", hint="Give LaMP's questions file, whole.")
    for number, item in enumerate(items if task == "rating" else ()):
        if item.gold not in _SCORES:
            raise DataInvalid(
                f"{path.name}, record {number}: the gold output is no score from 1 to 5.",
                hint="Give LaMP-3's outputs, or --task title.",
            )
        if not all(_is_score(entry.fields["score"]) for entry in item.profile if "score" in entry.fields):
            raise DataInvalid(
                f"{path.name}, record {number}: a score in the profile is none from 1 to 5.",
                hint="Give LaMP-3's questions, or --task title.",
            )


def _is_score(written: str) -> bool:
    try:
        return 1 <= float(written) <= 5
    except ValueError:
        return False


def _ask(
    setup: Setup,
    task: LampTask,
    item: LampItem,
    methods: Sequence[Method],
    cards: Cards,
    unit: Callable[..., Any],
) -> list[tuple[str, dict[str, Any]]]:
    """The outputs of all methods for one person. Each begins with an empty context: see `RawOutputs`."""
    records = lamp_records(item)
    now_ms = max((record.occurred_ms or 0 for record in records), default=0) + DAY_MS
    out = []
    with setup.vault(records) as vault:
        for method in methods:
            of = {
                "lamp": _VERSION,
                "task": task,
                "models": setup.models,
                "method": method.name,
                "most": setup.most,
                "seed": setup.seed if method.choice == "random" else 0,
                "item": [item.input, [record.text for record in records], [record.occurred_ms for record in records]],
                "cards": cards.key(item.id, method),
            }

            def work(method: Method = method) -> dict[str, Any]:
                setup.engine.clear()
                me = setup.assistant(vault, method, now_ms=now_ms)
                cards.give(me, item.id, method)
                question = method.asked(item.input[:_ASKED])
                return _rate(me, question) if task == "rating" else _title(me, question)

            out.append((method.name, unit(of, {"id": item.id, "method": method.name}, work)))
    return out


def _rate(me: ConditionedAssistant, question: str) -> dict[str, Any]:
    hits, _ = me.find(question, MemoryFilter())
    weighed = me.weigher(_RATING).label(question, _SCORES, hits, cue="Score: ")
    return {"shares": [round(share, 6) for share in weighed.shares], "memories": len(weighed.sources)}


def _title(me: ConditionedAssistant, question: str) -> dict[str, Any]:
    reply = me.ask(question, max_tokens=_TITLE_TOKENS)
    line = next((line.strip() for line in reply.text.splitlines() if line.strip()), "")
    title = line.removeprefix("Title:").strip().strip('"“”*').strip()
    return {"title": title, "memories": len(reply.sources)}


def _median(shares: Sequence[float]) -> int:
    return int(np.searchsorted(np.cumsum(shares), 0.5 * sum(shares))) + 1


def _predicted(items: list[LampItem], outcomes: list[_Outcomes]) -> dict[str, Float64]:
    """The ratings of two baselines and of each method, in the items' order."""
    usual = float(Counter(item.gold for item in items).most_common(1)[0][0] or 5)
    earlier = [[float(entry.fields["score"]) for entry in item.profile if "score" in entry.fields] for item in items]
    medians = [float(round(statistics.median(scores))) if scores else usual for scores in earlier]
    methods = {one.method: np.array([float(_median(output["shares"])) for output in one.outputs]) for one in outcomes}
    return {f"always {usual:.0f}": np.full(len(items), usual), "the person's median": np.array(medians), **methods}


def _mean_cell(values: Float64, none: Float64 | None, users: Sequence[str], resampling: Resampling) -> Cell:
    """A mean over people, and the p of its difference from the method ``none``."""
    against = None if none is None else compare_means(values, none, users, resampling)
    return cell(bootstrap_mean(values, users, resampling), against)


def _rating_result(setup: Setup, items: list[LampItem], outcomes: list[_Outcomes]) -> Result:
    gold = np.array([float(item.gold or 0) for item in items])
    users = [item.id for item in items]
    resampling = Resampling(seed=setup.seed)
    apart = {name: values - gold for name, values in _predicted(items, outcomes).items()}
    errors = {name: np.abs(values) for name, values in apart.items()}

    def rmse(name: str) -> Callable[[Int64], float]:
        return lambda places: float(np.sqrt(np.mean(apart[name][places] ** 2)))

    def row(name: str) -> Row:
        none = None if name == "none" else errors["none"]
        cells = {
            "mae": _mean_cell(errors[name], none, users, resampling),
            "rmse": cell(bootstrap(rmse(name), users, Resampling(resamples=1000, seed=setup.seed))),
            "exact": _mean_cell((errors[name] == 0).astype(np.float64), None, users, resampling),
        }
        return Row(name, cells, n=len(items), baseline=name == "none")

    last = outcomes[-1].method
    ratio = bootstrap_ratio(errors[last], errors["none"], users, resampling)
    figures = {
        "mae": float(errors[last].mean()),
        "mae_none": float(errors["none"].mean()),
        "mae_vs_none": ratio.value,
        "mae_vs_none_low": ratio.low,
        "mae_vs_none_high": ratio.high,
        "rmse": rmse(last)(np.arange(len(items))),
        **{f"mae_{key(name)}": float(error.mean()) for name, error in errors.items() if name != "none"},
    }
    exact = Column("exact", "exactly right", "higher")
    columns = (Column("mae", "MAE", "lower"), Column("rmse", "RMSE", "lower"), exact)
    rows = tuple(row(name) for name in errors)
    table = Table("Ratings in LaMP's format", "method", columns, rows, note="p: against none, over people.")
    return result(
        setup,
        "lamp_rating",
        figures,
        n=len(items),
        title="Ratings",
        question="How well is the score of a review told, without and with the person's earlier ones?",
        tables=(table,),
        plots=(Intervals.of(table, "mae", title="Mean absolute error, in stars"),),
        headline=Headline("mae", last),
        notes=(f"At most {setup.most} memories a question." if setup.most else "Memories as the budget takes them.",),
    )


def _title_result(setup: Setup, items: list[LampItem], outcomes: list[_Outcomes]) -> Result:
    users = [item.id for item in items]
    resampling = Resampling(seed=setup.seed)
    scores = {
        one.method: [rouge(output["title"], item.gold or "") for output, item in zip(one.outputs, items, strict=True)]
        for one in outcomes
    }
    values = {
        name: {"rouge_1": np.array([s.rouge_1 for s in of]), "rouge_l": np.array([s.rouge_l for s in of])}
        for name, of in scores.items()
    }
    rows = tuple(
        Row(
            name,
            {
                measure: _mean_cell(found, None if name == "none" else values["none"][measure], users, resampling)
                for measure, found in of.items()
            },
            n=len(items),
            baseline=name == "none",
        )
        for name, of in values.items()
    )
    last = outcomes[-1].method
    means = {name: {measure: float(found.mean()) for measure, found in of.items()} for name, of in values.items()}
    figures = {
        **means[last],
        "rouge_1_none": means["none"]["rouge_1"],
        "rouge_l_none": means["none"]["rouge_l"],
        **{
            f"{measure}_{key(name)}": value
            for name, of in means.items()
            if name != "none"
            for measure, value in of.items()
        },
    }
    columns = (Column("rouge_1", "ROUGE-1", "higher"), Column("rouge_l", "ROUGE-L", "higher"))
    table = Table("Titles in LaMP's format", "method", columns, rows, note="p: against none, over people.")
    return result(
        setup,
        "lamp_title",
        figures,
        n=len(items),
        title="Titles",
        question="How near does a generated title come to the person's own, without and with their earlier ones?",
        tables=(table,),
        plots=(Intervals.of(table, "rouge_l", title="ROUGE-L, F1"),),
        headline=Headline("rouge_l", last),
    )
