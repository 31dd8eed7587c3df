"""The page: complete in itself, every text escaped, the same for the same results, its tables told rightly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.evals.report import Cell, Column, Headline, Intervals, Result, Row, Table, save, write_report
from edgeperso.evals.report.page import render
from edgeperso.evals.report.view import CardView, Measured, SectionView

Make = Callable[..., Result]

NASTY = """</style></svg><script>alert("1")</script><img src=x onerror='alert(2)'> {{ 7 * 7 }} &amp;"""
VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass(slots=True)
class Node:
    tag: str
    attrs: dict[str, str]
    children: list[Node | str] = field(default_factory=list)

    def all(self, tag: str, class_: str = "") -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                if child.tag == tag and (not class_ or class_ in child.attrs.get("class", "").split()):
                    yield child
                yield from child.all(tag, class_)

    @property
    def text(self) -> str:
        whole = "".join(child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(whole.split())


class Tree(HTMLParser):
    """The page as a tree; a tag that isn't closed, or not where it was opened, fails the test."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self._open = [self.root]
        self.feed(page)
        self.close()
        assert self._open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        assert len(node.attrs) == len(attrs)
        self._open[-1].children.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def parsed(*results: Result) -> Node:
    return Tree(render(list(results))).root


def grid(table: Node) -> list[list[str]]:
    return [[cell.text for cell in row.children if isinstance(cell, Node)] for row in table.all("tr")]


def test_the_page_is_written_beside_the_results(tmp_path: Path, results: list[Result]) -> None:
    for result in results:
        save(tmp_path, result)
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    first = path.read_bytes()
    assert write_report(tmp_path, tmp_path / "other" / "page.html").read_bytes() == first
    assert first.decode() == render(results)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "report.html", "results"]


