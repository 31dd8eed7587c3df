"""Six results of the kinds that evaluations leave behind; the numbers are invented."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import Any

import pytest

from edgeperso.evals.report import (
    Cell,
    Column,
    Headline,
    Histogram,
    Interval,
    Intervals,
    Lines,
    LinesPoint,
    Reference,
    Result,
    Row,
    Scatter,
    ScatterPoint,
    Series,
    Table,
)

SHA = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
MODELS = {"engine": f"SmolLM2-135M-Instruct Q4_1 {SHA}", "embedder": f"all-MiniLM-L6-v2 int8 {SHA[::-1]}"}


def result(name: str, title: str, question: str, **more: Any) -> Result:
    base: dict[str, Any] = {
        "figures": {"n_items": 1500, "value": 0.31},
        "n": 1500,
        "seed": 17,
        "commit": "c266f57c24f5",
        "machine": "AMD EPYC (Zen 5), 2 cores, Linux, Python 3.11.7",
        "models": MODELS,
        "date": datetime.date(2026, 11, 24),
    }
    return Result(name=name, title=title, question=question, **(base | more))


def near(value: float, half: float, p: float | None = None) -> Cell:
    return Cell(value, round(value - half, 4), round(value + half, 4), p)


def lamp_rating() -> Result:
    rows = [
        ("always the most frequent rating", 0.402, 0.704, 0.412, None, True),
        ("the person’s own mean", 0.371, 0.655, 0.448, 0.012, False),
        ("zero-shot", 0.436, 0.742, 0.401, 0.087, False),
        ("random four of the history", 0.352, 0.634, 0.472, 0.0004, False),
        ("most recent four", 0.347, 0.629, 0.479, 0.0003, False),
        ("retrieved four (BM25)", 0.322, 0.601, 0.503, 0.00001, False),
        ("retrieved four (edgeperso)", 0.309, 0.588, 0.517, 0.00001, False),
        ("retrieved four, profile, calibrated", 0.298, 0.577, 0.524, 0.00001, False),
    ]
    table = Table(
        "Ratings from one to five stars",
        "method",
        (Column("mae", "MAE", "lower"), Column("rmse", "RMSE", "lower"), Column("accuracy", "accuracy", "higher")),
        tuple(
            Row(
                label,
                {"mae": near(mae, 0.017, p), "rmse": near(rmse, 0.027), "accuracy": near(accuracy, 0.025)},
                n=1500,
                baseline=base,
            )
            for label, mae, rmse, accuracy, p, base in rows
        ),
        note="95% intervals over 10,000 resamples of people. p: paired permutation test against the baseline.",
    )
    return result(
        "lamp_rating",
        "Ratings in LaMP’s format",
        "Given what a person wrote about other products and how many stars they gave, how many stars do they give now?",
        tables=(table,),
        plots=(
            Intervals.of(
                table,
                "mae",
                title="Mean absolute error, in stars",
                references=(Reference(0.268, "FlanT5-base, fine-tuned, as published"),),
            ),
        ),
        figures={
            f"{column.name}_{place}": row.cells[column.name].value or 0.0
            for place, row in enumerate(table.rows)
            for column in table.columns
        },
        notes=(
            "The data are our own, in LaMP’s format: the figures can’t be set beside published ones without care.",
            "A person’s history has at most 64 reviews here; long histories weren’t measured.",
        ),
    )


def lamp_title() -> Result:
    names = ("zero-shot", "most recent four", "retrieved four (BM25)", "retrieved four (edgeperso)")
    values = ((0.121, 0.103), (0.138, 0.119), (0.152, 0.133), (0.158, 0.137))
    table = Table(
        "Titles of articles",
        "method",
        (Column("rouge1", "ROUGE-1", "higher"), Column("rougel", "ROUGE-L", "higher")),
        tuple(
            Row(name, {"rouge1": near(one, 0.011), "rougel": near(long, 0.010)}, n=n, baseline=name == "zero-shot")
            for name, (one, long), n in zip(names, values, (812, 812, 812, 640), strict=True)
        ),
    )
    return result(
        "lamp_title",
        "Titles in LaMP’s format",
        "Does a title written for an article sound more like its author when the author’s other titles are shown?",
        tables=(table,),
        plots=(
            Histogram(
                title="ROUGE-1 of single titles",
                x="ROUGE-1, retrieved four (edgeperso)",
                y="titles",
                edges=tuple(round(place / 10, 1) for place in range(11)),
                counts=(301, 188, 130, 84, 51, 29, 15, 8, 4, 2),
                references=(Reference(0.158, "mean"),),
            ),
        ),
        n=812,
    )


def prefeval() -> Result:
    turns = (0, 10, 70, 300)
    shares = {
        "no memory": (0.82, 0.31, 0.08, 0.03),
        "reminder in the prompt": (0.86, 0.55, 0.29, 0.14),
        "plain retrieval": (0.83, 0.71, 0.62, 0.55),
        "edgeperso": (0.87, 0.81, 0.76, 0.73),
    }
    series = tuple(
        Series(
            name,
            tuple(
                LinesPoint(x, y, max(0.0, round(y - 0.05, 3)), round(y + 0.05, 3))
                for x, y in zip(turns, values, strict=True)
            ),
            baseline=name == "no memory",
        )
        for name, values in shares.items()
    )
    table = Table(
        "Preferences kept, by turns in between",
        "method",
        tuple(Column(f"turns_{x}", f"{x} turns", "higher") for x in turns),
        tuple(
            Row(
                one.label,
                {f"turns_{int(at.x)}": Cell(at.y, at.low, at.high) for at in one.points},
                n=400,
                baseline=one.baseline,
            )
            for one in series
        ),
    )
    return result(
        "prefeval",
        "Preferences over a long chat",
        "A person says once what they like; many turns later, does the answer still keep to it?",
        tables=(table,),
        plots=(
            Lines(
                title="Preferences kept, as the chat grows",
                x="turns between the preference and the question",
                y="share of answers that keep to it",
                series=series,
                better="higher",
                even=True,
            ),
        ),
        n=400,
        headline=Headline("turns_300"),
        notes=("A small local model judges; see how it agrees with people below.",),
    )


def judge() -> Result:
    rolls = random.Random(5)
    points = []
    for place in range(180):
        people = rolls.choices((1, 2, 3, 4, 5), (2, 3, 5, 6, 4))[0]
        points.append(
            ScatterPoint(people, max(1, min(5, people + rolls.choice((-2, -1, -1, 0, 0, 0, 0, 1, 1)))), f"item {place}")
        )
    table = Table(
        "Agreement of the judge",
        "compared with",
        (Column("rho", "Spearman’s ρ", "higher"), Column("kappa", "weighted κ", "higher"), Column("bias", "bias", "")),
        (
            Row(
                "one other person",
                {"rho": near(0.79, 0.05), "kappa": near(0.71, 0.06), "bias": near(0.02, 0.09)},
                180,
                baseline=True,
            ),
            Row(
                "the local judge", {"rho": near(0.72, 0.07), "kappa": near(0.61, 0.08), "bias": near(-0.21, 0.11)}, 180
            ),
            Row("length of the answer", {"rho": near(0.18, 0.14), "kappa": Cell(float("nan"))}, 180),
        ),
    )
    return result(
        "judge",
        "The judge against people",
        "Does the local judge put answers in the order in which people do?",
        tables=(table,),
        plots=(
            Scatter(
                title="Mean rating of three people and the judge’s",
                x="people",
                y="judge",
                points=tuple(points),
                spearman=Cell(0.72, 0.64, 0.78, 0.0000001),
                diagonal=True,
                note="A dot’s area is the number of answers in that place; on the dashed line both agree.",
            ),
        ),
        n=180,
    )


def locomo() -> Result:
    kinds = ("all questions", "single-hop", "multi-hop", "temporal", "open-domain", "adversarial")
    table = Table(
        "Evidence recall over dialog turns",
        "category",
        tuple(Column(f"r{k}", f"recall@{k}", "higher") for k in (5, 10, 25, 50)),
        tuple(
            Row(
                kind, {f"r{k}": near(round(base + 0.06 * step, 3), 0.03) for step, k in enumerate((5, 10, 25, 50))}, n=n
            )
            for kind, base, n in zip(
                kinds, (0.713, 0.74, 0.37, 0.71, 0.33, 0.69), (1281, 612, 198, 231, 71, 169), strict=True
            )
        ),
        ranked=False,
    )
    return result(
        "locomo",
        "Evidence in long conversations (LoCoMo)",
        "Are the turns that answer a question among the first k that the retriever gives?",
        tables=(table,),
        plots=(
            Intervals.of(
                table,
                "r5",
                title="Recall at 5, by category",
                references=(Reference(0.567, "DRAGON, as published"), Reference(0.627, "plain z-score sum")),
            ),
        ),
        n=1281,
        headline=Headline("r10", "all questions"),
        models={"embedder": MODELS["embedder"]},
    )


def bias() -> Result:
    names = (
        "women / men",
        "names of two origins",
        "under 30 / over 60",
        "two dialects",
        "two religions",
        "with / without a disability",
    )
    values = (0.01, -0.03, 0.02, -0.08, 0.00, -0.02)
    return result(
        "bias",
        "Differences between groups",
        "Does the answer’s quality depend on who asks, where it shouldn’t?",
        plots=(
            Intervals(
                title="Difference in mean rating between two groups",
                x="difference, in points of five",
                points=tuple(
                    Interval(name, value, round(value - 0.05, 3), round(value + 0.05, 3))
                    for name, value in zip(names, values, strict=True)
                ),
                references=(Reference(0.0, "no difference"),),
            ),
        ),
        figures={"largest_difference": -0.08, "pairs": 6},
        n=720,
        notes=("Groups are named in the prompt, not lived: this can show a bias, not exclude one.",),
    )


@pytest.fixture
def results() -> list[Result]:
    """By name, as they are read from a folder."""
    made = (bias(), judge(), lamp_rating(), lamp_title(), locomo(), prefeval())
    return [Result.from_json(one.to_json(), file=one.name) for one in made]


@pytest.fixture
def make() -> Callable[..., Result]:
    """A small result: ``make("name", "title", "question", tables=…)``."""
    return result
