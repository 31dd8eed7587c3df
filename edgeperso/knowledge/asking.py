"""From a question to the facts that it asks for: "How much is my rent?" asks for the current ``rent``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from edgeperso.knowledge.derive import current_facts
from edgeperso.types import Fact

if TYPE_CHECKING:
    from edgeperso.vault import Vault

__all__ = ["facts_asked_for"]

_OTHER_WORDS: Final = {
    "home": (("live",), ("home",)),
    "employer": (("work", "for"), ("where", "work"), ("employer",)),
    "way to work": (("get", "work"), ("commute",)),
}
"""Attributes that people ask for in other words than their name: any of these sets, whole, in the question."""
_LEAST_PREFIX: Final = 4
_WORD: Final = re.compile(r"[^\W_]+")
_AFTER: Final = frozenset(
    {
        "is",
        "are",
        "am",
        "do",
        "does",
        "can",
        "now",
        "s",
        "called",
        "with",
        "at",
        "in",
        "to",
        "for",
        "of",
        "have",
        "these",
    }
)
_OF: Final = frozenset({"of", "the", "to", "my"})


def facts_asked_for(vault: Vault, question: str) -> list[Fact]:
    """The person's own current facts whose attribute ``question`` names, wholly: every word of it, or of another way to
    put it. A question that names somebody else's thing ("Juno's vet") asks for the person's own all the same."""
    asked = [word.lower() for word in _WORD.findall(question)]
    return [fact for attribute, fact in current_facts(vault).items() if _names(asked, attribute)]


def _names(asked: list[str], attribute: str) -> bool:
    words = tuple(word for word in _WORD.findall(attribute.lower()) if word not in _OF)
    ways = _OTHER_WORDS.get(attribute, (words,))
    return any(_stands_in(asked, way) for way in ways)


def _stands_in(asked: list[str], way: tuple[str, ...]) -> bool:
    """Whether all of ``way`` is asked for, and not as part of something else: "dentist appointment" is no dentist."""
    places = [next((at for at, one in enumerate(asked) if _alike(word, one)), None) for word in way]
    found = [at for at in places if at is not None]
    if not way or len(found) < len(way):
        return False
    return max(found) + 1 == len(asked) or asked[max(found) + 1] in _AFTER


def _alike(one: str, other: str) -> bool:
    """The same word, or two forms of one: ``swim`` and ``swimming``, ``rehearse`` and ``rehearsal``."""
    shared = min(len(one), len(other)) if min(len(one), len(other)) <= _LEAST_PREFIX else min(len(one), len(other)) - 1
    return one == other or (shared >= _LEAST_PREFIX and one[:shared] == other[:shared])
