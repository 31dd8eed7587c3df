"""From an experiment's outcomes to the cells, rows and plots of its result."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping

from edgeperso.evals.measurement import measurement
from edgeperso.evals.metrics.intervals import Comparison, Interval
from edgeperso.evals.report import Cell, Headline, Plot, Result, Table
from edgeperso.evals.setup import Setup

__all__ = ["cell", "key", "result"]


def cell(figure: Interval | float, against: Comparison | None = None) -> Cell:
    """A figure with its bounds, and the p of its difference from the baseline."""
    p = None if against is None else against.p
    if isinstance(figure, Interval):
        return Cell(figure.value, figure.low, figure.high, p)
    return Cell(figure, p=p)


def key(name: str) -> str:
    """A row's name as part of a figure's: ``bm25+profile`` becomes ``bm25_profile``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower().replace("'", "")).strip("_")


def result(
    setup: Setup,
    name: str,
    figures: Mapping[str, float],
    *,
    n: int,
    title: str,
    question: str,
    tables: tuple[Table, ...],
    plots: tuple[Plot, ...] = (),
    headline: Headline | None = None,
    notes: tuple[str, ...] = (),
    models: Mapping[str, str] | None = None,
) -> Result:
    """The result of an experiment that ran on ``setup``, dated today.

    A figure that isn't a number is left out: bounds from a single person, a ratio to zero.
    """
    figures = {key: value for key, value in figures.items() if math.isfinite(value)}
    measured = measurement(name, figures, n=n, seed=setup.seed, models=setup.models if models is None else models)
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return Result.of(
        measured, title=title, question=question, date=today, tables=tables, plots=plots, headline=headline, notes=notes
    )
