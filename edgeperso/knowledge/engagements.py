"""Sentences to what the person begins and ends: joined, booked, bought; cancelled, sold, gave up.

One has many such things at a time: to begin one ends no other. Only "gave up X" ends what said that there is X.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgeperso.knowledge.doubt import is_doubtful
from edgeperso.knowledge.statement import ENDED, HAS, SELF, Statement

__all__ = ["engagement_statements"]

_CUT: Final = (
    r"(?=$|[,;:.!?()–—]| (?:to|for|with|because|since|and|but|on|in|at|from|after|before|so|as|by|when|while|once|"
    r"until|today|yesterday|this|last|every|again|any|straight|now)\b)"
)
_OBJECT: Final = (
    r"(?:(?:my|our|the|a|an|another) )?(?:(?:new|old|weekly|monthly) )*"
    r"(?P<value>(?!(?:to|as|it|on|in|off|up|out|part|care|place|down|over|with|for|by|and|all)\b)"
    r"[^\W\d][\w’'-]*(?: [\w’'&-]+){0,4}?)" + _CUT
)
# Diaries leave out the "I"; "…, and sold X" is the person's doing only after an "I" or "we".
_I: Final = (
    r"(?:^|[;:] |\b(?:I|we)\b[^;:]{0,80} and |\b(?:I|we|I've|we've|I'm|I have|we have) (?:just |also |now |finally )*)"
)
_BEGUN: Final = (
    _I + r"(?:joined|subscribed to|signed up (?:for|with|to)|enrolled in|rented|booked|took up) " + _OBJECT,
    # A purchase counts where it has a name of its own: "bought bread" is no possession.
    _I + r"bought (?:a|an|the|my)(?: (?!(?:at|in|to|for|from|with|of)\b)[a-z-]+){0,2} "
    r"(?-i:(?P<value>[A-Z]\w+(?: [A-Z0-9]\w*)*))",
    r"\b(?:flights?|tickets?|trip)(?: and [\w ]{1,20}?)? (?:to|for) (?-i:(?P<value>[A-Z]\w+))",
    r"^(?:new )?(?:car|truck|van|bike|motorbike|phone|laptop|boat|dog|cat): (?P<value>[\w-]+(?: [\w-]+){0,3})",
    r"\b(?:put me on|prescribed(?: me)?) " + _OBJECT,
    r"\bI (?:now )?(?:wear|use|drink|take|play|drive|read|subscribe to) " + _OBJECT,
)
_HAVE: Final = "have|use|take|drink|eat|wear|drive|play|read|own"
_GONE: Final = (
    _I + r"(?:sold|quit|cancel(?:l)?ed|gave up|given up|giving up|unsubscribed from|got rid of|dropped out of|"
    r"stopped (?:taking|using|drinking|playing|reading|wearing)|resigned from|closed my account (?:with|at)) "
    + _OBJECT,
    rf"\bI (?:no longer (?:{_HAVE})|don't (?:{_HAVE})(?= [^.;]* any ?more)) " + _OBJECT,
    _I + r"(?:switched|changed|swapped) from " + _OBJECT,
    # The doctor has stopped the amlodipine.
    r"\b(?:has|have|I've) stopped (?:the|my) " + _OBJECT,
    r"^no (?P<value>[\w-]+(?: [\w-]+){0,2}?) any ?more\b",
    r"^no more " + _OBJECT,
    r"\b(?:my|our) (?P<value>[\w-]+(?: [\w-]+){0,2}) (?:was|got|has been|were) (?:stolen|sold|cancelled|scrapped)\b",
    r"(?:^|[,;:] )(?-i:(?P<value>[A-Z]\w+)) (?:has )?died\b",
)
_PATTERNS: Final = tuple(
    (attribute, tuple(re.compile(form, re.IGNORECASE) for form in forms))
    for attribute, forms in ((HAS, _BEGUN), (ENDED, _GONE))
)
_CUE: Final = re.compile(
    r"joined|subscri|signed|enrolled|rent|booked|took up|bought|flight|ticket|trip|^(?:new )?[a-z]+:|put me|prescribed|"
    r"\bI (?:now )?(?:wear|use|drink|take|play|drive|read)|"
    r"sold|quit|cancel|g[ai]ve|giving|stopped|got rid|dropped|resigned|closed|no longer|more\b|"
    r"switched|changed|swapped|stolen|scrapped|died",
    re.IGNORECASE,
)


def engagement_statements(sentence: str, number: int, year: int) -> Iterator[Statement]:
    """What one sentence, the ``number``th of a text of ``year``, says the person takes up or gives up."""
    if _CUE.search(sentence) is None:
        return
    for attribute, patterns in _PATTERNS:
        for pattern in patterns:
            found = pattern.search(sentence)
            if found is not None and not is_doubtful(sentence, found, year):
                yield Statement(SELF, attribute, found["value"], replaces=False, sentence=number)
