"""Experiment 3, second part: a judge of how good a response is, against people, and what sways it.

UniEval's Topical-Chat judgments (Mehri and Eskenazi, 2020, arXiv:2005.00456; Zhong et al., 2022, arXiv:2210.07197):
several responses to each dialogue, rated by people. The judge marks each one, with and without examples before it, and
compares pairs in both orders. Beside its agreement with people stand its biases: by length, by position (how often the
response that stands first wins), by style (how far the same response gains by an enthusiastic opening).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeperso.errors import DataInvalid
from edgeperso.evals.experiments.agreement import Scale, agreement_table, mean_of_ranks, scatter
from edgeperso.evals.experiments.tables import cell, result
from edgeperso.evals.judging import Judge, Mark, YesNo
from edgeperso.evals.metrics.checks import Float64
from edgeperso.evals.metrics.intervals import Resampling, bootstrap_mean
from edgeperso.evals.raw import digest
from edgeperso.evals.readers import Judgment, read_unieval
from edgeperso.evals.report import Column, Headline, Result, Row, Table
from edgeperso.evals.setup import Setup

__all__ = ["run_quality"]

_VERSION: Final = 3
_TASK: Final = "You judge how good a response in a chat is."
_TURNS: Final = 4
"""Last turns of the dialogue that the judge reads."""
_FACT: Final = 300
"""Characters of the fact that the response was to use."""
_PAIRS: Final = 2
"""Pairs of responses a dialogue that are compared."""
_GUSH: Final = "wow , that is so great ! "
_RATING: Final = "overall"
_QUESTIONS: Final = (
    Mark("mark", "\n\nHow good is this response, from 1 (very bad) to 5 (very good)? Answer with one number.", 1, 5),
    YesNo("engaging", "\n\nIs this response interesting, and does it fit what was said? Answer Yes or No."),
    YesNo("off", "\n\nIs this response dull, odd or beside the point? Answer Yes or No.", sign=-1),
)
_EXAMPLES: Final = (
    "Examples of marks. To “do you like trains ?”: “yes , i took the night train to vienna once . have you ?” 5; "
    "“i like trains .” 3; “the moon is 384,400 km away .” 1.\n\n"
)
_BETTER: Final = "\n\nWhich response is better? Answer A or B."


def run_quality(setup: Setup, data: Path, *, limit: int | None = None) -> Result:
    """Judge the responses to the first ``limit`` dialogues, and compare with people's overall marks.

    Raises:
        SourceNotFound, DataInvalid: the file is missing or malformed, or nothing is rated.
    """
    rated = [one for one in read_unieval(data) if _RATING in one.scores]
    groups = [list(of) for _, of in groupby(rated, key=lambda one: one.history)][:limit]
    if not groups:
        raise DataInvalid(f"{data.name} holds no response with an overall mark.")
    raw = setup.raw("judge-quality")
    outputs: list[dict[str, Any]] = []
    for done, group in enumerate(groups):
        of = {
            "quality": _VERSION,
            "models": setup.models,
            "seed": setup.seed,
            "read": [group[0].history, [[one.knowledge, one.response] for one in group]],
        }
        outputs.append(raw.unit(of, {"id": group[0].id}, partial(_judge, setup, group)))
        setup.progress("judge", done + 1, len(groups))
    return _result(setup, groups, outputs)


def _judge(setup: Setup, group: Sequence[Judgment]) -> dict[str, Any]:
    """The scores of each response, and of each pair the log-odds that the one that stands first is better."""
    setup.engine.clear()
    judge = Judge(setup.engine, _TASK)
    talk = "".join(f"- {' '.join(turn.split())}\n" for turn in group[0].history[-_TURNS:])
    plain, taught = judge.begin(f"The dialogue:\n{talk}"), judge.begin(f"{_EXAMPLES}The dialogue:\n{talk}")
    words = [judge.words(f"The response: {' '.join(one.response.split())}") for one in group]
    gushing = [judge.words(f"The response: {_GUSH}{' '.join(one.response.split())}") for one in group]
    scores = [judge.ask([*plain, *said], _QUESTIONS) for said in words]
    for score, said, gushed in zip(scores, words, gushing, strict=True):
        score["gush"] = judge.ask([*plain, *gushed], _QUESTIONS[:1])["mark"]
        score["mark with examples"] = judge.ask([*taught, *said], _QUESTIONS[:1])["mark"]
    pairs = list(combinations(range(len(group)), 2))
    random.Random(digest([setup.seed, group[0].id])).shuffle(pairs)  # noqa: S311 - to be repeated, not secret
    compared = []
    for one, other in pairs[:_PAIRS]:
        odds = []
        for first, second in ((one, other), (other, one)):
            shown = f"A: {' '.join(group[first].response.split())}\nB: {' '.join(group[second].response.split())}"
            odds.append(judge.first_of_two([*plain, *judge.words(shown)], _BETTER))
        compared.append({"pair": [one, other], "odds": odds})
    return {"scores": scores, "pairs": compared}


def _result(setup: Setup, groups: Sequence[Sequence[Judgment]], outputs: Sequence[dict[str, Any]]) -> Result:
    flat = [(str(number), one) for number, group in enumerate(groups) for one in group]
    scores = [one for output in outputs for one in output["scores"]]
    people = np.array([one.scores[_RATING] for _, one in flat])
    length = np.array([float(len(one.response.split())) for _, one in flat])
    judges: dict[str, Float64] = {"length": length}
    for name in ("mark", "mark with examples", "engaging", "off"):
        judges[name] = np.array([one[name] for one in scores])
    judges["panel"] = mean_of_ranks([judges["mark"], judges["engaging"], judges["off"]])
    scale = Scale(people, [unit for unit, _ in flat], low=1, high=5)
    table = agreement_table("Response quality", scale, length, judges, baselines=("length",), seed=setup.seed)
    rows = {row.label: row.cells for row in table.rows}
    biases, figures = _biases(setup, groups, outputs, judges["mark"])
    return result(
        setup,
        "judge_quality",
        {
            "spearman": rows["panel"]["spearman"].value or 0.0,
            "spearman_length": rows["length"]["spearman"].value or 0.0,
            "partial_given_length": rows["panel"]["partial"].value or 0.0,
            **figures,
        },
        n=len(flat),
        title="A judge of responses",
        question="Does a local model find good what people find good in a chat?",
        tables=(table, biases),
        plots=(scatter("The panel against people", "panel", judges["panel"], people, rows["panel"]["spearman"]),),
        headline=Headline("spearman", "panel"),
        notes=("Where the first of two wins far more often than half, only both orders together mean anything.",),
    )


def _biases(
    setup: Setup, groups: Sequence[Sequence[Judgment]], outputs: Sequence[dict[str, Any]], marks: Float64
) -> tuple[Table, dict[str, float]]:
    resampling = Resampling(seed=setup.seed)
    first: list[float] = []
    right: dict[str, list[float]] = {"one order": [], "both orders": []}
    for group, output in zip(groups, outputs, strict=True):
        for compared in output["pairs"]:
            one, other = compared["pair"]
            ahead, behind = compared["odds"]
            first += [float(ahead > 0), float(behind > 0)]
            better = group[one].scores[_RATING] - group[other].scores[_RATING]
            if better:
                right["one order"].append(float((ahead > 0) == (better > 0)))
                right["both orders"].append(float((ahead - behind > 0) == (better > 0)))
    gushed = np.array([one["gush"] for output in outputs for one in output["scores"]])
    gain = (gushed - marks) / max(float(marks.std()), 1e-9)
    measured = {
        "the first of two wins": first,
        "pairs as people, one order": right["one order"],
        "pairs as people, both orders": right["both orders"],
        "an enthusiastic opening gains, in standard deviations": gain.tolist(),
    }
    rows = tuple(
        Row(name, {"value": cell(bootstrap_mean(values, range(len(values)), resampling))}, n=len(values))
        for name, values in measured.items()
        if values
    )
    means = {row.label: row.cells["value"].value or 0.0 for row in rows}
    figures = {
        "first_wins": means.get("the first of two wins", 0.0),
        "pairs_right": means.get("pairs as people, both orders", 0.0),
        "style_shift_sd": means["an enthusiastic opening gains, in standard deviations"],
    }
    return Table("What sways the judge", "bias", (Column("value", "share or shift"),), rows, ranked=False), figures
