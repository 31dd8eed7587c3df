"""Keep the facts in step with the memories: incremental, idempotent, the same in any order of import.

Promises: only dated text that the person wrote themselves (`Trust.SELF`) states anything. No mail by others, no answer
of an assistant and no document can put a fact in the person's mouth, or close one. Nothing is deleted: a memory is
closed only where all that it states is over and it says little else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from edgeperso.knowledge.extract import extract
from edgeperso.knowledge.settle import Settled, settle
from edgeperso.knowledge.statement import ENDED, HAS, SELF
from edgeperso.knowledge.store import Bookmark, edited_since
from edgeperso.times import to_datetime
from edgeperso.types import Fact, Kind, Memory, Progress, Trust
from edgeperso.vault import Vault

__all__ = ["RULES_VERSION", "DeriveReport", "current_facts", "derive_facts"]

RULES_VERSION: Final = 3
"""Raised whenever the rules read a text differently: all facts are then derived anew."""
_BATCH: Final = 1000
_STAGE: Final = "facts"


@dataclass(frozen=True, slots=True)
class DeriveReport:
    """What one call changed: facts stored, facts that were closed, memories that are superseded since."""

    facts_added: int = 0
    facts_closed: int = 0
    memories_superseded: int = 0


@dataclass(slots=True)
class _Touched:
    """The attributes whose facts changed; None: any of them may have."""

    attributes: set[str] | None = field(default_factory=set)
    added: int = 0

    def note(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self.added += 1
            if self.attributes is not None:
                self.attributes.add(fact.attribute)


def derive_facts(vault: Vault, progress: Progress | None = None) -> DeriveReport:
    """Read what was not yet read, store what it states, and close what is over by it.

    Costs little when nothing changed. Each batch is a transaction; an interrupted call is made good by the next one. A
    forgotten or edited memory no longer closes anything after the next call.

    Returns:
        What changed. A second call changes nothing.
    """
    total = vault.memories.count()
    touched = _Touched()
    first = True
    while True:
        with vault.transaction():
            mark = Bookmark.load(vault) or Bookmark(RULES_VERSION, 0, 0, 0, settled=True)
            if mark.rules != RULES_VERSION:
                mark = _start_over(vault)
            if mark.settled and mark.generation == vault.generation:
                return DeriveReport()
            if first and not mark.settled:  # an earlier call was cut off: nobody knows what it stored
                touched.attributes = None
            first = False
            batch = list(islice(vault.memories.scan(after_id=mark.last_id), _BATCH))
            if not batch:
                return _finish(vault, mark, touched)
            touched.note(_store(vault, batch))
            done = mark.count + len(batch)
            Bookmark(RULES_VERSION, batch[-1].id, done, mark.generation, settled=False).save(vault)
        if progress is not None:
            progress(_STAGE, done, max(total, done))


def current_facts(vault: Vault) -> dict[str, Fact]:
    """What holds of the person, newest for each attribute: home, boss … Things begun (`HAS`) are many and left out."""
    return {fact.attribute: fact for fact in vault.facts.current(subject=SELF) if fact.attribute not in (HAS, ENDED)}


def _start_over(vault: Vault) -> Bookmark:
    """Drop what other rules made, and open again what their facts had closed."""
    stating = {fact.memory_id for fact in vault.facts.of_memories(vault.memories.ids().tolist())}
    for memory in vault.memories.get(sorted(stating)):
        if memory.superseded_by is not None:
            vault.memories.reopen(memory.id)
    vault.facts.clear()
    mark = Bookmark(RULES_VERSION, 0, 0, 0, settled=False)
    mark.save(vault)
    return mark


def _store(vault: Vault, memories: Iterable[Memory]) -> list[Fact]:
    return [
        vault.facts.add(memory.id, statement.subject, statement.attribute, statement.value, memory.when_ms)
        for memory in memories
        if _may_speak(memory)
        for statement in extract(memory.text, to_datetime(memory.when_ms).year)
    ]


def _may_speak(memory: Memory) -> bool:
    return memory.trust is Trust.SELF and memory.kind is not Kind.DOCUMENT and memory.occurred_ms is not None


def _finish(vault: Vault, mark: Bookmark, touched: _Touched) -> DeriveReport:
    """Read edited memories again and settle what holds; all memories were read before."""
    edited = [
        memory
        for memory in vault.memories.get(edited_since(vault, mark.generation, mark.last_id))
        if not vault.facts.of_memories([memory.id])
    ]
    for memory in edited:
        if memory.superseded_by is not None:
            vault.memories.reopen(memory.id)
    touched.note(_store(vault, edited))
    count = vault.memories.count()
    if edited or count != mark.count:
        touched.attributes = None
    changed = Settled() if touched.attributes == set() else settle(vault, touched.attributes)
    Bookmark(RULES_VERSION, mark.last_id, count, vault.generation, settled=True).save(vault)
    return DeriveReport(touched.added, changed.facts_closed, changed.memories_superseded)
