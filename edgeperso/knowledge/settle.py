"""Bring what is closed in the vault, facts and memories, to what the facts say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from edgeperso.errors import DataInvalid
from edgeperso.knowledge.closing import ENDABLE, Closing, Entry, closings
from edgeperso.knowledge.extract import extract
from edgeperso.knowledge.sentences import sentences
from edgeperso.knowledge.statement import ENDED, HAS, Statement
from edgeperso.knowledge.store import reopen_fact
from edgeperso.times import to_datetime
from edgeperso.types import Fact, Memory
from edgeperso.vault import Vault

__all__ = ["Settled", "settle"]

_LONG = 400
"""A memory of more characters says more than its first sentence."""
_MAIN_SHARE = 0.4
"""A memory is about its statements if their sentences make up so much of it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """How many facts and memories were closed, or closed by another one than before."""

    facts_closed: int = 0
    memories_superseded: int = 0


def settle(vault: Vault, attributes: set[str] | None) -> Settled:
    """Close and reopen facts of these attributes (None: of all), then the memories that state them.

    Within the caller's transaction. Facts of two scopes never close each other.
    """
    facts = vault.facts.of_memories(vault.memories.ids().tolist())
    if attributes is None:
        attributes = {fact.attribute for fact in facts}
    if attributes & (ENDABLE | {ENDED}):
        attributes |= ENDABLE | {ENDED}
    by_memory: dict[int, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_memory[fact.memory_id].append(fact)
    concerned = [fact for fact in facts if fact.attribute in attributes]
    memories = {memory.id: memory for memory in vault.memories.get({fact.memory_id for fact in concerned})}
    texts = _Texts()
    wanted = _closings(concerned, memories, texts)
    closed = _apply(vault, concerned, wanted)
    ends = {fact.id: Closing(fact.closed_by, fact.valid_to_ms or 0) for fact in facts if fact.closed_by is not None}
    for fact in concerned:
        ends.pop(fact.id, None)
    ends |= wanted
    author = {fact.id: fact.memory_id for fact in facts}
    stating: list[Memory] = []
    last: dict[int, list[Closing]] = {}
    for memory in memories.values():
        own = [fact for fact in by_memory[memory.id] if fact.attribute != ENDED]
        if own:
            stating.append(memory)
        if own and all(fact.id in ends for fact in own) and texts.is_mainly(memory, own):
            at_ms = max(ends[fact.id].at_ms for fact in own)
            last[memory.id] = [ends[fact.id] for fact in own if ends[fact.id].at_ms == at_ms]
    newer = {author[closing.by] for closings_ in last.values() for closing in closings_}
    order = {memory.id: _order(memory) for memory in vault.memories.get(newer)}
    superseded = {
        id_: (max((author[closing.by] for closing in closings_), key=order.__getitem__), closings_[0].at_ms)
        for id_, closings_ in last.items()
    }
    return Settled(closed, _supersede(vault, stating, superseded))


def _closings(facts: list[Fact], memories: dict[int, Memory], texts: _Texts) -> dict[int, Closing]:
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for fact in facts:
        memory = memories[fact.memory_id]
        replaces = fact.attribute not in (HAS, ENDED) and texts.replaces(memory, fact)
        groups[memory.scope, fact.subject].append(Entry(fact, replaces, _order(memory)))
    return {id_: closing for entries in groups.values() for id_, closing in closings(entries).items()}


def _apply(vault: Vault, facts: list[Fact], wanted: dict[int, Closing]) -> int:
    closed = 0
    for fact in facts:
        closing = wanted.get(fact.id)
        if closing is None:
            if fact.closed_by is not None:
                reopen_fact(vault, fact.id)
        elif (fact.closed_by, fact.valid_to_ms) != (closing.by, closing.at_ms):
            vault.facts.close(fact.id, by=closing.by, at_ms=closing.at_ms)
            closed += 1
    return closed


def _supersede(vault: Vault, memories: list[Memory], wanted: dict[int, tuple[int, int]]) -> int:
    changed = [
        memory for memory in memories if (memory.superseded_by, memory.closed_ms) != wanted.get(memory.id, (None, None))
    ]
    for memory in changed:
        if memory.superseded_by is not None:  # all first: an old link could make a circle with a new one
            vault.memories.reopen(memory.id)
    superseded = 0
    for memory in changed:
        if memory.id in wanted:
            by, at_ms = wanted[memory.id]
            try:
                vault.memories.supersede(memory.id, by=by, at_ms=at_ms)
            except DataInvalid:  # somebody else closed the newer memory by this one
                continue
            superseded += 1
    return superseded


def _order(memory: Memory) -> tuple[int, str, str, int, str, str]:
    return memory.when_ms, memory.source, memory.thread, memory.position, memory.locator, memory.text


class _Texts:
    """What memories state, read once each."""

    def __init__(self) -> None:
        self._read: dict[int, list[Statement]] = {}

    def replaces(self, memory: Memory, fact: Fact) -> bool:
        return any(
            statement.replaces
            for statement in self._of(memory)
            if (statement.subject, statement.attribute) == (fact.subject, fact.attribute)
        )

    def is_mainly(self, memory: Memory, facts: list[Fact]) -> bool:
        """Whether the memory is about these facts: it begins with one, if it isn't long, or says little else."""
        stated = {(fact.subject, fact.attribute, fact.value) for fact in facts}
        places = {
            statement.sentence
            for statement in self._of(memory)
            if not statement.aside and (statement.subject, statement.attribute, statement.value) in stated
        }
        if 0 in places and len(memory.text) <= _LONG:
            return True
        lengths = [len(sentence) for sentence in sentences(memory.text)]
        return bool(places) and sum(lengths[place] for place in places) >= _MAIN_SHARE * sum(lengths)

    def _of(self, memory: Memory) -> list[Statement]:
        if memory.id not in self._read:
            self._read[memory.id] = extract(memory.text, to_datetime(memory.when_ms).year)
        return self._read[memory.id]
