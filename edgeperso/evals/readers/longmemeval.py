"""LongMemEval: questions about long histories of dated chat sessions.

Wu et al., "LongMemEval: Benchmarking Chat Assistants on Long-Term Interactive Memory", 2024 (arXiv:2410.10813). The
files ``longmemeval_s``, ``longmemeval_m``, ``longmemeval_oracle`` and the cleaned ones of 2025 are alike: a list of
questions, each with its own haystack of sessions, in M some 5 MB a question.
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

__all__ = ["LongMemItem", "LongMemSession", "LongMemTurn", "read_longmemeval"]

_DATE: Final = re.compile(r"([0-9]{4})/([0-9]{2})/([0-9]{2})(?: \([A-Za-z]{3}\))?(?: ([0-9]{2}):([0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class LongMemTurn:
    """``has_answer`` is true for the turns that hold the evidence."""

    role: str
    text: str
    has_answer: bool


@dataclass(frozen=True, slots=True)
class LongMemSession:
    """``when_ms`` is its beginning, taken as UTC."""

    id: str
    when_ms: int
    turns: tuple[LongMemTurn, ...]


@dataclass(frozen=True, slots=True)
class LongMemItem:
    """A question asked at ``when_ms``; ``sessions`` in the order of the file, which in the oracle isn't that of time.

    ``answer_session_ids`` name the sessions with the evidence.
    """

    id: str
    question_type: str
    question: str
    answer: str
    when_ms: int
    sessions: tuple[LongMemSession, ...]
    answer_session_ids: tuple[str, ...]

    @property
    def abstention(self) -> bool:
        """Whether the right answer is that the history doesn't say."""
        return self.id.endswith("_abs")


def read_longmemeval(path: Path) -> Iterator[LongMemItem]:
    """The questions in order, read as they are iterated.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: the file isn't LongMemEval's; the message names file, record and field.
    """
    for record in DataFile(path, "LongMemEval's file, whole").objects():
        question_id = record.label("question_id")
        named = record.named(question_id)
        yield LongMemItem(
            id=question_id,
            question_type=named.filled("question_type"),
            question=named.filled("question"),
            answer=named.scalar("answer"),
            when_ms=_when_ms(named, "field question_date", named.values.get("question_date")),
            sessions=tuple(_sessions(named)),
            answer_session_ids=named.texts("answer_session_ids"),
        )


def _sessions(record: Fields) -> Iterator[LongMemSession]:
    ids = record.texts("haystack_session_ids")
    dates, sessions = record.sequence("haystack_dates"), record.sequence("haystack_sessions")
    for name, values in (("haystack_dates", dates), ("haystack_sessions", sessions)):
        if len(values) != len(ids):
            raise record.invalid(name, f"as long as haystack_session_ids, which has {len(ids)} elements")
    for number, (session_id, written, turns) in enumerate(zip(ids, dates, sessions, strict=True)):
        yield LongMemSession(
            id=session_id,
            when_ms=_when_ms(record, f"haystack_dates {number}", written),
            turns=tuple(
                LongMemTurn(turn.filled("role"), turn.text("content"), turn.flag("has_answer"))
                for turn in record.each(turns, f"haystack_sessions {number}")
            ),
        )


def _when_ms(record: Fields, place: str, written: object) -> int:
    """``2023/05/30 (Tue) 23:40``, taken as UTC."""
    match = _DATE.fullmatch(written.strip()) if isinstance(written, str) else None
    try:
        if match is not None:
            year, month, day, hour, minute = (int(part or 0) for part in match.groups())
            return datetime_ms(datetime(year, month, day, hour, minute, tzinfo=UTC))
    except ValueError:
        pass
    raise record.problem(f"{record.where}, {place}", "a date like '2023/05/30 (Tue) 23:40'")
