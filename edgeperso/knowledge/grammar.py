"""Sentences to statements about the person's one-at-a-time things: "my N is V", "V is our new N", "new N: V".

English only: other languages yield nothing. The rules rather miss a statement than invent one, because a memory that is
wrongly taken for superseded is worse than one that is shown with its date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgeperso.knowledge.doubt import is_change, is_doubtful
from edgeperso.knowledge.slots import MONEY, NAME, SLOTS, VALUES, is_name, slot_of
from edgeperso.knowledge.statement import SELF, Statement

__all__ = ["slot_statements"]

_CONTRAST: Final = re.compile(r"\b(?:still|but|now|new)\b", re.IGNORECASE)
"""Beside one of these, who is named in passing may just be the one before."""

_MINE: Final = r"\b(?:my|our) (?:new |current )?"
_PLACE: Final = r"(?: (?:in|at|on|for|near)\b[^,:;]{1,40})?"
_COMMON: Final = (
    # my bank is Kanaalbank now · from 1 March my boss is Pieter Goossens
    r"@mine@noun@place(?: is| are|'s| has become|:)(?: (?:now|currently|still|called|number|with|on|at))* @value",
    # new GP in Ghent at last: Dr Sofie Lambrecht · my new boss, Ann · new office days for the team, we voted: Mondays
    r"(?:^|\b(?:my|our|the|a) )new @noun@place(?:, (?:we|I) \w+)?(?:[,:]| is(?: now)?)(?: I'm with)? @value",
    # Boss: Dale Corkum · Dentist in town: Dr Zinck
    r"^@noun@place: @value",
)
_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "person": (
        # new boss Ingrid Zwicker
        r"^new @noun @value",
        # Roos Callewaert is our new landlord
        r"(?:^|[,;:] )@value(?: is| becomes|'s)(?: now)? @mine@noun(?=$|[ .,;:!])(?! at the)",
        # registered Juno with a vet in Bruges, Dr Ilse Maenhout
        r"\b(?:registered|signed up)\b[^,;:]*? with (?:a|the) (?:new )?@noun@place, @value",
    ),
    "name": (
        # phone plan with Tidewater · the broadband is with Cambrian Link · moved my phone to Lighthouse Mobile
        r"(?:^|\b(?:my|our|the) )@noun(?: is)?(?: now)? with @value",
        r"(?:^|\b(?:I|we|I've|we've) )(?:moved|switched|changed) (?:my |our |the )?@noun(?: from [^,;:]+?)? to @value",
        r"(?:^|[,;:] )@value(?: is| becomes|'s)(?: now)? @mine@noun(?=$|[ .,;:!])",
        # joined the Iron Hall gym
        r"(?:^|\b(?:I|I've|we) )joined (?:the )?@value @noun(?! (?!(?:in|at|on|for|round|near|and|today)\b)\w)",
    ),
    "amount": (
        # rent up, 640 each
        r"^@noun (?:up|down|raised)(?: again)?(?: to|,) @value",
        # from 1 June the rent is 945 euros · rent is now 1,120 · my rent was 795 and is now 820
        (
            r"(?:^|\bfrom [^,;:]+?,? (?:the|my|our) |\b(?:my|our) )@noun(?: was [^;:]{1,20} and)?"
            r" (?:is|goes up to|went up to|has gone up to|rose to|(?:was|is) raised to)(?: now)? @value"
        ),
    ),
    "code": (r"@mine@noun@place (?:moved|changed)\b[^:;]*: (?:it's )?(?:now )?(?:number )?@value",),
    "days": (
        # we now rehearse on Thursdays · rehearsals are on Wednesday evenings
        r"\b(?:we|I) (?:now )?@noun(?: now)? on @value",
        r"(?:^|\bthe )@noun (?:is|are) (?:now )?on @value",
    ),
}
# payday: 19.40 an hour · raise: 26.50 an hour
_HOURLY: Final = re.compile(
    rf"(?:^(?:payday|pay|raise|wage|wages):|\bI (?:now )?(?:earn|make)) (?P<value>{MONEY}) (?:an|per) hour",
    re.IGNORECASE,
)
_ASIDES: Final[dict[str, tuple[str, ...]]] = {
    "person": (
        # Karel, my boss, brought … · Nadia, who is my boss and …
        r"(?:^|[,;:] |\band )@value,(?: who is)?(?: now)? @mine@noun(?=$|[.,;:!]| and\b)",
        # my boss Karel · my dentist, Dr Amrani,
        r"\b(?:my|our) (?:new |current )?@noun,? @value(?=$|[ .,;:!])",
    ),
}
_CODE_PARTS: Final = {
    "@the": "(?:the |my |our )",
    "@thing": r"(?P<thing>\w[\w -]{1,30}?)",
    "@is": r"(?: (?:has )?changed:? ?(?:it's)?| is)(?: now| number)*",
    "@value": rf"(?P<value>{VALUES['code']})",
}


def _filled(form: str, parts: dict[str, str]) -> str:
    for name, part in parts.items():
        form = form.replace(name, part)
    return form


# the code of the shed is now 5526 · the bike lock's code is 2093 · the code for the alarm is …
_CODE: Final = tuple(
    re.compile(_filled(form, _CODE_PARTS), re.IGNORECASE)
    for form in (
        r"\b(?:pin|code|password|combination) (?:of|for|to) @the?@thing(?: (?:in|of|at) [^,;:]{1,30}?)?@is @value",
        r"\b(?:the|my|our) (?:new )?@thing(?:'s)? (?:pin|code|combination)(?: of [\w ]{1,40}?)?@is @value",
        r"^(?P<thing>door|alarm|gate|shed|lock|bike lock|safe) code(?: of [\w ]{1,40}?)?(?:@is|:) @value",
        r"\b(?:the|my|our) @thing opens with @value",
    )
)
# my favourite film is …
_FAVOURITE: Final = re.compile(
    r"(?<!one of )\bmy (?:new |all-time |current )?favou?rite (?P<thing>[\w-]+(?: [\w-]+)?) is(?: now| still)? "
    r"(?P<value>[^,;:.!?–—]{1,60}?)(?=$|[,;:.!?–—]| (?:and|but|because|since|now|these days)\b)",
    re.IGNORECASE,
)
# Etienne at number 29 keeps our spare key · I gave Odile my spare key
_KEY: Final = tuple(
    re.compile(form.replace("@name", NAME), re.IGNORECASE)
    for form in (
        r"\b(?P<value>@name),?(?: now)? (?:keeps|holds|has) (?:my|our) spare key",
        r"\bI (?:now )?(?:gave|left) (?P<value>@name) (?:my|our) spare key",
    )
)


def _compiled(common: tuple[str, ...], forms: dict[str, tuple[str, ...]]) -> dict[str, tuple[re.Pattern[str], ...]]:
    found = {}
    for kind, value in VALUES.items():
        nouns = "|".join(slot.nouns for slot in SLOTS if slot.value == kind)
        parts = {"@mine": _MINE, "@place": _PLACE, "@noun": f"(?P<noun>{nouns})", "@value": f"(?P<value>{value})"}
        found[kind] = tuple(re.compile(_filled(form, parts), re.IGNORECASE) for form in (*common, *forms.get(kind, ())))
    return found


_PATTERNS: Final = ((_compiled(_COMMON, _FORMS), False), (_compiled((), _ASIDES), True))
_NOUN: Final = re.compile(rf"\b(?:{'|'.join(slot.nouns for slot in SLOTS)})\b", re.IGNORECASE)
_OTHER: Final = re.compile(r"\b(?:code|pin|password|combination|opens with|favou?rite|spare key|hour)\b", re.IGNORECASE)


def slot_statements(sentence: str, number: int, year: int) -> Iterator[Statement]:
    """What one sentence states about the things of which there is one at a time."""
    kinds = {slot.value for noun in _NOUN.finditer(sentence) if (slot := slot_of(noun.group())) is not None}
    for patterns, aside in _PATTERNS:
        for pattern in (pattern for kind in sorted(kinds) for pattern in patterns[kind]):
            for found in pattern.finditer(sentence):
                slot, value = slot_of(found["noun"]), found["value"]
                if slot is None or is_doubtful(sentence, found, year) or not _is_value(slot.value, value):
                    continue
                if aside and _CONTRAST.search(sentence):
                    continue
                # Who is named in passing may be one of several: "my doctor, Dr Ruiz" at the hospital.
                replaces = not aside and (slot.value not in ("days", "code") or is_change(sentence))
                yield Statement(SELF, slot.attribute, value, replaces, number, aside)
    if _OTHER.search(sentence):
        yield from _named_things(sentence, number, year)


def _is_value(kind: str, value: str) -> bool:
    return kind not in ("person", "name") or is_name(value)


def _named_things(sentence: str, number: int, year: int) -> Iterator[Statement]:
    for pattern in _CODE:
        for found in pattern.finditer(sentence):
            if not is_doubtful(sentence, found, year):
                thing = found["thing"].lower().removeprefix("new ")
                yield Statement(SELF, f"code of {thing}", found["value"], replaces=True, sentence=number)
    found_ = _FAVOURITE.search(sentence)
    if found_ is not None and not is_doubtful(sentence, found_, year):
        thing = found_["thing"].lower()
        yield Statement(SELF, f"favourite {thing}", found_["value"], replaces=True, sentence=number)
    found_ = _HOURLY.search(sentence)
    if found_ is not None and not is_doubtful(sentence, found_, year):
        yield Statement(SELF, "hourly rate", found_["value"], replaces=True, sentence=number)
    for pattern in _KEY:
        found_ = pattern.search(sentence)
        if found_ is not None and is_name(found_["value"]) and not is_doubtful(sentence, found_, year):
            yield Statement(SELF, "spare key", found_["value"], replaces=True, sentence=number)
