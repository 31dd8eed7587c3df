"""Dots with whiskers over one axis, and their small form for the overview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from edgeperso.evals.report import svg
from edgeperso.evals.report.numbers import Scale, decimals_of, interval, number
from edgeperso.evals.report.plots import Interval, Intervals
from edgeperso.evals.report.tables import Cell

__all__ = ["intervals_chart", "strip"]

_LABEL_CHARS: Final = 21
_AXIS_CHARS: Final = 46
_ROW: Final = 26
_STRIP: Final = 22


@dataclass(frozen=True, slots=True)
class _Line:
    """A row as it is drawn: ``label`` in lines, from ``y`` on ``height`` px."""

    point: Interval
    label: list[str]
    value: str
    told: str
    y: float
    height: float


def intervals_chart(plot: Intervals) -> str:
    top = svg.references_height([reference.label for reference in plot.references]) + 8
    lines = _lines(plot, top)
    bottom = lines[-1].y + lines[-1].height
    left = max(len(text) for line in lines for text in line.label) * svg.CHAR + 14
    right = max(len(line.value) for line in lines) * svg.CHAR + 16
    values = [*_values(plot.points), *(reference.value for reference in plot.references)]
    scale = Scale.around(values or [0.0], whole=False)
    axis = svg.wrap(f"{plot.x}, {plot.better} is better" if plot.better else plot.x, _AXIS_CHARS)
    height = bottom + svg.LINE * (len(axis) + 1) + 12
    told = "; ".join(line.told for line in lines)
    root = svg.chart("intervals", plot.title, told, height=height, left=left, right=right)
    for tick in scale.ticks:
        x = svg.pct(scale.at(tick))
        svg.add(root, "line", x1=x, x2=x, y1=top, y2=bottom, class_="grid" if tick else "zero")
        svg.write(root, scale.label(tick), x=x, y=bottom + svg.LINE + 2, class_="tick", text_anchor="middle")
    places = [(scale.at(reference.value), reference.label) for reference in plot.references]
    svg.references(root, places, top=0, bottom=bottom, left=left, right=right)
    for line in lines:
        _draw(root, line, scale, left, right)
    for place, text in enumerate(axis):
        y = bottom + svg.LINE * (place + 2) + 6
        svg.write(root, text, x="100%", dx=right, y=y, class_="axis", text_anchor="end")
    return svg.render(root)


def strip(cells: Sequence[Cell], leader: int, baseline: int | None, title: str) -> str:
    """A line without words: where the values of all ``cells`` lie, the ``leader`` filled, the ``baseline`` hollow."""
    scale = Scale.around(_values(cells), whole=False)
    root = svg.chart("strip", title, "", height=_STRIP, left=6, right=6)
    y = _STRIP / 2
    svg.add(root, "line", x1=0, x2="100%", y1=y, y2=y, class_="grid")
    for place, cell in enumerate(cells):
        if cell.value is not None and place not in {leader, baseline}:
            x = svg.pct(scale.at(cell.value))
            svg.add(root, "line", x1=x, x2=x, y1=y - 5, y2=y + 5, class_="other")
    if baseline is not None and baseline != leader:
        _whisker(root, cells[baseline], scale, y, "baseline")
    _whisker(root, cells[leader], scale, y, "baseline" if leader == baseline else "series s0")
    return svg.render(root)


def _lines(plot: Intervals, top: float) -> list[_Line]:
    decimals = decimals_of(plot.points)
    lines = []
    y = top
    for point in plot.points:
        label = [*svg.wrap(point.label, _LABEL_CHARS, lines=3), *(["baseline"] if point.baseline else [])]
        value, between = number(point.value, decimals), interval(point.low, point.high, decimals)
        told = f"{point.label}: {value}" + (f" ({between})" if between else "")
        height = max(_ROW, svg.LINE * len(label) + 8)
        lines.append(_Line(point, label, value, told, y, height))
        y += height
    return lines


def _draw(root: Element, line: _Line, scale: Scale, left: float, right: float) -> None:
    row = svg.add(root, "g", class_="row")
    svg.said(row, line.told)
    svg.add(row, "rect", x=0, y=line.y, width="100%", height=line.height, class_="hit")
    middle = line.y + line.height / 2
    first = middle + 4 - svg.LINE * (len(line.label) - 1) / 2
    for place, text in enumerate(line.label):
        aside = line.point.baseline and place == len(line.label) - 1
        svg.write(row, text, x=-left, y=first + svg.LINE * place, class_="aside" if aside else "label")
    _whisker(row, line.point, scale, middle, "baseline" if line.point.baseline else "series s0")
    svg.write(row, line.value, x="100%", dx=right, y=middle + 4, class_="value", text_anchor="end")


def _whisker(spot: Element, one: Cell | Interval, scale: Scale, y: float, class_: str) -> None:
    if one.low is not None and one.high is not None:
        x1, x2 = svg.pct(scale.at(one.low)), svg.pct(scale.at(one.high))
        svg.add(spot, "line", x1=x1, x2=x2, y1=y, y2=y, class_=f"whisker {class_}")
    if one.value is not None:
        svg.add(spot, "circle", cx=svg.pct(scale.at(one.value)), cy=y, r=4.5, class_=f"dot {class_}")


def _values(cells: Sequence[Cell | Interval]) -> list[float]:
    return [value for cell in cells for value in (cell.value, cell.low, cell.high) if value is not None]
