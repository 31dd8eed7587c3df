"""People's judgments of dialogue responses, in the form in which UniEval has Topical-Chat's.

Zhong et al., "Towards a Unified Multi-Dimensional Evaluator for Text Generation", 2022 (arXiv:2210.07197); the
judgments are those of Mehri and Eskenazi, "USR", 2020 (arXiv:2005.00456). A list of ``{"source", "context",
"system_output", "system_id", "scores": {dimension: mean over raters}}``; ``source`` has a turn a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeperso.evals.readers.source import DataFile

__all__ = ["Judgment", "read_unieval"]

_NO_FACT: Final = "_nofact"


@dataclass(frozen=True, slots=True)
class Judgment:
    """How people scored ``response`` to ``history``. ``knowledge`` is the fact that it was to use, empty if none.

    ``id`` is the record's number. In Topical-Chat, ``naturalness``, ``coherence`` and ``engagingness`` go from 1 to 3,
    ``understandability`` and ``groundedness`` from 0 to 1, ``overall`` from 1 to 5.
    """

    id: str
    history: tuple[str, ...]
    knowledge: str
    response: str
    system: str
    scores: dict[str, float]


def read_unieval(path: Path) -> Iterator[Judgment]:
    """The judgments in order, read as they are iterated.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: the file isn't of this form; the message names file, record and field.
    """
    for number, record in enumerate(DataFile(path, "UniEval's dialogue judgments, whole").objects()):
        knowledge = record.text("context").strip()
        scores = record.inner("scores")
        yield Judgment(
            id=str(number),
            history=tuple(turn for line in record.text("source").split("\n") if (turn := line.strip())),
            knowledge="" if knowledge == _NO_FACT else knowledge,
            response=record.text("system_output").strip(),
            system=record.filled("system_id"),
            scores={name: scores.number(name) for name in scores.values},
        )
