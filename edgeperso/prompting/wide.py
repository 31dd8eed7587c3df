"""Wide prompts: many notes, most of them taken over from states that were computed ahead, the best ones read anew.

The wait doesn't grow with the notes then. A note that is taken over hasn't seen those before it; reading the best ones
again, just before the question, mends most of what that costs (`docs/explanation/states.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edgeperso.prompting.forms import Form
from edgeperso.prompting.pieces import Piece, Tokenizer, tokenize_pieces
from edgeperso.types import Memory

__all__ = ["FRESH_TOKENS", "Note", "Span", "Wide", "around", "part"]

FRESH_TOKENS: Final = 120
"""The best notes, up to so many tokens, are read anew."""
_MARK: Final = "\u2063n\u2063"


@dataclass(frozen=True, slots=True)
class Span:
    """Where in a prompt's tokens a memory's note stands that is taken over from its state."""

    start: int
    end: int
    memory_id: int


@dataclass(frozen=True, slots=True)
class Note:
    """A memory as the tokens of its line."""

    memory: Memory
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Wide:
    """What a wide prompt may be: at most ``note_tokens`` of notes; of those that aren't read anew in any case, at least
    ``share`` (by tokens) must have states, which ``has_state`` (memory's id, tokens) tells."""

    note_tokens: int
    share: float
    has_state: Callable[[int, Sequence[int]], bool]


def part(notes: Sequence[Note], wide: Wide) -> tuple[list[Note], list[Note]]:
    """Which of the notes (best first) are taken over from states, the best last, and which are evaluated: the best of
    all, and those without a state, in the order of time. Nothing is taken over where that would be too little."""
    fresh = 0
    while fresh < len(notes) and (fresh == 0 or _size(notes[: fresh + 1]) <= FRESH_TOKENS):
        fresh += 1
    others = list(notes[fresh:])
    spliced = [note for note in others if wide.has_state(note.memory.id, note.tokens)]
    if _size(spliced) < wide.share * _size(others):
        spliced = []
    evaluated = [note for note in notes if note not in spliced]
    return spliced[::-1], _by_time(evaluated)


def around(tokenizer: Tokenizer, form: Form, question: str, *, first: bool) -> tuple[list[int], list[int]]:
    """The tokens before and after the notes of a turn. Each note is a run of tokens of its own between them, so that
    the same note is the same tokens in every prompt."""
    turn = form.turn([_MARK], question, "", first=first)
    at = next(at for at, piece in enumerate(turn) if _MARK in piece.text)
    head, _, rest = turn[at].text.partition(f"{_MARK}\n")
    before = [*turn[:at], Piece(head, ours=turn[at].ours)]
    after = [Piece(rest, ours=turn[at].ours), *turn[at + 1 :]]
    return tokenize_pieces(tokenizer, before), tokenize_pieces(tokenizer, after)


def _by_time(notes: Sequence[Note]) -> list[Note]:
    """Oldest first; of one time the best last."""
    worst_first = list(reversed(notes))
    return sorted(worst_first, key=lambda note: note.memory.when_ms)


def _size(notes: Sequence[Note]) -> int:
    return sum(len(note.tokens) for note in notes)
