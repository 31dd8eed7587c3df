"""PersonaMem: options as Python wrote them, and of each conversation what came before the question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import DataInvalid
from edgeperso.evals.readers import PersonaMemItem, Turn, read_personamem
from edgeperso.evals.readers.personamem import _Contexts


def edited(sample: Any, old: str, new: str, file: int = 0) -> list[PersonaMemItem]:
    path: Path = sample.files[file]
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return list(read_personamem(*sample.files))


def asked(tmp_path: Path, options: str, answer: str) -> PersonaMemItem:
    header = "question_id,question_type,topic,question,correct_answer,all_options,shared_context_id"
    quoted = options.replace('"', '""')
    questions = tmp_path / "questions.csv"
    questions.write_text(f'{header},end_index_in_shared_context\n1,t,food,Q?,{answer},"{quoted}",c,1\n', "utf-8")
    contexts = tmp_path / "contexts.jsonl"
    contexts.write_text(json.dumps({"c": [{"role": "user", "content": "hi"}]}), encoding="utf-8")
    (item,) = read_personamem(questions, contexts)
    return item


def test_questions_and_what_came_before(personamem: Any) -> None:
    items = list(read_personamem(*personamem.files))
    assert [(item.id, item.right, len(item.context)) for item in items] == [
        ("7f3a-0", 1, 2),
        ("7f3a-2", 1, 4),
        ("7f3a-1", 1, 3),
    ]
    first = items[0]
    assert (first.question_type, first.topic) == ("suggest_new_ideas", "travelPlanning")
    assert first.question.startswith("Where to, next?\nSomewhere warm")
    assert [option.split(" (")[0] for option in first.options] == ["It's the 'north'", '"South"', "West"]
    assert [turn.role for turn in first.context] == ["system", "user"]
    assert isinstance(first.context[0], Turn)


def test_the_column_of_before_the_release(tmp_path: Path) -> None:
    item = asked(tmp_path, "['(a) x', '(b) y']", "(b)")
    assert (item.question, item.options, item.right) == ("Q?", ("x", "y"), 1)
    assert item.context == (Turn("user", "hi"),)


@pytest.mark.parametrize(
    ("options", "answer", "expected", "right"),
    [
        ("['(b) x', '(a) y']", "(a)", ("x", "y"), 1),
        ("['x', 'y']", "b", ("x", "y"), 1),
        ("['(a) x', 'y']", "(a)", ("(a) x", "y"), 0),
        ('["(a) caf\\u00e9", "(b) it\'s"]', "(b)", ("café", "it's"), 1),
    ],
)
def test_letters(tmp_path: Path, options: str, answer: str, expected: tuple[str, ...], right: int) -> None:
    item = asked(tmp_path, options, answer)
    assert (item.options, item.right) == (expected, right)


@pytest.mark.parametrize("options", ["[]", "['a', 1]", "{'a': 1}", "print('a')", "['a'", "x"])
def test_what_are_no_options(tmp_path: Path, options: str) -> None:
    with pytest.raises(DataInvalid, match=r"questions\.csv: line 2 \(id 1\), (field )?all_options"):
        asked(tmp_path, options, "(a)")


@pytest.mark.parametrize("answer", ["(e)", "(z)", "ab", "1"])
def test_the_answer_must_be_one_of_them(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DataInvalid, match="field correct_answer is not the letter of an option"):
        asked(tmp_path, "['(a) x', '(b) y']", answer)


def test_a_conversation_that_is_not_there(personamem: Any) -> None:
    with pytest.raises(DataInvalid, match=r"id 7f3a-1\), field shared_context_id is not the id of a conversation in"):
        edited(personamem, "c26f1", "c26f7")


def test_the_end_of_the_context(personamem: Any) -> None:
    with pytest.raises(DataInvalid, match="field end_index_in_shared_context is not a whole number"):
        edited(personamem, "c26f0,2", "c26f0,-2")


def test_a_context_is_read_once_for_questions_in_a_row(personamem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = _Contexts._read

    def noted(self: _Contexts, context_id: str, offset: int, number: int) -> tuple[Turn, ...]:
        read.append(context_id)
        return whole(self, context_id, offset, number)

    monkeypatch.setattr(_Contexts, "_read", noted)
    assert len(list(read_personamem(*personamem.files))) == 3
    assert read == ["c26f0", "c26f1"]


def test_a_broken_conversation_is_named_by_its_line(personamem: Any) -> None:
    with pytest.raises(DataInvalid, match=r"shared_contexts_32k\.jsonl: line 1 is not JSON"):
        edited(personamem, '}]}\n{"c26f1"', '}]\n{"c26f1"', file=1)


def test_a_byte_order_mark_and_blank_lines(personamem: Any) -> None:
    path: Path = personamem.files[1]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\n\n"))
    assert len(list(read_personamem(*personamem.files))) == 3
