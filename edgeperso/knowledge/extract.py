"""All that a text states, sentence by sentence."""

from __future__ import annotations

from edgeperso.knowledge.changes import change_statements
from edgeperso.knowledge.grammar import slot_statements
from edgeperso.knowledge.sentences import sentences
from edgeperso.knowledge.statement import ENDED, HAS, Statement, words

__all__ = ["MAX_CHARACTERS", "extract"]

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
        for statement in (*slot_statements(sentence, number, year), *change_statements(sentence, number, year)):
            several = " ".join(sorted(words(statement.value))) if statement.attribute in (HAS, ENDED) else ""
            key = (statement.subject, statement.attribute, several)
            older = found.get(key)
            if statement.value and words(statement.value) and (older is None or older.sentence < number):
                found[key] = statement
    return list(found.values())
