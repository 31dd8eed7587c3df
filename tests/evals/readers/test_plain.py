"""Our own form, as its module says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import DataInvalid
from edgeperso.evals.readers import PlainItem, plain, read_plain
from edgeperso.times import to_datetime

BARE: dict[str, Any] = {"user": "ann", "history": [], "question": "Where do I live?"}


def only(tmp_path: Path, **fields: object) -> PlainItem:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(BARE | fields) + "\n", encoding="utf-8")
    (item,) = read_plain(path)
    return item


def test_all_fields(plain: Any) -> None:
    first, second = read_plain(plain.files[0])
    assert (first.id, first.user, first.right) == ("q1", "ann", 0)
    assert first.answer == first.options[0]
    (entry,) = first.history
    assert entry.when_ms is not None
    assert to_datetime(entry.when_ms).isoformat() == "2024-03-12T12:00:00+00:00"
    assert entry.fields["score"] == "5"
    assert entry.fields["title"].startswith("move")
    assert (second.id, second.user, second.history, second.answer) == ("line 3", "12", (), None)
    assert (second.options, second.right) == ((), None)


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    example = next(line for line in (plain.__doc__ or "").splitlines() if line.strip().startswith("{"))
    assert only(tmp_path, **json.loads(example)).user == "ann"


def test_null_is_as_good_as_not_there(tmp_path: Path) -> None:
    item = only(tmp_path, id=None, answer=None, options=None, right=None, unknown="x")
    assert item == PlainItem("line 1", "ann", (), "Where do I live?", None, (), None)


@pytest.mark.parametrize(("answer", "expected"), [(5, "5"), (4.5, "4.5"), (10**20, "1e+20"), ("", "")])
def test_answers_may_be_numbers(tmp_path: Path, answer: object, expected: str) -> None:
    assert only(tmp_path, answer=answer).answer == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"right": 0}, r"field options \(missing or null\) is not there, as it must be with right"),
        ({"options": []}, "field options is not a list of two texts or more"),
        ({"options": ["a", 2]}, "options 1 is not a text"),
        ({"options": ["a", "b"], "right": 2}, "field right is not a whole number from 0 to 1"),
        ({"options": ["a", "b"], "right": -1}, "field right is not a whole number from 0 to 1"),
        ({"options": ["a", "b"], "right": 0.5}, "field right is not a whole number from 0 to 1"),
        ({"options": ["a", "b"], "right": True}, "field right is not a whole number"),
        ({"history": None}, r"field history \(missing or null\) is not a list"),
        ({"history": [{"text": " "}]}, "history 0, field text is not a text that says something"),
        ({"history": [{"text": "x", "when": "soon"}]}, "history 0, field when is not a date"),
        ({"answer": ["x"]}, "field answer is not a text or a finite number"),
        ({"id": True}, "field id is not an id"),
        ({"user": ""}, "field user is not an id"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    with pytest.raises(DataInvalid, match=rf"own\.jsonl: line 1, {message}"):
        only(tmp_path, **fields)
