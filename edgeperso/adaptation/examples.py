"""What may train, out of a vault.

- Memories in the person's own words: `Trust.SELF`, current, no documents (those may be anybody's) unless asked for.
- Answers that the person accepted, after their question alone: what was recalled for them is not part of the example,
  and an answer that repeats four words or more of it in a row is left out. So is one that drew on others' words, on
  what is superseded, or on memories outside the filter.
- Answers as the person corrected them, and preference pairs.

Left out of all of them: texts with secrets (`secret_kinds`), and texts of fewer than three words. Every example names
the memories that it was made of, so that forgetting one of them finds the adapters that learnt it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from edgeperso.adaptation.secrets import secret_kinds
from edgeperso.types import Kind, Memory, MemoryFilter, Trust
from edgeperso.vault import Vault

__all__ = ["EVERY_ID", "Gathered", "Item", "Only", "PairSource", "Source", "gather_pairs", "gather_texts"]

_LEAST_WORDS: Final = 3
_RUN_WORDS: Final = 4
"""So many words in a row, word for word, are taken as repeated from a memory."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text to learn, said after ``prompt`` (empty: a text by itself). ``drawn_from`` are the memories that an answer
    was given on the strength of; ids of what isn't in play are None."""

    text: str
    prompt: str
    when_ms: int
    memory_id: int | None = None
    turn_id: int | None = None
    pair_id: int | None = None
    drawn_from: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """What makes it a repetition of another."""
        return f"{self.prompt} {self.text}"


@dataclass(frozen=True, slots=True)
class PairSource:
    """A stored preference: after ``prompt`` the person would rather read ``chosen`` than ``rejected``."""

    prompt: str
    chosen: str
    rejected: str
    when_ms: int
    pair_id: int
    drawn_from: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.prompt} {self.chosen} {self.rejected}"


Item = TypeVar("Item", Source, PairSource)


@dataclass(frozen=True, slots=True)
class Gathered(Generic[Item]):
    """``items`` by time; ``skipped`` counts what was left out, by a stable word: ``secret``, ``others``,
    ``superseded``, ``document``, ``short``, ``recalled``, ``outside``."""

    items: tuple[Item, ...]
    skipped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Only:
    """Take nothing but these ids; None takes any."""

    memories: frozenset[int] | None = None
    turns: frozenset[int] | None = None
    pairs: frozenset[int] | None = None


EVERY_ID: Final = Only()


def gather_texts(vault: Vault, where: MemoryFilter, only: Only = EVERY_ID) -> Gathered[Source]:
    """The texts that may train among those that match ``where``.

    A filter by source or kind is about memories, so it leaves out all answers; scopes and times hold for both.
    """
    sieve = _Sieve(vault, where)
    kept = [
        source
        for source in (*_memories(sieve, only), *_accepted(sieve, only), *_corrected(sieve, only))
        if sieve.passes(sieve.text_fault(source.text, source.prompt))
    ]
    return Gathered(tuple(sorted(kept, key=lambda source: source.when_ms)), dict(sieve.skipped))


def gather_pairs(vault: Vault, where: MemoryFilter, only: Only = EVERY_ID) -> Gathered[PairSource]:
    """The preference pairs that may train; ``where`` as in `gather_texts`."""
    sieve = _Sieve(vault, where)
    kept = [
        PairSource(pair.prompt, pair.chosen, pair.rejected, pair.at_ms, pair.id, tuple(pair.memories))
        for pair in vault.pairs.all()
        if _wanted(pair.id, only.pairs)
        and sieve.passes(
            sieve.place_fault(pair.scope, pair.at_ms, pair.memories)
            or sieve.secret_fault(pair.prompt, pair.chosen, pair.rejected)
            or sieve.others_fault(pair.rejected, pair.memories)
        )
    ]
    return Gathered(tuple(sorted(kept, key=lambda pair: pair.when_ms)), dict(sieve.skipped))


