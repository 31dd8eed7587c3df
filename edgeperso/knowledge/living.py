"""Sentences to statements about how the person lives: home, work, way to work, diet; and where a named person lives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgeperso.knowledge.doubt import is_change, is_doubtful, is_unreal
from edgeperso.knowledge.slots import CAPITALIZED, is_name
from edgeperso.knowledge.statement import SELF, Statement

__all__ = ["living_statements"]

_PLACE: Final = rf"(?P<value>{CAPITALIZED})"
_MOVED: Final = re.compile(
    r"(?:^|[;:] |\b(?:I|we|I've|we've|I have|we have) (?:just |now |finally |both )*)moved"
    r"(?: back| house| home)?(?: from [^,;:]+?)? (?:in)?to " + _PLACE,
    re.IGNORECASE,
)
_IN_WITH: Final = re.compile(
    rf"(?:^|[;:] |\b(?:I|I've|I have) (?:just |now |finally )*)moved (?:out(?: of [^,;:]+?)? and )?in with "
    rf"[^,;:]{{1,30}}?(?:,(?: in| at)?| in| at) {_PLACE}",
    re.IGNORECASE,
)
_SINCE: Final = re.compile(
    rf"\bsince (?:I|we)(?:'ve| have)? (?:moved (?:back )?to|came to live in) {_PLACE}(?:,? in (?:19|20)\d\d)?",
    re.IGNORECASE,
)
_NEW_HOME: Final = re.compile(
    rf"^(?:our |my )?new (?:flat|place|apartment|house|home|room) (?:in|on|at) {_PLACE}(?!'s)", re.IGNORECASE
)
_LIVES: Final = re.compile(
    rf"\b(?:I|we)(?: now| both| still)* live(?: now| again)? (?:in|at|on) {_PLACE}", re.IGNORECASE
)
_OTHERS: Final = re.compile(
    r"^(?P<who>[A-ZÀ-Ö]\w+)(?: has| have)?(?: just| now| finally)? "
    rf"(?:(?P<change>moved(?: back)? to|lives now in|now lives in)|lives in) {_PLACE}"
)
_HELPED: Final = re.compile(rf"\b[Hh]elped (?P<who>[A-ZÀ-Ö]\w+) (?P<change>(?:to )?move(?: back)? (?:in)?to) {_PLACE}")
# What also moves to something with a capital: a number, an account, an appointment.
_NOT_HOMES: Final = re.compile(
    r"\b(?:account|bank|provider|phone|app|browser|e?-?mails?|data|files|server|project|code|database|website|team|class|"
    r"group|desk|table|date|meeting|appointment)\b",
    re.IGNORECASE,
)
_ROLE: Final = (
    r"as (?:an? |the |their )?+(?!(?:beginner|member|student|patient|customer|friend|usual)s?\b)[\w-]+(?: [\w-]+)?"
)
_WORKS: Final = re.compile(
    r"(?:\b(?:I (?:now )?work (?:now )?(?:at|for)|I(?:'ve| have)? started (?:work )?at"
    r"|(?P<first>first (?:work)?day (?:at|with))|first workday (?:back|of the year) at)"
    rf"|(?:^|\bI(?:'ve| have)? )(?:just )?started (?:work|{_ROLE}) (?:at|with)) (?:the )?{_PLACE}",
    re.IGNORECASE,
)
_DIET: Final = re.compile(
    r"\b(?:I'm|I am|I've become|I became|I've gone|I went)(?P<how>(?: now| a| again| no longer| not| back to being)*) "
    r"(?P<value>vegetarian|vegan|pescatarian|flexitarian)\b",
    re.IGNORECASE,
)
_EATS: Final = re.compile(r"\bI (?P<value>eat (?:meat|fish) (?:again|now))\b", re.IGNORECASE)
_TO_WORK: Final = re.compile(
    r"\bI (?:now )?(?:(?:go|get|travel|commute) to work(?: now)? (?:by|on) (?:the |my )?(?P<by>\w+)"
    r"|(?P<verb>drive|cycle|walk|bike) to work)\b",
    re.IGNORECASE,
)
_CUE: Final = re.compile(
    r"moved|helped|\bliv|^(?:my |our )?new |work|started as|day (?:at|with)|vegan|tarian|\beat\b", re.IGNORECASE
)


def living_statements(sentence: str, number: int, year: int) -> Iterator[Statement]:
    """What one sentence, the ``number``th of a text of ``year``, states about home, work and diet."""
    if _CUE.search(sentence) is None:
        return
    if _NOT_HOMES.search(sentence) is None:
        yield from _homes(sentence, number, year)
    changed = is_change(sentence)
    found = _WORKS.search(sentence)
    if found is not None and is_name(found["value"]) and not is_doubtful(sentence, found, year):
        yield Statement(SELF, "employer", found["value"], changed or found["first"] is not None, number)
    found = _TO_WORK.search(sentence)
    if found is not None and not is_doubtful(sentence, found, year):
        yield Statement(SELF, "way to work", found["by"] or found["verb"], changed, number)
    found = _DIET.search(sentence)
    if found is not None and not is_doubtful(sentence, found, year):
        over = re.search(r"no longer|not", found["how"], re.IGNORECASE)
        yield Statement(SELF, "diet", f"{'not ' if over else ''}{found['value']}", changed, number)
    found = _EATS.search(sentence)
    if found is not None and not is_doubtful(sentence, found, year):
        yield Statement(SELF, "diet", found["value"], replaces=True, sentence=number)


def _homes(sentence: str, number: int, year: int) -> Iterator[Statement]:
    for pattern, replaces in ((_MOVED, True), (_IN_WITH, True), (_NEW_HOME, True), (_LIVES, is_change(sentence))):
        found = pattern.search(sentence)
        if found is not None and is_name(found["value"]) and not is_doubtful(sentence, found, year):
            yield Statement(SELF, _kind_of(found["value"]), found["value"], replaces, number)
    found = _SINCE.search(sentence)
    # Neither the year nor what somebody says of the time since then is a reason to doubt it.
    if found is not None and is_name(found["value"]) and not is_unreal(sentence):
        yield Statement(SELF, _kind_of(found["value"]), found["value"], replaces=False, sentence=number)
    for pattern in (_OTHERS, _HELPED):
        found = pattern.search(sentence)
        if (
            found is not None
            and is_name(found["who"])
            and is_name(found["value"])
            and not is_doubtful(sentence, found, year)
        ):
            yield Statement(found["who"].lower(), "home", found["value"], found["change"] is not None, number)


def _kind_of(place: str) -> str:
    return "address" if any(character.isdigit() for character in place) else "home"
