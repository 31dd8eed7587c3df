"""What the page shows of the results, ready to be written out: numbers as text, the best marked, headlines found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeperso.evals.report.charts import draw
from edgeperso.evals.report.fields import Better
from edgeperso.evals.report.intervals import strip
from edgeperso.evals.report.numbers import decimals_of, figure, interval, number, p_value
from edgeperso.evals.report.plots import Plot, Scatter
from edgeperso.evals.report.results import Result
from edgeperso.evals.report.tables import Cell, Column, Table

__all__ = ["CardView", "Measured", "SectionView", "TableView"]

_NARROW: Final = 3
_WIDE: Final = 5
"""A table of more columns takes the page's whole width."""
_HASH: Final = re.compile(r"\b(?:sha256[:=]?\s*)?([0-9a-f]{12,64})\b…?")


@dataclass(frozen=True, slots=True)
class CellView:
    value: str
    interval: str
    p: str
    best: bool


@dataclass(frozen=True, slots=True)
class ColumnView:
    """``tested``: whether a p value follows each cell."""

    label: str
    better: Better
    tested: bool
    cells: list[CellView]

    @classmethod
    def of(cls, column: Column, table: Table) -> ColumnView:
        cells = table.cells(column.name)
        decimals = decimals_of(cells)
        leader = _best(cells, column.better) if table.ranked and len(cells) > 1 else None
        best = None if leader is None else number(cells[leader].value, decimals)
        shown = []
        for cell in cells:
            value = number(cell.value, decimals)
            # What reads the same is as good: a bold 0.412 above a plain 0.412 would only puzzle.
            shown.append(CellView(value, interval(cell.low, cell.high, decimals), p_value(cell.p), value == best))
        return cls(column.label, column.better, any(cell.p is not None for cell in cells), shown)


@dataclass(frozen=True, slots=True)
class RowView:
    label: str
    n: str
    baseline: bool
    cells: list[CellView]


@dataclass(frozen=True, slots=True)
class TableView:
    """``n``: that of all rows where it is one; otherwise empty, and the table is ``counted``: each row has its own."""

    table: Table
    n: str
    counted: bool
    columns: list[ColumnView]
    rows: list[RowView]

    @classmethod
    def of(cls, table: Table) -> TableView:
        columns = [ColumnView.of(column, table) for column in table.columns]
        counts = {row.n for row in table.rows}
        rows = [
            RowView(row.label, number(row.n, 0), row.baseline, [column.cells[place] for column in columns])
            for place, row in enumerate(table.rows)
        ]
        common = next(iter(counts)) if len(counts) == 1 else None
        return cls(table, "" if common is None else number(common, 0), len(counts) > 1, columns, rows)

    @property
    def width(self) -> int:
        """Columns of numbers."""
        return len(self.columns) + self.counted + sum(column.tested for column in self.columns)


@dataclass(frozen=True, slots=True)
class PlotView:
    plot: Plot
    svg: str
    caption: str

    @classmethod
    def of(cls, plot: Plot) -> PlotView:
        return cls(plot, draw(plot), _correlation(plot) if isinstance(plot, Scatter) else "")


