"""PrefEval: does an assistant follow a preference that was stated, or shown, some turns ago?

Zhao et al., "Do LLMs Recognize Your Preferences? Evaluating Personalized Preference Following in LLMs", 2025
(arXiv:2502.09597). ``benchmark_dataset`` holds a list a topic: in ``explicit_preference``, in
``implicit_preference/choice-based`` and ``…/persona-driven``, and the options to choose from in ``mcq_options``.
``filtered_inter_turns.json`` has the conversations that come in between.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from edgeperso.errors import SourceNotFound, UsageError
from edgeperso.evals.readers.fields import Fields
from edgeperso.evals.readers.source import DataFile, Turn

__all__ = ["FillerTurn", "PrefForm", "PrefItem", "read_fillers", "read_prefeval"]

FillerTurn = Turn
PrefForm = Literal["explicit", "choice-based", "persona-driven"]

_FOLDERS: Final[dict[str, tuple[str, ...]]] = {
    "explicit": ("explicit_preference",),
    "choice-based": ("implicit_preference", "choice-based"),
    "persona-driven": ("implicit_preference", "persona-driven"),
}
_CHOICE: Final = (
    ("user", "query"),
    ("assistant", "assistant_options"),
    ("user", "user_selection"),
    ("assistant", "assistant_acknowledgment"),
)
_TURN_NUMBER: Final = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class PrefItem:
    """A question that a generic answer gets wrong, and the dialogue in which the preference shows.

    ``options`` begin with the only one that follows the preference, so shuffle them; they are empty where the data
    set has none for this question. ``id`` is ``topic:number``.
    """

    id: str
    topic: str
    preference: str
    question: str
    explanation: str
    options: tuple[str, ...]
    statement: tuple[FillerTurn, ...]


def read_prefeval(folder: Path, form: PrefForm) -> Iterator[PrefItem]:
    """The questions of all topics by name, or of one.

    Args:
        folder: the repository, its ``benchmark_dataset``, the folder of a form, or one topic's file in it.
        form: how the preference shows.

    Raises:
        UsageError: there is no such form.
        SourceNotFound: no such folder, or no topic in it.
        DataInvalid: a file isn't PrefEval's; the message names file, record and field.
    """
    if form not in get_args(PrefForm):
        raise UsageError(f"The form must be one of {', '.join(get_args(PrefForm))}.")
    for path in _topics(folder, form):
        options = _Options.beside(path)
        for number, record in enumerate(DataFile(path, f"PrefEval's {form} topics, whole").objects()):
            named = record.named(f"{path.stem}:{number}")
            preference, question = named.filled("preference"), named.filled("question")
            yield PrefItem(
                id=f"{path.stem}:{number}",
                topic=path.stem,
                preference=preference,
                question=question,
                explanation=named.text("explanation"),
                options=options.of(preference, question),
                statement=_statement(named, form),
            )


def read_fillers(path: Path) -> list[FillerTurn]:
    """The turns of all conversations of ``filtered_inter_turns.json``, one after the other.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: the file isn't PrefEval's; the message names file, record and field.
    """
    conversations = DataFile(path, "PrefEval's filtered_inter_turns.json, whole").objects()
    return [
        FillerTurn(turn.filled("role"), turn.text("content"))
        for conversation in conversations
        for turn in conversation.items("conversation")
    ]


def _topics(folder: Path, form: PrefForm) -> list[Path]:
    if folder.is_file():
        return [folder]
    parts = _FOLDERS[form]
    places = [folder.joinpath(*parts), folder.joinpath("benchmark_dataset", *parts)]
    if folder.name == parts[-1]:
        places.append(folder)
    topics = next((sorted(place.glob("*.json")) for place in places if place.is_dir()), [])
    if not topics:
        raise SourceNotFound(
            f"There is no topic of the form {form} in {folder.name}.", hint="Give PrefEval's benchmark_dataset."
        )
    return topics


@dataclass(frozen=True, slots=True)
class _Options:
    """The options of a topic, by preference and question, and by the question alone where it stands once.

    In a few explicit topics the options' preference was reworded; the question was not.
    """

    exact: dict[tuple[str, str], tuple[str, ...]]
    by_question: dict[str, tuple[str, ...]]

    @classmethod
    def beside(cls, topic: Path) -> _Options:
        """Those in ``mcq_options``, which lies one or two folders above the topic's file."""
        exact: dict[tuple[str, str], tuple[str, ...]] = {}
        for parent in topic.absolute().parents[1:3]:
            path = parent / "mcq_options" / topic.name
            if path.is_file():
                for record in DataFile(path, "PrefEval's mcq_options, whole").objects():
                    key = record.filled("preference"), record.filled("question")
                    exact[key] = record.texts("classification_task_options")
                break
        times = Counter(question for _, question in exact)
        return cls(exact, {question: options for (_, question), options in exact.items() if times[question] == 1})

    def of(self, preference: str, question: str) -> tuple[str, ...]:
        return self.exact.get((preference, question)) or self.by_question.get(question, ())


def _statement(record: Fields, form: PrefForm) -> tuple[FillerTurn, ...]:
    if form == "explicit":
        return (FillerTurn("user", record.filled("preference")),)
    conversation = record.inner("conversation")
    if form == "choice-based":
        return tuple(FillerTurn(role, conversation.filled(name)) for role, name in _CHOICE)
    for name in conversation.values:
        if not _TURN_NUMBER.fullmatch(name):
            raise record.invalid("conversation", "an object whose names are the numbers of turns")
    exchanges = [conversation.inner(name) for name in sorted(conversation.values, key=int)]
    return tuple(FillerTurn(role, exchange.filled(role)) for exchange in exchanges for role in ("user", "assistant"))
