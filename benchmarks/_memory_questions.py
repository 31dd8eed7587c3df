"""Questions whose answers stand in memories: about the sample life, and LoCoMo's.

An answer about the sample life is right as `edgeperso eval life` tells it. LoCoMo's answers are phrases of people: one
is right that holds three quarters or more of the phrase's words, by their stems. That is coarse, but the same for every
way of putting the memories before a model, which is what is compared here. Questions about what was never said are left
out: half of them are answered rightly by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from edgeperso.assistant import Assistant
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine
from edgeperso.evals.experiments.locomo_answers import put, sampled
from edgeperso.evals.life import LifeAnswer, read_questions
from edgeperso.evals.lodging import temporary_vault
from edgeperso.evals.metrics.text import token_recall
from edgeperso.evals.readers import read_locomo
from edgeperso.times import date_ms
from edgeperso.types import Record

__all__ = ["Asked", "Source", "about_life", "about_locomo"]

_LIFE = Path(__file__).parent.parent / "examples" / "life"
_TODAY = date(2025, 12, 31)
"""The sample life's last day, and later than all of LoCoMo's talks."""
_ENOUGH = 0.75
_SAID = (1, 2, 3, 4)
"""LoCoMo's categories of questions about what was said."""


@dataclass(frozen=True)
class Asked:
    """``question`` is put to the model, its first line finds the memories, ``is_right`` judges what was said."""

    question: str
    is_right: Callable[[str], bool]


@dataclass(frozen=True)
class Source:
    """Questions to one person's memories, which ``fill`` puts into a new vault."""

    records: tuple[Record, ...]
    fill: Callable[[Assistant], None]
    asked: tuple[Asked, ...]

    @contextmanager
    def opened(self, engine: Engine, catalogue: Catalogue) -> Iterator[Assistant]:
        with (
            temporary_vault(self.records) as vault,
            closing(_Assistant(vault, catalogue, engine=engine, clock=lambda: date_ms(_TODAY))) as me,
        ):
            self.fill(me)
            yield me


class _Assistant(Assistant):
    def sought(self, question: str) -> str:
        return question.partition("\n")[0]


def about_life(chosen: slice) -> Source:
    asked = [
        Asked(one.question, lambda said, one=one: LifeAnswer(one, said, 0, 0).right)  # type: ignore[misc]
        for one in read_questions(_LIFE / "questions.jsonl")[chosen]
    ]
    return Source((), _fill_with_life, tuple(asked))


def about_locomo(path: Path, count: int, seed: int) -> list[Source]:
    """``count`` questions that have an answer, from each category its share, by conversation."""
    conversations = read_locomo(path)
    sources: dict[int, list[Asked]] = {}
    for one in sampled(conversations, count, seed, _SAID):
        answer = one.question.answer or ""
        sources.setdefault(one.place, []).append(
            Asked(
                put(one.question, seed),
                lambda said, answer=answer: token_recall(said, answer) >= _ENOUGH,  # type: ignore[misc]
            )
        )
    return [
        Source(tuple(conversations[place].records), lambda _me: None, tuple(asked)) for place, asked in sources.items()
    ]


def _fill_with_life(me: Assistant) -> None:
    for part in ("notes", "mail.mbox", "chatgpt"):
        me.add(_LIFE / part)
