"""Charts: well-formed whatever the labels hold, nothing written over something else, axes with round numbers."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.evals import report
from edgeperso.evals.report import (
    Cell,
    Histogram,
    Interval,
    Intervals,
    Lines,
    LinesPoint,
    Plot,
    Reference,
    Result,
    Scatter,
    ScatterPoint,
    Series,
)
from edgeperso.evals.report.charts import draw
from edgeperso.evals.report.intervals import strip
from edgeperso.evals.report.lines import spread
from edgeperso.evals.report.numbers import Scale, decimals_of, figure, interval, number, p_value

NASTY = """</svg><script>alert("1")</script> & 'quotes' <b>"""
LINE = 15
"""How far apart lines of a chart's text must be, px."""


def drawn(plot: Plot) -> Element:
    return ElementTree.fromstring(draw(plot))


def texts(root: Element, class_: str) -> list[Element]:
    return [one for one in root.iter("text") if class_ in one.get("class", "").split()]


def classed(root: Element, tag: str, class_: str) -> list[Element]:
    return [one for one in root.iter(tag) if class_ in one.get("class", "").split()]


def told(root: Element) -> list[str]:
    return [one.text or "" for one in root.iter("title")]


def every_kind(label: str) -> list[Plot]:
    return [
        Intervals(
            title=label,
            x=label,
            points=(Interval(label, 0.5, 0.4, 0.6, baseline=True), Interval(label, None)),
            references=(Reference(0.5, label),),
            better="lower",
        ),
        Lines(title=label, x=label, y=label, series=(Series(label, (LinesPoint(1, 2, 1, 3), LinesPoint(2, 2, 1, 3))),)),
        Scatter(title=label, x=label, y=label, points=(ScatterPoint(1, 2, label),), spearman=Cell(0.5), diagonal=True),
        Histogram(title=label, x=label, y=label, edges=(0, 1, 2), counts=(0, 4), references=(Reference(1, label),)),
    ]


@pytest.mark.parametrize("plot", every_kind(NASTY), ids=lambda plot: plot.kind)
def test_a_chart_is_well_formed_whatever_its_labels_hold(plot: Plot) -> None:
    root = drawn(plot)
    assert {one.tag for one in root.iter()} <= {
        "svg", "desc", "title", "g", "text", "line", "rect", "circle", "path", "polyline", "polygon",
    }  # fmt: skip
    assert "<script" not in draw(plot)
    assert root.get("role") == "img"
    assert root.get("aria-label") == NASTY


def test_each_chart_tells_its_numbers(results: list[Result]) -> None:
    for result in results:
        for plot in result.plots:
            root = drawn(plot)
            assert root.findtext("desc")
            assert told(root)


def test_the_labels_of_twenty_rows_keep_apart() -> None:
    names = ["short" if n % 2 else "a rather long name of a method that takes more lines than one" for n in range(20)]
    points = tuple(Interval(name, n / 10, n / 10 - 0.1, n / 10 + 0.2, n == 3) for n, name in enumerate(names))
    references = tuple(Reference(value, f"at {value}") for value in (0.1, 0.11, 0.12, 1.9))
    root = drawn(Intervals(title="T", x="x", points=points, references=references))
    height = float(root.get("height", "nan"))
    rows = root.findall("g")
    assert len(rows) == 20
    labels = sorted(
        float(one.get("y", "nan")) for row in rows for one in row.iter("text") if one.get("class") != "value"
    )
    assert len(labels) > 30
    assert all(lower - upper >= LINE for upper, lower in pairwise(labels))
    values = [float(one.get("y", "nan")) for one in texts(root, "value")]
    assert all(lower - upper >= 26 for upper, lower in pairwise(values))
    above = [float(one.get("y", "nan")) for one in texts(root, "over")]
    assert all(lower - upper >= LINE for upper, lower in pairwise(sorted(above)))
    assert max(above) < labels[0]
    assert max(float(one.get("y", "nan")) for one in root.iter("text")) < height


def test_a_row_that_is_unknown_is_a_dash() -> None:
    root = drawn(Intervals(title="T", x="x", points=(Interval("a", None), Interval("b", None))))
    assert [one.text for one in texts(root, "value")] == ["–", "–"]
    assert told(root) == ["a: –", "b: –"]
    assert classed(root, "circle", "dot") == []


