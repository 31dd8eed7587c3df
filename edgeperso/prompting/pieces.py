"""What prompts are made of: pieces of text that are either ours or a person's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Piece", "Tokenizer", "tokenize_pieces", "yes_no_tokens"]


class Tokenizer(Protocol):
    """All that prompting knows of a model's vocabulary."""

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of ``text``; control tokens written in it count as such only if ``special``."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text. Only ours may hold control tokens: a person's text, and whatever others wrote to them, is
    tokenized as plain characters, so it can't open a turn or speak as the system."""

    text: str
    ours: bool = False


def tokenize_pieces(tokenizer: Tokenizer, pieces: list[Piece]) -> list[int]:
    tokens: list[int] = []
    for piece in pieces:
        if piece.text:
            tokens += tokenizer.tokenize(piece.text, special=piece.ours)
    return tokens


def yes_no_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The tokens by which an answer of Yes, and one of No, may begin, in any of their spellings."""
    yes, no = set[int](), set[int]()
    for words in (("Yes", "No"), (" Yes", " No"), ("yes", "no")):
        first = zip(*map(tokenizer.tokenize, words), strict=False)
        # A vocabulary in which a word and the space before it are two tokens: they differ after it.
        told = next(((one, other) for one, other in first if one != other), None)
        if told is not None:
            yes.add(told[0])
            no.add(told[1])
    return sorted(yes), sorted(no)
