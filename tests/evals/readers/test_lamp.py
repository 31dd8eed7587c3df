"""LaMP: questions with their golds, dates and ids in all their spellings, tasks told from the profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import DataInvalid
from edgeperso.evals.readers import LampItem, read_lamp
from edgeperso.times import to_datetime


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def question(number: object = 1, asked: str = "Rate it. review: fine", **entry: object) -> dict[str, Any]:
    return {"id": number, "input": asked, "profile": [{"id": "e", "text": "good", **entry}]}


def only(tmp_path: Path, record: dict[str, Any]) -> LampItem:
    (item,) = read_lamp(write(tmp_path / "q.json", [record]))
    return item


def test_questions_get_their_golds_and_keep_their_order(tmp_path: Path) -> None:
    questions = write(tmp_path / "q.json", [question(110, score=5), question("111", score="4")])
    golds = [{"id": "111", "output": "4"}, {"id": "999", "output": "1"}, {"id": 110, "output": 5}]
    outputs = write(tmp_path / "o.json", {"task": "LaMP_3", "golds": golds})
    items = list(read_lamp(questions, outputs))
    assert [(item.id, item.task, item.gold) for item in items] == [("110", "LaMP_3", "5"), ("111", "LaMP_3", "4")]
    assert items[0].profile[0].fields == {"text": "good", "score": "5"}
    assert items[0].profile[0].id == "e"


def test_a_question_without_a_gold_is_named(tmp_path: Path) -> None:
    outputs = write(tmp_path / "o.json", {"task": "LaMP_3", "golds": [{"id": "1", "output": "4"}]})
    items = read_lamp(write(tmp_path / "q.json", [question(1), question(2)]), outputs)
    assert next(items).gold == "4"
    with pytest.raises(DataInvalid, match=r"o\.json holds no gold for record 1 \(id 2\) of q\.json"):
        next(items)


def test_outputs_without_a_task_are_refused(tmp_path: Path) -> None:
    outputs = write(tmp_path / "o.json", {"golds": []})
    with pytest.raises(DataInvalid, match=r"o\.json: field task \(missing or null\) is not a text"):
        next(read_lamp(write(tmp_path / "q.json", []), outputs))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (1635117243772, "2021-10-24T23:14:03"),
        (1635117243, "2021-10-24T23:14:03"),
        ("1635117243772", "2021-10-24T23:14:03"),
        ("2016-01-01", "2016-01-01T12:00:00"),
        ("2016-01-01 13:14:15", "2016-01-01T13:14:15"),
        ("2016-01-01T13:14:15+02:00", "2016-01-01T11:14:15"),
        ("20160131", "2016-01-31T12:00:00"),
        ("2016-03", "2016-03-01T12:00:00"),
        ("2016", "2016-01-01T12:00:00"),
        (2016, "2016-01-01T12:00:00"),
    ],
)
def test_dates(tmp_path: Path, written: object, expected: str) -> None:
    when_ms = only(tmp_path, question(date=written)).profile[0].when_ms
    assert when_ms is not None
    assert to_datetime(when_ms).replace(microsecond=0).isoformat() == f"{expected}+00:00"


def test_no_date(tmp_path: Path) -> None:
    assert only(tmp_path, question()).profile[0].when_ms is None
    assert only(tmp_path, question(date=None)).profile[0].when_ms is None
    assert only(tmp_path, question(date="")).profile[0].when_ms is None


@pytest.mark.parametrize(
    "written", ["yesterday", "2016-13-01", "0001-01-01", 1e18, -1e14, True, ["2016"], "2201", 2201, "9" * 250]
)
def test_what_is_no_date(tmp_path: Path, written: object) -> None:
    with pytest.raises(DataInvalid, match=r"profile 0 \(id e\), field date is not a date"):
        only(tmp_path, question(date=written))


@pytest.mark.parametrize(
    ("asked", "entry", "task"),
    [
        ("…, which reference is related?", {"title": "t", "abstract": "a"}, "LaMP_1"),
        ("Generate a title for the following abstract of a paper: …", {"title": "t", "abstract": "a"}, "LaMP_5"),
        ("Which category does this article relate to?", {"text": "x", "title": "t", "category": "c"}, "LaMP_2N"),
        ("Which tag does this movie relate to?", {"tag": "t", "description": "d"}, "LaMP_2M"),
        ("What is the score of the following review?", {"text": "x", "score": "3"}, "LaMP_3"),
        ("Generate a headline for the following article: …", {"text": "x", "title": "t"}, "LaMP_4"),
        ("Generate a subject for the following email: …", {"text": "x", "title": "t"}, "LaMP_6"),
        ("Paraphrase the following tweet: …", {"text": "x"}, "LaMP_7"),
        ("?", {"unheard": "of"}, ""),
    ],
)
def test_the_task_is_told_from_profile_and_question(
    tmp_path: Path, asked: str, entry: dict[str, str], task: str
) -> None:
    record = {"id": 1, "input": asked, "profile": [{"id": 1, **entry}]}
    empty = {"id": 2, "input": asked, "profile": []}
    assert [item.task for item in read_lamp(write(tmp_path / "q.json", [record, empty]))] == [task, task]


def test_only_texts_and_numbers_become_fields(tmp_path: Path) -> None:
    record = question(score=4.5, category=None, citation=["a"], liked=True, tag="🙂\ud83d")
    assert only(tmp_path, record).profile[0].fields == {"text": "good", "score": "4.5", "tag": "🙂\ufffd"}


@pytest.mark.shared
@pytest.mark.parametrize(("folder", "task"), [("rating", "LaMP_3"), ("title", "LaMP_5")])
def test_reviews_in_this_form(shared_data: Path, folder: str, task: str) -> None:
    files = shared_data / "reviews_lamp_format" / folder
    items = list(read_lamp(files / "dev_questions.json", files / "dev_outputs.json"))
    assert len(items) == 277
    assert {item.task for item in items} == {task}
    assert sum(len(item.profile) for item in items) == 2518
    assert all(entry.when_ms for item in items for entry in item.profile)
