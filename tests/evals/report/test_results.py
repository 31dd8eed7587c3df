"""Result files: what is written is what is read, and a fault is named by file and field, never by content."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import DataInvalid
from edgeperso.evals.measurement import measurement
from edgeperso.evals.report import Cell, Column, Headline, Intervals, Result, Row, Table, load_all, save

Make = Callable[..., Result]

SECRET = "my neighbour Anna Peeters"
COLUMN = Column("mae", "MAE", "lower")


def a_table(*cells: Cell) -> Table:
    return Table("T", "method", (COLUMN,), tuple(Row(f"row {n}", {"mae": cell}) for n, cell in enumerate(cells)))


def put(record: Any, place: str, value: Any) -> None:
    """Set, or with ``...`` take away, what lies at ``a.0.b``."""
    *way, last = (int(part) if part.isdigit() else part for part in place.split("."))
    for part in way:
        record = record[part]
    if value is ...:
        del record[last]
    else:
        record[last] = value


def test_what_is_written_is_read(tmp_path: Path, results: list[Result]) -> None:
    for result in reversed(results):
        assert save(tmp_path, result) == tmp_path / "results" / f"{result.name}.json"
    read = load_all(tmp_path)
    assert [result.name for result in read] == sorted(result.name for result in results)
    for before, after in zip(results, read, strict=True):
        assert after.to_json() == before.to_json()
        assert after.plots == before.plots
        assert after.headline == before.headline


def test_nan_is_no_number(make: Make) -> None:
    result = make("a", "A", "", tables=(a_table(Cell(float("nan"), p=float("nan")), Cell(1.0)),))
    assert "NaN" not in result.to_json()
    read = Result.from_json(result.to_json(), file="a.json")
    assert read.tables[0].cells("mae") == [Cell(None), Cell(1.0)]
    foreign = result.to_json().replace("null", "NaN", 1)
    assert Result.from_json(foreign, file="a.json").tables[0].cells("mae")[0] == Cell(None)


def test_a_cell_that_is_left_out_is_missing() -> None:
    assert Table("T", "", (COLUMN,), (Row("a", {}),)).cells("mae") == [Cell(None)]


def test_a_measurement_becomes_a_result(tmp_path: Path) -> None:
    measured = measurement("life", {"right": 20}, n=30, seed=3, models={"engine": "small"})
    day = datetime.date(2026, 11, 24)
    table = a_table(Cell(0.5))
    result = Result.of(
        measured, title="A life", question="?", date=day, tables=(table,), headline=Headline("mae"), notes=("few",)
    )
    assert (result.n, result.seed, result.models, result.tables) == (30, 3, {"engine": "small"}, (table,))
    save(tmp_path, result)
    assert load_all(tmp_path) == [result]
    with pytest.raises(DataInvalid, match=r"this result: n must be a whole number"):
        Result.of({**measured, "n": "many"}, title="A life", question="?", date=day)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("title", ..., "title is missing"),
        ("title", 3, "title must be a text"),
        ("title", "", "title must not be empty"),
        ("title", "bell \x07", "title holds a control character"),
        ("name", "../up", "name must be lower-case letters"),
        ("name", "a\n", "name must be lower-case letters"),
        ("n", -1, "n is too small"),
        ("n", 1.5, "n must be a whole number"),
        ("n", True, "n must be a whole number"),
        ("date", "yesterday", "date must be a date like"),
        ("date", 20261124, "date must be a date like"),
        ("figures.value", float("inf"), "figures.value must be a finite number"),
        ("figures.value", float("nan"), "figures.value must be a finite number"),
        ("tables", {}, "tables must be a list"),
        ("tables.0", SECRET, r"tables\[0\] must be an object"),
        ("tables.0.rows", [], r"tables\[0\].rows must not be empty"),
        ("tables.0.columns.0.better", SECRET, r"columns\[0\].better is none of the words"),
        ("tables.0.columns.1.name", "mae", r"tables\[0\] has two columns of one name"),
        ("tables.0.rows.1.cells.extra", {"value": 1}, r"tables\[0\] has a cell that belongs to no column"),
        ("tables.0.rows.1.cells.mae.value", SECRET, r"tables\[0\].rows\[1\].cells.mae.value must be a number"),
        ("tables.0.rows.1.cells.mae.low", None, "cells.mae needs both `low` and `high`"),
        ("tables.0.rows.1.cells.mae.low", 9, "cells.mae `low` must not be above `high`"),
        ("tables.0.rows.1.cells.mae.p", 1.2, "cells.mae.p must be from 0 to 1"),
        (f"tables.0.rows.1.cells.{SECRET}", {"value": SECRET}, r"cells\[…\].value must be a number"),
        ("plots.0.kind", SECRET, r"plots\[0\] `kind` must be intervals, lines, scatter or histogram"),
        ("plots.0.kind", ..., r"plots\[0\] `kind` is missing"),
        ("plots.0.points.0.basline", True, r"points\[0\].basline is not a known field"),
        ("headline", {"column": SECRET}, "has a headline that is no column of its first table"),
        ("headline", {"column": "mae", "row": SECRET}, "has a headline that is no row of its first table"),
    ],
)
def test_a_fault_is_named_by_its_field(results: list[Result], place: str, value: Any, said: str) -> None:
    record = json.loads(results[2].to_json())
    put(record, place, value)
    with pytest.raises(DataInvalid, match=rf"^it\.json: .*{said}") as raised:
        Result.from_json(json.dumps(record), file="it.json")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    [
        ("lamp_title", "plots.0.edges", [0, 1], "must have one edge more than counts"),
        ("lamp_title", "plots.0.edges.3", 0.1, "must have its edges in order"),
        ("prefeval", "plots.0.series.0.points.1.x", 0, "must have its points in order of `x`"),
        ("judge", "plots.0.points.0.x", 1e300, r"points\[0\].x must be a finite number"),
    ],
)
def test_a_plot_is_checked(results: list[Result], name: str, place: str, value: Any, said: str) -> None:
    record = json.loads(next(result for result in results if result.name == name).to_json())
    put(record, place, value)
    with pytest.raises(DataInvalid, match=said):
        Result.from_json(json.dumps(record), file="it.json")


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe", "null", "[]", "[" * 10_000, '{"title": "\ud800"}'])
def test_what_is_no_result_is_refused(text: str | bytes) -> None:
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    with pytest.raises(DataInvalid, match=r"^it\.json: "):
        Result.from_json(text, file="it.json")


def test_a_file_is_named_after_its_result(tmp_path: Path, results: list[Result]) -> None:
    path = save(tmp_path, results[0])
    path.rename(path.with_stem("other"))
    with pytest.raises(DataInvalid, match=r"other\.json: name"):
        load_all(tmp_path)


def test_nothing_is_written_for_a_result_that_would_not_be_read(tmp_path: Path, make: Make) -> None:
    for wrong in ({"name": "../outside"}, {"n": -1}, {"figures": {"x": float("inf")}}):
        with pytest.raises(DataInvalid, match="this result"):
            save(tmp_path, make(**({"name": "a", "title": "A", "question": ""} | wrong)))
    assert list(tmp_path.rglob("*")) == []


def test_an_older_file_stays_whole_when_writing_fails(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, make("a", "Old", ""))
    old = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, make("a", "New", ""))
    assert path.read_bytes() == old
    assert [one.name for one in path.parent.iterdir()] == ["a.json"]


def test_no_folder_holds_no_results(tmp_path: Path) -> None:
    assert load_all(tmp_path / "nowhere") == []


def test_a_column_is_drawn_as_it_stands() -> None:
    table = a_table(Cell(0.5, 0.4, 0.6), Cell(None))
    plot = Intervals.of(table, "mae", title="P")
    assert [(point.label, point.value, point.high) for point in plot.points] == [
        ("row 0", 0.5, 0.6),
        ("row 1", None, None),
    ]
    assert (plot.x, plot.better) == ("MAE", "lower")
    with pytest.raises(ValueError, match="no such column"):
        Intervals.of(table, "rmse", title="P")
