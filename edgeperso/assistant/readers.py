"""How much a model can read at once, by its size: what small models need is not what large ones do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from edgeperso.engine import Engine, ModelInfo, renderer
from edgeperso.prompting import ANSWERING, Budget, Layout, choose_form, profile_card

__all__ = ["Reader", "layout_for", "reader_for"]

_SMALL: Final = 400_000_000
_LITERAL: Final = 1_000_000_000
"""Smaller models repeat a rule where they should follow it."""
_MEDIUM: Final = 3_000_000_000
_WHOLE_TOKENS: Final = 160
"""With them the first word of an answer comes in a fifth of the time that a thousand tokens of notes take."""
_BEHIND: Final = 5.0
"""The smallest distance that lost none of the right notes of 70 questions about three lives."""


@dataclass(frozen=True, slots=True)
class Reader:
    """``quotes``: the answer's first words are written for the model, and what it then says must stand in the notes, of
    which it reads one, the one that it finds the question most likely after. ``most``: as many notes it reads otherwise
    (None: all that fit ``memory_tokens``), for a question about the present none whose score is more than ``behind``
    below that of the best, if it is the person's own: among those stands what no longer holds. ``latest``: it is told
    that the latest note holds. Of notes with more than ``whole_tokens`` together it reads excerpts (None: it reads them
    whole). Measured in docs/explanation/reading.md."""

    quotes: bool
    most: int | None
    memory_tokens: int
    answer_tokens: int
    behind: float = math.inf
    latest: bool = True
    whole_tokens: int | None = None

    def budget(self, context_tokens: int) -> Budget:
        """The reader's budget in a context of that size: at least half of it stays free for conversation."""
        return Budget(
            context_tokens=context_tokens,
            answer_tokens=min(self.answer_tokens, context_tokens // 4),
            memory_tokens=min(self.memory_tokens, context_tokens // 2),
        )


def reader_for(model: ModelInfo) -> Reader:
    if model.n_params < _SMALL:
        return Reader(quotes=True, most=3, memory_tokens=400, answer_tokens=64)
    if model.n_params < _MEDIUM:
        latest = model.n_params >= _LITERAL
        return Reader(
            quotes=False,
            most=5,
            memory_tokens=500,
            answer_tokens=256,
            behind=_BEHIND,
            latest=latest,
            whole_tokens=_WHOLE_TOKENS,
        )
    return Reader(quotes=False, most=None, memory_tokens=2000, answer_tokens=512)


def layout_for(engine: Engine, reader: Reader, profile: dict[str, str], task: str = ANSWERING) -> Layout:
    """How a conversation with the person is put to ``engine``; or, with another ``task`` as its instruction, what it is
    to judge, whose answer is never begun."""
    return Layout(
        engine,
        choose_form(renderer(engine.info), begin=reader.quotes and task == ANSWERING, latest=reader.latest),
        reader.budget(engine.info.n_ctx),
        bos=engine.bos,
        profile=profile_card(profile),
        task=task,
    )
