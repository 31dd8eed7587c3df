"""What the person likes and can't stand: for a request for advice, their own statements of taste before other hits.

"Which restaurant in Rome?" shares no word with "I can't eat gluten", and a long history holds much that is nearer to
the question. What decides a suggestion is mostly a sentence in which the person speaks of themselves: I avoid, I'd
rather, I am allergic. English only; other texts keep their places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edgeperso.types import Hit, Trust

__all__ = ["favour_preferences"]

_WORTH: Final = 3.0
"""Worth of stating a preference, in standard deviations of the retriever's score."""
_ADVERBS: Final = r"(?:\w+ly|really|always|never|only|just|do|don['’]t|do not|can['’]?t|cannot|would|also|still|quite)"
_STATES: Final = re.compile(
    rf"\b(?:i|i['’]d|we)(?: {_ADVERBS}){{0,3}} "
    r"(?:likes?|loves?|enjoys?|prefers?|favou?rs?|adores?|appreciates?|dislikes?|hates?|detests?|avoids?|refuses?|loathes?"
    r"|despises?|stand|bear|tolerate|rather|eat|drink|trust|believe|value|insist|need|require|seek|stick to|have to"
    r"|have an? [\w -]{0,40}(?:allergy|intolerance|phobia|fear|aversion|dislike|preference|passion|condition))\b"
    r"|\bi(?:['’]m| am)(?: \w+){0,3} (?:allergic|intolerant|vegan|vegetarian|afraid|scared|averse|sensitive|passionate"
    r"|fond|committed|uncomfortable|not (?:a fan|into|comfortable)|a (?:fan|believer)|into|against|drawn)\b"
    r"|\bmy (?:favou?rite|preference)\b|\bnot my (?:thing|style|taste|cup of tea)\b"
    r"|\b(?:works?|suits?|sounds? (?:good|great|perfect)|perfect)(?: \w+){0,3} for me\b|\bdon['’]t work for me\b",
    re.IGNORECASE,
)


def favour_preferences(hits: Sequence[Hit]) -> list[Hit]:
    """``hits`` (best first) with those raised in which the person states a preference; the addend stands in their parts
    as ``preference``."""
    raised = [
        replace(hit, score=hit.score + _WORTH, parts={**hit.parts, "preference": _WORTH})
        if hit.memory.trust is Trust.SELF and _STATES.search(hit.memory.text)
        else hit
        for hit in hits
    ]
    return sorted(raised, key=lambda hit: (-hit.score, hit.memory.id))
