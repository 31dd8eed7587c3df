"""How things are now: for a question in the present tense, newer memories before older ones that fit as well.

People rarely write "this replaces that". They write "rent is 980 from October", and last year's rent stays in their
notes, often in plainer words. So for a question about a present state the newer of two good hits is worth more, most
of all if it speaks of a change. Only the person's own words gain by being new: a mail that says "your landlord is now
X" must not outrank what the person wrote.

Closed facts (`edgeperso.knowledge`) are dropped before; this is for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edgeperso.retrieval.question import asks_about_past
from edgeperso.types import Hit, Trust

__all__ = ["asks_for_present", "favour_current"]

_CONSIDERED: Final = 12
_NEWER: Final = 4.0
"""Worth of being the newest of the hits considered, in standard deviations of the retriever's score."""
_CHANGE: Final = 4.0
"""Worth of speaking of a change, for the newest; proportionally less for older ones."""

_PAST_TENSE: Final = re.compile(r"\b(did|was|were|had)\b|\bat the (end|time|beginning)\b", re.IGNORECASE)
_PRESENT: Final = re.compile(r"\b(is|are|am|do|does|have|has|can|now|['’]s)\b|^(who|which|what) \w+s\b", re.IGNORECASE)
_PERFECT: Final = re.compile(  # "Where has Ann camped?" asks for all that was, not for what is
    r"\b(?:has|have|['’]ve)\b(?: [\w'’]+){1,5}? (?:\w{3,}ed|been|done|gone|seen|made|read|had|met|taken|given|written"
    r"|bought|won|felt|found|kept|told|said|got|gotten|lost|left|come|become|begun|chosen|eaten|drunk|driven|flown"
    r"|learnt|paid|sold|sent|spent|taught|thought|worn)\b",
    re.IGNORECASE,
)
_FIXED_DAY: Final = re.compile(r"^\W*when\b(?!.*\b(next|now|due)\b)", re.IGNORECASE)
_OF_CHANGE: Final = re.compile(
    r"\b(new|now|switched|swapped|changed?|moved?|moving|from now on|no longer|any ?more|instead|quit|cancel(?:led|ed)?"
    r"|raised?|rises?|goes up|went up|since|start(?:ed)?|signed|joined|replaced|traded|gave up|stopped|first day"
    r"|for good|as of|from \d)\b",
    re.IGNORECASE,
)


def asks_for_present(question: str) -> bool:
    """Whether the question is about how things are, rather than how they were or what happened."""
    if asks_about_past(question) or _PAST_TENSE.search(question) or _PERFECT.search(question):
        return False
    return _PRESENT.search(question) is not None


def favour_current(question: str, hits: Sequence[Hit]) -> list[Hit]:
    """``hits`` (best first) with the newer of the first dozen raised, if ``question`` is about a present state: not
    about the past, nor about a day that stays what it is ("When is Ann's birthday?").

    The addend stands in the hits' parts as ``current``.
    """
    if not asks_for_present(question) or _FIXED_DAY.search(question):
        return list(hits)
    first, rest = hits[:_CONSIDERED], hits[_CONSIDERED:]
    by_age = sorted(first, key=lambda hit: (hit.memory.occurred_ms or 0, hit.memory.id))
    newness = {hit.memory.id: place / max(1, len(first) - 1) for place, hit in enumerate(by_age)}
    raised = []
    for hit in first:
        if hit.memory.trust is not Trust.SELF:
            raised.append(hit)
            continue
        worth = _NEWER + _CHANGE * (_OF_CHANGE.search(hit.memory.text) is not None)
        current = worth * newness[hit.memory.id]
        raised.append(replace(hit, score=hit.score + current, parts={**hit.parts, "current": current}))
    return [*sorted(raised, key=lambda hit: (-hit.score, hit.memory.id)), *rest]
