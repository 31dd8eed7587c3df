"""What `why` shows of an answer: ids, scores, budgets, timings. No text of any memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgeperso.types import Granularity

__all__ = ["AdapterTrace", "HitTrace", "Trace"]


@dataclass(frozen=True, slots=True)
class AdapterTrace:
    """An adapter that the vault wears, at its ``scale``. ``outcome`` is ``worn``, or why the model didn't wear it:
    ``other_base`` (made for another model), ``second_soft_prompt`` (there is one below), ``invalid``."""

    id: int
    granularity: Granularity
    scale: float
    outcome: str


@dataclass(frozen=True, slots=True)
class HitTrace:
    """A memory that was found: its score and the score's parts, and whether it was ``included``, of which an
    ``excerpt`` was, or why it wasn't read."""

    memory_id: int
    score: float
    parts: dict[str, float]
    outcome: str


@dataclass(frozen=True, slots=True)
class Trace:
    """How one answer came about, and with which ``adapters``.

    ``budget`` is in tokens: context, answer, memory_limit, stable, memories, question. ``tokens``: prompt, cached (held
    from the turn before), spliced (of notes, taken over from their states), evaluated (new), generated.
    ``timings_ms``: search, prompt, prefill, first_token, decode, total. ``stopped``: end, stop, length or cancelled.
    ``restarted``: earlier turns no longer fit and were left out.
    """

    sources: tuple[int, ...]
    hits: tuple[HitTrace, ...]
    model: dict[str, str]
    budget: dict[str, int]
    tokens: dict[str, int]
    timings_ms: dict[str, float]
    stopped: str
    restarted: bool
    adapters: tuple[AdapterTrace, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Trace:
        """The inverse of `as_dict`, also after a round through JSON."""
        fields = dict(stored)
        fields["sources"] = tuple(fields["sources"])
        fields["hits"] = tuple(HitTrace(**hit) for hit in fields["hits"])
        fields["adapters"] = tuple(
            AdapterTrace(**{**worn, "granularity": Granularity(worn["granularity"])})
            for worn in fields.get("adapters", ())
        )
        return cls(**fields)
