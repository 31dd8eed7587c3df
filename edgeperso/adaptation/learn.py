"""From a lesson to an adapter that was judged: what the assistant and the evaluations share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgeperso.adaptation.gate import GateReport, adapter_key, judge
from edgeperso.adaptation.lesson import Lesson, pair_example, text_example
from edgeperso.adaptation.plan import Plan
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Adapter, Lora, Worn
from edgeperso.errors import Cancelled, TooLittle
from edgeperso.types import Progress

if TYPE_CHECKING:
    from edgeperso.adaptation.training import StateStore, Trained

__all__ = ["GateReport", "Learnt", "Lesson", "learn", "pair_example", "text_example"]

_LEAST_JUDGED: Final = 2


@dataclass(frozen=True, slots=True)
class Learnt:
    adapter: Adapter
    trained: Trained
    gate: GateReport


def learn(
    engine: Engine,
    lesson: Lesson,
    plan: Plan,
    *,
    below: Sequence[Worn] = (),
    start: Adapter | None = None,
    scale: float = 1.0,
    weaker: Sequence[float] = (),
    state: StateStore | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Learnt:
    """Train on the file that ``engine`` runs, then let the gate judge on ``engine``, at ``scale`` or else ``weaker``.

    Args:
        below: worn under the adapter, in training (its LoRAs) and at the gate.
        progress: of both: stages ``training`` and ``judging``.
        start: go on from this adapter; the gain is then over it.
        state: where a training that is stopped or killed finds its place again.

    Raises:
        TooLittle: nothing to learn from, or fewer than two examples to judge by.
        Cancelled: ``stop`` was set; ``state`` holds what was reached.
        ExtraMissing, ModelUnsupported: as `edgeperso.adaptation.training.train`.
    """
    from edgeperso.adaptation.training import train

    if not lesson.train or len(lesson.held_out) < _LEAST_JUDGED:
        raise TooLittle("A lesson needs something to learn from and two examples to be judged by.")
    trained = train(
        engine.info.path,
        engine.info.base_sha256,
        lesson.train,
        plan,
        start=start,
        frozen=tuple((worn.adapter, worn.scale) for worn in below if isinstance(worn.adapter, Lora)),
        state=state,
        progress=progress,
        stop=stop,
    )
    if trained.stopped == "asked":
        raise Cancelled("The training was stopped.", hint="What was learnt so far is kept: train again to go on.")
    replaced = None if start is None else Worn(adapter_key(start), start, scale)
    gate = judge(
        engine,
        below,
        trained.adapter,
        lesson,
        seed=plan.seed,
        scale=scale,
        weaker=weaker,
        instead_of=replaced,
        progress=progress,
    )
    return Learnt(trained.adapter, trained, gate)