def test_whiskers_reach_from_low_to_high() -> None:
    root = drawn(Intervals(title="T", x="x", points=(Interval("a", 0.5, 0.4, 0.6), Interval("b", 0.7, 0.6, 0.9, True))))
    (first, second), (dot, hollow) = classed(root, "line", "whisker"), classed(root, "circle", "dot")
    places = [float(value.rstrip("%")) for value in (first.get("x1", ""), dot.get("cx", ""), first.get("x2", ""))]
    assert places == sorted(places)
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.1)
    assert second.get("x1") == first.get("x2")
    assert "baseline" in hollow.get("class", "")
    assert told(root) == ["a: 0.50 (0.40–0.60)", "b: 0.70 (0.60–0.90)"]


def test_the_names_of_lines_keep_apart() -> None:
    series = tuple(Series(f"name {n}", (LinesPoint(0, 0.5), LinesPoint(1, 0.5 + n / 1e4)), n == 7) for n in range(8))
    root = drawn(Lines(title="T", x="x", y="y", series=series))
    names = sorted(float(one.get("y", "nan")) for one in texts(root, "name"))
    assert all(lower - upper >= LINE for upper, lower in pairwise(names))
    classes = [one.get("class", "") for one in root.iter("polyline")]
    assert len(set(classes)) == 7  # six colours, then the first again, and the baseline
    assert "baseline" in classes[-1]


def test_lines_have_ticks_where_their_values_are() -> None:
    points = tuple(LinesPoint(x, 0.5, 0.4, 0.6) for x in (0, 10, 70, 300))
    near = drawn(Lines(title="T", x="turns", y="y", series=(Series("a", points),)))
    even = drawn(Lines(title="T", x="turns", y="y", series=(Series("a", points),), even=True))
    below = [[one.text for one in texts(root, "tick") if one.get("text-anchor") == "middle"] for root in (near, even)]
    assert below == [["0", "100", "200", "300"], ["0", "10", "70", "300"]]
    spots = [one.get("x") for one in even.iter("svg") if one.find("circle") is not None]
    assert spots == ["0%", "33.33%", "66.67%", "100%"]
    assert "not to scale" in " ".join(one.text or "" for one in texts(even, "axis"))
    assert "a, turns 70: 0.50 (0.40–0.60)" in told(even)
    assert len(list(even.iter("polygon"))) == 1


def test_many_points_have_no_markers_but_still_tell() -> None:
    root = drawn(Lines(title="T", x="x", y="y", series=(Series("a", tuple(LinesPoint(x, x) for x in range(40))),)))
    assert list(root.iter("path")) == []
    assert len(told(root)) == 40


def test_points_in_one_place_are_one_dot() -> None:
    points = (
        *(ScatterPoint(1, 1) for _ in range(16)),
        *(ScatterPoint(2, 3) for _ in range(4)),
        ScatterPoint(4, 4, "last"),
    )
    root = drawn(Scatter(title="T", x="x", y="y", points=points, diagonal=True))
    sizes = [float(one.get("r", "nan")) for one in classed(root, "circle", "point")]
    assert sizes[0] / sizes[1] == pytest.approx(2)
    assert told(root) == ["1, 1 (16 points)", "2, 3 (4 points)", "last: 4, 4"]
    assert len(list(root.iter("polyline"))) == 1


def test_bars_stand_on_zero_and_side_by_side() -> None:
    root = drawn(Histogram(title="T", x="x", y="n", edges=(0, 10, 20, 40), counts=(3, 0, 9)))
    bars = classed(root, "rect", "bar")
    feet = {float(bar.get("y", "nan")) + float(bar.get("height", "nan")) for bar in bars}
    assert len(feet) == 1
    left, width = ([float(bar.get(name, "").rstrip("%")) for bar in bars] for name in ("x", "width"))
    assert left[0] + width[0] == pytest.approx(left[1], abs=0.02)
    assert width[2] == pytest.approx(2 * width[0], abs=0.02)
    assert told(root) == ["0 to 10: 3", "10 to 20: 0", "20 to 40: 9"]
    empty = drawn(Histogram(title="T", x="x", y="n", edges=(0, 1), counts=(0,)))
    assert next(one.text for one in texts(empty, "tick") if one.get("text-anchor") == "end") == "0.0"


