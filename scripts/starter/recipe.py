"""The recipe: what is trained, how, and how it becomes a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edgeperso.adaptation.plan import EVERY_MATRIX, LoraShape, Plan
from edgeperso.adaptation.training import Trained, train
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_to_bytes
from edgeperso.engine.adapters.values import Lora
from edgeperso.types import Progress
from scripts.starter.prompts import example
from scripts.starter.unseen import unseen

__all__ = ["MAX_BYTES", "PLAN", "SEED", "packed", "train_starter"]

SEED: Final = 20261126
MAX_BYTES: Final = 4_000_000
"""A starter that is larger is not shipped."""

PLAN: Final = Plan(
    shape=LoraShape(rank=6, alpha=12.0, targets=EVERY_MATRIX),
    rate=1.5e-3,
    epochs=1,
    batch_tokens=1024,
    max_tokens=640,
    warmup=0.05,
    seed=SEED,
)
"""Every conversation is new, so one epoch. The rate falls to nothing over the minutes, wherever they end."""


def train_starter(engine: Engine, *, count: int, minutes: float, plan: Plan, progress: Progress | None) -> Trained:
    """Train on ``count`` conversations, or as many of them as ``minutes`` take."""
    examples = [example(engine, conversation) for conversation in unseen(count, SEED)]
    info = engine.info
    return train(info.path, info.base_sha256, examples, replace(plan, minutes=minutes), progress=progress)


def packed(adapter: Lora) -> bytes:
    """The adapter's file, weights in float16.

    Raises:
        AdapterInvalid: not an adapter.
    """
    return adapter_to_bytes(adapter, half=True)
