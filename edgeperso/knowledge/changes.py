"""Sentences to statements about ways of living: where the person lives, what they eat, what they take up and give up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgeperso.knowledge.grammar import is_change, is_doubtful
from edgeperso.knowledge.slots import CAPITALIZED, NAME, is_name
from edgeperso.knowledge.statement import ENDED, HAS, SELF, Statement

__all__ = ["change_statements"]

_I: Final = r"(?:^|[,;:] |\band |\b(?:I|we|I've|we've|I have|we have) (?:just |now |finally |also |both )*)"
_PLACE: Final = rf"(?P<value>{CAPITALIZED})"
_MOVED: Final = re.compile(
    rf"(?:^|[;:] |\b(?:I|we|I've|we've|I have|we have) (?:just |now |finally |both )*)(?:moved|have moved)"
    rf"(?: back| house| home)?(?: from [^,;:]+?)? (?:in)?to {_PLACE}(?! as\b)",
    re.IGNORECASE,
)
_LIVES: Final = re.compile(
    rf"\b(?:I|we)(?: now| both| still)* live(?: now| again)? (?:in|at|on) {_PLACE}", re.IGNORECASE
)
_THEY_MOVED: Final = re.compile(
    rf"^(?P<who>(?-i:[A-ZÀ-Ö])\w+)(?: has| have)?(?: just| now| finally)?(?: moved(?: back)? to| lives(?: now)? in| now lives in) {_PLACE}",
)
_NOT_PLACES: Final = re.compile(
    r"\b(?:account|bank|provider|phone|app|browser|e?-?mails?|data|files|server|project|code|database|website|team|class|"
    r"group|desk|table|date|meeting|appointment)\b",
    re.IGNORECASE,
)
_WORKS: Final = re.compile(
    rf"\b(?:I (?:now )?work (?:now )?(?:at|for)|I(?:'ve| have)? started (?:work )?at|(?:^|\bmy )first (?:work)?day (?:at|with))"
    rf" (?:the )?{_PLACE}",
    re.IGNORECASE,
)
_DIET: Final = re.compile(
    r"\b(?:I'm|I am|I've become|I became|I've gone|I went)(?: now| a| again| no longer| not| back to being)* "
    r"(?P<value>vegetarian|vegan|pescatarian|flexitarian)\b|\bI (?P<eat>eat (?:meat|fish) (?:again|now))\b",
    re.IGNORECASE,
)
_COMMUTE: Final = re.compile(
    r"\bI (?:now )?(?:(?:go|get|travel|commute) to work(?: now)? (?:by|on) (?:the |my )?(?P<by>\w+)"
    r"|(?P<verb>drive|cycle|walk|bike) to work)\b",
    re.IGNORECASE,
)
_PLAIN_CHANGE: Final = re.compile(
    r"\bnow\b|\bfrom today\b|\bagain\b|\bbecame\b|\bbecome\b|\bwent\b|\bgone\b|\bno longer\b", re.I
)

_CUT: Final = (
    r"(?=$|[,;:.!?()–—]| (?:to|for|with|because|since|and|but|on|in|at|from|after|before|so|as|by|when|while|once|until|"
    r"today|yesterday|this|last|every|again|any|straight|now)\b)"
)
_DETERMINER: Final = r"(?:(?:my|our|the|a|an|another) )?(?:(?:new|old|weekly|monthly) )*"
_OBJECT: Final = rf"{_DETERMINER}(?P<value>(?!(?:to|as|it|on|in|off|up|out|part|care|place|down|over|with|for)\b)[^\W\d][\w’'-]*(?: [\w’'&-]+){{0,4}}?){_CUT}"
_BEGUN: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?:^|\b(?:I|we|I've|we've) (?:just |also |now )*)(?:joined|subscribed to|signed up (?:for|with|to)|enrolled in|rented|booked|took up)"
        rf" {_OBJECT}",
        # a purchase counts where it has a name of its own: "bought bread" is no possession
        rf"(?:^|\b(?:I|we|I've|we've) (?:just |also |now )*)bought (?:a|an|the|my)(?: (?!(?:at|in|to|for|from|with|of)\b)[a-z-]+){0, 2} (?-i:(?P<value>[A-Z]\w+(?: [A-Z0-9]\w*)*))",
        rf"\b(?:flights?|tickets?|trip)(?: and [\w ]{{1,20}}?)? (?:to|for) (?-i:(?P<value>[A-Z]\w+))",
        rf"\bI (?:now )?(?:wear|use|drink|take|play|drive|read|subscribe to) {_OBJECT}",
        rf"\b(?:my|our) (?:cat|dog|rabbit|hamster|greyhound|horse|parrot|budgie),? (?-i:(?P<value>[A-Z]\w+))",
    )
)
_GONE: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"(?:^|[;:] |\band |\b(?:I|we|I've|we've|I'm) (?:just |also |now |finally )*)"
        rf"(?:sold|quit|cancel(?:l)?ed|gave up|given up|giving up|stopped (?:taking|using|drinking|playing|reading|wearing)|"
        rf"unsubscribed from|got rid of|dropped out of|resigned from|closed my account (?:with|at)) {_OBJECT}",
        rf"\bI (?:no longer (?:have|use|take|drink|eat|wear|drive|play|read|own)|don't (?:have|use|take|drink|wear|drive|play|read|own)"
        rf"(?= [^.;]* any ?more)) {_OBJECT}",
        rf"(?:^|\bI(?:'ve| have)? )(?:switched|changed|swapped) from {_OBJECT} to\b",
        rf"\b(?:my|our) (?P<value>[\w-]+(?: [\w-]+){{0,2}}) (?:was|got|has been|were) (?:stolen|sold|cancelled|scrapped)\b",
        rf"(?:^|[,;:] )(?-i:(?P<value>[A-Z]\w+)) (?:has )?died\b",
    )
)
_CUE: Final = re.compile(
    r"moved|\bliv|\bwork|day at|vegan|tarian|\beat|joined|subscribe|signed|enrolled|rented|booked|took up|bought|flight|"
    r"ticket|trip|\bI (?:now )?(?:wear|use|drink|take|play|drive|read)|\b(?:my|our) (?:cat|dog|rab|ham|grey|horse|par|bud)|"
    r"sold|quit|cancel|g[ai]ve|giving|stopped|got rid|dropped|resigned|closed|no longer|any ?more|switched|changed|swapped|"
    r"stolen|scrapped|died",
    re.IGNORECASE,
)


def change_statements(sentence: str, number: int, year: int) -> Iterator[Statement]:
    """What one sentence states about where and how the person lives, and what it begins or ends."""
    if _CUE.search(sentence) is None:
        return
    yield from _homes(sentence, number, year)
    yield from _habits(sentence, number, year)
    for attribute, patterns in ((HAS, _BEGUN), (ENDED, _GONE)):
        for pattern in patterns:
            found = pattern.search(sentence)
            if found is not None and not is_doubtful(sentence, found, year):
                yield Statement(SELF, attribute, found["value"], replaces=False, sentence=number)


def _homes(sentence: str, number: int, year: int) -> Iterator[Statement]:
    if _NOT_PLACES.search(sentence):
        return
    for pattern, subject, replaces in ((_MOVED, SELF, True), (_LIVES, SELF, is_change(sentence))):
        found = pattern.search(sentence)
        if found is not None and is_name(found["value"]) and not is_doubtful(sentence, found, year):
            attribute = "address" if any(c.isdigit() for c in found["value"]) else "home"
            yield Statement(subject, attribute, found["value"], replaces, number)
    found = _THEY_MOVED.search(sentence)
    if (
        found is not None
        and is_name(found["value"])
        and is_name(found["who"])
        and not is_doubtful(sentence, found, year)
    ):
        moved = "moved" in found.group() or "now" in found.group()
        yield Statement(found["who"].lower(), "home", found["value"], moved, number)


def _habits(sentence: str, number: int, year: int) -> Iterator[Statement]:
    changed = _PLAIN_CHANGE.search(sentence) is not None
    for attribute, pattern in (("employer", _WORKS), ("diet", _DIET), ("way to work", _COMMUTE)):
        found = pattern.search(sentence)
        if found is None or is_doubtful(sentence, found, year):
            continue
        value = next(group for group in found.groups() if group)
        if attribute == "diet" and re.search(r"\b(?:no longer|not)\b", found.group(), re.IGNORECASE):
            value = f"not {value}"
        yield Statement(
            SELF, attribute, value, changed or attribute == "employer" and "first" in found.group().lower(), number
        )
