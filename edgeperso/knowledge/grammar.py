"""Sentences to statements about the person's one-at-a-time things: "my N is V", "V is our new N", "new N: V".

English only: other languages yield nothing. The rules rather miss a statement than invent one, because a memory that is
wrongly taken for superseded is worse than one that is shown with its date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgeperso.knowledge.sentences import clause_around, clause_before
from edgeperso.knowledge.slots import NAME, SLOTS, VALUES, is_name, slot_of
from edgeperso.knowledge.statement import SELF, Statement

__all__ = ["is_change", "is_doubtful", "slot_statements"]

_CHANGE: Final = re.compile(
    r"\b(?:now|new|these days|from today|any ?more|no longer|instead|again|switched|changed|replaced|moved|become|became|"
    r"(?:has )?(?:gone|went|goes) (?:up|down)|raised|risen|rose|from (?:\d\d? )?(?-i:[A-Z])[a-z]+)\b",
    re.IGNORECASE,
)
_UNREAL: Final = re.compile(
    r"\b(?:if|whether|unless|would|wouldn't|could|couldn't|might|may be|maybe|perhaps|probably|should|wish|imagine|"
    r"suppose|pretend|dream(?:t|ed|s)?|hope|hoped|jok(?:e|ed|ing)|almost|nearly|used to|ago|at the time|back then|"
    r"in those days|until|till|looking for|novel|character|temporar(?:y|ily))\b|'d\b",
    re.IGNORECASE,
)
_REPORTED: Final = re.compile(
    r"\b(?:says?|said|tells?|told|asks?|asked|thinks?|thought|claims?|claimed|not|never|nor|when|before|while|since|after|"
    r"than|like|wants?|wanted|was|were|had been|(?:his|her|their|your) \w+(?: \w+)?)\b|n't\b|\w's (?!new\b)",
    re.IGNORECASE,
)
_YEAR: Final = re.compile(r"\b(?:19|20)\d\d\b")

_MINE: Final = r"\b(?:my|our) (?:new |current )?"
_PLACE: Final = r"(?: (?:in|at|on|for|near)\b[^,:;]{1,40})?"
_COMMON: Final = (
    # my bank is Kanaalbank now · from 1 March my boss is Pieter Goossens · my locker at work moved to: 87
    r"@mine@noun@place(?: is| are|'s| has become|:)(?: (?:now|currently|still|called|number|with|on|at))* @value",
    # new GP in Ghent at last: Dr Sofie Lambrecht · my new boss, Ann · new office days for the team, we voted: Mondays
    r"(?:^|\b(?:my|our|the|a) )new @noun@place(?:, (?:we|I) \w+)?(?:[,:]| is(?: now)?) @value",
)
_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "person": (
        # Roos Callewaert is our new landlord
        r"(?:^|[,;:] )@value(?: is| becomes|'s)(?: now)? @mine@noun(?=$|[ .,;:!])(?! at the)",
        # registered Juno with a vet in Bruges, Dr Ilse Maenhout
        r"\b(?:registered|signed up)\b[^,;:]*? with (?:a|the) (?:new )?@noun@place, @value",
    ),
    "name": (
        r"(?:^|[,;:] )@value(?: is| becomes|'s)(?: now)? @mine@noun(?=$|[ .,;:!])",
        # joined the Iron Hall gym
        r"(?:^|\b(?:I|I've|we) )joined (?:the )?@value @noun\b",
    ),
    "amount": (
        # from 1 June the rent is 945 euros · rent is now 1,120 · my rent was 795 and is now 820
        r"(?:^|\bfrom [^,;:]+?,? (?:the|my|our) |\b(?:my|our) )@noun"
        r"(?: was [^;:]{1,20} and)? (?:is|goes up to|went up to|has gone up to|rose to|(?:was|is) raised to)(?: now)? @value",
    ),
    "code": (r"@mine@noun@place (?:moved|changed)\b[^:;]*: (?:it's )?(?:now )?(?:number )?@value",),
    "days": (
        # we now rehearse on Thursdays · rehearsals are on Wednesday evenings
        r"\b(?:we|I) (?:now )?@noun(?: now)? on @value",
        r"(?:^|\bthe )@noun (?:is|are) (?:now )?on @value",
    ),
}
_ASIDES: Final[dict[str, tuple[str, ...]]] = {
    "person": (
        # Karel, my boss, brought … · Nadia, who is my boss and …
        r"(?:^|[,;:] |\band )@value,(?: who is)?(?: now)? @mine@noun(?=$|[.,;:!]| and\b)",
        # my boss Karel · my dentist, Dr Amrani,
        r"\b(?:my|our) (?:new |current )?@noun,? @value(?=$|[ .,;:!])",
    ),
}
# the code of the shed is now 5526 · the bike lock's code is 2093 · the code for the alarm is …
_CODE: Final = tuple(
    re.compile(form.replace("@value", VALUES["code"]), re.IGNORECASE)
    for form in (
        r"\b(?:pin|code|password|combination) (?:of|for|to) (?:the |my |our )?(?P<thing>\w[\w -]{1,30}?)(?: (?:in|of|at) [^,;:]{1,30}?)?"
        r"(?: (?:has )?changed:? ?(?:it's)?| is)(?: now| number)* (?P<value>@value)",
        r"\b(?:the|my|our) (?:new )?(?P<thing>\w[\w -]{1,30}?)(?:'s)? (?:pin|code|combination)"
        r"(?: of [\w ]{1,40}?)?(?: (?:has )?changed:? ?(?:it's)?| is)(?: now)? (?P<value>@value)",
        r"^(?P<thing>door|alarm|gate|shed|lock|bike lock|safe) code(?: of [\w ]{1,40}?)?"
        r"(?: (?:has )?changed:? ?(?:it's)?| is|:)(?: now)? (?P<value>@value)",
        r"\b(?:the|my|our) (?P<thing>\w[\w -]{1,30}?) opens with (?P<value>@value)",
    )
)
# my favourite film is …
_FAVOURITE: Final = re.compile(
    r"\bmy (?:new |all-time |current )?favou?rite (?P<thing>[\w-]+(?: [\w-]+)?) is(?: now| still)? "
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


def _filled(form: str, parts: dict[str, str]) -> str:
    for name, part in parts.items():
        form = form.replace(name, part)
    return form


_PATTERNS: Final = ((_compiled(_COMMON, _FORMS), False), (_compiled((), _ASIDES), True))
_NOUN: Final = re.compile(rf"\b(?:{'|'.join(slot.nouns for slot in SLOTS)})\b", re.IGNORECASE)
_OTHER: Final = re.compile(r"\b(?:code|pin|password|combination|opens with|favou?rite|spare key)\b", re.IGNORECASE)


def is_change(sentence: str) -> bool:
    """Whether its words say that something is otherwise than before."""
    return _CHANGE.search(sentence) is not None


def is_doubtful(sentence: str, found: re.Match[str], year: int) -> bool:
    """Whether what was found may not hold as of ``year``: imagined, denied, reported, or long past."""
    if _UNREAL.search(sentence) or _REPORTED.search(clause_before(sentence, found.start())):
        return True
    clause = clause_around(sentence, found.start(), found.end())
    return any(int(past.group()) < year for past in _YEAR.finditer(clause))


def slot_statements(sentence: str, number: int, year: int) -> Iterator[Statement]:
    """What one sentence states about the things of which there is one at a time."""
    kinds = {slot.value for noun in _NOUN.finditer(sentence) if (slot := slot_of(noun.group())) is not None}
    for patterns, aside in _PATTERNS:
        for pattern in (pattern for kind in sorted(kinds) for pattern in patterns[kind]):
            for found in pattern.finditer(sentence):
                slot, value = slot_of(found["noun"]), found["value"]
                if slot is None or is_doubtful(sentence, found, year) or not _is_value(slot.value, value):
                    continue
                replaces = slot.value not in ("days", "code") or is_change(sentence)
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
    for pattern in _KEY:
        found_ = pattern.search(sentence)
        if found_ is not None and is_name(found_["value"]) and not is_doubtful(sentence, found_, year):
            yield Statement(SELF, "spare key", found_["value"], replaces=True, sentence=number)