@dataclass(frozen=True, slots=True)
class CardView:
    """A result's headline, with the other rows of its column as a strip."""

    result: Result
    value: str
    measure: str
    interval: str = ""
    better: Better = ""
    leader: str = ""
    baseline: str = ""
    strip: str = ""

    @classmethod
    def of(cls, result: Result) -> CardView:
        if result.tables:
            table = result.tables[0]
            named = result.headline.column if result.headline else ""
            column = next(
                (one for one in table.columns if (one.name == named if named else one.better)), table.columns[0]
            )
            return cls._of_column(result, table, column)
        name, value = next(iter(result.figures.items()), ("", None))
        return cls(result, "" if value is None else figure(value), name.replace("_", " "))

    @classmethod
    def _of_column(cls, result: Result, table: Table, column: Column) -> CardView:
        cells = table.cells(column.name)
        decimals = decimals_of(cells)
        named = result.headline.row if result.headline else ""
        best = _best(cells, column.better) if table.ranked and not named else None
        leader = next((place for place, row in enumerate(table.rows) if row.label == named), best or 0)
        baseline = next((place for place, row in enumerate(table.rows) if row.baseline), None)
        against = ""
        if baseline is not None:
            known = f"baseline {number(cells[baseline].value, decimals)}, {table.rows[baseline].label}"
            against = "this is the baseline" if baseline == leader else known
        return cls(
            result,
            number(cells[leader].value, decimals),
            column.label,
            interval(cells[leader].low, cells[leader].high, decimals),
            column.better,
            table.rows[leader].label + (f", best of\u00a0{len(cells)}" if best is not None and len(cells) > 1 else ""),
            against,
            strip(cells, leader, baseline, f"{column.label}, all rows") if len(cells) > 1 else "",
        )


@dataclass(frozen=True, slots=True)
class ModelView:
    role: str
    name: str
    hash: str


@dataclass(frozen=True, slots=True)
class SectionView:
    result: Result
    n: str
    tables: list[TableView]
    plots: list[PlotView]
    figures: list[tuple[str, str]]
    models: list[ModelView]

    @classmethod
    def of(cls, result: Result) -> SectionView:
        return cls(
            result,
            number(result.n, 0),
            [TableView.of(table) for table in result.tables],
            [PlotView.of(plot) for plot in result.plots],
            [(name, figure(value)) for name, value in result.figures.items()],
            _models([result]),
        )

    @property
    def layout(self) -> str:
        """Whether the plots stand ``beside`` the tables (with more room for ``wide`` ones) or ``below`` them."""
        width = max((view.width for view in self.tables), default=0)
        if not self.plots or not 0 < width <= _WIDE:
            return "below"
        return "beside" if width <= _NARROW else "beside wide"


@dataclass(frozen=True, slots=True)
class Measured:
    """When, on what and with which models all of the results were measured, each thing once."""

    dates: list[str]
    commits: list[str]
    machines: list[str]
    models: list[ModelView]

    @classmethod
    def of(cls, results: Sequence[Result]) -> Measured:
        days = sorted({result.date.isoformat() for result in results})
        return cls(
            [days[0], days[-1]] if len(days) > 1 else days,
            list(dict.fromkeys(result.commit for result in results)),
            list(dict.fromkeys(result.machine for result in results)),
            _models(results),
        )


def _best(cells: Sequence[Cell], better: Better) -> int | None:
    """Which cell is best, the first of equals; None where there is none or no side is better."""
    known = [(cell.value, place) for place, cell in enumerate(cells) if cell.value is not None]
    if not known or not better:
        return None
    sign = -1 if better == "higher" else 1
    return min(known, key=lambda one: sign * one[0])[1]


def _correlation(plot: Scatter) -> str:
    count = f"n = {number(len(plot.points), 0)}"
    if plot.spearman is None:
        return count
    decimals = max(2, decimals_of([plot.spearman]))
    between = interval(plot.spearman.low, plot.spearman.high, decimals)
    told = f"Spearman’s ρ = {number(plot.spearman.value, decimals)}" + (f" ({between})" if between else "")
    p = p_value(plot.spearman.p)
    tested = [] if plot.spearman.p is None else [f"p {p}" if p.startswith("<") else f"p = {p}"]
    return ", ".join([told, *tested, count])


def _models(results: Sequence[Result]) -> list[ModelView]:
    """Each model once, its hash apart from its name."""
    models = []
    for role, told in dict.fromkeys(item for result in results for item in result.models.items()):
        found = _HASH.search(told)
        name = told.replace(found.group(), "").strip(" ,()") if found else told
        models.append(ModelView(role, name, found.group(1) if found else ""))
    return models
