"""Of long notes an answer reads the sentences that bear on the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgeperso.prompting import Excerpts, Shorten, excerpts, passages_of
from edgeperso.prompting.pieces import Tokenizer
from edgeperso.retrieval import Retriever, asks_for_present, asks_for_time
from edgeperso.types import Hit, Trust

__all__ = ["shortener"]

_MOST: Final = 8
"""Notes that excerpts are taken from; 6 to 12 do as well."""


def shortener(retriever: Retriever, tokenizer: Tokenizer, question: str, tokens: int, now_ms: int) -> Shorten:
    """Excerpts for ``question`` where notes have more than ``tokens``. They say their days where the answer may be a
    time, and where of the person's own words the latest hold."""

    def excerpted(hits: Sequence[Hit], limit: int) -> Excerpts:
        passages = passages_of(hits)
        fit = retriever.fit(question, [(one.text, hits[one.at].memory.language) for one in passages])
        own = bool(hits) and hits[0].memory.trust is Trust.SELF
        dated = asks_for_time(question, now_ms) or (own and asks_for_present(question))
        return excerpts(
            hits, passages, fit.tolist(), lambda line: len(tokenizer.tokenize(f"{line}\n")), limit, dated=dated
        )

    return Shorten(tokens, _MOST, excerpted)
