"""What the facts of a vault change in what was found for a question.

What is asked for and stated by a current fact is read at all events. What only states that which a newer fact ended
doesn't bear on how things are, also where the memory as a whole still stands. "My boss before Ann" asks for the fact
before the one that names Ann.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from edgeperso.knowledge import SELF, earlier_fact, facts_asked_for, outdated_by
from edgeperso.retrieval import asks_for_present
from edgeperso.types import Fact, Hit
from edgeperso.vault import Vault

__all__ = ["by_facts"]

_FACT: Final = 3.0
"""Worth of stating a fact that is asked for, in standard deviations of the retriever's score; what states it lies by as
much behind the best at most,"""
_BEFORE_IT: Final = 2
"""and behind as many others: so it is among the notes that even a small model reads."""

Rank = Callable[[list[int]], list[Hit]]
"""Memories by their ids, scored for the question; those that may not be read are left out."""


def by_facts(vault: Vault, question: str, hits: list[Hit], rank: Rank) -> tuple[list[Hit], list[Hit]]:
    """``hits``, best first, as the facts have it, and those that are superseded for this question."""
    if not asks_for_present(question):
        earlier = earlier_fact(vault, question)
        return hits if earlier is None else _raised(hits, [earlier], rank), []
    facts = facts_asked_for(vault, question)
    outdated = outdated_by(vault, facts)
    superseded = [hit for hit in hits if hit.memory.superseded_by is not None or hit.memory.id in outdated]
    gone = {hit.memory.id for hit in superseded}
    current = [hit for hit in hits if hit.memory.id not in gone]
    return _raised(current, facts, rank), superseded


def _raised(hits: list[Hit], facts: Sequence[Fact], rank: Rank) -> list[Hit]:
    """``hits`` with those raised, and added where they weren't found, that state the ``facts``; they say which."""
    stating: dict[int, list[str]] = {}
    for fact in facts:
        whose = "" if fact.subject == SELF else f"{fact.subject.title()}'s "
        stating.setdefault(fact.memory_id, []).append(f"{whose}{fact.attribute}: {fact.value}")
    missing = sorted(stating.keys() - {hit.memory.id for hit in hits})
    hits = [*hits, *(rank(missing) if missing else [])]
    others = sorted((hit.score for hit in hits if hit.memory.id not in stating), reverse=True)
    least = max(others[0] - _FACT, others[min(_BEFORE_IT, len(others) - 1)]) if others else 0.0
    return _best_first(
        [
            _worth(hit, max(_FACT, least - hit.score), stating[hit.memory.id]) if hit.memory.id in stating else hit
            for hit in hits
        ]
    )


def _worth(hit: Hit, worth: float, states: list[str]) -> Hit:
    return replace(hit, score=hit.score + worth, parts={**hit.parts, "fact": worth}, states=tuple(states))


def _best_first(hits: list[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.memory.id))