def _memories(sieve: _Sieve, only: Only) -> Iterator[Source]:
    for memory in sieve.vault.memories.scan(sieve.where):
        if _wanted(memory.id, only.memories) and sieve.passes(sieve.memory_fault(memory)):
            yield Source(memory.text, "", memory.when_ms, memory_id=memory.id)


def _accepted(sieve: _Sieve, only: Only) -> Iterator[Source]:
    for question, answer in sieve.vault.conversations.accepted_turns():
        if not _wanted(answer.id, only.turns):
            continue
        drawn = _drawn_from(answer.trace)
        fault = sieve.place_fault("personal", answer.at_ms, drawn) or sieve.answer_fault(answer.text, drawn)
        if sieve.passes(fault):
            yield Source(answer.text, question.text, answer.at_ms, turn_id=answer.id, drawn_from=drawn)


def _corrected(sieve: _Sieve, only: Only) -> Iterator[Source]:
    for pair in sieve.vault.pairs.all():
        if pair.turn_id is None or not _wanted(pair.id, only.pairs):
            continue
        if sieve.passes(sieve.place_fault(pair.scope, pair.at_ms, pair.memories)):
            drawn = tuple(pair.memories)
            yield Source(pair.chosen, pair.prompt, pair.at_ms, turn_id=pair.turn_id, pair_id=pair.id, drawn_from=drawn)


def _wanted(id_: int, among: frozenset[int] | None) -> bool:
    return among is None or id_ in among


def _drawn_from(trace: dict[str, object] | None) -> tuple[int, ...]:
    sources = (trace or {}).get("sources")
    return tuple(int(source) for source in sources) if isinstance(sources, list | tuple) else ()


class _Sieve:
    """The rules, and the count of what they left out. A fault is a word of `Gathered.skipped`, empty for none."""

    def __init__(self, vault: Vault, where: MemoryFilter) -> None:
        self.vault = vault
        self.where = where
        self.skipped: Counter[str] = Counter()
        anytime = replace(where, after_ms=None, before_ms=None, include_closed=True)
        self._inside = frozenset(vault.memories.ids(anytime).tolist())
        self._only_memories = bool(where.sources or where.kinds)

    def passes(self, fault: str) -> bool:
        if fault:
            self.skipped[fault] += 1
        return not fault

    def memory_fault(self, memory: Memory) -> str:
        if memory.trust is not Trust.SELF:
            return "others"
        if memory.closed_ms is not None or memory.superseded_by is not None:
            return "superseded"
        return "document" if memory.kind is Kind.DOCUMENT and Kind.DOCUMENT not in self.where.kinds else ""

    def place_fault(self, scope: str, at_ms: int, drawn: Iterable[int]) -> str:
        """Whether something said in a conversation lies outside the filter."""
        where = self.where
        early = where.after_ms is not None and at_ms < where.after_ms
        late = where.before_ms is not None and at_ms >= where.before_ms
        foreign = bool(where.scopes) and scope not in where.scopes and not tuple(drawn)
        return (
            "outside" if self._only_memories or early or late or foreign or not self._inside.issuperset(drawn) else ""
        )

    def answer_fault(self, answer: str, drawn: Iterable[int]) -> str:
        """Whether an answer of the model may train, by what it drew on."""
        read = self.vault.memories.get(drawn)
        faults = [fault for memory in read if (fault := self.memory_fault(memory))]
        if faults:
            return faults[0]
        return "recalled" if any(_repeats(answer, memory.text) for memory in read) else ""

    def others_fault(self, text: str, drawn: Iterable[int]) -> str:
        read = self.vault.memories.get(drawn)
        return "others" if any(m.trust is not Trust.SELF and _repeats(text, m.text) for m in read) else ""

    def secret_fault(self, *texts: str) -> str:
        return "secret" if any(secret_kinds(text) for text in texts) else ""

    def text_fault(self, text: str, prompt: str) -> str:
        return "short" if len(text.split()) < _LEAST_WORDS else self.secret_fault(text, prompt)


def _repeats(text: str, memory: str) -> bool:
    return not _runs(text).isdisjoint(_runs(memory))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[place : place + _RUN_WORDS]) for place in range(len(words) - _RUN_WORDS + 1)}
