"""Experiment 2, first part: does an adapter that learnt a person's older reviews know their newer ones better?

Each person's reviews go the way that `train` goes: near-repetitions left out, the newest fifth held out (four at
least), a LoRA trained on the others by the product's own plan, the gate asked. People with fewer than eight different
reviews are passed over. As a control each person's held-out reviews are also read with the adapter of somebody else
(the person before them in the file): what that one gains, too, is how reviews are written, not the person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeperso.adaptation.examples import Gathered, Source
from edgeperso.adaptation.gate import adapter_key, personal_losses
from edgeperso.adaptation.learn import Learnt, Lesson, learn
from edgeperso.adaptation.lesson import texts_lesson
from edgeperso.adaptation.plan import Plan
from edgeperso.assistant import plan_for
from edgeperso.engine.adapters.values import Worn
from edgeperso.errors import DataInvalid, TooLittle
from edgeperso.evals.experiments.tables import cell, result
from edgeperso.evals.learnt import wearing
from edgeperso.evals.metrics.intervals import Interval, Resampling, bootstrap_mean, compare_means, proportion
from edgeperso.evals.readers import LampItem, read_lamp
from edgeperso.evals.report import Column, Headline, Intervals, Result, Row, Table
from edgeperso.evals.setup import Setup

__all__ = ["run_learning"]

_VERSION: Final = 1
_FIGURES: Final = {
    "personal_before": "loss_before",
    "personal_after": "loss_after",
    "other": "loss_other",
    "general_before": "general_before",
    "general_after": "general_after",
    "passed": "",
}
"""What is kept of each person, and the figure that is its mean."""


@dataclass(frozen=True, slots=True)
class _Person:
    id: str
    texts: tuple[str, ...]
    lesson: Lesson


def run_learning(setup: Setup, questions: Path, *, limit: int | None = None) -> Result:
    """Train an adapter for each of the file's first ``limit`` people who wrote enough, and read what was held out.

    Raises:
        SourceNotFound, DataInvalid: the file is missing or malformed, or fewer than two people wrote enough.
        ExtraMissing: the ``[train]`` extra isn't installed.
    """
    plan = _plan(setup)
    people = list(islice(_people(setup, read_lamp(questions), plan), limit))
    if len(people) < 2:
        raise DataInvalid(f"In {questions.name} fewer than two people wrote enough to learn from.")
    raw = setup.raw("learning")

    @lru_cache(maxsize=2)
    def learnt(place: int) -> Learnt:
        setup.engine.clear()
        return learn(setup.engine, people[place].lesson, plan, progress=setup.progress)

    outputs = []
    for place, person in enumerate(people):
        other = place - 1 if place else 1
        of = {
            "learning": _VERSION,
            "models": setup.models,
            "plan": str(plan),
            "person": person.texts,
            "other": people[other].texts,
        }
        outputs.append(raw.unit(of, {"id": person.id}, partial(_read, setup, person, learnt, place, other)))
        setup.progress("learning", place + 1, len(people))
    return _result(setup, outputs)


def _plan(setup: Setup) -> Plan:
    """The product's own, with the evaluation's seed."""
    return replace(plan_for("lora"), seed=setup.seed)


def _people(setup: Setup, items: Iterator[LampItem], plan: Plan) -> Iterator[_Person]:
    for item in items:
        entries = [(entry.fields.get("text", "").strip(), entry.when_ms or 0) for entry in item.profile]
        sources = tuple(Source(text, "", when_ms) for text, when_ms in entries if text)
        try:
            lesson = texts_lesson(setup.engine, Gathered(sources, {}), max_tokens=plan.max_tokens)
        except TooLittle:
            continue
        yield _Person(item.id, tuple(source.text for source in sources), lesson)


def _read(setup: Setup, person: _Person, learnt: Callable[[int], Learnt], place: int, other: int) -> dict[str, Any]:
    # The other's first: the last one trained is the next person's other, and stays at hand.
    others, own = learnt(other).adapter, learnt(place)
    with wearing(setup.engine, [Worn(adapter_key(others), others)]):
        setup.engine.clear()
        elsewhere = personal_losses(setup.engine, person.lesson)
    return {
        **own.gate.as_dict(),
        "other": float(elsewhere.mean()),
        "trained": len(person.lesson.train),
        "steps": own.trained.steps,
        "tokens": own.trained.tokens,
    }


def _result(setup: Setup, outputs: Sequence[dict[str, Any]]) -> Result:
    column = {name: np.array([float(output[name]) for output in outputs]) for name in _FIGURES}
    before, after, other = column["personal_before"], column["personal_after"], column["other"]
    n = len(outputs)
    resampling = Resampling(seed=setup.seed)
    gain = compare_means(before, after, range(n), resampling)
    over_other = compare_means(other, after, range(n), resampling)
    shares = {
        "share_improved": proportion(int(np.sum(after < before)), n),
        "share_better_than_other": proportion(int(np.sum(after < other)), n),
        "share_passed": proportion(int(np.sum(column["passed"])), n),
    }
    bounded = {"gain": gain.difference, "gain_over_other": over_other.difference, **shares}
    figures = {
        **{figure: float(column[name].mean()) for name, figure in _FIGURES.items() if figure},
        **{f"{name}{end}": value for name, found in bounded.items() for end, value in _bounds(found)},
    }
    rows = (
        Row("none", {"loss": cell(bootstrap_mean(before, range(n), resampling))}, n=n, baseline=True),
        Row("the person's own", {"loss": cell(bootstrap_mean(after, range(n), resampling), gain)}, n=n),
        Row("somebody else's", {"loss": cell(bootstrap_mean(other, range(n), resampling), over_other)}, n=n),
    )
    note = "Means over people. p: the person's own against none, somebody else's against the own."
    losses = Table("Loss of held-out reviews", "adapter", (Column("loss", "nats a token", "lower"),), rows, note=note)
    return result(
        setup,
        "learning",
        figures,
        n=n,
        title="Learning a person",
        question="Does an adapter that learnt a person's older reviews know their newer ones better?",
        tables=(losses, _people_table(shares, n)),
        plots=(Intervals.of(losses, "loss", title="Loss, nats a token"),),
        headline=Headline("loss", "the person's own"),
        notes=("The newest fifth of each person's reviews is held out, four at least.",),
    )


def _people_table(shares: Mapping[str, Interval], n: int) -> Table:
    said = {
        "share_improved": "own adapter lowers the loss",
        "share_better_than_other": "own adapter better than somebody else's",
        "share_passed": "own adapter passes the gate",
    }
    rows = tuple(Row(label, {"share": cell(shares[name])}, n=n) for name, label in said.items())
    note = "Exact intervals of Clopper and Pearson."
    return Table("People", "what", (Column("share", "share of people"),), rows, ranked=False, note=note)


def _bounds(interval: Interval) -> tuple[tuple[str, float], ...]:
    return (("", interval.value), ("_low", interval.low), ("_high", interval.high))
