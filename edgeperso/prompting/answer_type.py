"""What sort of thing a question asks for, and whether a run of words could be it.

The old first step of question answering (Li and Roth, "Learning Question Classifiers", COLING 2002), by a few rules:
"how much" wants a number, "when" a date, "who" a name. English only; in doubt anything will do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

__all__ = ["AnswerType", "answer_type", "may_answer"]


class AnswerType(StrEnum):
    NUMBER = "number"
    DATE = "date"
    WEEKDAY = "weekday"
    NAME = "name"
    ANYTHING = "anything"


_NUMBER_QUESTION: Final = re.compile(
    r"\b(how (much|many|old|tall|far|big|long)|(what|which)(['’]s| is| was| are|)( my| our| the| his| her|)"
    r"( \w+){0,2} (rent|price|salary|wage|cost|number|code|combination|pin|fee|age|weight|size)"
    r"|(what|which) (rent|price|salary|wage|number|code|fee|size)|what (do|did|does) .*\b(earn|pay|cost)\b)",
    re.IGNORECASE,
)
_DATE_QUESTION: Final = re.compile(
    r"^(when\b|(on |in |from |until |since )?(which|what) (day|date|evening|morning|month|year|weekday|time)\b)",
    re.IGNORECASE,
)
_WEEKDAY_QUESTION: Final = re.compile(
    r"^(on )?(which|what) (day|evening|morning|afternoon|weekday)\b.*\b(do|does|is|are)\b", re.IGNORECASE
)
_NAME_QUESTION: Final = re.compile(
    r"^(who|whose|whom)\b|^(in |at |to )?(which|what) (city|town|village|country)\b"
    r"|\b(called|named|name of|['’]s name)\b",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(
    r"\d(?![\d.,]*-[^\W\d])|\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(thir|four|fif|six|seven|eigh|nine)teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|half|dozen)\b",
    re.IGNORECASE,
)
_WEEKDAY: Final = re.compile(r"\b(mon|tues|wednes|thurs|fri|satur|sun)days?\b", re.IGNORECASE)
_DATE: Final = re.compile(
    r"\d|\b(mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(january|february|march|april|may|june|july|august|september"
    r"|october|november|december|spring|summer|autumn|winter|christmas|easter|tomorrow|today|tonight|noon|midnight)\b"
    r"|\b\w+(teenth|tieth|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|twelfth)\b",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"\b[^\W\d_]*[A-ZÀ-ÖØ-Þ][\w’'-]*")
_HANGING: Final = re.compile(
    r"(^|\s)(the|a|an|of|in|on|at|to|for|from|with|by|and|or|but|my|our|his|her|their|its|is|are|was|were|be|dr|mr|mrs|ms"
    r"|miss|st|prof|not|no|i|we|that|which|who)\.?$",
    re.IGNORECASE,
)
_NEXT_SENTENCE: Final = re.compile(r"(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)[.!?]['\"”’)]* ")
_WORD: Final = re.compile(r"\w+")
_PATTERNS: Final = {
    AnswerType.NUMBER: _NUMBER,
    AnswerType.DATE: _DATE,
    AnswerType.WEEKDAY: _WEEKDAY,
    AnswerType.NAME: _NAME,
}


def answer_type(question: str) -> AnswerType:
    """The sort of thing ``question`` asks for."""
    text = " ".join(question.split())
    if _WEEKDAY_QUESTION.search(text):
        return AnswerType.WEEKDAY
    if _DATE_QUESTION.search(text):
        return AnswerType.DATE
    if _NUMBER_QUESTION.search(text):
        return AnswerType.NUMBER
    if _NAME_QUESTION.search(text):
        return AnswerType.NAME
    return AnswerType.ANYTHING


def may_answer(question: str) -> Callable[[str], bool]:
    """A test for runs of words: of the right sort, saying something that the question doesn't, within a
    sentence, not breaking off."""
    wanted = answer_type(question)
    asked = {word.lower() for word in _WORD.findall(question)}
    pattern = _PATTERNS.get(wanted)

    def accept(text: str) -> bool:
        if pattern is not None and not pattern.search(text):
            return False
        if _HANGING.search(text) or _NEXT_SENTENCE.search(text):
            return False
        return any(word.lower() not in asked for word in _WORD.findall(text))

    return accept
