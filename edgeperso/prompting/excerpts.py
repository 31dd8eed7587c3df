"""Excerpts: of notes that would take long to read, the sentences that bear on the question.

A model's wait before its first word is the tokens it reads. Most sentences of a long note, a talk's turn or a mail say
nothing of what is asked, and a small model is confused by what it is not spared.

Source: the extractive compressor of Xu et al., "RECOMP", 2023 (arXiv:2310.04408); here it isn't trained, but takes
the retriever's own scores.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from edgeperso.knowledge.sentences import asks, cut
from edgeperso.prompting.quote import quote
from edgeperso.types import Hit

__all__ = ["WHOLE", "Excerpts", "Passage", "Shorten", "excerpts", "passages_of"]

_LONGEST: Final = 240
"""Characters of a passage: what has no full stop is cut between words."""
_PER_DEVIATION: Final = 0.07
"""Worth of a standard deviation of a note's score, in the measure of `Retriever.fit`. 0.05 to 0.15 do as well."""
_BY_NAMED: Final = 0.5
"""Worth of being said by the one whom the question names: who is asked about tells it themselves. 0.25 to 0.8 do."""
_ASKS: Final = 0.2
"""What a passage is worth less that itself asks: it shares much with the question, and answers nothing. 0.1 to 0.4
do."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of a note's text: ``text`` is the ``place``-th of the hit at ``at``."""

    at: int
    place: int
    text: str


@dataclass(frozen=True, slots=True)
class Excerpts:
    """Lines to read in place of whole notes, by memory id; which memories are ``partly`` read, not whole; ``dated``
    tells whether the lines say their days."""

    lines: dict[int, str]
    partly: frozenset[int]
    dated: bool


WHOLE: Final = Excerpts({}, frozenset(), dated=True)
"""No excerpts: notes are read whole, and say their days."""


@dataclass(frozen=True, slots=True)
class Shorten:
    """Notes of more than ``tokens`` together are not read whole: of the best ``most`` ``excerpts`` (hits best first,
    tokens to fill) gives what is read."""

    tokens: int
    most: int
    excerpts: Callable[[Sequence[Hit], int], Excerpts]

    def of(self, hits: Sequence[Hit], room: int, shown: AbstractSet[int], behind: float) -> Excerpts:
        """Excerpts of those of ``hits``, best first, that aren't ``shown`` and whose score is at most ``behind`` below
        the first one's, in at most ``room`` tokens."""
        wanted = [hit for hit in hits if hit.memory.id not in shown and hit.score >= hits[0].score - behind]
        return self.excerpts(wanted[: self.most], min(room, self.tokens))


def passages_of(hits: Sequence[Hit]) -> list[Passage]:
    """The texts of ``hits`` in passages: sentences, the longest cut between words."""
    return [
        Passage(at, place, text)
        for at, hit in enumerate(hits)
        for place, text in enumerate(
            line for piece in cut(hit.memory.text) for line in textwrap.wrap(piece, _LONGEST) if line
        )
    ]


@dataclass(slots=True)
class _Chosen:
    """What is read of one hit: the places of its passages, and what its line costs with them, in tokens."""

    places: set[int] = field(default_factory=set)
    line: str = ""
    cost: int = 0


def excerpts(
    hits: Sequence[Hit],
    passages: Sequence[Passage],
    fit: Sequence[float],
    cost: Callable[[str], int],
    limit: int,
    *,
    dated: bool,
) -> Excerpts:
    """The passages that are worth most, as long as their lines cost ``limit`` at most together; of each note in its
    order. A note that states a fact that is asked for is read whole, if it can be.

    Args:
        hits: best first.
        passages: `passages_of` the hits.
        fit: how well each passage fits the question (`Retriever.fit`).
        cost: tokens of a line.
    """
    chosen = [_Chosen() for _ in hits]
    texts: dict[int, dict[int, str]] = {}
    for passage in passages:
        texts.setdefault(passage.at, {})[passage.place] = passage.text

    def take(at: int, places: set[int]) -> None:
        """Read these of the hit's passages too, if there is room."""
        wanted = chosen[at].places | places
        said = " ".join(texts[at][place] for place in sorted(wanted))
        line = quote(replace(hits[at].memory, text=said), hits[at].states, dated=dated)
        tokens = cost(line)
        if sum(one.cost for one in chosen) - chosen[at].cost + tokens <= limit:
            chosen[at] = _Chosen(wanted, line, tokens)

    for at, hit in enumerate(hits):
        if hit.states and at in texts:
            take(at, set(texts[at]))
    worth = [fits + _apart(passage, hits) for passage, fits in zip(passages, fit, strict=True)]
    for number in sorted(range(len(passages)), key=lambda number: -worth[number]):
        passage = passages[number]
        if passage.place not in chosen[passage.at].places:
            take(passage.at, {passage.place})
    read = {hit.memory.id: one for hit, one in zip(hits, chosen, strict=True) if one.line}
    whole = {hit.memory.id: len(texts[at]) for at, hit in enumerate(hits) if at in texts}
    partly = frozenset(id_ for id_, one in read.items() if len(one.places) < whole[id_])
    return Excerpts({id_: one.line for id_, one in read.items()}, partly, dated)


def _apart(passage: Passage, hits: Sequence[Hit]) -> float:
    """What a passage is worth apart from its words: its note's place among the hits, who says it, and whether it
    asks."""
    hit = hits[passage.at]
    named = _BY_NAMED if hit.parts.get("author", 0.0) > 0 else 0.0
    asking = _ASKS if asks(passage.text) else 0.0
    return _PER_DEVIATION * (hit.score - hits[0].score) + named - asking
