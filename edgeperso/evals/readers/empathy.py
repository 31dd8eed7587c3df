"""Empathic Conversations: two people talk about a news article; others rated each turn.

Omitaomu et al., "Empathic Conversations: A Multi-level Dataset of Contextualized Conversations", 2022
(arXiv:2205.12698), as the shared tasks of WASSA gave it out: in 2023 a TSV (``speaker_number``), in 2024 a CSV
(``speaker``, backslashes before quotes). Some splits have no ratings. Articles are a CSV of ``article_id`` and
``text``, or a JSON object of texts by id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeperso.evals.readers.fields import Fields
from edgeperso.evals.readers.source import DataFile

__all__ = ["Conversation", "EmpathyTurn", "read_empathy"]

_SPEAKER: Final = ("speaker_number", "speaker", "speaker_id")
_RATINGS: Final = {"Empathy": "empathy", "Emotion": "emotion", "EmotionalPolarity": "emotional_polarity"}
_UNRATED: Final = frozenset({"", "unknown", "nan", "NA"})
_ONLY_2024: Final = "person_id_1"


@dataclass(frozen=True, slots=True)
class EmpathyTurn:
    """``id`` is ``conversation:turn``. ``ratings`` are means over raters: ``empathy`` and ``emotion`` (its strength)
    0 to 5, ``emotional_polarity`` 0 (positive) to 2 (negative); those that the file lacks are left out."""

    id: str
    speaker: str
    text: str
    ratings: dict[str, float]


@dataclass(frozen=True, slots=True)
class Conversation:
    """``article`` is the text that both have read, where it is known; ``turns`` in order."""

    id: str
    article: str | None
    turns: tuple[EmpathyTurn, ...]


def read_empathy(turns: Path, articles: Path | None = None) -> Iterator[Conversation]:
    """The conversations in the order in which they begin. Their turns may stand anywhere, so all are held.

    Args:
        turns: the table of turns, at the level of turns of the conversation track.
        articles: the texts of the articles, as ``.json`` or as a table.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: a file isn't of this data set; the message names file, line and field.
    """
    texts = _articles(articles) if articles is not None else {}
    found: dict[str, list[tuple[int, EmpathyTurn]]] = {}
    about: dict[str, str] = {}
    file = DataFile(turns, "the turns of Empathic Conversations or WASSA, whole")
    for row in file.rows("conversation_id", "turn_id", "text", backslash_with=_ONLY_2024):
        conversation = row.label("conversation_id")
        number = row.named(conversation).whole("turn_id")
        turn = _turn(row.named(f"{conversation}:{number}"), f"{conversation}:{number}")
        found.setdefault(conversation, []).append((number, turn))
        about.setdefault(conversation, _article_id(row.text("article_id")) if "article_id" in row.values else "")
    for conversation, numbered in found.items():
        ordered = tuple(turn for _, turn in sorted(numbered, key=lambda pair: pair[0]))
        yield Conversation(conversation, texts.get(about[conversation]), ordered)


def _turn(row: Fields, turn_id: str) -> EmpathyTurn:
    speaker = next((name for name in _SPEAKER if name in row.values), _SPEAKER[0])
    ratings = {
        name: row.number(column) for column, name in _RATINGS.items() if row.values.get(column, "") not in _UNRATED
    }
    return EmpathyTurn(turn_id, row.filled(speaker), row.text("text"), ratings)


def _articles(path: Path) -> dict[str, str]:
    file = DataFile(path, "the articles of Empathic Conversations, whole")
    if path.suffix == ".json":
        articles = file.document()
        return {_article_id(name): articles.text(name) for name in articles.values}
    return {_article_id(row.text("article_id")): row.text("text") for row in file.rows("article_id", "text")}


def _article_id(written: str) -> str:
    """The same for ``213`` and ``213.0``: tables with gaps have their whole numbers written as decimals."""
    return written.strip().removesuffix(".0")
