"""How judges and simple baselines agree with people: one table for every judge experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgeperso.evals.experiments.tables import cell
from edgeperso.evals.metrics.agreement import kendall_tau_b, partial_spearman, quadratic_weighted_kappa, spearman
from edgeperso.evals.metrics.checks import Float64
from edgeperso.evals.metrics.intervals import Resampling, bootstrap
from edgeperso.evals.report import Cell, Column, Row, Scatter, ScatterPoint, Table
from edgeperso.types import Int64

__all__ = ["Scale", "agreement_table", "mean_of_ranks", "scatter"]

_RESAMPLES = 500
_DRAWN = 400
"""Points of a scatter at most: the first, which are as good as any."""


class Scale:
    """People's marks: ``low`` to ``high`` in ``step``, and whose they are (``units``: what is resampled)."""

    def __init__(self, marks: Float64, units: Sequence[str], *, low: float, high: float, step: float = 1.0) -> None:
        self.marks = marks
        self.units = units
        self.low, self.high, self.step = low, high, step


def agreement_table(
    title: str, scale: Scale, length: Float64, judges: Mapping[str, Float64], *, baselines: Sequence[str], seed: int
) -> Table:
    """A row a judge: Spearman, Kendall, weighted kappa, and Spearman with the text's length taken out.

    For kappa a judge's scores are put on the people's marks in order, so many on each mark as people gave: what is
    compared is the order alone, as in the correlations.
    """
    resampling = Resampling(resamples=_RESAMPLES, seed=seed)
    people = scale.marks

    def interval(statistic: Callable[[Int64], float]) -> Cell:
        return cell(bootstrap(statistic, scale.units, resampling))

    def row(name: str, scores: Float64) -> Row:
        graded = _on_marks(scores, people)
        kappa = quadratic_weighted_kappa(people, graded, low=scale.low, high=scale.high, step=scale.step)
        cells = {
            "spearman": interval(lambda at: spearman(scores[at], people[at])),
            "partial": interval(lambda at: partial_spearman(scores[at], people[at], length[at])),
            "kendall": cell(kendall_tau_b(scores, people)),
            "kappa": cell(kappa),
            "with_length": cell(spearman(scores, length)),
        }
        return Row(name, cells, n=len(people), baseline=name in baselines)

    columns = (
        Column("spearman", "Spearman", "higher"),
        Column("partial", "length taken out", "higher"),
        Column("kendall", "Kendall", "higher"),
        Column("kappa", "weighted kappa", "higher"),
        Column("with_length", "with length"),
    )
    rows = tuple(row(name, scores) for name, scores in judges.items())
    return Table(title, "judge", columns, rows, note="Agreement with people; the last column is the judge's own bias.")


def mean_of_ranks(scores: Sequence[Float64]) -> Float64:
    """A panel of judges: the mean of their ranks, 0 to 1. No weights, so nothing is fitted."""
    ranks = [np.argsort(np.argsort(one, kind="stable"), kind="stable") / max(1, len(one) - 1) for one in scores]
    mean: Float64 = np.mean(ranks, axis=0)
    return mean


def scatter(title: str, judge: str, scores: Float64, people: Float64, spearman_cell: Cell | None) -> Scatter:
    """Judge against people, point by point."""
    points = tuple(ScatterPoint(float(x), float(y)) for x, y in zip(scores[:_DRAWN], people[:_DRAWN], strict=True))
    return Scatter(title=title, x=judge, y="people", points=points, spearman=spearman_cell)


def _on_marks(scores: Float64, people: Float64) -> Float64:
    out = np.empty(len(people))
    out[np.argsort(scores, kind="stable")] = np.sort(people)
    return out
