"""Sentences to who supplies what: energy, internet, telephone, the bank. "Chose Noven for gas and power", "moved phone
to Talko", "changed the broadband: it's Skyfibre now".

People name the thing that is supplied far more often than a "provider" or "supplier" of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgeperso.knowledge.doubt import is_change, is_doubtful
from edgeperso.knowledge.slots import VALUES, is_name
from edgeperso.knowledge.statement import SELF, Statement

__all__ = ["SUPPLIED", "provider_statements", "supplied"]

SUPPLIED: Final = {
    "energy supplier": "gas|electricity|electric|power|energy",
    "internet provider": "broadband|internet|wi-?fi|fibre|fiber",
    "mobile provider": "(?:mobile|cell) ?phones?|phones?|mobiles?|sim(?: cards?)?",
    "bank": "money|savings|(?:(?:current|bank|savings) )?accounts?|banking",
}
"""By attribute, what its company supplies."""
_CARRIED: Final = ("mobile provider", "bank")
"""What also lies about and is handed on ("the phone is at Ann's"): it takes a word of change to mean the company."""
_THING: Final = "|".join(SUPPLIED.values())
_NAME: Final = rf"(?P<value>{VALUES['name']})(?!\w|['’]s)"
_OURS: Final = r"(?:(?:my|our|the|all the|both) )?"
_PLAN: Final = r"(?: (?:plan|contract|subscription|supply|deal|line))?"
_THINGS: Final = rf"{_OURS}(?P<thing>{_THING}){_PLAN}(?:(?:,| and| &) (?:the )?(?:{_THING})){{0,3}}"
_PLACE: Final = r"(?: (?:for|in|at|of) (?:the|our|my) [\w-]+(?: [\w-]+)?)?"
_I: Final = r"(?:^|[;:.] |\b(?:I|we|I've|we've|I have|we have) (?:just |also |now |finally |both )*)"
_MOVED: Final = r"(?:switched|changed|moved|transferred|ported)"
_FORMS: Final = (
    # signed the electricity and gas for the flat with Noven
    rf"{_I}(?:signed(?: up)?(?: for)?|ordered|booked|got|took|took out) {_THINGS}{_PLACE} with {_NAME}",
    # chose Noven for gas and power · went with Skyfibre for the internet
    rf"{_I}(?:chose|picked|took|went with|decided on|signed with|{_MOVED} to) {_NAME} for {_THINGS}",
    # moved phone to Talko · switched the gas from Helio to Noven
    rf"{_I}{_MOVED} {_THINGS}{_PLACE}(?: away)?(?: from [^,;:]+?)?(?: over| across)? to {_NAME}",
    # money's at Lakeside Direct now · the power comes from Noven · the electricity is by Noven
    rf"(?:^|[,;:.] |\b(?:and|my|our|the) ){_THINGS}(?:['’]s| is| are| comes?)(?: now)? (?:with|at|from|by) {_NAME}",
    # changed the broadband along with everything else: it's Skyfibre now
    rf"{_I}{_MOVED} {_THINGS}\b[^:;]{{0,60}}[:;,] (?:it's|it’s|it is|we're with|I'm with|now with|now it's) {_NAME}",
)
_PATTERNS: Final = tuple(re.compile(form, re.IGNORECASE) for form in _FORMS)
_BY_THING: Final = tuple(
    (re.compile(rf"(?:{things})\Z", re.IGNORECASE), attribute) for attribute, things in SUPPLIED.items()
)
_CUE: Final = re.compile(rf"\b(?:{_THING})\b", re.IGNORECASE)
_ASKED: Final = re.compile(
    r"\b(?:who|whom|whose|which|what)\b(?!.*\b(?:number|code|password|much|many)\b).*"
    r"\b(?:suppl(?:y|ies|ier)|provides?|provider|company|operator|carrier|network|with|from|at|by|on)\b",
    re.IGNORECASE,
)


def provider_statements(sentence: str, number: int, year: int) -> Iterator[Statement]:
    """Which companies one sentence, the ``number``th of a text of ``year``, says the person is with, and for what."""
    if _CUE.search(sentence) is None:
        return
    for pattern in _PATTERNS:
        found = pattern.search(sentence)
        if found is None or not is_name(found["value"]) or is_doubtful(sentence, found, year):
            continue
        attribute = _attribute_of(found["thing"])
        if attribute in _CARRIED and not is_change(sentence):
            continue
        yield Statement(SELF, attribute, found["value"], replaces=True, sentence=number)


def supplied(asked: str) -> set[str]:
    """The attributes whose company a question asks for by what it supplies: "Who is our gas from?"."""
    if _ASKED.search(asked) is None:
        return set()
    return {_attribute_of(found.group()) for found in _CUE.finditer(asked)}


def _attribute_of(thing: str) -> str:
    return next(attribute for pattern, attribute in _BY_THING if pattern.match(thing))
