"""Whether a sentence says what it seems to say: the words of change, and the words that take a statement back."""

from __future__ import annotations

import re
from typing import Final

from edgeperso.knowledge.sentences import clause_around, clause_before

__all__ = ["is_change", "is_doubtful", "is_unreal"]

_CHANGE: Final = re.compile(
    r"\b(?:now|new|these days|from today|any ?more|no longer|instead|again|switched|changed|replaced|moved|become|"
    r"became|(?:has )?(?:gone|went|goes) (?:up|down)|raised|risen|rose|from (?:\d\d? )?(?-i:[A-Z])[a-z]+)\b",
    re.IGNORECASE,
)
_UNREAL: Final = re.compile(
    r"\b(?:if|whether|unless|would|wouldn't|could|couldn't|might|may be|maybe|perhaps|probably|should|wish|imagine|"
    r"suppose|pretend|dream(?:t|ed|s)?|hope|hoped|jok(?:e|ed|ing)|almost|nearly|used to|ago|at the time|back then|"
    r"in those days|until|till|looking for|novel|character|temporar(?:y|ily))\b|'d\b",
    re.IGNORECASE,
)
_REPORTED: Final = re.compile(
    r"\b(?:says?|said|tells?|told|asks?|asked|thinks?|thought|claims?|claimed|not|never|nor|when|before|while|since|"
    r"after|than|like|wants?|wanted|was|were|had been|(?:his|her|their|your) \w+(?: \w+)?)\b|n't\b|\w's (?!new\b)",
    re.IGNORECASE,
)
_YEAR: Final = re.compile(r"\b(?:19|20)\d\d\b")


def is_change(sentence: str) -> bool:
    """Whether its words say that something is otherwise than before."""
    return _CHANGE.search(sentence) is not None


def is_unreal(sentence: str) -> bool:
    """Whether its words say that it is imagined, wished for, or long past."""
    return _UNREAL.search(sentence) is not None


def is_doubtful(sentence: str, found: re.Match[str], year: int) -> bool:
    """Whether what was found may not hold as of ``year``: imagined, denied, reported, or long past."""
    if is_unreal(sentence) or _REPORTED.search(clause_before(sentence, found.start())):
        return True
    clause = clause_around(sentence, found.start(), found.end())
    return any(int(past.group()) < year for past in _YEAR.finditer(clause))
