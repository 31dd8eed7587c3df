"""LaMP: personalized classification and generation over a user's own items, in its seven tasks and two separations.

Salemi et al., "LaMP: When Large Language Models Meet Personalization", 2023 (arXiv:2304.11406). A task is a pair of
files: ``dev_questions.json``, a list of ``{"id", "input", "profile": [{"id", …}]}``, and ``dev_outputs.json``,
``{"task": "LaMP_3", "golds": [{"id", "output"}]}``. The test split comes without the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeperso.errors import DataInvalid
from edgeperso.evals.readers.fields import Fields
from edgeperso.evals.readers.source import DataFile

__all__ = ["LampEntry", "LampItem", "read_lamp"]

_NOT_TEXT: Final = frozenset({"id", "date"})
_TASKS: Final = (
    ("LaMP_2M", {"tag", "description"}, ""),
    ("LaMP_3", {"score", "text"}, ""),
    ("LaMP_1", {"title", "abstract"}, "reference"),
    ("LaMP_5", {"title", "abstract"}, ""),
    ("LaMP_2N", {"category", "title", "text"}, "category"),
    ("LaMP_6", {"title", "text"}, "email"),
    ("LaMP_4", {"title", "text"}, ""),
    ("LaMP_7", {"text"}, ""),
)
"""Task, the fields that its profiles have, and a word that its questions have where the fields don't tell."""


@dataclass(frozen=True, slots=True)
class LampEntry:
    """An item of a user's profile: ``fields`` are all but id and date, as text (``score``: ``5``)."""

    id: str
    fields: dict[str, str]
    when_ms: int | None


@dataclass(frozen=True, slots=True)
class LampItem:
    """A question. ``task`` is as in the outputs, else guessed (empty if it can't be); ``gold`` is None without them."""

    id: str
    task: str
    input: str
    profile: tuple[LampEntry, ...]
    gold: str | None


def read_lamp(questions: Path, outputs: Path | None = None) -> Iterator[LampItem]:
    """The questions in order; those of the outputs that no question asks for are passed over.

    Args:
        questions: a questions file, read as it is iterated.
        outputs: the outputs file of the same split.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: a file isn't LaMP's, or a question has no gold; the message names file, record and field.
    """
    task, golds = _outputs(outputs) if outputs is not None else ("", {})
    guessed = ""
    for record in DataFile(questions, "LaMP's questions file, whole").objects():
        question_id = record.label("id")
        named = record.named(question_id)
        if outputs is not None and question_id not in golds:
            raise DataInvalid(
                f"{outputs.name} holds no gold for {named.where} of {questions.name}.",
                hint="Give the questions and the outputs of one task and split.",
            )
        asked = named.filled("input")
        profile = tuple(_entry(entry) for entry in named.items("profile"))
        guessed = task or _guess(asked, profile) or guessed
        yield LampItem(question_id, guessed, asked, profile, golds.get(question_id))


def _outputs(path: Path) -> tuple[str, dict[str, str]]:
    outputs = DataFile(path, "LaMP's outputs file, whole").document()
    golds = {}
    for gold in outputs.items("golds"):
        gold_id = gold.label("id")
        golds[gold_id] = gold.named(gold_id).scalar("output")
    return outputs.filled("task"), golds


def _entry(entry: Fields) -> LampEntry:
    entry_id = entry.label("id")
    named = entry.named(entry_id)
    return LampEntry(entry_id, named.scalars(_NOT_TEXT), named.moment_ms("date"))


def _guess(asked: str, profile: tuple[LampEntry, ...]) -> str:
    """The first task whose fields the profile has and whose word the question has."""
    if not profile:
        return ""
    fields, words = profile[0].fields.keys(), asked.casefold()
    return next((task for task, needed, word in _TASKS if needed <= fields and word in words), "")
