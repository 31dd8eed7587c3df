"""Reading the questions about a life, judging answers, and one small life put to the real model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeperso.catalogue import Catalogue
from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.evals.life import LifeAnswer, LifeQuestion, LifeReport, holds, read_questions, run_life

NOW_MS = 1_760_000_000_000
GOOD = {"id": "q1", "question": "Where do I live?", "accept": ["Bergen"], "reject": ["Oslo"], "kind": "place"}


@pytest.mark.parametrize(
    ("text", "value", "stands"),
    [
        ("It costs 820 euros.", "820", True),
        ("It costs 1,820 euros.", "820", False),
        ("It costs 820.50 euros.", "820", False),
        ("It costs 820.", "820", True),
        ("820, I think", "820", True),
        ("in 1820", "820", False),
        ("You live in BERGEN!", "bergen", True),
        ("Bergenhus", "Bergen", False),
        ("Dr Amrani's", "Dr Amrani", True),
        ("(Bergen)", "Bergen", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("Éva came", "va", False),
        ("C++ and Rust", "C++", True),
        ("", "x", False),
    ],
)
def test_a_value_stands_on_word_borders(text: str, value: str, stands: bool) -> None:
    assert holds(text, value) is stands


def answered(answer: str, kind: str = "place", first: float = 1.0) -> LifeAnswer:
    return LifeAnswer(LifeQuestion("q1", "Where?", ("Bergen", "Norway"), ("Oslo",), kind), answer, first, 2 * first)


@pytest.mark.parametrize(
    ("answer", "kind", "right", "superseded"),
    [
        ("You live in Bergen.", "place", True, False),
        ("In Norway.", "place", True, False),
        ("You live in Oslo.", "place", False, True),
        ("Bergen, and before that Oslo.", "place", False, True),
        ("You lived in Oslo.", "past", False, False),
        ("", "place", False, False),
    ],
)
def test_an_answer_is_right_or_superseded_or_neither(answer: str, kind: str, right: bool, superseded: bool) -> None:
    judged = answered(answer, kind)
    assert (judged.right, judged.superseded) == (right, superseded)


def test_figures_are_counts_and_medians() -> None:
    answers = (answered("Bergen", first=5.0), answered("Oslo", first=1.0), answered("?", first=3.04))
    figures = LifeReport(answers, 3, "m").figures
    assert figures == {"right": 1, "questions": 3, "superseded_given": 1, "first_token_ms": 3.0, "total_ms": 6.1}


def test_questions_are_read(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    bare = {"id": "q2", "question": "Who?", "accept": ["Ada"]}
    file.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(bare)}\n", encoding="utf-8")
    assert read_questions(file) == [
        LifeQuestion("q1", "Where do I live?", ("Bergen",), ("Oslo",), "place"),
        LifeQuestion("q2", "Who?", ("Ada",), (), ""),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ("null", "not an object"),
        (json.dumps({**GOOD, "id": 7}), "`id`"),
        (json.dumps({**GOOD, "id": " "}), "`id`"),
        (json.dumps({"id": "q", "accept": ["x"]}), "`question`"),
        (json.dumps({**GOOD, "question": None}), "`question`"),
        (json.dumps({**GOOD, "accept": []}), "`accept`"),
        (json.dumps({**GOOD, "accept": "Bergen"}), "`accept`"),
        (json.dumps({**GOOD, "accept": [""]}), "`accept`"),
        (json.dumps({**GOOD, "reject": [3]}), "`reject`"),
        (json.dumps({**GOOD, "reject": None}), "`reject`"),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_field(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n\n{line}\n")
    with pytest.raises(DataInvalid) as caught:
        read_questions(file)
    assert caught.value.message.startswith("questions.jsonl, line 3: ")
    assert says in caught.value.message
    assert "Bergen" not in str(caught.value)


def test_no_questions_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("\n\n")
    with pytest.raises(DataInvalid, match=r"none\.jsonl"):
        read_questions(tmp_path / "none.jsonl")
    with pytest.raises(SourceNotFound, match=r"missing\.jsonl"):
        read_questions(tmp_path / "missing.jsonl")


def test_a_question_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataInvalid, match=r"bytes\.jsonl"):
        read_questions(tmp_path / "bytes.jsonl")


def test_a_small_life(tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("## 2025-01-02\nI live in Oslo.\n\n## 2025-06-01\nI moved to Bergen.\n")
    (notes / "b.md").write_text("## 2025-03-01\nThe code of my bike lock is 2093.\n")
    bike = LifeQuestion("q2", "What is the code of my bike lock?", ("2093",), (), "number")
    asked = [LifeQuestion("q1", "Where do I live?", ("Bergen",), ("Oslo",), "place"), bike]
    told: list[tuple[str, int, int | None]] = []
    report = run_life(
        [notes], asked, Catalogue(models_dir), clock=lambda: NOW_MS, progress=lambda *step: told.append(step)
    )
    assert report.memories == 3
    assert "smollm2" in report.model.lower()
    assert [answer.question for answer in report.answers] == asked
    assert (report.figures["right"], report.figures["superseded_given"]) == (2, 0)
    assert 0 < report.figures["first_token_ms"] <= report.figures["total_ms"]
    assert ("questions", 0, 2) in told
    assert list(scratch.iterdir()) == [], "the life's vault is gone"
