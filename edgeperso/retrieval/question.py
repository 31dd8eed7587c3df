"""What a question says beside its words: whom it names, and whether it asks for how things were."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from edgeperso.index import Analyzer
from edgeperso.retrieval.when import find_span
from edgeperso.types import Int64

__all__ = ["asks_about_past", "asks_for_time", "named_author"]

_PAST = re.compile(
    r"\b(used to|previous(ly)?|former(ly)?|earlier|back then|original(ly)?|at first|no longer|any ?more|in the past"
    r"|before|ago|until|over the years|ever|chang(e|ed|es|ing)|history|old|once)\b",
    re.IGNORECASE,
)

_TIME = re.compile(
    r"\b(when|since|how (long|often|old|recent(ly)?|soon)|how many (days|weeks|months|years|times)"
    r"|dates?|days?|weeks?|weekdays?|months?|years?|age|latest|newest|last|first|recent(ly)?)\b",
    re.IGNORECASE,
)


def asks_about_past(question: str) -> bool:
    """Whether what no longer holds may be the very answer."""
    return _PAST.search(question) is not None


def asks_for_time(question: str, now_ms: int) -> bool:
    """Whether the answer may be a time, or hang on one: ``question`` asks when or how long, names a time, or asks how
    things were."""
    return _TIME.search(question) is not None or asks_about_past(question) or find_span(question, now_ms) is not None


def named_author(question: str, authors: Sequence[str], analyzer: Analyzer) -> Int64:
    """Numbers of the ``authors`` that the question names, empty where it names none or several persons.

    A name is matched by its words of three letters or more; in a question with capitals it must be capitalized, so
    that "will" and "mark" stay verbs.
    """
    asked = set(analyzer.names(question))
    named: dict[str, list[int]] = {}
    for number, author in enumerate(authors):
        # Most authors are in no question, and taking a name apart is slow.
        if author.isascii() and not any(name in author.lower() for name in asked):
            continue
        words = [word for word in analyzer.words(author) if len(word) > 2]
        if asked.intersection(words):
            named.setdefault(" ".join(words), []).append(number)
    return np.array(next(iter(named.values())) if len(named) == 1 else [], dtype=np.int64)
