"""How an adapter is to be trained, and on what: values without torch, so that anything may make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeperso.errors import UsageError
from edgeperso.types import Objective

__all__ = ["ATTENTION", "EVERY_MATRIX", "Example", "LoraShape", "Pair", "Plan", "SoftShape"]

ATTENTION: Final = ("attn_q", "attn_k", "attn_v", "attn_output")
EVERY_MATRIX: Final = (*ATTENTION, "ffn_gate", "ffn_up", "ffn_down")


@dataclass(frozen=True, slots=True)
class LoraShape:
    """``rank`` 1 to 256; ``alpha`` above 0; ``targets`` are GGUF's names of a layer's matrices (`EVERY_MATRIX`)."""

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ATTENTION

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= 256 or not self.alpha > 0 or not self.targets:
            raise UsageError("A LoRA needs a rank from 1 to 256, an alpha above 0 and a target.")
        if unknown := set(self.targets) - set(EVERY_MATRIX):
            raise UsageError(f"{len(unknown)} unknown LoRA targets.", hint="Known are " + ", ".join(EVERY_MATRIX) + ".")


@dataclass(frozen=True, slots=True)
class SoftShape:
    """``virtual_tokens``: 1 to 256 of them."""

    virtual_tokens: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.virtual_tokens <= 256:
            raise UsageError("A soft prompt has 1 to 256 virtual tokens.")


@dataclass(frozen=True, slots=True)
class Plan:
    """One training.

    Args:
        shape: what is trained.
        objective: what for.
        rate: the peak learning rate of AdamW; above 0.
        epochs: times that every example is seen, 1 or more.
        batch_tokens: tokens in one step, about; examples are packed up to it.
        max_tokens: a longer example is cut to it (from the front of its prompt first).
        minutes: of time at most; None: as long as it takes. What was learnt by then is kept.
        warmup: share of the steps in which the rate rises, in [0, 1); afterwards it falls to nothing as a cosine.
        beta: DPO's temperature, above 0.
        train_a: whether a LoRA's ``a`` is trained; what isn't stays bit by bit as it started. One of both is.
        train_b: whether its ``b`` is.
        pull: λ ≥ 0 of ``λ/2 · |weights − start|²`` that is added to the loss of each step: how strongly the weights are
            held to those they started from. Li et al., "Ditto", 2021 (arXiv:2012.04221).
        threads: of torch; None takes the machine's physical cores.
        seed: of initial weights and of the examples' order.
    """

    shape: LoraShape | SoftShape = LoraShape()
    objective: Objective = Objective.TEXT
    rate: float = 1e-3
    epochs: int = 3
    batch_tokens: int = 512
    max_tokens: int = 512
    minutes: float | None = None
    warmup: float = 0.05
    beta: float = 0.1
    train_a: bool = True
    train_b: bool = True
    pull: float = 0.0
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        fits = (
            self.rate > 0
            and self.epochs >= 1
            and self.batch_tokens >= 1
            and self.max_tokens >= 2
            and (self.minutes is None or self.minutes > 0)
            and 0 <= self.warmup < 1
            and self.beta > 0
            and (self.train_a or self.train_b)
            and self.pull >= 0
            and (self.threads is None or self.threads >= 1)
        )
        if not fits:
            raise UsageError("A value of the training plan is out of range.")


@dataclass(frozen=True, slots=True)
class Example:
    """A text to learn: tokens of the base's vocabulary, of which those from ``learn_from`` (1 or more) on count; those
    before are context (a BOS at least)."""

    tokens: tuple[int, ...]
    learn_from: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference pair: after ``prompt`` (1 token or more) ``chosen`` is better than ``rejected`` (1 or more each)."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
