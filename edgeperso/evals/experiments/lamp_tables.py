"""The results of LaMP's two tasks: a row a method, and what adapters add to a method."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeperso.evals.experiments.tables import cell, key, result
from edgeperso.evals.methods import Method
from edgeperso.evals.metrics.checks import Float64
from edgeperso.evals.metrics.intervals import (
    Comparison,
    Resampling,
    bootstrap,
    bootstrap_mean,
    bootstrap_ratio,
    compare_means,
)
from edgeperso.evals.metrics.text import rouge
from edgeperso.evals.readers import LampItem
from edgeperso.evals.report import Cell, Column, Headline, Intervals, Result, Row, Table
from edgeperso.evals.setup import Setup
from edgeperso.types import Int64

__all__ = ["Outcomes", "median", "rating_result", "title_result"]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Each method's outputs in the items' order, by its name. ``last`` is the method that stands in the figures;
    ``history`` the entries that profiles were cut to."""

    items: Sequence[LampItem]
    outputs: Mapping[str, Sequence[dict[str, Any]]]
    methods: Sequence[Method]
    last: Method
    history: int | None

    @property
    def users(self) -> list[str]:
        return [item.id for item in self.items]

    @property
    def pairs(self) -> Iterator[tuple[Method, Method]]:
        """Methods to be compared: each that wears adapters with itself without them, and then, of one way of choosing,
        each that wears one of a persona with the one that wears the person's own."""
        worn = [method for method in self.methods if method.learnt]
        yield from ((method, method.unlearnt) for method in worn)
        for method in worn:
            if method.additions >= {"persona-lora"}:
                own = Method(method.choice, method.additions - {"persona-lora"} | {"user-lora"})
                if own in worn and own != method:
                    yield method, own


def median(shares: Sequence[float]) -> int:
    """The score, from 1 on, that halves a distribution over the scores."""
    return int(np.searchsorted(np.cumsum(shares), 0.5 * sum(shares))) + 1


def rating_result(setup: Setup, outcomes: Outcomes) -> Result:
    """MAE and RMSE of the predicted ratings, beside two baselines that need no model."""
    items, users, last = outcomes.items, outcomes.users, outcomes.last.name
    gold = np.array([float(item.gold or 0) for item in items])
    resampling = Resampling(seed=setup.seed)
    apart = {name: values - gold for name, values in _predicted(outcomes).items()}
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

    ratio = bootstrap_ratio(errors[last], errors["none"], users, resampling)
    changes = _changes(outcomes, errors, resampling)
    figures = {
        "mae": float(errors[last].mean()),
        "mae_none": float(errors["none"].mean()),
        "mae_vs_none": ratio.value,
        "mae_vs_none_low": ratio.low,
        "mae_vs_none_high": ratio.high,
        "rmse": rmse(last)(np.arange(len(items))),
        **{f"mae_{key(name)}": float(error.mean()) for name, error in errors.items() if name != "none"},
        **_change_figures("mae", changes),
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
        tables=(table, *_change_tables(changes, Column("change", "change of MAE"), len(items))),
        plots=(Intervals.of(table, "mae", title="Mean absolute error, in stars"),),
        headline=Headline("mae", last),
        notes=(
            f"At most {setup.most} memories a question." if setup.most else "Memories as the budget takes them.",
            *_notes(outcomes),
        ),
    )


def title_result(setup: Setup, outcomes: Outcomes) -> Result:
    """ROUGE of the generated titles."""
    users, last = outcomes.users, outcomes.last.name
    resampling = Resampling(seed=setup.seed)
    values: dict[str, dict[str, Float64]] = {"rouge_1": {}, "rouge_l": {}}
    for name, outputs in outcomes.outputs.items():
        scores = [rouge(output["title"], item.gold or "") for output, item in zip(outputs, outcomes.items, strict=True)]
        values["rouge_1"][name] = np.array([score.rouge_1 for score in scores])
        values["rouge_l"][name] = np.array([score.rouge_l for score in scores])
    rows = tuple(
        Row(
            name,
            {
                measure: _mean_cell(of[name], None if name == "none" else of["none"], users, resampling)
                for measure, of in values.items()
            },
            n=len(users),
            baseline=name == "none",
        )
        for name in outcomes.outputs
    )
    changes = _changes(outcomes, values["rouge_l"], resampling)
    figures = {
        **{measure: float(of[last].mean()) for measure, of in values.items()},
        **{
            f"{measure}_{key(name)}": float(found.mean())
            for measure, of in values.items()
            for name, found in of.items()
        },
        **_change_figures("rouge_l", changes),
    }
    columns = (Column("rouge_1", "ROUGE-1", "higher"), Column("rouge_l", "ROUGE-L", "higher"))
    table = Table("Titles in LaMP's format", "method", columns, rows, note="p: against none, over people.")
    return result(
        setup,
        "lamp_title",
        figures,
        n=len(users),
        title="Titles",
        question="How near does a generated title come to the person's own, without and with their earlier ones?",
        tables=(table, *_change_tables(changes, Column("change", "change of ROUGE-L"), len(users))),
        plots=(Intervals.of(table, "rouge_l", title="ROUGE-L, F1"),),
        headline=Headline("rouge_l", last),
        notes=_notes(outcomes),
    )


def _predicted(outcomes: Outcomes) -> dict[str, Float64]:
    """The ratings of two baselines and of each method, in the items' order."""
    items = outcomes.items
    usual = float(Counter(item.gold for item in items).most_common(1)[0][0] or 5)
    earlier = [[float(entry.fields["score"]) for entry in item.profile if "score" in entry.fields] for item in items]
    medians = [float(round(statistics.median(scores))) if scores else usual for scores in earlier]
    methods = {
        name: np.array([float(median(output["shares"])) for output in outputs])
        for name, outputs in outcomes.outputs.items()
    }
    return {f"always {usual:.0f}": np.full(len(items), usual), "the person's median": np.array(medians), **methods}


def _mean_cell(values: Float64, none: Float64 | None, users: Sequence[str], resampling: Resampling) -> Cell:
    """A mean over people, and the p of its difference from the method ``none``."""
    against = None if none is None else compare_means(values, none, users, resampling)
    return cell(bootstrap_mean(values, users, resampling), against)


# ---- what adapters add ---------------------------------------------------------------------------------------------


def _changes(
    outcomes: Outcomes, values: Mapping[str, Float64], resampling: Resampling
) -> list[tuple[str, str, Comparison]]:
    """For each pair of methods their names, and how far the first one's values are from the second's."""
    return [
        (one.name, other.name, compare_means(values[one.name], values[other.name], outcomes.users, resampling))
        for one, other in outcomes.pairs
    ]


def _change_figures(measure: str, changes: Sequence[tuple[str, str, Comparison]]) -> dict[str, float]:
    return {
        f"{measure}_{key(one)}_less_{key(other)}{end}": value
        for one, other, found in changes
        for end, value in (
            ("", found.difference.value),
            ("_low", found.difference.low),
            ("_high", found.difference.high),
        )
    }


def _change_tables(changes: Sequence[tuple[str, str, Comparison]], column: Column, n: int) -> tuple[Table, ...]:
    rows = tuple(
        Row(f"{one} less {other}", {column.name: cell(found.difference, found)}, n=n) for one, other, found in changes
    )
    note = "Differences of means over the same people; p: of no difference."
    return (Table("What adapters add", "methods", (column,), rows, ranked=False, note=note),) if rows else ()


def _notes(outcomes: Outcomes) -> tuple[str, ...]:
    return () if outcomes.history is None else (f"Of each profile the latest {outcomes.history} entries.",)
