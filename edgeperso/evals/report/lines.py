"""Series over a numeric axis, with bands, each named where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, pairwise
from typing import Final

from edgeperso.evals.report import svg
from edgeperso.evals.report.frame import Across, Frame
from edgeperso.evals.report.numbers import Scale, decimals_of, figure, interval, number
from edgeperso.evals.report.plots import Lines, LinesPoint, Series
from edgeperso.evals.report.tables import Cell

__all__ = ["lines_chart", "spread"]

_HEIGHT: Final = 230
_LABEL_CHARS: Final = 17
_COLOURS: Final = 6
_APART: Final = 0.12
"""The share of the axis that values must be apart to serve as its ticks."""
_MOST_TICKS: Final = 7
_MOST_MARKERS: Final = 12


def lines_chart(plot: Lines) -> str:
    cells = [Cell(point.y, point.low, point.high) for series in plot.series for point in series.points]
    decimals = decimals_of(cells)
    values = [value for cell in cells for value in (cell.value, cell.low, cell.high) if value is not None]
    labels = [svg.wrap(series.label, _LABEL_CHARS, lines=3) for series in plot.series]
    told = [[f"{figure(point.x)}: {_told(point, decimals)}" for point in series.points] for series in plot.series]
    frame = Frame.draw(
        "lines",
        plot.title,
        "; ".join(f"{series.label}, {', '.join(points)}" for series, points in zip(plot.series, told, strict=True)),
        _across(plot),
        Scale.around(values, whole=False, zero=True, count=5),
        label=f"{plot.y}, {plot.better} is better" if plot.better else plot.y,
        height=_HEIGHT,
        right=max(len(text) for label in labels for text in label) * svg.CHAR + 24,
    )
    classes = _classes(plot.series)
    for series, class_ in zip(plot.series, classes, strict=True):
        _band(frame, series, class_)
    for order, series in enumerate(plot.series):
        spots = [(frame.x(point.x), frame.y(point.y)) for point in series.points]
        svg.line(frame.plot, spots, height=frame.height, class_=f"line {classes[order]}", tag="polyline")
        shape = order if len(spots) <= _MOST_MARKERS else None
        for (x, y), text in zip(spots, told[order], strict=True):
            svg.said(svg.marker(frame.plot, x, y, shape, classes[order]), f"{series.label}, {plot.x} {text}")
    _name(frame, plot.series, labels, classes)
    return svg.render(frame.root)


def spread(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Centres near ``wanted`` such that things of ``heights`` don't overlap and stay between ``low`` and ``high``.

    They keep their order. Where they don't fit, they begin at ``low`` and go on beyond ``high``.
    """
    order = sorted(range(len(wanted)), key=lambda place: (wanted[place], place))
    tops = [0.0] * len(wanted)
    bottom = high
    for place in reversed(order):
        tops[place] = min(wanted[place] - heights[place] / 2, bottom - heights[place])
        bottom = tops[place]
    bottom = low
    for place in order:
        tops[place] = max(tops[place], bottom)
        bottom = tops[place] + heights[place]
    return [top + height / 2 for top, height in zip(tops, heights, strict=True)]


def _across(plot: Lines) -> Across:
    xs = sorted({point.x for series in plot.series for point in series.points})
    if plot.even:
        every = -(-len(xs) // _MOST_TICKS)
        last = max(1, len(xs) - 1)
        places = {x: 100 * place / last for place, x in enumerate(xs)}
        label = f"{plot.x} (evenly spaced, not to scale)"
        return Across(places.__getitem__, [(x, figure(x)) for x in xs[::every]], label)
    span = xs[-1] - xs[0]
    if not span:
        return Across(lambda _: 50.0, [(xs[0], figure(xs[0]))], plot.x)
    if len(xs) <= _MOST_TICKS and all(right - left >= _APART * span for left, right in pairwise(xs)):
        ticks = [(x, figure(x)) for x in xs]
    else:
        scale = Scale.around(xs, whole=False, count=5)
        ticks = [(tick, scale.label(tick)) for tick in scale.ticks if xs[0] <= tick <= xs[-1]]
    return Across(lambda x: 100 * (x - xs[0]) / span, ticks, plot.x)


def _classes(series: Sequence[Series]) -> list[str]:
    numbers = count()
    return ["baseline" if one.baseline else f"series s{next(numbers) % _COLOURS}" for one in series]


def _band(frame: Frame, series: Series, class_: str) -> None:
    known = [(frame.x(one.x), one.low, one.high) for one in series.points if one.low is not None]
    there = [(x, frame.y(low)) for x, low, _ in known if low is not None]
    back = [(x, frame.y(high)) for x, _, high in reversed(known) if high is not None]
    if len(known) > 1:
        svg.line(frame.plot, there + back, height=frame.height, class_=f"band {class_}", tag="polygon")


def _name(frame: Frame, series: Sequence[Series], labels: Sequence[Sequence[str]], classes: Sequence[str]) -> None:
    """The series' names on the right, none over another; a thread leads from the end of the line to its name."""
    ends = [frame.y(one.points[-1].y) for one in series]
    heights = [svg.LINE * len(label) + 3.0 for label in labels]
    edge = svg.add(frame.plot, "svg", x="100%", y=0)
    for end, centre, label, class_ in zip(
        ends, spread(ends, heights, -8, frame.height + 8), labels, classes, strict=True
    ):
        svg.add(edge, "line", x1=6, y1=end, x2=14, y2=centre, class_=f"thread {class_}")
        for place, text in enumerate(label):
            y = centre + 4 + svg.LINE * (place - (len(label) - 1) / 2)
            svg.write(edge, text, x=17, y=y, class_=f"name {class_}")


def _told(point: LinesPoint, decimals: int) -> str:
    between = interval(point.low, point.high, decimals)
    return number(point.y, decimals) + (f" ({between})" if between else "")
