"""Questions with checkable answers about a life in notes, put to the assistant that a person has.

The life goes into a real, encrypted, temporary vault; each question is asked on its own; an answer is right when it
holds one of the accepted strings, on word borders and whatever the case, and none of the rejected ones. A rejected
string is a superseded or plainly wrong value: in an answer about the present it counts as superseded and given.
"""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgeperso.assistant import Assistant
from edgeperso.catalogue import Catalogue
from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.types import Progress
from edgeperso.vault import Passphrase, Vault

__all__ = ["LifeAnswer", "LifeQuestion", "LifeReport", "holds", "read_questions", "run_life"]


@dataclass(frozen=True, slots=True)
class LifeQuestion:
    """``accept``: any of these in the answer is right. ``reject``: none of these may be. ``kind`` is ``past`` where
    the question asks for what no longer holds."""

    id: str
    question: str
    accept: tuple[str, ...]
    reject: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class LifeAnswer:
    question: LifeQuestion
    answer: str
    first_token_ms: float
    total_ms: float

    @property
    def superseded(self) -> bool:
        """Whether a value that no longer holds was given as current."""
        return self.question.kind != "past" and self._rejected

    @property
    def right(self) -> bool:
        return any(holds(self.answer, value) for value in self.question.accept) and not self._rejected

    @property
    def _rejected(self) -> bool:
        return any(holds(self.answer, value) for value in self.question.reject)


@dataclass(frozen=True, slots=True)
class LifeReport:
    answers: tuple[LifeAnswer, ...]
    memories: int
    model: str

    @property
    def figures(self) -> dict[str, float]:
        """``right``, ``questions``, ``superseded_given`` (counts), and medians in ms."""
        first, total = (
            sorted(times) for times in zip(*((a.first_token_ms, a.total_ms) for a in self.answers), strict=True)
        )
        middle = len(self.answers) // 2
        return {
            "right": sum(answer.right for answer in self.answers),
            "questions": len(self.answers),
            "superseded_given": sum(answer.superseded for answer in self.answers),
            "first_token_ms": round(first[middle], 1),
            "total_ms": round(total[middle], 1),
        }


def holds(text: str, value: str) -> bool:
    """Whether ``value`` stands in ``text`` on word borders; ``820`` does not stand in ``1,820``."""
    return re.search(rf"(?<![\w])(?<!\d[.,]){re.escape(value)}(?![\w]|[.,]\d)", text, re.IGNORECASE) is not None


def read_questions(path: Path) -> list[LifeQuestion]:
    """Read a file of one JSON object a line: ``id``, ``question``, ``accept``, optional ``reject`` and ``kind``.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: a record is malformed; the message names file, line and field.
    """
    if not path.is_file():
        raise SourceNotFound(f"There is no question file {path.name}.", hint="Give its path with --questions.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataInvalid(f"{path.name} is not UTF-8 text.") from None
    questions = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            questions.append(_question(line, f"{path.name}, line {number}"))
    if not questions:
        raise DataInvalid(f"{path.name} holds no question.")
    return questions


def _question(line: str, place: str) -> LifeQuestion:
    try:
        record = json.loads(line)
    except ValueError:
        raise DataInvalid(f"{place}: not JSON.") from None
    if not isinstance(record, dict):
        raise DataInvalid(f"{place}: not an object.")
    for field in ("id", "question"):
        if not isinstance(record.get(field), str) or not record[field].strip():
            raise DataInvalid(f"{place}: `{field}` must be a text.")
    for field, least in (("accept", 1), ("reject", 0)):
        values = record.setdefault(field, [])
        if not isinstance(values, list) or len(values) < least or not all(isinstance(v, str) and v for v in values):
            raise DataInvalid(f"{place}: `{field}` must be a list of texts.")
    kind = record.get("kind", "")
    return LifeQuestion(record["id"], record["question"], tuple(record["accept"]), tuple(record["reject"]), str(kind))


def run_life(
    sources: Iterable[Path],
    questions: Iterable[LifeQuestion],
    catalogue: Catalogue,
    *,
    clock: Callable[[], int],
    model: str | None = None,
    progress: Progress | None = None,
) -> LifeReport:
    """Import ``sources`` into a temporary vault and ask ``questions`` as of ``clock``.

    Args:
        model: a catalogue name or a path to a GGUF file; None takes the default.
        progress: the stages of the import, then ``questions``.
    """
    asked = list(questions)
    with tempfile.TemporaryDirectory(prefix="edgeperso-eval-") as folder:
        vault, _ = Vault.create(Path(folder) / "home", Passphrase(secrets.token_hex(16)))
        with Assistant(vault, catalogue, model=model, clock=clock) as me:
            for source in sources:
                me.add(source, progress=progress)
            answers = []
            for done, question in enumerate(asked):
                if progress is not None:
                    progress("questions", done, len(asked))
                reply = me.ask(question.question)
                times = reply.trace.timings_ms
                answers.append(LifeAnswer(question, reply.text, times["first_token"], times["total"]))
            return LifeReport(tuple(answers), me.vault.memories.count(), me.engine.info.name)
