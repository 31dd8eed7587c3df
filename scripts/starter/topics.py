"""What notes are about: topics, read from ``topics/*.txt``.

A topic begins with ``= key | maker | label | preposition``. Its lines begin with what they are: ``+`` states a value,
``>`` replaces the old value ``{o}`` by ``{v}``, ``m`` states it in somebody else's mail, ``?`` asks for the value as it
is, ``^`` the same by naming the old one, ``<`` asks for the old one. ``label`` is what the thing is called in short
("dentist", may be empty); the preposition stands before the value in an answer that says where or when.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Final

from scripts.starter.pools import TOPICS

__all__ = ["PEOPLE", "Topic", "read_topics"]

_AREAS: Final = ("home", "work", "body", "people", "taste", "money", "days")
PEOPLE: Final = frozenset({"first", "firstorrel", "fullname", "doctor"})
"""Makers whose values are people: they are asked for by "who"."""


@dataclass(frozen=True, slots=True)
class Topic:
    """The lines of one topic by their kind; ``area`` is the file that it stands in."""

    area: str
    key: str
    maker: str
    label: str
    preposition: str
    states: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)
    asks_by_old: list[str] = field(default_factory=list)
    asks_for_old: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Add a line of the file."""
        into = {
            "+": self.states,
            ">": self.changes,
            "m": self.mails,
            "?": self.asks,
            "^": self.asks_by_old,
            "<": self.asks_for_old,
        }
        into[line[0]].append(line[2:].strip())


@cache
def read_topics() -> tuple[Topic, ...]:
    """All topics, area by area."""
    topics: list[Topic] = []
    for area in _AREAS:
        for line in (TOPICS / f"{area}.txt").read_text(encoding="utf-8").splitlines():
            if line.startswith("= "):
                key, maker, label, preposition = (part.strip() for part in line[2:].split("|"))
                topics.append(Topic(area, key, maker, label, preposition))
            elif line:
                topics[-1].add(line)
    return tuple(topics)
