"""LoCoMo: questions about long conversations of two people, dated by session.

Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", 2024 (arXiv:2402.17753). The file is
a list of conversations, each with its sessions ``session_1``… and its questions. The data set has a few questions
without evidence, and a few pieces of evidence that name no turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edgeperso.evals.readers.fields import Fields
from edgeperso.evals.readers.source import DataFile
from edgeperso.times import datetime_ms
from edgeperso.types import Kind, Record, Trust

__all__ = ["CATEGORIES", "LocomoConversation", "LocomoQuestion", "read_locomo"]

CATEGORIES: Final = {1: "several hops", 2: "time", 3: "open domain", 4: "one hop", 5: "never said"}
_SESSION: Final = re.compile(r"session_(\d+)")
_WHEN: Final = "%I:%M %p on %d %B, %Y"
_DIALOG_ID: Final = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, slots=True)
class LocomoQuestion:
    """A question and the places (in `LocomoConversation.records`) of the turns that answer it.

    ``category`` is one of `CATEGORIES`. ``answer`` is None where the data has none; in category 5, which asks for what
    was never said, it is the wrong answer that somebody might give.
    """

    text: str
    category: int
    gold: tuple[int, ...]
    answer: str | None


@dataclass(frozen=True, slots=True)
class LocomoConversation:
    """Turns in order, the questions, and when the last session was. ``id`` is the data's, else its number."""

    id: str
    records: tuple[Record, ...]
    questions: tuple[LocomoQuestion, ...]
    end_ms: int


def read_locomo(path: Path) -> list[LocomoConversation]:
    """The conversations of LoCoMo's JSON file.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: the file isn't LoCoMo's; the message names record and field.
    """
    file = DataFile(path, "LoCoMo's own file")
    conversations = [_conversation(number, record) for number, record in enumerate(file.objects())]
    if not conversations:
        raise file.invalid("the file", "a list of conversations")
    return conversations


def _conversation(number: int, record: Fields) -> LocomoConversation:
    sessions = record.inner("conversation")
    record.sequence("qa")
    places: dict[str, int] = {}
    records: list[Record] = []
    end_ms = 0
    for session in filter(_SESSION.fullmatch, sessions.values):
        turns = list(sessions.items(session))
        when_ms = _session_ms(sessions, f"{session}_date_time")
        end_ms = max(end_ms, when_ms)
        for position, turn in enumerate(turns):
            places[turn.text("dia_id")] = len(records)
            records.append(_turn(turn, session, position, when_ms))
    return LocomoConversation(
        id=record.label("sample_id") if record.has("sample_id") else str(number),
        records=tuple(records),
        questions=tuple(_questions(record, places)),
        end_ms=end_ms,
    )


def _turn(turn: Fields, session: str, position: int, when_ms: int) -> Record:
    caption = turn.text("blip_caption") if turn.has("blip_caption") else ""
    return Record(
        text=f"{turn.text('text')} [image: {caption}]" if caption else turn.text("text"),
        kind=Kind.CHAT,
        source="locomo",
        locator=turn.text("dia_id"),
        author=turn.text("speaker"),
        thread=session,
        position=position,
        occurred_ms=when_ms,
        # Neither speaker owns the vault: what one says of themselves closes nothing that the other said.
        trust=Trust.OTHER,
    )


def _questions(record: Fields, places: dict[str, int]) -> Iterator[LocomoQuestion]:
    for question in record.items("qa"):
        category = question.whole("category")
        if category not in CATEGORIES:
            raise question.invalid("category", "a number from 1 to 5")
        evidence = question.texts("evidence") if question.has("evidence") else ()
        named = [dialog_id for part in evidence for dialog_id in _DIALOG_ID.findall(part)]
        answer = "answer" if category != 5 else "adversarial_answer"
        yield LocomoQuestion(
            text=question.filled("question"),
            category=category,
            gold=tuple(sorted({places[dialog_id] for dialog_id in named if dialog_id in places})),
            answer=question.scalar(answer) if question.has(answer) else None,
        )


def _session_ms(sessions: Fields, name: str) -> int:
    """``1:56 pm on 8 May, 2023``, taken as UTC."""
    try:
        return datetime_ms(datetime.strptime(str(sessions.values.get(name)), _WHEN).replace(tzinfo=UTC))
    except ValueError:
        raise sessions.invalid(name, "a time like '1:56 pm on 8 May, 2023'") from None