def test_without_results_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no results") as raised:
        write_report(tmp_path)
    assert "results/" in raised.value.hint
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "broken.json").write_text("{}")
    with pytest.raises(DataInvalid, match=r"broken\.json"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_page_needs_nothing_but_itself(results: list[Result]) -> None:
    page = render(results)
    for outside in (
        "http:",
        "https:",
        "//",
        "url(",
        "src=",
        "@import",
        "<script",
        "<img",
        "<iframe",
        "<object",
        "srcset",
    ):
        assert outside not in page
    root = parsed(*results)
    assert [link.attrs["href"] for link in root.all("link")] == ["data:,"]
    assert not [name for node in root.all("a") for name in node.attrs if name.startswith("on")]
    (policy,) = (one for one in root.all("meta") if one.attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.attrs["content"].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")


def test_every_link_leads_to_a_part_of_the_page(results: list[Result]) -> None:
    root = parsed(*results)
    ids = [
        node.attrs["id"] for tag in ("section", "footer", "h2", "h3") for node in root.all(tag) if "id" in node.attrs
    ]
    assert len(set(ids)) == len(ids)
    targets = [link.attrs["href"] for link in root.all("a")]
    assert all(target.removeprefix("#") in ids for target in targets)
    assert [link.text for nav in root.all("nav") for link in nav.all("a")][1:-1] == [result.title for result in results]
    named = [node.attrs["aria-labelledby"] for tag in ("section", "table", "div") for node in root.all(tag)
             if "aria-labelledby" in node.attrs]  # fmt: skip
    assert set(named) <= set(ids)


def test_the_charts_in_the_page_are_well_formed(results: list[Result]) -> None:
    charts = re.findall(r"<svg class=.*?</svg>(?=\s*(?:<p|</figure|</span))", render(results), re.DOTALL)
    assert len(charts) == 6 + 5  # a plot a result, and a strip a card that has rows
    for chart in charts:
        root = ElementTree.fromstring(chart)
        assert root.get("role") == "img"
        assert root.get("aria-label")


def test_every_text_is_escaped(make: Make) -> None:
    table = Table(
        NASTY, NASTY, (Column("a", NASTY, "higher"),), (Row(NASTY, {"a": Cell(1, 0, 2)}, 3, baseline=True),), note=NASTY
    )
    plot = Intervals.of(table, "a", title=NASTY, note=NASTY)
    result = make(
        "a", NASTY, NASTY, tables=(table,), plots=(plot,), notes=(NASTY,), commit=NASTY, machine=NASTY,
        models={NASTY: NASTY}, figures={NASTY: 1},
    )  # fmt: skip
    page = render([result])
    assert "<script" not in page
    assert "<img" not in page
    assert "49" not in page
    root = Tree(page).root
    assert {node.text for node in root.all("h2")} == {" ".join(NASTY.split()), "Measuring again"}
    assert not list(root.all("script"))
    assert not list(root.all("img"))
    assert NASTY in {node.attrs.get("aria-label") for node in root.all("svg")}


def test_a_table_shows_best_baseline_intervals_and_direction(results: list[Result]) -> None:
    (table,) = parsed(results[2]).all("table")
    rows = grid(table)
    assert rows[0] == ["method", "MAE↓, lower is better", "p", "RMSE↓, lower is better", "accuracy↑, higher is better"]
    assert rows[1] == [
        "always the most frequent rating baseline", "0.4020.385–0.419", "–", "0.7040.677–0.731", "0.4120.387–0.437",
    ]  # fmt: skip
    assert rows[2][2] == "0.012"
    assert rows[-1][2] == "<0.001"
    assert [best.text for best in table.all("strong")] == ["0.298", "0.577", "0.524"]
    (baseline,) = table.all("tr", "baseline")
    assert "most frequent" in baseline.text
    assert "n = 1,500" in next(parsed(results[2]).all("h3")).text


def test_rows_of_their_own_size_show_it(results: list[Result]) -> None:
    (table,) = parsed(results[3]).all("table")
    assert [row[1] for row in grid(table)] == ["n", "812", "812", "812", "640"]


def test_what_is_missing_is_a_dash(results: list[Result]) -> None:
    (table,) = parsed(results[1]).all("table")
    assert grid(table)[-1] == ["length of the answer", "0.180.04–0.32", "–", "–"]
    assert "nan" not in table.text.lower()
    assert "None" not in render(results)


def test_rows_that_do_not_compete_have_no_best(results: list[Result]) -> None:
    (table,) = parsed(results[4]).all("table")
    assert not list(table.all("strong"))


def test_what_reads_the_same_is_as_good(make: Make) -> None:
    cells = (Cell(0.41201, 0.38, 0.44), Cell(0.41199, 0.38, 0.44), Cell(0.3, 0.27, 0.33))
    table = Table(
        "T", "", (Column("a", "a", "higher"),), tuple(Row(str(n), {"a": cell}) for n, cell in enumerate(cells))
    )
    assert [best.text for best in parsed(make("a", "A", "", tables=(table,))).all("strong")] == ["0.412", "0.412"]


def test_cards_show_the_headline(results: list[Result]) -> None:
    bias, judge, rating, _, locomo, prefeval = (CardView.of(result) for result in results)
    assert (bias.value, bias.measure, bias.strip) == ("−0.08", "largest difference", "")
    assert (judge.leader, judge.baseline) == ("one other person, best of\u00a03", "this is the baseline")
    assert (rating.value, rating.interval, rating.better) == ("0.298", "0.281–0.315", "lower")
    assert rating.baseline == "baseline 0.402, always the most frequent rating"
    assert (locomo.measure, locomo.leader, locomo.baseline) == ("recall@10", "all questions", "")
    assert (prefeval.measure, prefeval.value) == ("300 turns", "0.73")


def test_a_card_has_something_to_show_without_a_better_side(make: Make) -> None:
    table = Table("T", "", (Column("a", "a"),), (Row("one", {"a": Cell(1.0)}), Row("two", {})))
    assert CardView.of(make("a", "A", "", tables=(table,))).leader == "one"
    empty = Table("T", "", (Column("a", "a", "lower"),), (Row("one", {}),))
    assert CardView.of(make("a", "A", "", tables=(empty,))).value == "–"
    assert CardView.of(make("a", "A", "", figures={})).value == ""
    named = make("a", "A", "", tables=(table,), headline=Headline("a", "two"))
    assert (CardView.of(named).leader, CardView.of(named).value) == ("two", "–")


def test_plots_stand_beside_tables_that_leave_room(results: list[Result], make: Make) -> None:
    assert [SectionView.of(result).layout for result in results] == [
        "below", "beside", "beside wide", "beside", "beside wide", "beside wide",
    ]  # fmt: skip
    assert SectionView.of(make("a", "A", "")).layout == "below"


def test_a_result_without_tables_shows_its_figures(make: Make) -> None:
    root = parsed(make("a", "A", "", figures={"right": 20, "first_token_ms": 161.25}))
    (details,) = root.all("details")
    assert "open" in details.attrs
    assert [node.text for node in details.all("dd")] == ["20", "161.2"]


def test_the_head_says_when_and_on_what_once(results: list[Result], make: Make) -> None:
    other = make("z", "Z", "", date=results[0].date.replace(year=2027), commit="abc+", models={"judge": "Big"})
    measured = Measured.of([*results, other])
    assert measured.dates == ["2026-11-24", "2027-11-24"]
    assert measured.commits == ["c266f57c24f5", "abc+"]
    assert len(measured.machines) == 1
    assert [(model.role, model.name, len(model.hash)) for model in measured.models] == [
        ("engine", "SmolLM2-135M-Instruct Q4_1", 64), ("embedder", "all-MiniLM-L6-v2 int8", 64), ("judge", "Big", 0),
    ]  # fmt: skip
    assert "Machine AMD EPYC" in next(parsed(*results).all("header")).text.replace("Machine", "Machine ")
