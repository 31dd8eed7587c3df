"""Cut a text into pieces that are each about one thing, at the borders that its writer made."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["MAX_CHARS", "TARGET_CHARS", "pack", "split_text"]

MAX_CHARS: Final = 1_000
"""No piece is longer. MiniLM reads 256 tokens, which is about that much English."""
TARGET_CHARS: Final = 500
"""Short paragraphs that stand together are joined up to this length."""
_ALONE_CHARS: Final = 200
"""A paragraph of that length begins a piece of its own, whatever stands before it: so a change in a file moves the
borders only as far as the next such paragraph, and what follows is known again."""

_LEAD_IN_CHARS: Final = 100

_PARAGRAPH: Final = re.compile(r"\n[^\S\n]*\n")
_INK: Final = re.compile(r"\S")
# From the best border to the worst; each match's end is where the next piece begins. A line that ends in mid-sentence
# ranks below a sentence: mail and old text files are wrapped at a fixed width.
_BORDERS: Final = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n(?=[ \t]*(?:[-*+•|>]|\d{1,3}[.)])[ \t])|(?<=[.!?…:;。！？])[\"'”’»)\]]*\n"),
    re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？｡][」』”）\"']*"),
    re.compile(r"\n"),
    re.compile(r"[;:,–—]\s+|[、，；：]"),
    re.compile(r"\s+"),
)


def split_text(text: str) -> list[str]:
    """Pieces of at most `MAX_CHARS`, in order; joined again they hold every word of ``text``.

    Paragraphs stay whole where they fit and short neighbours are joined. A longer one is cut after a line, a sentence,
    a clause, or else between words. Only a run of more than `MAX_CHARS` without any space is cut inside.
    """
    return list(pack(_PARAGRAPH.split(text)))


def pack(paragraphs: Iterable[str]) -> Iterator[str]:
    """`split_text` over paragraphs as they come, holding one piece at a time."""
    held = ""
    for paragraph in paragraphs:
        block = paragraph.strip("\n").rstrip()
        if not block.strip():
            continue
        for piece in _cut(block):
            if held and len(held) + 2 + len(piece) <= _room(held, piece):
                held = f"{held}\n\n{piece}"
                continue
            if held:
                yield held
            held = piece
    if held:
        yield held


def _room(held: str, piece: str) -> int:
    """How long the two may be together: a lead-in ("So the plan is:") goes with what it leads to."""
    if len(held) < _LEAD_IN_CHARS:
        return MAX_CHARS
    return TARGET_CHARS if len(piece) < _ALONE_CHARS else 0


def _cut(block: str) -> Iterator[str]:
    """A block in pieces of about equal length, each within `MAX_CHARS`."""
    start, end = 0, len(block)
    while end - start > MAX_CHARS:
        left = end - start
        goal = left // -(-left // MAX_CHARS)
        border = _border(block, start, start + goal)
        if piece := block[start:border].strip():
            yield piece
        following = _INK.search(block, border)
        start = following.start() if following else end
    if piece := block[start:].strip():
        yield piece


def _border(block: str, start: int, goal: int) -> int:
    """Where to cut: the best sort of border within reach, the one nearest to ``goal`` among its like."""
    last = start + MAX_CHARS
    for pattern in _BORDERS:
        ends = [match.end() for match in pattern.finditer(block, start + (goal - start) // 2, last + 1)]
        ends = [end for end in ends if start < end <= last]
        if ends:
            return min(ends, key=lambda end: abs(end - goal))
    spaces = [match.end() for match in _BORDERS[-1].finditer(block, start, last + 1) if match.start() > start]
    if spaces:
        return min(spaces[-1], last)
    if block[last : last + 1].isspace():
        return last
    while last > start + 1 and (unicodedata.combining(block[last]) or block[last] in "\u200c\u200d\ufe0f"):
        last -= 1
    return last
