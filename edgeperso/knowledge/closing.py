"""Which fact ends which: a function of the facts alone, so that the order in which they came doesn't matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edgeperso.knowledge.pets import PETS
from edgeperso.knowledge.statement import ENDED, HAS, words
from edgeperso.types import Fact

__all__ = ["ENDABLE", "Closing", "Entry", "closings"]

ENDABLE: Final = frozenset(
    {
        HAS, "gym", "newspaper", "bank", "mobile provider", "internet provider", "energy supplier", "health insurance",
        "car insurance", "swimming pool", *PETS,
    }
)  # fmt: skip
"""The attributes that "gave up X" may end."""
_GENERIC: Final = frozenset(("account", "class", "contract", "course", "lesson", "membership", "plan", "subscription"))

Order = tuple[int, str, str, int, str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact with what its memory adds: whether it ends another value, and its place in time among all memories."""

    fact: Fact
    replaces: bool
    order: Order


@dataclass(frozen=True, slots=True)
class Closing:
    """``by`` (a fact's id) holds instead from ``at_ms`` on."""

    by: int
    at_ms: int


def closings(entries: Iterable[Entry]) -> dict[int, Closing]:
    """By fact id, how the facts of one subject were closed. A fact is ended by the first later one of its attribute
    that replaces it with a different value, or by an earlier "gave it up"."""
    chains: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.order, entry.fact.value)):
        chains[entry.fact.attribute].append(entry)
    ends = chains.pop(ENDED, [])
    found: dict[int, Closing] = {}
    for attribute, chain in chains.items():
        if attribute != HAS:
            found |= _replaced(chain)
    by_word: dict[str, list[_Endable]] = defaultdict(list)
    for entry in (entry for attribute in ENDABLE for entry in chains.get(attribute, ())):
        value = words(entry.fact.value)
        endable = _Endable(entry, value, value | words(entry.fact.attribute))
        for word in endable.all_words:
            by_word[word].append(endable)
    for end in ends:
        for entry in _ended(end, by_word, found):
            found[entry.fact.id] = Closing(end.fact.id, end.fact.valid_from_ms)
    return found


def _replaced(chain: list[Entry]) -> dict[int, Closing]:
    said = [words(entry.fact.value) for entry in chain]
    successor: list[int | None] = [None] * len(chain)
    for here in range(len(chain) - 2, -1, -1):
        later: int | None = here + 1
        while later is not None and (
            not chain[later].replaces or said[here] <= said[later] or said[later] <= said[here]
        ):
            # A later fact of just the same words has the same successor: no need to look at all in between.
            later = successor[later] if said[later] == said[here] else later + 1 if later + 1 < len(chain) else None
        successor[here] = later
    return {
        chain[here].fact.id: Closing(chain[later].fact.id, chain[later].fact.valid_from_ms)
        for here, later in enumerate(successor)
        if later is not None
    }


@dataclass(frozen=True, slots=True)
class _Endable:
    entry: Entry
    value: frozenset[str]
    all_words: frozenset[str]


def _ended(end: Entry, by_word: dict[str, list[_Endable]], closed: dict[int, Closing]) -> list[Entry]:
    """The open facts that ``end`` ends: those that bear its name, or the only one of which its words may speak."""
    named = " ".join(word for word in end.fact.value.split() if word[0].isupper())
    wanted = words(named or end.fact.value) - _GENERIC
    if not wanted:
        return []
    at_ms = end.fact.valid_from_ms
    meant = []
    for candidate in min((by_word.get(word, []) for word in sorted(wanted)), key=len):
        entry = candidate.entry
        before = entry.order < end.order and entry.fact.memory_id != end.fact.memory_id
        closing = closed.get(entry.fact.id)
        said = candidate.value if named else candidate.all_words
        if before and wanted <= said and (closing is None or closing.at_ms > at_ms):
            meant.append(candidate)
    if not named and len({candidate.value for candidate in meant}) > 1:
        return []
    return [candidate.entry for candidate in meant]
