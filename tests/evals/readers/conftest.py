"""A small sample of each format, all of it invented, with a word in every text that no message may show."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from edgeperso.evals.readers import (
    PrefForm,
    read_empathy,
    read_fillers,
    read_lamp,
    read_locomo,
    read_longmemeval,
    read_personamem,
    read_plain,
    read_prefeval,
    read_unieval,
)

CANARY = "marzipan"
FORMATS = ("lamp", "prefeval", "fillers", "locomo", "longmemeval", "personamem", "empathy", "unieval", "plain")


@dataclass(frozen=True)
class Sample:
    """Good files of a format, and how they are read."""

    files: tuple[Path, ...]
    read: Callable[[], Iterator[object]]


@pytest.fixture
def canary() -> str:
    return CANARY


@pytest.fixture(params=FORMATS)
def sample(request: pytest.FixtureRequest) -> Sample:
    found: Sample = request.getfixturevalue(request.param)
    return found


def said(text: str) -> str:
    return f"{text} ({CANARY} — ünïcode)"


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def table(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0].keys(), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.fixture
def lamp(tmp_path: Path) -> Sample:
    questions = written(
        tmp_path / "dev_questions.json",
        [
            {
                "id": f"31{number}",
                "input": said("What is the score of the following review on a scale of 1 to 5? review: It leaks"),
                "profile": [
                    {"id": f"31{number}{place}", "text": said("It holds"), "score": "4", "date": "2016-01-01"}
                    for place in range(2)
                ],
            }
            for number in range(3)
        ],
    )
    golds = [{"id": f"31{number}", "output": str(number + 1)} for number in (2, 1, 0)]
    outputs = written(tmp_path / "dev_outputs.json", {"task": "LaMP_3", "golds": golds})
    return Sample((questions, outputs), lambda: read_lamp(questions, outputs))


@pytest.fixture
def prefeval(tmp_path: Path) -> Sample:
    topic = [
        {
            "preference": said(f"I can't stand loud places, number {number}"),
            "question": said(f"Where should I eat on day {number}?"),
            "explanation": said("Popular places are loud"),
        }
        for number in range(2)
    ]
    choice = {
        "query": said("Which hotel?"),
        "assistant_options": said("1. by the road 2. in the wood"),
        "user_selection": said("In the wood"),
        "assistant_acknowledgment": said("Noted"),
    }
    # Written as the data set writes them: in no order that could be relied upon.
    persona = {str(number): {"user": said(f"u{number}"), "assistant": said(f"a{number}")} for number in (0, 10, 2, 1)}
    folder = tmp_path / "prefeval"
    options = [said("a quiet inn"), said("a stadium"), said("a fair"), said("a club")]
    files = (
        written(folder / "explicit_preference/travel_quiet.json", topic),
        written(
            folder / "implicit_preference/choice-based/travel_quiet.json",
            [
                item | {"implicit_query": said("q"), "conversation": choice, "aligned_op": said("wood")}
                for item in topic
            ],
        ),
        written(
            folder / "implicit_preference/persona-driven/travel_quiet.json",
            [item | {"persona": said("a librarian"), "conversation": persona} for item in topic],
        ),
        written(
            folder / "mcq_options/travel_quiet.json",
            [item | {"classification_task_options": options, "violation_probability": 1.0} for item in topic],
        ),
    )
    return Sample(files, lambda: (item for form in get_args(PrefForm) for item in read_prefeval(folder, form)))


@pytest.fixture
def fillers(tmp_path: Path) -> Sample:
    turns = [{"role": "user", "content": said("Sort a list")}, {"role": "assistant", "content": said("sorted(x)")}]
    path = written(
        tmp_path / "filtered_inter_turns.json",
        [{"conversation_id": f"c{number}", "model": "m", "conversation": turns, "turn": 1} for number in range(2)],
    )
    return Sample((path,), lambda: iter(read_fillers(path)))


@pytest.fixture
def locomo(tmp_path: Path) -> Sample:
    path = written(
        tmp_path / "locomo10.json",
        [
            {
                "sample_id": f"conv-{number}",
                "conversation": {
                    "speaker_a": "Ann",
                    "session_1_date_time": "1:56 pm on 8 May, 2023",
                    "session_1": [
                        {"speaker": "Ann", "dia_id": "D1:1", "text": said("I adopted a parrot")},
                        {"speaker": "Ben", "dia_id": "D1:2", "text": said("Look"), "blip_caption": said("a parrot")},
                    ],
                },
                "qa": [
                    {"question": said("When?"), "answer": 2023, "evidence": ["D1:1; D1:2"], "category": 2},
                    {"question": said("Who?"), "adversarial_answer": said("Ben"), "category": 5},
                ],
            }
            for number in range(2)
        ],
    )
    return Sample((path,), lambda: iter(read_locomo(path)))


@pytest.fixture
def longmemeval(tmp_path: Path) -> Sample:
    path = written(
        tmp_path / "longmemeval_s.json",
        [
            {
                "question_id": f"gpt4_{number}" + ("_abs" if number else ""),
                "question_type": "multi-session",
                "question": said("How many plants do I have?"),
                "answer": said("I don't know") if number else 7,
                "question_date": "2023/05/30 (Tue) 23:40",
                "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 10:00"],
                "haystack_session_ids": ["answer_a_1", "ultrachat_9"],
                "haystack_sessions": [
                    [
                        {"role": "user", "content": said("I bought four ferns"), "has_answer": True},
                        {"role": "assistant", "content": said("Nice"), "has_answer": False},
                    ],
                    [{"role": "user", "content": ""}],
                ],
                "answer_session_ids": ["answer_a_1"],
            }
            for number in range(2)
        ],
    )
    return Sample((path,), lambda: read_longmemeval(path))


@pytest.fixture
def personamem(tmp_path: Path) -> Sample:
    rows = [
        {
            "persona_id": number,
            "question_id": f"7f3a-{number}",
            "question_type": "suggest_new_ideas",
            "topic": "travelPlanning",
            "distance_to_ref_proportion_in_context": "99.56%",
            "user_question_or_message": said("Where to, next?\nSomewhere warm"),
            "correct_answer": "(b)",
            "all_options": str([said("(a) It's the 'north'"), said('(b) "South"'), said("(c) West")]),
            "shared_context_id": f"c26f{number % 2}",
            "end_index_in_shared_context": str(2 + number),
        }
        for number in (0, 2, 1)
    ]
    questions = written(tmp_path / "questions_32k.csv", table(rows))
    messages = [
        {"role": role, "content": said(f"m{place}")}
        for place, role in enumerate(("system", "user", "assistant", "user", "assistant"))
    ]
    contexts = written(
        tmp_path / "shared_contexts_32k.jsonl",
        "".join(json.dumps({f"c26f{number}": messages}, ensure_ascii=False) + "\n" for number in range(2)),
    )
    return Sample((questions, contexts), lambda: read_personamem(questions, contexts))


@pytest.fixture
def empathy(tmp_path: Path) -> Sample:
    rows = [
        {
            "conversation_id": conversation,
            "turn_id": turn,
            "speaker_number": 1 + turn % 2,
            "article_id": "213.0",
            "text": said(f'"Sad", turn {turn}'),
            "EmotionalPolarity": "2.0",
            "Emotion": "3.6667",
            "Empathy": "4.0",
        }
        for conversation in (7, 9)
        for turn in (0, 1, 10, 2)
    ]
    turns = written(tmp_path / "turns.csv", table(rows))
    articles = written(tmp_path / "articles.json", {"213.0": said("A flood took the bridge.")})
    return Sample((turns, articles), lambda: read_empathy(turns, articles))


@pytest.fixture
def unieval(tmp_path: Path) -> Sample:
    path = written(
        tmp_path / "topical_chat.json",
        [
            {
                "source": said("do you bake ?") + " \n " + said("i do .") + " \n\n",
                "system_id": "Nucleus Decoding (p = 0.3)",
                "system_output": said("so do i .") + "\n",
                "context": said("bread is old .") + "\n" if number else "_nofact\n",
                "scores": {"naturalness": 2.6666666667, "overall": 4},
            }
            for number in range(2)
        ],
    )
    return Sample((path,), lambda: read_unieval(path))


@pytest.fixture
def plain(tmp_path: Path) -> Sample:
    first = {
        "id": "q1",
        "user": "ann",
        "history": [{"text": said("I moved to Ghent"), "when": "2024-03-12", "title": said("move"), "score": 5}],
        "question": said("Where do I live?"),
        "answer": said("Ghent"),
        "options": [said("Ghent"), said("Bruges")],
        "right": 0,
    }
    second = {"user": 12, "history": [], "question": said("What is my name?")}
    lines = json.dumps(first, ensure_ascii=False) + "\n\n" + json.dumps(second) + "\n"
    path = written(tmp_path / "own.jsonl", lines)
    return Sample((path,), lambda: read_plain(path))
