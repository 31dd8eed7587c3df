"""Evaluation results as files, and one page that shows them."""

from edgeperso.evals.report.page import write_report
from edgeperso.evals.report.plots import (
    Histogram,
    Interval,
    Intervals,
    Lines,
    LinesPoint,
    Plot,
    Reference,
    Scatter,
    ScatterPoint,
    Series,
)
from edgeperso.evals.report.results import Headline, Result, load_all, save
from edgeperso.evals.report.tables import Cell, Column, Row, Table

__all__ = [
    "Cell",
    "Column",
    "Headline",
    "Histogram",
    "Interval",
    "Intervals",
    "Lines",
    "LinesPoint",
    "Plot",
    "Reference",
    "Result",
    "Row",
    "Scatter",
    "ScatterPoint",
    "Series",
    "Table",
    "load_all",
    "save",
    "write_report",
]