def test_a_strip_shows_leader_baseline_and_the_others() -> None:
    cells = [Cell(0.4, 0.3, 0.5), Cell(0.5), Cell(None), Cell(0.7, 0.6, 0.8)]
    root = ElementTree.fromstring(strip(cells, 3, 0, "all"))
    assert [one.get("class") for one in root.iter("circle")] == ["dot baseline", "dot series s0"]
    assert len(classed(root, "line", "other")) == 1
    alone = ElementTree.fromstring(strip(cells, 0, 0, "all"))
    assert [one.get("class") for one in alone.iter("circle")] == ["dot baseline"]


def test_names_are_moved_only_as_far_as_needed() -> None:
    assert spread([10, 50], [15, 15], 0, 100) == [10, 50]
    assert spread([50, 51, 52], [10, 10, 10], 0, 100) == [32, 42, 52]
    assert spread([0, 0], [10, 10], 0, 100) == [5, 15]
    assert spread([9, 5], [10, 10], 0, 100) == [15, 5]


@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_an_axis_holds_its_values_and_has_round_ticks(values: list[float], whole: bool, zero: bool) -> None:
    scale = Scale.around(values, whole=whole, zero=zero)
    assert scale.low < scale.high
    spare = (scale.high - scale.low) * 1e-6
    assert all(scale.low - spare <= value <= scale.high + spare for value in values)
    assert 3 <= len(scale.ticks) <= 7
    assert all(left < right for left, right in pairwise(scale.ticks))
    step = scale.ticks[1] - scale.ticks[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 3) in {1, 2, 5}


def test_ticks_are_written_with_the_decimals_they_need() -> None:
    def labels(*values: float, whole: bool = True, zero: bool = False) -> list[str]:
        scale = Scale.around(values, whole=whole, zero=zero)
        return [scale.label(tick) for tick in scale.ticks]

    assert labels(0.32, 0.44, whole=False) == ["0.35", "0.40", "0.45"]
    assert labels(0.28, 0.45, whole=False) == ["0.30", "0.35", "0.40", "0.45"]
    assert labels(7, whole=False) == ["6.5", "7.0", "7.5"]
    assert labels(-1500, 900) == ["−2,000", "−1,000", "0", "1,000"]
    assert labels(20, 100, zero=True)[0] == "0"
    assert labels(60, 100, zero=True) == ["60", "70", "80", "90", "100"]


def test_numbers_are_written_as_a_person_would() -> None:
    assert [number(value, 2) for value in (1234.5, -0.5, -0.001, None)] == ["1,234.50", "−0.50", "0.00", "–"]
    assert [interval(0.1, 0.25, 2), interval(-0.1, 0.2, 1), interval(None, None, 1)] == ["0.10–0.25", "−0.1 to 0.2", ""]
    assert [p_value(value) for value in (0.0004, 0.012, 0.5, None)] == ["<0.001", "0.012", "0.500", "–"]
    assert [figure(value) for value in (3.0, 0.31, -0.08, 1234567.0, 389.25, 0.000012)] == [
        "3", "0.31", "−0.08", "1,234,567", "389.2", "0.000012",
    ]  # fmt: skip


def test_decimals_are_those_that_the_intervals_deserve() -> None:
    assert decimals_of([Cell(0.298, 0.281, 0.315)]) == 3
    assert decimals_of([Cell(0.79, 0.74, 0.84)]) == 2
    assert decimals_of([Cell(1234.5, 1200, 1270)]) == 0
    assert decimals_of([Cell(3.0), Cell(20.0)]) == 0
    assert decimals_of([Cell(0.5), Cell(None)]) == 3
    assert decimals_of([]) == 0


def test_text_is_never_below_eleven_px() -> None:
    style = (Path(report.__file__).parent / "page.css").read_text(encoding="utf-8")
    sizes = [
        float(size) * (16 if unit == "rem" else 1) for size, unit in re.findall(r"font-size: ([\d.]+)(rem|px)", style)
    ]
    assert len(sizes) > 10
    assert min(sizes) >= 11
