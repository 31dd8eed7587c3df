"""Tables of a result: a row a method (or whatever the unit is), a column a measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from edgeperso.evals.report.fields import Better, Count, Label, Maybe, Part, Share, Text, check_interval

__all__ = ["Cell", "Column", "Row", "Table"]


@dataclass(frozen=True, slots=True)
class Cell(Part):
    """A value with its interval and, where it was tested against something, the p value of that test."""

    value: Maybe
    low: Maybe = None
    high: Maybe = None
    p: Share = None

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Column(Part):
    name: Label
    label: Label
    better: Better = ""


@dataclass(frozen=True, slots=True)
class Row(Part):
    """``cells`` by the name of their column; one that is left out is shown as missing. ``n``: items measured."""

    label: Label
    cells: dict[Label, Cell]
    n: Count | None = None
    baseline: bool = False


@dataclass(frozen=True, slots=True)
class Table(Part):
    """``unit`` says what a row is: "method". Rows are ``ranked`` where they compete: then the best is marked."""

    title: Label
    unit: Text
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    ranked: bool = True
    note: Text = ""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ValueError("has two columns of one name")
        if any(row.cells.keys() - set(names) for row in self.rows):
            raise ValueError("has a cell that belongs to no column")

    def cells(self, name: str) -> list[Cell]:
        """The column ``name``, a cell a row."""
        return [row.cells.get(name, Cell(None)) for row in self.rows]
