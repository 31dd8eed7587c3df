"""A memory as a line of a prompt: dated, attributed, fenced."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from edgeperso.retrieval.relative import relative_times
from edgeperso.times import day_of
from edgeperso.types import Kind, Memory, Trust

__all__ = ["OWN_AUTHORS", "quotable", "quote"]

OWN_AUTHORS: Final = frozenset({"", "me", "i", "you"})
_SPACES: Final = re.compile(r"\s+")


def quote(memory: Memory, states: Sequence[str] = (), *, dated: bool = True) -> str:
    """``[3 March 2024, mail from Ann] text`` on one line, without a line end. What it ``states`` stands before it
    (``[3 March 2024, boss: Ann]``), times that count from that day behind it: ``I saw her yesterday. (yesterday:
    2 March 2024)``. Without ``dated`` the label is short: no day, and of what was said in a chat only who said it.

    The text can't leave its line: white space is folded, control and format characters go. So nothing in it can pose
    as a further note, a question, or an answer of ours.
    """
    stated = (_in_label(one) for one in states)
    label = ", ".join(part for part in (*_when_and_whence(memory, dated), _title(memory), *stated) if part)
    text = _one_line(memory.text)
    times = "; ".join(f"{said}: {meant}" for said, meant in _times(memory))
    return f"{f'[{label}]' if label else '-'} {text}{f' ({times})' if times else ''}"


def quotable(memory: Memory, *, dated: bool) -> list[str]:
    """The texts of a memory that an answer may be taken from: what it says, and with ``dated`` its day and the times
    that it speaks of."""
    times = [_day(memory), *(meant for _, meant in _times(memory))] if dated else []
    return [_one_line(memory.text), *filter(None, times)]


def _when_and_whence(memory: Memory, dated: bool) -> tuple[str, str]:
    if dated:
        return _day(memory), _origin(memory)
    by_other = memory.kind is Kind.CHAT and memory.author.strip().lower() not in OWN_AUTHORS
    return "", _in_label(memory.author) if by_other else _origin(memory)


def _times(memory: Memory) -> list[tuple[str, str]]:
    return [] if memory.occurred_ms is None else relative_times(_one_line(memory.text), memory.occurred_ms)


def _day(memory: Memory) -> str:
    return "" if memory.occurred_ms is None else day_of(memory.occurred_ms)


def _origin(memory: Memory) -> str:
    author = _in_label(memory.author)
    own = memory.author.strip().lower() in OWN_AUTHORS
    if memory.kind is Kind.MAIL:
        return "mail you wrote" if memory.trust is Trust.SELF or own else f"mail from {author}"
    if memory.kind is Kind.CHAT:
        return "you said" if own else f"{author} said"
    return "" if own else author


def _title(memory: Memory) -> str:
    title = _in_label(memory.title)
    return "" if not title or title.lower() in memory.text.lower() or len(title) > 80 else title


def _in_label(text: str) -> str:
    return _one_line(text).replace("]", ")").replace("[", "(")


def _one_line(text: str) -> str:
    kept = "".join(ch if ch.isspace() or unicodedata.category(ch)[0] != "C" else " " for ch in text)
    return _SPACES.sub(" ", kept).strip()
