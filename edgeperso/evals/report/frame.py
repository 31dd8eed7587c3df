"""The two axes that lines, points and bars are drawn over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from edgeperso.evals.report import svg
from edgeperso.evals.report.numbers import Scale

__all__ = ["Across", "Frame"]

_LABEL_CHARS: Final = 52
_GAP: Final = 11


@dataclass(frozen=True, slots=True)
class Across:
    """The axis along the width: where a value lies, in percent, and its ticks with their labels."""

    at: Callable[[float], float]
    ticks: list[tuple[float, str]]
    label: str

    @classmethod
    def of(cls, scale: Scale, label: str) -> Across:
        return cls(scale.at, [(tick, scale.label(tick)) for tick in scale.ticks], label)


@dataclass(frozen=True, slots=True)
class Frame:
    """A chart with its axes; ``plot`` is the area between them, ``height`` px high, with px ``left`` and ``right``."""

    root: Element
    plot: Element
    across: Across
    up: Scale
    height: float
    left: float
    right: float

    @classmethod
    def draw(
        cls,
        kind: str,
        title: str,
        told: str,
        across: Across,
        up: Scale,
        *,
        label: str,
        height: float,
        right: float = 14,
        above: float = 0,
    ) -> Frame:
        """An empty chart.

        Args:
            kind: its class.
            title: its name; shown on the page, so not drawn.
            told: its description.
            across: the axis below.
            up: the axis on the left.
            label: of ``up``; stands above it.
            height: of the area between the axes, px.
            right: px to leave free beside it.
            above: px to leave free between it and ``label``.
        """
        left = max(len(up.label(tick)) for tick in up.ticks) * svg.CHAR + 12
        head, foot = svg.wrap(label, _LABEL_CHARS), svg.wrap(across.label, _LABEL_CHARS)
        top = svg.LINE * len(head) + _GAP + above
        below = svg.LINE * (len(foot) + 1) + _GAP
        root = svg.chart(kind, title, told, height=top + height + below, left=left, right=right)
        for place, text in enumerate(head):
            svg.write(root, text, x=-left, y=12 + svg.LINE * place, class_="axis")
        frame = cls(root, svg.add(root, "svg", y=top), across, up, height, left, right)
        for tick in up.ticks:
            y = frame.y(tick)
            svg.add(frame.plot, "line", x1=0, x2="100%", y1=y, y2=y, class_="grid" if tick else "zero")
            svg.write(frame.plot, up.label(tick), x=-8, y=y + 4, class_="tick", text_anchor="end")
        for tick, text in across.ticks:
            x = svg.pct(across.at(tick))
            svg.add(frame.plot, "line", x1=x, x2=x, y1=height, y2=height + 4, class_="zero")
            svg.write(frame.plot, text, x=x, y=height + svg.LINE + 3, class_="tick", text_anchor="middle")
        for place, text in enumerate(foot):
            svg.write(frame.plot, text, x=0, y=height + svg.LINE * (place + 2) + 6, class_="axis")
        return frame

    def x(self, value: float) -> float:
        """In percent of the area's width."""
        return self.across.at(value)

    def y(self, value: float) -> float:
        """In px from the area's top."""
        return self.height * (1 - self.up.at(value) / 100)
