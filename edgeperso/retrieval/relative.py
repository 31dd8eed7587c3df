"""What "yesterday" means in a text that was said on some day: relative times with the days they speak of.

English, by the grammar of questions (`when`), as far as an expression counts from the day on which it is said; days are
UTC. "On Monday" may lie before or after and is left out, like "this week" and "today", which the text's own date tells.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from edgeperso.retrieval.when import Days, expressions
from edgeperso.times import date_ms, day_of, to_datetime

__all__ = ["relative_times"]

_CUE: Final = re.compile(r"\b(?:ago|yesterday|tomorrow|last|past|next)\b", re.IGNORECASE)
_RELATIVE: Final = re.compile(
    r"\b(?:ago|yesterday|tomorrow|last night)\b|^(?:last|past|next) (?!\d|.*\b(?:days|weeks|months|years)\b)",
    re.IGNORECASE,
)
_ROUGH: Final = re.compile(r"\b(?:weeks?|months?|years?|(?:few|couple of) days?)\s+ago\b", re.IGNORECASE)
_SEASON: Final = re.compile(r"(?:spring|summer|autumn|fall|winter)\Z", re.IGNORECASE)
_MOST: Final = 3


def relative_times(text: str, said_ms: int) -> list[tuple[str, str]]:
    """The first three relative times in ``text``, each as its words and the time meant: ``("last week", "the week of
    5 June 2023")``. ``said_ms`` is when the text was said."""
    if _CUE.search(text) is None:  # most texts: the grammar takes longer
        return []
    today = to_datetime(said_ms).date()
    found: dict[str, str] = {}
    end = 0
    for start, stop, days in sorted(expressions(text, today), key=lambda one: (one[0], -one[1])):
        said = text[start:stop]
        if start >= end and _RELATIVE.search(said):
            end = stop
            found.setdefault(said.lower(), _in_words(said, days))
    return list(found.items())[:_MOST]


def _in_words(said: str, days: Days) -> str:
    first, after = days
    length = (after - first).days
    season = _SEASON.search(said)
    if season:
        return f"{season[0].lower()} {first.year}"
    if _ROUGH.search(said):
        middle = first + timedelta(days=length // 2)
        return "about " + (_day(middle) if length <= 8 else f"{middle:%B %Y}" if length <= 40 else str(middle.year))
    match length:
        case 1:
            return _day(first)
        case 2:
            return f"{_day(first)} and {_day(first + timedelta(days=1))}"
        case 7:
            return f"the week of {_day(first)}"
        case 28 | 29 | 30 | 31:
            return f"{first:%B %Y}"
        case _:
            return str(first.year)


def _day(day: date) -> str:
    return day_of(date_ms(day))
