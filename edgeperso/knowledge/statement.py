"""What a sentence states about its author, before it is stored."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENDED", "HAS", "SELF", "Statement", "is_same", "words"]

SELF = "self"
"""The subject of what a person says of themselves."""
ENDED = "ended"
"""The attribute of "I gave up X": its value is X, and it closes what said that there is X."""
HAS = "has"
"""The attribute of "I joined X": a person has many such things; one ends, and doesn't replace another."""

_FILLERS = frozenset("a an and at dr in is it my mr mrs ms new now of on our prof the".split())  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. ``replaces``: a different value stated earlier is over. ``sentence`` counts from 0.
    ``aside``: said in passing ("Karel, my boss, brought cake"), so that the text is about something else."""

    subject: str
    attribute: str
    value: str
    replaces: bool
    sentence: int
    aside: bool = False


def words(text: str) -> frozenset[str]:
    """The words of a value by which two are compared: lower case, without articles, titles and plural endings."""
    found = "".join(c if c.isalnum() or c in "'’-" else " " for c in text.lower().replace(",", "")).split()
    return frozenset(_singular(word) for word in found if word not in _FILLERS)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def is_same(one: str, other: str) -> bool:
    """Whether two values may mean the same: one says all that the other says ("Pieter", "Pieter Goossens")."""
    first, second = words(one), words(other)
    return first <= second or second <= first
