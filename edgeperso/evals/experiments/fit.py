"""Experiment 3, third part: a judge of personal fit, over PrefEval's answers.

Each item has one answer that respects the person's preference and three that don't. The judge reads the preference and
the question, then each answer by itself. It is right about a pair where it finds the right answer fitter than a wrong
one.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeperso.errors import DataInvalid
from edgeperso.evals.experiments.agreement import Scale, agreement_table, mean_of_ranks
from edgeperso.evals.experiments.tables import cell, key, result
from edgeperso.evals.judging import Judge, Mark, YesNo
from edgeperso.evals.metrics.checks import Float64
from edgeperso.evals.metrics.intervals import Resampling, bootstrap_mean
from edgeperso.evals.readers import PrefItem, read_prefeval
from edgeperso.evals.report import Column, Headline, Intervals, Result, Row, Table
from edgeperso.evals.setup import Setup

__all__ = ["run_fit"]

_VERSION: Final = 1
_TASK: Final = "You check whether a suggestion respects what a person said."
_QUESTIONS: Final = (
    YesNo("respects", "\nDoes the suggestion respect what the person said? Answer Yes or No."),
    YesNo("conflicts", "\nDoes the suggestion go against what the person said? Answer Yes or No.", sign=-1),
    Mark("mark", "\nHow well does the suggestion fit this person, from 1 to 5? Answer with one number.", 1, 5),
)


def run_fit(setup: Setup, folder: Path, *, limit: int | None = None) -> Result:
    """Judge the options of ``limit`` items, drawn by the seed.

    Raises:
        SourceNotFound, DataInvalid: the files are missing or malformed.
    """
    items = [item for item in read_prefeval(folder, "explicit") if len(item.options) > 1]
    if not items:
        raise DataInvalid(f"{folder.name} holds no item with options.", hint="Give PrefEval's folder.")
    if limit is not None and limit < len(items):
        items = random.Random(setup.seed).sample(items, limit)  # noqa: S311 - to be repeated, not secret
    raw = setup.raw("judge-fit")
    outputs: list[list[dict[str, float]]] = []
    for done, item in enumerate(items):
        of = {"fit": _VERSION, "models": setup.models, "read": [item.preference, item.question, item.options]}
        outputs.append(raw.unit(of, {"id": item.id}, partial(_judge, setup, item)))
        setup.progress("judge", done + 1, len(items))
    return _result(setup, items, outputs)


def _judge(setup: Setup, item: PrefItem) -> list[dict[str, float]]:
    setup.engine.clear()
    judge = Judge(setup.engine, _TASK)
    read = judge.begin(f'The person said: "{item.preference}"\nThey ask: "{item.question}"\n')
    return [judge.ask([*read, *judge.words(f'Suggestion: "{option}"')], _QUESTIONS) for option in item.options]


def _result(setup: Setup, items: list[PrefItem], outputs: list[list[dict[str, float]]]) -> Result:
    flat = [(item.id, option, place) for item in items for place, option in enumerate(item.options)]
    people = np.array([float(place == 0) for _, _, place in flat])
    length = np.array([float(len(option.split())) for _, option, _ in flat])
    said = setup.embedder.embed([item.preference for item in items for _ in item.options])
    near = np.einsum("nd,nd->n", said, setup.embedder.embed([option for _, option, _ in flat])).astype(np.float64)
    judges: dict[str, Float64] = {"length": length, "nearness of words": near}
    for name in ("respects", "conflicts", "mark"):
        judges[name] = np.array([one[name] for output in outputs for one in output])
    judges["panel"] = mean_of_ranks([judges[name] for name in ("respects", "conflicts", "mark")])
    scale = Scale(people, [id_ for id_, _, _ in flat], low=0, high=1)
    table = agreement_table(
        "Personal fit", scale, length, judges, baselines=("length", "nearness of words"), seed=setup.seed
    )
    pairs = _pairs(setup, items, judges)
    rows = {row.label: row.cells for row in table.rows}
    wins = {row.label: row.cells["pairs"].value or 0.0 for row in pairs.rows}
    return result(
        setup,
        "judge_fit",
        {
            "spearman": rows["respects"]["spearman"].value or 0.0,
            "spearman_length": rows["length"]["spearman"].value or 0.0,
            "partial_given_length": rows["respects"]["partial"].value or 0.0,
            **{f"pairs_{key(name)}": value for name, value in wins.items()},
        },
        n=len(items),
        title="A judge of personal fit",
        question="Does a local model see which suggestion respects what a person said?",
        tables=(pairs, table),
        plots=(Intervals.of(pairs, "pairs", title="Right answer above a wrong one (chance 0.5)"),),
        headline=Headline("pairs", "respects"),
        notes=("Answers were labelled by the data set's makers, not rated by people one by one.",),
    )


def _pairs(setup: Setup, items: list[PrefItem], judges: dict[str, Float64]) -> Table:
    """How often the right answer stands above a wrong one of the same item; ties count half."""
    resampling = Resampling(seed=setup.seed)
    users = [item.id for item in items for _ in item.options[1:]]
    rows = []
    for name, scores in judges.items():
        won: list[Any] = []
        at = 0
        for item in items:
            mine = scores[at : at + len(item.options)]
            won += [float(mine[0] > other) + 0.5 * float(mine[0] == other) for other in mine[1:]]
            at += len(item.options)
        rows.append(
            Row(
                name,
                {"pairs": cell(bootstrap_mean(won, users, resampling))},
                n=len(won),
                baseline=name in ("length", "nearness of words"),
            )
        )
    return Table("Right answer above a wrong one", "judge", (Column("pairs", "pairs right", "higher"),), tuple(rows))
