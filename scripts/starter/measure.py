"""What the model answers about the lives with an adapter, or without one: read as the starter reads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from edgeperso.assistant import Assistant
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Adapter, Worn
from edgeperso.evals.life import LifeAnswer, read_questions
from edgeperso.evals.lodging import temporary_vault
from edgeperso.times import date_ms
from edgeperso.types import MemoryFilter
from scripts.starter.prompts import READER, layout_for

__all__ = ["DEVELOPMENT", "Life", "figures", "measure"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_LIFE: Final = _ROOT / "examples" / "life"
_OTHERS: Final = _ROOT / "tests" / "data" / "life"


@dataclass(frozen=True, slots=True)
class Life:
    """Files that are imported, the questions about them, and the day on which they are asked."""

    name: str
    sources: tuple[Path, ...]
    questions: Path
    today: date = date(2025, 12, 31)


DEVELOPMENT: Final = (
    Life("dev", tuple(_LIFE / part for part in ("notes", "mail.mbox", "chatgpt")), _OTHERS / "dev_questions.jsonl"),
    Life("other", tuple(sorted((_OTHERS / "other").glob("*.md"))), _OTHERS / "other" / "questions.jsonl"),
    Life("other2", (_OTHERS / "other2" / "notes.jsonl",), _OTHERS / "other2" / "questions.jsonl"),
)
"""The lives to choose by. The official questions are not among them: they are for the end."""


def measure(life: Life, engine: Engine, catalogue: Catalogue, adapter: Adapter | None) -> list[LifeAnswer]:
    """Ask the questions of ``life``, each on its own; ``engine`` wears ``adapter`` while answers are written."""
    worn = () if adapter is None else (Worn("starter", adapter),)
    with temporary_vault() as vault:
        me = Assistant(vault, catalogue, engine=engine, clock=lambda: date_ms(life.today))
        for source in life.sources:
            me.add(source)
        engine.wear(worn)
        try:
            return [
                LifeAnswer(question, *_ask(me, engine, question.question))
                for question in read_questions(life.questions)
            ]
        finally:
            engine.wear(())


def _ask(me: Assistant, engine: Engine, question: str) -> tuple[str, float, float]:
    """The answer, and after how many ms it began and ended."""
    began = time.perf_counter()
    hits, _ = me.find(question, MemoryFilter())
    prompt = layout_for(engine).turn(question, hits, begin=READER.quotes, most=READER.most)
    generation = engine.generate(prompt.tokens, max_tokens=READER.answer_tokens, stop=("\n",))
    first, said = 0.0, ""
    for piece in generation:
        first = first or (time.perf_counter() - began) * 1000
        said += piece
    return (prompt.begun + said).strip(), first, (time.perf_counter() - began) * 1000


def figures(answers: Sequence[LifeAnswer]) -> dict[str, float]:
    """How many are right and how many out of date, of how many, and the median ms to the first token."""
    return {
        "right": sum(answer.right for answer in answers),
        "questions": len(answers),
        "superseded_given": sum(answer.superseded for answer in answers),
        "first_token_ms": round(statistics.median(answer.first_token_ms for answer in answers), 1),
    }
