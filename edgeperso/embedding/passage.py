"""What of a memory is searched: its text, under who said it and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeperso.times import day_of

if TYPE_CHECKING:
    from edgeperso.types import Memory

__all__ = ["passage_text"]


def passage_text(memory: Memory) -> str:
    """``author (day): title. text``, each part only where it is known.

    Author and day make "what did Ann say in May" findable by either way of searching. The same string is embedded and
    indexed by words.
    """
    day = f"({day_of(memory.occurred_ms)})" if memory.occurred_ms is not None else ""
    head = " ".join(part for part in (memory.author, day) if part)
    title = f"{memory.title}. " if memory.title and memory.title not in memory.text else ""
    return f"{head}: {title}{memory.text}" if head else f"{title}{memory.text}"
