"""All that a text states, sentence by sentence."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

from edgeperso.knowledge.engagements import engagement_statements
from edgeperso.knowledge.grammar import slot_statements
from edgeperso.knowledge.living import living_statements
from edgeperso.knowledge.pets import pet_statements
from edgeperso.knowledge.providers import provider_statements
from edgeperso.knowledge.sentences import sentences
from edgeperso.knowledge.statement import ENDED, HAS, Statement, words

__all__ = ["MAX_CHARACTERS", "extract"]

_READERS = (slot_statements, provider_statements, living_statements, pet_statements, engagement_statements)

MAX_CHARACTERS = 20_000
"""Longer texts are no notes about oneself; they state nothing here."""


def extract(text: str, year: int) -> list[Statement]:
    """The statements of a text written by the person in ``year``, at most one value for each attribute: the last.

    English only; other languages yield nothing.
    """
    if len(text) > MAX_CHARACTERS:
        return []
    found: dict[tuple[str, str, str], Statement] = {}
    for number, sentence in enumerate(sentences(text)):
        for statement in chain.from_iterable(read(sentence, number, year) for read in _READERS):
            several = " ".join(sorted(words(statement.value))) if statement.attribute in (HAS, ENDED) else ""
            key = (statement.subject, statement.attribute, several)
            older = found.get(key)
            if statement.value and words(statement.value) and (older is None or older.sentence < number):
                found[key] = statement
    return [statement for statement in found.values() if not _is_repeated(statement, found.values())]


def _is_repeated(statement: Statement, among: Collection[Statement]) -> bool:
    """Whether "joined X" is stated more exactly by its sentence: "my gym is X"."""
    return statement.attribute == HAS and any(
        other.sentence == statement.sentence
        and other.attribute not in (HAS, ENDED)
        and words(other.value) <= words(statement.value)
        for other in among
    )
