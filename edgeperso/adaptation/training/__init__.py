"""Training on the model file itself: LoRA, soft prompts, and direct preference optimisation.

Importing this is cheap; torch is imported when something is trained.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgeperso.adaptation.plan import Example, Pair, Plan
from edgeperso.adaptation.training.memory import give_back
from edgeperso.adaptation.training.values import StateStore, Trained
from edgeperso.engine.adapters.values import Adapter, Lora
from edgeperso.errors import ExtraMissing
from edgeperso.types import Float32, Progress

__all__ = ["StateStore", "Trained", "logits", "losses", "train"]


def train(
    model: Path,
    base_sha256: str,
    examples: Sequence[Example] | Sequence[Pair],
    plan: Plan,
    *,
    start: Adapter | None = None,
    frozen: Sequence[tuple[Lora, float]] = (),
    state: StateStore | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Trained:
    """Train an adapter on ``model``. The same call gives the same weights on the same machine with the same number of
    threads, also when it was stopped and resumed in between, unless the plan has minutes.

    Args:
        model: a GGUF file of the llama or qwen2 family.
        base_sha256: 64 hex digits that name it in the adapter.
        examples: texts, or pairs where the plan's objective is DPO; one at least. Those in which nothing is left to
            learn after cutting to the plan's tokens are left out.
        plan: how.
        start: an adapter of the plan's shape to go on from; DPO's reference too. None: new weights.
        frozen: adapters worn below with their scales, which stay as they are.
        state: where the state is kept: at least every 30 s, on ``stop`` and on KeyboardInterrupt. A state that is found
            there and belongs to this very training is gone on from, any other is written over. It is dropped when
            the training is done or its minutes are over; the minutes count across calls.
        progress: called after every step with the stage ``training``.
        stop: once set, the training ends after the step that is going on.

    Raises:
        ExtraMissing: torch isn't installed.
        ModelNotFound, ModelCorrupt, ModelUnsupported: about the file; another family is unsupported.
        AdapterMismatch: ``start`` or ``frozen`` don't fit the model or the plan.
        ModelError: ten steps in a row gave no finite gradient.
        TooLittle: nothing to learn from.
        UsageError: pairs without the objective DPO or texts with it, or a token that the model hasn't.
    """
    _check_torch()
    from edgeperso.adaptation.training import loop

    try:
        return loop.train(
            model, base_sha256, examples, plan, start=start, frozen=frozen, state=state, progress=progress, stop=stop
        )
    finally:
        give_back()


def losses(model: Path, adapter: Adapter | None, examples: Sequence[Example]) -> Float32:
    """``float32[len(examples)]``: nats per counted token of each example, with ``adapter`` or without. Nothing is cut.

    Raises:
        As `train`.
    """
    _check_torch()
    from edgeperso.adaptation.training import loop

    try:
        return loop.losses(model, adapter, examples)
    finally:
        give_back()


def logits(model: Path, adapter: Adapter | None, tokens: Sequence[int]) -> Float32:
    """``float32[len(tokens), vocabulary]`` after each token, computed in float32: to compare with llama.cpp's.

    Raises:
        As `train`.
    """
    _check_torch()
    from edgeperso.adaptation.training import loop

    return loop.logits(model, adapter, tokens)


def _check_torch() -> None:
    if find_spec("torch") is None:
        raise ExtraMissing("Training needs torch.", hint='Install the extra: `pip install "edgeperso[train]"`.')
