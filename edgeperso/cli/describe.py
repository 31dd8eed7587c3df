"""The façade's values as dictionaries for ``--json`` and as lines for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from edgeperso.times import day_of
from edgeperso.types import Hit, Memory

if TYPE_CHECKING:
    from edgeperso.assistant import Trace

__all__ = ["adapter_outcome", "hit_dict", "memory_dict", "memory_place", "one_line", "show_trace_lines", "source_dict"]

_OUTCOMES: Final = {
    "worn": "worn",
    "other_base": "not worn: made for another model",
    "second_soft_prompt": "not worn: there is a soft prompt already",
    "invalid": "not worn: it can't be used",
}
_LINE = 100


def memory_dict(memory: Memory) -> dict[str, Any]:
    return {**asdict(memory), "kind": memory.kind.value, "trust": memory.trust.value}


def hit_dict(hit: Hit) -> dict[str, Any]:
    return {"memory": memory_dict(hit.memory), "score": hit.score, "parts": hit.parts}


def source_dict(memory: Memory) -> dict[str, Any]:
    """Where a memory stands, without its text."""
    return {
        "id": memory.id,
        "kind": memory.kind.value,
        "source": memory.source,
        "locator": memory.locator,
        "title": memory.title,
        "when_ms": memory.when_ms,
        "closed_ms": memory.closed_ms,
    }


def memory_place(memory: Memory) -> str:
    """``[12] notes/2024-03.md, 3 March 2024``"""
    closed = ", superseded" if memory.closed_ms is not None else ""
    return f"[{memory.id}] {memory.source}, {day_of(memory.when_ms)}{closed}"


def adapter_outcome(outcome: str) -> str:
    """What became of an adapter in an answer (`AdapterTrace.outcome`), for people."""
    return _OUTCOMES.get(outcome, outcome)


def one_line(text: str, length: int = _LINE) -> str:
    """The beginning of a text on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def show_trace_lines(trace: Trace, memories: Iterable[Memory]) -> Iterable[tuple[str, ...]]:
    """A line for each memory that was found: outcome, score, its parts, place, beginning of the text."""
    known = {memory.id: memory for memory in memories}
    for hit in trace.hits:
        parts = " ".join(f"{name} {value:+.2f}" for name, value in hit.parts.items())
        memory = known.get(hit.memory_id)
        place = f"[{hit.memory_id}] forgotten" if memory is None else memory_place(memory)
        text = "" if memory is None else one_line(memory.text, 60)
        yield (hit.outcome, f"{hit.score:.2f}", parts, place, text)
