"""One plot with logarithmic axes, as an SVG file that stands alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from edgeperso.evals.report import svg

__all__ = ["loglog"]

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 62, 172, 52, 48
NAME_APART = 16
# Readable on white and on black: readers show the file on either.
STYLE = """text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#5a6671}
.title{font-size:15px;font-weight:600}.grid{stroke:#8a96a0;stroke-opacity:.25}
.guide{stroke:#8a96a0;stroke-dasharray:4 5;stroke-opacity:.7}.line{fill:none;stroke-width:2.2}"""
COLOURS = ("#0b8a68", "#c85a10", "#3b78cf", "#a04a98")

Points = Sequence[tuple[float, float]]


def loglog(title: str, across: str, up: str, series: Sequence[tuple[str, Points]]) -> str:
    """``series`` (name, points above 0) over logarithmic axes; what grows as ``across`` does, along dashed lines."""
    plot = _Axes([x for _, points in series for x, _ in points], [y for _, points in series for _, y in points])
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img"})
    root.attrib |= {"width": str(WIDTH), "height": str(HEIGHT), "aria-label": title}
    told = "; ".join(f"{name}: {', '.join(f'{x:,.0f} {y:.3g}' for x, y in points)}" for name, points in series)
    svg.add(root, "desc").text = f"{across} and {up}. {told}"
    svg.add(root, "style").text = STYLE
    svg.write(root, title, x=LEFT, y=20, class_="title")
    svg.write(root, up, x=LEFT, y=40)
    svg.write(root, across, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle")
    plot.draw(root)
    ends = sorted(range(len(series)), key=lambda number: plot.y(series[number][1][-1][1]))
    below = -math.inf
    for number in ends:
        name, points = series[number]
        below = max(below + NAME_APART, plot.y(points[-1][1]))
        _line(root, plot, points, COLOURS[number % len(COLOURS)])
        svg.write(root, name, x=plot.x(points[-1][0]) + 12, y=below + 4, style=f"fill:{COLOURS[number % len(COLOURS)]}")
    return svg.render(root) + "\n"


def _line(root: Element, plot: _Axes, points: Points, colour: str) -> None:
    steps = " ".join(f"{plot.x(x):.1f},{plot.y(y):.1f}" for x, y in points)
    svg.add(root, "polyline", points=steps, class_="line", style=f"stroke:{colour}")
    for x, y in points:
        spot = svg.add(root, "circle", cx=plot.x(x), cy=plot.y(y), r=3.6, style=f"fill:{colour}")
        svg.said(spot, f"{x:,.0f}: {y:.3g}")


class _Axes:
    """Where values lie, in px: the axes reach from one power of ten to another."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self._across = math.floor(math.log10(min(xs))), max(math.ceil(math.log10(max(xs))), 1)
        self._up = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def x(self, value: float) -> float:
        low, high = self._across
        return LEFT + (math.log10(value) - low) / max(high - low, 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self._up
        return HEIGHT - BOTTOM - (math.log10(value) - low) / max(high - low, 1) * (HEIGHT - TOP - BOTTOM)

    def draw(self, root: Element) -> None:
        (first, last), (lowest, highest) = self._across, self._up
        for power in range(first, last + 1):
            x = self.x(10.0**power)
            svg.add(root, "line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid")
            svg.write(root, f"{10**power:,}", x=x, y=HEIGHT - BOTTOM + 18, text_anchor="middle")
        for power in range(lowest, highest + 1):
            y = self.y(10.0**power)
            svg.add(root, "line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
            svg.write(root, f"{10.0**power:g}", x=LEFT - 8, y=y + 4, text_anchor="end")
        for power in range(lowest - (last - first) + 1, highest):
            # From the left edge or the bottom to the right edge or the top, ten times as high for ten times as far.
            begin, end = max(0, lowest - power), min(last - first, highest - power)
            svg.add(
                root,
                "line",
                x1=self.x(10.0 ** (first + begin)),
                y1=self.y(10.0 ** (power + begin)),
                x2=self.x(10.0 ** (first + end)),
                y2=self.y(10.0 ** (power + end)),
                class_="guide",
            )
