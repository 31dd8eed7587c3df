"""Methods of personalization as named conditions: what the assistant is given of a person before it answers.

A method is one way of choosing memories and any number of additions, joined by ``+``: ``bm25``, ``hybrid+profile``,
``none+reminder``. All run through the `Assistant` that a person uses; only what it finds, and what its profile says,
is set by the method.

Ways of choosing: ``none``; ``random`` (drawn by the seed); ``recent`` (the latest); ``bm25`` (words alone); ``dense``
(vectors alone); ``hybrid`` (the product's own ranking); ``full`` (all, the latest first, as far as the budget goes).
Additions: ``profile`` (a summary of the person from their own history), ``persona`` (what people like them wrote),
``reminder`` (the question ends by reminding the model of what the person said, as in Zhao et al., "Do LLMs Recognize
Your Preferences?", 2025, arXiv:2502.09597).
Where an evaluation trains (`eval lamp`), also adapters, worn in this order: ``global-lora`` (learnt from other people),
``persona-lora`` (from a group of other people who are near), ``user-lora`` (from the person's own history).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

from edgeperso.assistant import Assistant, Reader, Weigher
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine
from edgeperso.errors import UsageError
from edgeperso.evals.raw import digest
from edgeperso.types import Embedder, Granularity, Hit, Memory, MemoryFilter, Query
from edgeperso.vault import Vault

__all__ = ["ADDITIONS", "CHOICES", "LEARNT", "ConditionedAssistant", "Method"]

CHOICES: Final = ("none", "random", "recent", "bm25", "dense", "hybrid", "full")
ADDITIONS: Final = ("profile", "persona", "reminder")
LEARNT: Final = {
    "global-lora": Granularity.GLOBAL,
    "persona-lora": Granularity.PERSONA,
    "user-lora": Granularity.USER,
}
"""Additions that are trained, in the order in which they are worn."""
REMINDER: Final = "Keep in mind what the person said about themselves."
_SIGNALS: Final = {"bm25": ("lexical",), "dense": ("dense",)}
_SEARCHED: Final = 40
_FULL_TOKENS: Final = 2000
"""Of memories, that ``full`` reads at most: half of the context of an evaluation."""


@dataclass(frozen=True, slots=True)
class Method:
    """A condition: how memories are chosen, and what is added."""

    choice: str
    additions: frozenset[str]

    @classmethod
    def parse(cls, name: str, *, trains: bool = False) -> Self:
        """Read a name such as ``bm25+profile``; an addition alone chooses no memories.

        Args:
            trains: whether the evaluation can train, so that the additions of `LEARNT` are known too.

        Raises:
            UsageError: a part that is none of the known ones, or two ways of choosing.
        """
        known = (*ADDITIONS, *LEARNT) if trains else ADDITIONS
        parts = [part.strip().lower() for part in name.split("+")]
        choices = [part for part in parts if part in CHOICES]
        unknown = [part for part in parts if part not in CHOICES and part not in known]
        if unknown or len(choices) > 1:
            raise UsageError(
                "A method is one of " + ", ".join(CHOICES) + "; with + " + ", ".join(known) + " as additions.",
                hint="For example: --method none --method hybrid+profile.",
            )
        return cls(choices[0] if choices else "none", frozenset(parts) - set(CHOICES))

    @property
    def name(self) -> str:
        """The canonical name; ``none`` stands only where it is alone."""
        added = [addition for addition in (*ADDITIONS, *LEARNT) if addition in self.additions]
        return "+".join(added if added and self.choice == "none" else [self.choice, *added])

    @property
    def learnt(self) -> tuple[Granularity, ...]:
        """Whom the adapters speak for that it wears, in their order."""
        return tuple(granularity for addition, granularity in LEARNT.items() if addition in self.additions)

    @property
    def unlearnt(self) -> Method:
        """The same without its adapters: what they are compared with."""
        return replace(self, additions=self.additions.difference(LEARNT))

    def asked(self, question: str) -> str:
        """``question`` as the method puts it."""
        return f"{question}\n{REMINDER}" if "reminder" in self.additions else question


class ConditionedAssistant(Assistant):
    """The assistant under a `Method`: what it finds is the method's.

    Args:
        most: memories at most; None leaves it to the budget.
        seed: of what is drawn by chance.
    """

    def __init__(
        self,
        vault: Vault,
        catalogue: Catalogue,
        *,
        engine: Engine,
        embedder: Embedder,
        method: Method,
        most: int | None = None,
        seed: int = 0,
        clock: Callable[[], int],
    ) -> None:
        super().__init__(vault, catalogue, engine=engine, clock=clock)
        self._embedder = embedder
        self._method = method
        self._most = most
        self._seed = seed

    def sought(self, question: str) -> str:
        return question.removesuffix(REMINDER).strip()

    def find(self, question: str, where: MemoryFilter) -> tuple[list[Hit], list[Hit]]:
        hits, superseded = self._found(self.sought(question), where)
        return hits if self._reads_all else hits[: self._most], superseded

    def find_for_advice(self, question: str, where: MemoryFilter) -> list[Hit]:
        if self._method.choice == "hybrid":
            return super().find_for_advice(self.sought(question), where)[: self._most]
        return self.find(question, where)[0]

    @property
    def reader(self) -> Reader:
        """The assistant's own, but that ``full`` reads on to the end of a larger budget, and that all is read, and read
        whole, that was found in another way than the assistant's: scores of other sorts can't be told by its
        measure."""
        reader = super().reader
        if self._method.choice != "hybrid":
            reader = replace(reader, behind=math.inf, whole_tokens=None)
        return replace(reader, most=None, memory_tokens=_FULL_TOKENS) if self._reads_all else reader

    def weigher(self, task: str, *, most: int | None = None) -> Weigher:
        return super().weigher(task, most=None if self._reads_all else most)

    @property
    def _reads_all(self) -> bool:
        return self._method.choice == "full"

    def _found(self, question: str, where: MemoryFilter) -> tuple[list[Hit], list[Hit]]:
        match self._method.choice:
            case "none":
                return [], []
            case "hybrid":
                return super().find(question, where)
            case "bm25" | "dense" as choice:
                query = Query(question, self._clock(), _SEARCHED, where, _SIGNALS[choice])
                return self.retriever.search(query), []
            case "random":
                memories = list(self.vault.memories.scan(where))
                random.Random(digest([self._seed, question])).shuffle(memories)  # noqa: S311 - to be repeated, not secret
                return _as_hits(memories), []
            case _:
                memories = sorted(self.vault.memories.scan(where), key=lambda memory: (-memory.when_ms, -memory.id))
                return _as_hits(memories), []


def _as_hits(memories: list[Memory]) -> list[Hit]:
    """Memories in an order that no score gave."""
    return [Hit(memory, float(-place), {}) for place, memory in enumerate(memories)]
