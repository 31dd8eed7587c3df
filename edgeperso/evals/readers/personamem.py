"""PersonaMem: multiple choice about a user whose traits and preferences change over many chat sessions.

Jiang et al., "Know Me, Respond to Me: Benchmarking LLMs for Dynamic User Profiling and Personalized Responses at
Scale", 2025 (arXiv:2504.14225). ``questions_32k.csv`` asks, each question at some point of a conversation of
``shared_contexts_32k.jsonl``, which has one a line: ``{"<id>": [{"role", "content"}, …]}``.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgeperso.evals.readers.fields import Fields
from edgeperso.evals.readers.source import DataFile, Turn

__all__ = ["PersonaMemItem", "read_personamem"]

MAX_CONTEXT_BYTES: Final = 64 << 20
"""Of a line; a conversation of a million tokens has some 5 MB."""

_HEAD_BYTES: Final = 512
_HEAD: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"([^"\\]{1,200})"\s*:')
_LETTERED: Final = re.compile(r"\s*\(([a-z])\)\s*(.*)", re.DOTALL)
_LETTER: Final = re.compile(r"\s*\(?([a-z])\)?\s*")
_QUESTION: Final = ("user_question_or_message", "question")
"""The second is its name in the files of before the release."""
_COLUMNS: Final = (
    "question_id", "question_type", "topic", "correct_answer", "all_options", "shared_context_id",
    "end_index_in_shared_context",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PersonaMemItem:
    """A question after the messages of ``context``. ``options`` come without their letters; ``right`` counts from 0."""

    id: str
    question: str
    options: tuple[str, ...]
    right: int
    question_type: str
    topic: str
    context: tuple[Turn, ...]


def read_personamem(questions: Path, contexts: Path) -> Iterator[PersonaMemItem]:
    """The questions in order, read as they are iterated; of the conversations, one is held at a time.

    Args:
        questions: ``questions_….csv``.
        contexts: ``shared_contexts_….jsonl`` of the same size.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: a file isn't PersonaMem's, or a question's conversation is missing; the message names file,
            record and field.
    """
    conversations = _Contexts(DataFile(contexts, "PersonaMem's shared_contexts file, whole"))
    for row in DataFile(questions, "PersonaMem's questions file, whole").rows(*_COLUMNS):
        question_id = row.label("question_id")
        named = row.named(question_id)
        options, right = _options(named)
        messages = conversations.messages(named.filled("shared_context_id"))
        if messages is None:
            raise named.invalid("shared_context_id", f"the id of a conversation in {contexts.name}")
        yield PersonaMemItem(
            id=question_id,
            question=named.filled(next((name for name in _QUESTION if name in named.values), _QUESTION[0])),
            options=options,
            right=right,
            question_type=named.filled("question_type"),
            topic=named.filled("topic"),
            context=messages[: named.whole("end_index_in_shared_context")],
        )


def _options(row: Fields) -> tuple[tuple[str, ...], int]:
    """The options, written as Python writes a list, and the place of the right one."""
    text = row.filled("all_options")
    try:
        # Only literals are taken, so nothing that stands there can run; warnings would show what does.
        with warnings.catch_warnings(action="ignore"):
            written = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        written = None
    if not isinstance(written, list) or not written:
        raise row.invalid("all_options", "a list of texts")
    texts = Fields(row.problem, row.where, {"all_options": written}).texts("all_options")
    lettered = [match for text in texts if (match := _LETTERED.fullmatch(text))]
    if len(lettered) == len(texts):
        letters, texts = [match[1] for match in lettered], tuple(match[2] for match in lettered)
    else:
        letters = [chr(ord("a") + place) for place in range(len(texts))]
    right = _LETTER.fullmatch(row.filled("correct_answer"))
    if right is None or right[1] not in letters:
        raise row.invalid("correct_answer", "the letter of an option")
    return texts, letters.index(right[1])


@dataclass(slots=True)
class _Contexts:
    """Where each conversation begins in the file, and the one that was read last: questions come sorted by it."""

    file: DataFile
    places: dict[str, tuple[int, int]] = field(init=False)
    held: tuple[str, tuple[Turn, ...]] = ("", ())

    def __post_init__(self) -> None:
        self.places = dict(self._heads())

    def messages(self, context_id: str) -> tuple[Turn, ...] | None:
        """The messages of a conversation; None if there is no such one."""
        if self.held[0] != context_id:
            place = self.places.get(context_id)
            if place is None:
                return None
            self.held = (context_id, self._read(context_id, *place))
        return self.held[1]

    def _heads(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Id, offset and line number of each conversation, from the beginning of its line."""
        offset = 0
        with self.file.open_bytes() as stream, self.file.reading("the file"):
            for number, line in enumerate(iter(lambda: stream.readline(MAX_CONTEXT_BYTES), b""), start=1):
                if line.strip():
                    head = _HEAD.match(line[:_HEAD_BYTES])
                    if head is None or (len(line) == MAX_CONTEXT_BYTES and not line.endswith(b"\n")):
                        raise self.file.invalid(f"line {number}", "an object with a conversation by its id")
                    yield head[1].decode("utf-8", "replace"), (offset, number)
                offset += len(line)

    def _read(self, context_id: str, offset: int, number: int) -> tuple[Turn, ...]:
        where = f"line {number}"
        with self.file.open_bytes() as stream, self.file.reading(where):
            stream.seek(offset)
            text = stream.readline(MAX_CONTEXT_BYTES).decode("utf-8-sig")
        record = self.file.fields(self.file.parsed(text, where), where)
        messages = record.each(record.values.get(context_id), "messages")
        return tuple(Turn(message.filled("role"), message.text("content")) for message in messages)
