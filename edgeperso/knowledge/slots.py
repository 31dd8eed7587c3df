"""What a person has one of at a time: the nouns for it, and how its value looks.

Values are typed because a noun alone says too little: "my boss is ill" names no boss, "my bank is closed" no bank.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["CAPITALIZED", "DAYS", "MONEY", "NAME", "SLOTS", "VALUES", "Slot", "is_name", "slot_of"]

_LETTER: Final = r"(?-i:[A-ZÀ-ÖØ-Þ])"
_WORD: Final = rf"{_LETTER}[\w’&-]*\w(?:'[a-zA-Z]{{2,}})?"
_LINK: Final = r"(?-i:de|del|della|den|der|di|da|la|le|van|von|ter|ten|bin|al)"
CAPITALIZED: Final = rf"(?:{_WORD}|\d+\w*)(?: (?:{_WORD}|\d+\w*))*"
NAME: Final = rf"(?:(?:Dr|Mr|Mrs|Ms|Prof)\.? )?{_WORD}(?: (?:{_LINK} )*{_WORD})*"
_WEEKDAY: Final = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
DAYS: Final = rf"(?:every )?{_WEEKDAY}(?: (?:and|&) {_WEEKDAY})*(?: (?:morning|afternoon|evening|night)s?)?"
_UNIT: Final = r"(?:€|euros?|pounds?|dollars?|francs?|crowns?|EUR|USD|GBP|CHF)"
MONEY: Final = rf"(?:[€$£] ?)?\d+(?:[.,]\d+)*k?(?![\w%]| ?%)(?: ?{_UNIT}(?!\w))?"

VALUES: Final[dict[str, str]] = {
    "person": NAME,
    "name": rf"(?:the )?{_WORD}(?: (?:(?:of|de|the|and|&) )?(?:{_WORD}|\d+))*",
    "amount": MONEY,
    "number": r"\+?\(?\d[\d ()/.-]{3,}\d",
    "mail": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "code": r"(?=[\w#*-]*\d)[\w#*-]*[\w#]",
    "days": DAYS,
    "address": rf"(?:{CAPITALIZED} \d+\w*|\d+\w*,? {CAPITALIZED})(?:,? (?:in )?{_WORD})*",
}
"""By type, a pattern for the value."""

_NOT_NAMES: Final = frozenset(
    """i monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays
    saturdays sundays january february march april may june july august september october november december american
    australian austrian belgian brazilian british canadian catholic chinese christian danish dutch english finnish
    flemish french german greek hungarian indian irish italian japanese jewish mexican muslim norwegian persian polish
    portuguese romanian russian scottish spanish swedish swiss turkish ukrainian welsh he she it they we you this that
    my our the no not yes very ok""".split()  # noqa: SIM905
)


def is_name(value: str) -> bool:
    """False for words that are capitalized without naming anybody: days, months, nationalities, pronouns."""
    return value.split()[0].lower() not in _NOT_NAMES


@dataclass(frozen=True, slots=True)
class Slot:
    """An attribute with the nouns that mean it, as a pattern, and its type of value."""

    attribute: str
    nouns: str
    value: str


_PEOPLE: Final = {
    "boss": "boss",
    "manager": "line manager|manager",
    "supervisor": "supervisor",
    "landlord": "landlord|landlady",
    "dentist": "dentist",
    "doctor": "doctor|gp|family doctor|physician",
    "vet": "vet|veterinarian",
    "physiotherapist": "physio|physiotherapist|physical therapist",
    "hairdresser": "hairdresser|barber",
    "optician": "optician",
    "therapist": "therapist",
    "partner": "partner",
    "boyfriend or girlfriend": "boyfriend|girlfriend",
    "spouse": "husband|wife|fiancée?",
}
_NAMED: Final = {
    "employer": "employer",
    "bank": "bank",
    "mobile provider": "(?:mobile|phone|cell) (?:provider|operator|carrier|network|plan|contract)|carrier",
    "internet provider": "(?:internet|broadband) provider|broadband|internet|isp",
    "energy supplier": "(?:energy|electricity|gas|power) (?:supplier|provider|company)",
    "gym": "gym|fitness studio",
    "newspaper": "(?:daily )?newspaper|daily paper",
    "health insurance": "health (?:insurance|insurer)",
    "car insurance": "car (?:insurance|insurer)",
    "swimming pool": "(?:swimming )?pool",
    "pharmacy": "pharmacy|chemist",
}
SLOTS: Final[tuple[Slot, ...]] = (
    *(Slot(attribute, nouns, "person") for attribute, nouns in _PEOPLE.items()),
    *(Slot(attribute, nouns, "name") for attribute, nouns in _NAMED.items()),
    Slot("rent", "rent", "amount"),
    Slot("gross salary", "gross (?:salary|pay|wage)", "amount"),
    Slot("net salary", "net (?:salary|pay|wage)|take-home pay", "amount"),
    Slot("salary", "salary|wage|pay", "amount"),
    Slot("hourly rate", "hourly (?:rate|wage)", "amount"),
    Slot("phone number", "(?:(?:tele)?phone|mobile|cell) number|number", "number"),
    Slot("e-mail address", "e-?mail(?: address)?|mail address", "mail"),
    Slot("locker", "locker(?: number)?", "code"),
    Slot("room number", "room number", "code"),
    Slot("address", "(?:home |postal )?address", "address"),
    Slot("office days", "office days?", "days"),
    Slot("rehearsal day", "rehearsals?|rehearsal day|rehearse|choir", "days"),
    Slot("training day", "training|training day|practice", "days"),
    Slot("book club day", "book club", "days"),
)

_BY_NOUN: Final = [(re.compile(rf"(?:{slot.nouns})\Z", re.IGNORECASE), slot) for slot in SLOTS]


def slot_of(noun: str) -> Slot | None:
    """The slot that a noun names."""
    return next((slot for pattern, slot in _BY_NOUN if pattern.match(noun)), None)
