"""The few shapes that charts are made of, as inline SVG.

Text keeps its size whatever the width of the page: nothing is scaled. A chart's plot area is the content box of its
``<svg>``; labels beside it stand in the box's padding, which is in px. Along the width, places are in percent of the
area; heights are in px. A nested ``<svg>`` serves as a group whose origin is in percent. Colours and strokes come from
the page's style by class. ElementTree escapes what is written, so a chart is well-formed whatever the labels hold.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

__all__ = [
    "CHAR",
    "LINE",
    "add",
    "chart",
    "line",
    "marker",
    "pct",
    "references",
    "references_height",
    "render",
    "said",
    "wrap",
    "write",
]

CHAR: Final = 6.8
"""What a character of 12 px text takes on average, px, in the widest of the system fonts."""
LINE: Final = 15
"""The height of a line of text, px."""

_NARROW: Final = 360
"""The width of a chart on a phone, px."""
_REFERENCE_CHARS: Final = 26

_MARKERS: Final = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-5.2 5.2 0 0 5.2-5.2 0z",
    "M0-4.8 4.8 3.8h-9.6z",
)


def chart(kind: str, title: str, told: str, *, height: float, left: float, right: float) -> Element:
    """An empty chart, ``left`` and ``right`` px of it beside the plot area.

    A screen reader names it ``title`` and describes it as ``told``.
    """
    root = Element("svg", {"class": f"chart {kind}", "role": "img", "aria-label": title})
    root.attrib |= {"height": _short(height), "style": f"padding:0 {_short(right)}px 0 {_short(left)}px"}
    SubElement(root, "desc").text = told
    return root


def render(root: Element) -> str:
    return tostring(root, encoding="unicode")


def add(parent: Element, tag: str, **attributes: str | float) -> Element:
    """A child; ``class_`` is written as ``class``, ``text_anchor`` as ``text-anchor``, a number with two decimals."""
    written = {
        name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else _short(value)
        for name, value in attributes.items()
    }
    return SubElement(parent, tag, written)


def write(parent: Element, text: str, **attributes: str | float) -> None:
    """A line of text; ``x`` and ``y`` are those of its anchor on the base line."""
    add(parent, "text", **attributes).text = text


def said(parent: Element, text: str) -> None:
    """What a pointer over ``parent`` shows."""
    SubElement(parent, "title").text = text


def line(parent: Element, points: Sequence[tuple[float, float]], *, height: float, class_: str, tag: str) -> None:
    """A ``polyline`` or ``polygon`` through ``points``: x in percent of ``parent``, y in px of its ``height``."""
    stretched = add(parent, "svg", width="100%", height=height)
    stretched.attrib |= {"viewBox": f"0 0 100 {_short(height)}", "preserveAspectRatio": "none"}
    steps = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
    add(stretched, tag, points=steps, class_=class_, vector_effect="non-scaling-stroke")


def marker(parent: Element, x: float, y: float, number: int | None, class_: str) -> Element:
    """The marker of series ``number`` at ``x`` percent and ``y`` px, or for None only the room for a pointer."""
    spot = add(parent, "svg", x=pct(x), y=y)
    add(spot, "circle", r=11, class_="hit")
    if number is not None:
        add(spot, "path", d=_MARKERS[number % len(_MARKERS)], class_=f"dot {class_}")
    return spot


def references_height(labels: Sequence[str]) -> float:
    """What `references` takes above the plot area, px."""
    return LINE * sum(len(_reference(label)) for label in labels)


def references(
    parent: Element, places: Sequence[tuple[float, str]], *, top: float, bottom: float, left: float, right: float
) -> None:
    """Dashed lines down to ``bottom`` at places (percent, label), the labels from ``top`` on, none beside another.

    A label stands on the side of its line where a narrow page has more room; ``left`` and ``right`` are what lies
    beside the plot area, px. From the top come first those that reach to the right, then those that reach to the left,
    and of each the outer ones first: so most labels pass above the lines that they would cross.
    """
    middle = 50 + 50 * (right - left) / (_NARROW - right - left)
    y = top - 4
    labels: list[tuple[float, bool, list[str], float]] = []
    for x, label in sorted(places, key=lambda place: (place[0] >= middle, -abs(place[0] - middle))):
        lines = _reference(label)
        add(parent, "line", x1=pct(x), x2=pct(x), y1=y + 5, y2=bottom, class_="reference")
        labels.append((x, x < middle, lines, y))
        y += LINE * len(lines)
    for x, rightward, lines, above in labels:
        side, anchor = (5, "start") if rightward else (-5, "end")
        for place, text in enumerate(lines, start=1):
            write(parent, text, x=pct(x), dx=side, y=above + LINE * place, class_="aside over", text_anchor=anchor)


def _reference(label: str) -> list[str]:
    return wrap(label, _REFERENCE_CHARS)


def pct(value: float) -> str:
    return f"{_short(value)}%"


def wrap(text: str, characters: int, lines: int = 2) -> list[str]:
    """``text`` in at most ``lines`` lines, cut with an ellipsis."""
    return textwrap.wrap(text, characters, max_lines=lines, placeholder="…") or [""]


def _short(value: float) -> str:
    return f"{round(value, 2) + 0.0:g}"
