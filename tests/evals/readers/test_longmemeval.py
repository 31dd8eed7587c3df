"""LongMemEval: sessions with their dates and evidence, answers of either type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import DataInvalid
from edgeperso.evals.readers import LongMemItem, read_longmemeval
from edgeperso.times import to_datetime


def edited(sample: Any, **fields: object) -> list[LongMemItem]:
    path: Path = sample.files[0]
    records = json.loads(path.read_text(encoding="utf-8"))
    records[0] |= fields
    path.write_text(json.dumps(records), encoding="utf-8")
    return list(read_longmemeval(path))


def test_questions_and_sessions(longmemeval: Any) -> None:
    first, second = read_longmemeval(longmemeval.files[0])
    assert (first.id, first.question_type, first.answer) == ("gpt4_0", "multi-session", "7")
    assert second.answer.startswith("I don't know")
    assert [first.abstention, second.abstention] == [False, True]
    assert to_datetime(first.when_ms).isoformat() == "2023-05-30T23:40:00+00:00"
    assert first.answer_session_ids == ("answer_a_1",)
    evidence, filler = first.sessions
    assert (evidence.id, filler.id) == ("answer_a_1", "ultrachat_9")
    assert to_datetime(evidence.when_ms).isoformat() == "2023-05-20T02:21:00+00:00"
    assert [(turn.role, turn.has_answer) for turn in evidence.turns] == [("user", True), ("assistant", False)]
    # Some turns of the data set say nothing; has_answer is only where there is evidence.
    assert (filler.turns[0].text, filler.turns[0].has_answer) == ("", False)


def test_a_day_alone_is_a_date(longmemeval: Any) -> None:
    first = edited(longmemeval, question_date="2023/05/30")[0]
    assert to_datetime(first.when_ms).isoformat() == "2023-05-30T00:00:00+00:00"


@pytest.mark.parametrize("written", ["2023/02/30 (Thu) 10:00", "30 May 2023", 20230530, None])
def test_what_is_no_date(longmemeval: Any, written: object) -> None:
    with pytest.raises(DataInvalid, match=r"record 0 \(id gpt4_0\), field question_date is not a date like"):
        edited(longmemeval, question_date=written)
    with pytest.raises(DataInvalid, match=r"haystack_dates 1 is not a date like"):
        edited(longmemeval, question_date="2023/05/30", haystack_dates=["2023/05/20", written])


@pytest.mark.parametrize("field", ["haystack_dates", "haystack_sessions"])
def test_lists_that_do_not_go_together(longmemeval: Any, field: str) -> None:
    with pytest.raises(DataInvalid, match=f"field {field} is not as long as haystack_session_ids, which has 2"):
        edited(longmemeval, **{field: []})


def test_a_turn_is_named(longmemeval: Any) -> None:
    with pytest.raises(DataInvalid, match=r"haystack_sessions 1 0, field role \(missing or null\)"):
        edited(longmemeval, haystack_sessions=[[], [{"content": "x"}]])
    with pytest.raises(DataInvalid, match=r"field has_answer is not true or false"):
        edited(longmemeval, haystack_sessions=[[], [{"role": "user", "content": "x", "has_answer": "yes"}]])
