"""What training gives back and where it keeps its state: values without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from edgeperso.engine.adapters.values import Adapter

__all__ = ["StateStore", "Stopped", "Trained"]

Stopped = Literal["done", "budget", "asked"]
"""Why training ended: all steps are done, the plan's minutes are over, or somebody asked."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    Args:
        adapter: the weights as they are now.
        steps: steps taken, those of earlier calls that were resumed included.
        tokens: tokens read in them, context included.
        tokens_per_s: of this call's steps; 0 where it took none.
        losses: of each step, before its update: nats per counted token, or DPO's loss per pair. NaN for a step that was
            skipped because its gradient was not finite.
        stopped: why it ended.
    """

    adapter: Adapter
    steps: int
    tokens: int
    tokens_per_s: float
    losses: tuple[float, ...]
    stopped: Stopped


class StateStore(Protocol):
    """Keeps the state of one training between calls; whoever gives it sees that it lies encrypted."""

    def load(self) -> bytes | None: ...

    def save(self, state: bytes) -> None: ...

    def drop(self) -> None: ...
