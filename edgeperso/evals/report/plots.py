"""Plots of a result, as data: what is drawn, not how."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field

from edgeperso.evals.report.fields import Better, Count, Label, Maybe, Number, Part, Text, check_interval
from edgeperso.evals.report.tables import Cell, Table

__all__ = [
    "Histogram",
    "Interval",
    "Intervals",
    "Lines",
    "LinesPoint",
    "Plot",
    "Reference",
    "Scatter",
    "ScatterPoint",
    "Series",
]


@dataclass(frozen=True, slots=True)
class Reference(Part):
    """A line across an axis: a value to compare with."""

    value: Number
    label: Text


@dataclass(frozen=True, slots=True)
class Interval(Part):
    """One line of `Intervals`."""

    label: Label
    value: Maybe
    low: Maybe = None
    high: Maybe = None
    baseline: bool = False

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals(Part):
    """A dot and a whisker a label, over the one axis ``x``."""

    kind: Literal["intervals"] = "intervals"
    title: Label
    x: Text
    points: Annotated[tuple[Interval, ...], Field(min_length=1)]
    better: Better = ""
    references: tuple[Reference, ...] = ()
    note: Text = ""

    @classmethod
    def of(cls, table: Table, name: str, *, title: str, references: tuple[Reference, ...] = (), note: str = "") -> Self:
        """The column ``name`` of ``table``, drawn.

        Raises:
            ValueError: the table has no such column.
        """
        column = next((column for column in table.columns if column.name == name), None)
        if column is None:
            raise ValueError("the table has no such column")
        return cls(
            title=title,
            x=column.label,
            points=tuple(
                Interval(row.label, cell.value, cell.low, cell.high, row.baseline)
                for row, cell in zip(table.rows, table.cells(name), strict=True)
            ),
            better=column.better,
            references=references,
            note=note,
        )


@dataclass(frozen=True, slots=True)
class LinesPoint(Part):
    x: Number
    y: Number
    low: Maybe = None
    high: Maybe = None

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Series(Part):
    """Points in order of ``x``."""

    label: Label
    points: Annotated[tuple[LinesPoint, ...], Field(min_length=1)]
    baseline: bool = False

    def __post_init__(self) -> None:
        if any(left.x >= right.x for left, right in pairwise(self.points)):
            raise ValueError("must have its points in order of `x`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines(Part):
    """Series over a numeric axis; with ``even``, every ``x`` that occurs is as far from the next one as all others."""

    kind: Literal["lines"] = "lines"
    title: Label
    x: Text
    y: Text
    series: Annotated[tuple[Series, ...], Field(min_length=1)]
    better: Better = ""
    even: bool = False
    note: Text = ""


@dataclass(frozen=True, slots=True)
class ScatterPoint(Part):
    x: Number
    y: Number
    label: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter(Part):
    """Points; ``spearman`` is the rank correlation that was computed from them, ``diagonal`` draws y = x."""

    kind: Literal["scatter"] = "scatter"
    title: Label
    x: Text
    y: Text
    points: Annotated[tuple[ScatterPoint, ...], Field(min_length=1)]
    spearman: Cell | None = None
    diagonal: bool = False
    note: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram(Part):
    """``counts[i]`` lie from ``edges[i]`` to ``edges[i + 1]``."""

    kind: Literal["histogram"] = "histogram"
    title: Label
    x: Text
    y: Text
    edges: tuple[Number, ...]
    counts: Annotated[tuple[Count, ...], Field(min_length=1)]
    references: tuple[Reference, ...] = ()
    note: Text = ""

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError("must have one edge more than counts")
        if any(left >= right for left, right in pairwise(self.edges)):
            raise ValueError("must have its edges in order")


Plot = Annotated[Intervals | Lines | Scatter | Histogram, Field(discriminator="kind")]
