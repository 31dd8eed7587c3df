"""From a question to the facts that bear on its answer: "How much is my rent?" asks for the current ``rent``, "Where
did I live before Ghent?" for the ``home`` before that one.

English only; a question that fits no rule asks for no fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from edgeperso.knowledge.derive import current_facts
from edgeperso.knowledge.pets import PETS
from edgeperso.knowledge.providers import supplied
from edgeperso.knowledge.statement import SELF, is_same, words
from edgeperso.times import DAY_MS
from edgeperso.types import Fact

if TYPE_CHECKING:
    from edgeperso.vault import Vault

__all__ = ["earlier_fact", "facts_asked_for", "outdated_by"]

_OTHER_WORDS: Final = {
    "home": (("live",), ("home",)),
    "employer": (("work", "for"), ("where", "work"), ("employer",)),
    "way to work": (("get", "work"), ("commute",)),
    **{attribute: ((attribute,), ("pet",)) for attribute in PETS},
}
"""Attributes that people ask for in other words than their name: any of these sets, whole, in the question. Whose they
are, the question says: "Where does Ann live?" doesn't ask for the person's own."""
_OTHERS_HAVE: Final = "home"
"""The attribute that is known of other people too."""
_OF_A_HOME: Final = frozenset({"rent", "landlord", "energy supplier", "internet provider"})
"""What ends when the person moves, also if nobody says so; but what was said a little before is of the new home."""
_A_LITTLE_MS: Final = 90 * DAY_MS
_FIRST_PERSON: Final = frozenset(("i", "me", "my", "mine", "we", "us", "our", "ours"))
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
        "did",
        "was",
        "were",
    }
)
_OF: Final = frozenset({"of", "the", "to", "my"})
_BEFORE: Final = re.compile(r"\b(?:before|prior to) (?P<what>.+)", re.IGNORECASE)
_FORMER: Final = re.compile(r"\b(?:my|our) (?:previous|former|old|last)\b", re.IGNORECASE)


def facts_asked_for(vault: Vault, question: str) -> list[Fact]:
    """The current facts whose attribute ``question`` names, wholly: every word of it, or of another way to put it. A
    company is also asked for by what it supplies.

    They are the person's own, also where the question names somebody else's thing ("Juno's vet"); but where somebody
    else lives, is said of them.
    """
    asked = _words(question)
    own = _FIRST_PERSON.intersection(asked)
    by_thing = supplied(question) if own else ()
    facts = [
        fact
        for attribute, fact in current_facts(vault).items()
        if attribute in by_thing or (_names(asked, attribute) and (own or attribute not in _OTHER_WORDS))
    ]
    if not _OF_A_HOME.isdisjoint(fact.attribute for fact in facts):
        moved_ms = _moved_ms(vault)
        facts = [
            fact for fact in facts if fact.attribute not in _OF_A_HOME or fact.valid_from_ms >= moved_ms - _A_LITTLE_MS
        ]
    if own or not _names(asked, _OTHERS_HAVE):
        return facts
    newest = {fact.subject: fact for fact in vault.facts.current(attribute=_OTHERS_HAVE) if fact.subject in asked}
    return [*facts, *newest.values()]


def outdated_by(vault: Vault, facts: Iterable[Fact]) -> set[int]:
    """The memories that state what held before ``facts``, of the same things of the same people, and none of those."""
    chains = [vault.facts.history(fact.subject, fact.attribute) for fact in facts]
    closed = {fact.memory_id for chain in chains for fact in chain if fact.valid_to_ms is not None}
    return closed - {fact.memory_id for chain in chains for fact in chain if fact.valid_to_ms is None}


def earlier_fact(vault: Vault, question: str) -> Fact | None:
    """What held of the person before that which ``question`` names ("my boss before Ann"), or before what holds now
    ("my previous boss"); None where it asks for nothing of the sort, or no fact says so."""
    before = _BEFORE.search(question)
    if before is None and _FORMER.search(question) is None:
        return None
    asked = _words(_FORMER.sub("my", question[: before.start()] if before else question))
    if not _FIRST_PERSON.intersection(asked):
        return None
    for attribute in current_facts(vault):
        chain = vault.facts.history(SELF, attribute) if _names(asked, attribute) else []
        named = [fact for fact in chain if before is None or _is_named(fact.value, before["what"])]
        if named:
            return _before(chain, named[0] if before else named[-1])
    return None


def _moved_ms(vault: Vault) -> int:
    """When the person came to where they live now; 0 where no fact tells of another home before."""
    chain = vault.facts.history(SELF, "home")
    at = len(chain) - 1
    while at > 0 and is_same(chain[at - 1].value, chain[-1].value):
        at -= 1
    return chain[at].valid_from_ms if at > 0 else 0


def _before(chain: list[Fact], fact: Fact) -> Fact | None:
    """The last of another value before ``fact``."""
    others = (one for one in reversed(chain[: chain.index(fact)]) if not is_same(one.value, fact.value))
    return next(others, None)


def _is_named(value: str, text: str) -> bool:
    said = words(value)
    return bool(said) and said <= words(text)


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


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
