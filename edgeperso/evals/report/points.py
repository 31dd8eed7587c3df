"""Points over two axes, and bars of counts."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Final

from edgeperso.evals.report import svg
from edgeperso.evals.report.frame import Across, Frame
from edgeperso.evals.report.numbers import Scale, figure, number
from edgeperso.evals.report.plots import Histogram, Scatter

__all__ = ["histogram_chart", "scatter_chart"]

_SQUARE: Final = 300
_HEIGHT: Final = 210
_DOT: Final = 4.0
_LARGEST_DOT: Final = 13.0


def scatter_chart(plot: Scatter) -> str:
    """Points in one place are one dot, its area their number."""
    places: defaultdict[tuple[float, float], list[str]] = defaultdict(list)
    for point in plot.points:
        places[point.x, point.y].append(point.label)
    xs, ys = [x for x, _ in places], [y for _, y in places]
    if plot.diagonal:
        xs = ys = xs + ys
    across, up = Scale.around(xs, whole=False, count=5), Scale.around(ys, whole=False, count=5)
    told = f"{number(len(plot.points), 0)} points"
    frame = Frame.draw("scatter", plot.title, told, Across.of(across, plot.x), up, label=plot.y, height=_SQUARE)
    if plot.diagonal:
        svg.line(frame.plot, [(0, _SQUARE), (100, 0)], height=_SQUARE, class_="reference", tag="polyline")
    most = max(map(len, places.values()))
    for (x, y), labels in sorted(places.items()):
        radius = _DOT if most == 1 else max(2.0, _LARGEST_DOT * (len(labels) / most) ** 0.5)
        dot = svg.add(frame.plot, "circle", cx=svg.pct(frame.x(x)), cy=frame.y(y), r=radius, class_="point series s0")
        names = ", ".join(label for label in labels if label)
        many = f" ({len(labels)} points)" if len(labels) > 1 else ""
        svg.said(dot, f"{f'{names}: ' if names else ''}{figure(x)}, {figure(y)}{many}")
    return svg.render(frame.root)


def histogram_chart(plot: Histogram) -> str:
    told = [
        f"{figure(low)} to {figure(high)}: {number(times, 0)}"
        for (low, high), times in zip(pairwise(plot.edges), plot.counts, strict=True)
    ]
    above = svg.references_height([reference.label for reference in plot.references])
    frame = Frame.draw(
        "histogram",
        plot.title,
        "; ".join(told),
        Across.of(
            Scale.around([*plot.edges, *(reference.value for reference in plot.references)], whole=False, count=6),
            plot.x,
        ),
        Scale.around([0, max(1, *plot.counts)], whole=True),
        label=plot.y,
        height=_HEIGHT,
        above=above,
    )
    for (low, high), times, text in zip(pairwise(plot.edges), plot.counts, told, strict=True):
        left, y = frame.x(low), frame.y(times)
        svg.said(
            svg.add(
                frame.plot,
                "rect",
                x=svg.pct(left),
                y=y,
                width=svg.pct(frame.x(high) - left),
                height=frame.height - y,
                class_="bar series s0",
            ),
            text,
        )
    places = [(frame.x(reference.value), reference.label) for reference in plot.references]
    svg.references(frame.plot, places, top=-above, bottom=frame.height, left=frame.left, right=frame.right)
    return svg.render(frame.root)
