"""A plot's data to its drawing."""

from __future__ import annotations

from edgeperso.evals.report.intervals import intervals_chart
from edgeperso.evals.report.lines import lines_chart
from edgeperso.evals.report.plots import Histogram, Intervals, Lines, Plot, Scatter
from edgeperso.evals.report.points import histogram_chart, scatter_chart

__all__ = ["draw"]


def draw(plot: Plot) -> str:
    """``plot`` as inline SVG: well-formed, its texts escaped, its colours left to the page."""
    match plot:
        case Intervals():
            return intervals_chart(plot)
        case Lines():
            return lines_chart(plot)
        case Scatter():
            return scatter_chart(plot)
        case Histogram():
            return histogram_chart(plot)
