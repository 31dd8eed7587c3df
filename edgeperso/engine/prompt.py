"""What a context can go on from."""

from __future__ import annotations

from collections.abc import Sequence

from edgeperso.engine.native import NativeModel
from edgeperso.errors import EmptyQuestion, QuestionTooLong

__all__ = ["check_prompt"]


def check_prompt(model: NativeModel, tokens: Sequence[int], more: int) -> None:
    """Whether ``tokens`` may be evaluated, and ``more`` after them: all fit beside what a soft prompt takes.

    Raises:
        EmptyQuestion: no tokens.
        QuestionTooLong: they don't fit.
        UsageError: a token id that the model lacks.
    """
    if not tokens:
        raise EmptyQuestion("There is nothing to go on from: the prompt has no tokens.")
    fits = model.room + len(model.held)
    if len(tokens) + more > fits:
        raise QuestionTooLong(f"{len(tokens)} prompt tokens and {more} more don't fit a context of {fits} tokens.")
    model.check_tokens(tokens)
