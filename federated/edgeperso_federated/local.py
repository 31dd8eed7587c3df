"""A client's work in a round, without transport: train, take the difference, clip, noise, and nothing else.

Training is the package's own, on the model file. Of the shared adapter only those factors are trained that travel; the
others stay bit by bit what everybody holds.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeperso.adaptation import training
from edgeperso.adaptation.plan import Example, LoraShape, Plan
from edgeperso.engine.adapters.values import Adapter, Lora
from edgeperso.errors import ModelError
from edgeperso.types import Float32
from edgeperso_federated.factors import (
    Frame,
    Method,
    fields_for,
    first_tensors,
    lora_from,
    narrowed,
    soft_from,
    tensors_of,
)
from edgeperso_federated.orders import Order
from edgeperso_federated.privacy.clipping import WITHIN, clip
from edgeperso_federated.privacy.noise import NoiseKey, local_update
from edgeperso_federated.privacy.plans import Local
from edgeperso_federated.update import Tensors, Update, check_update, flatten, unflatten

__all__ = ["LOSS", "outgoing", "train_own", "train_update"]

LOSS = "loss"
"""A metric: nats per counted token of the last step."""


def train_update(
    model: Path,
    frame: Frame,
    examples: Sequence[Example],
    held: Mapping[str, Float32],
    order: Order,
    plan: Plan,
    *,
    rank: int | None = None,
    stop: threading.Event | None = None,
) -> Update:
    """What ``examples`` change of the shared adapter; neither clipped nor noised (`outgoing`).

    Args:
        model: the GGUF file that the frame is of.
        held: the round's global tensors.
        order: the round's.
        plan: how to train; its shape and which factors it trains are the order's.
        rank: of a weaker device, up to the run's; None: the run's.
        stop: ends the training after the step that is going on.

    Returns:
        Changes for all fields of the round's schema (for FLoRA: whole factors of a new adapter on top of the held
        one), the number of examples, and `LOSS` where the order asks for it.

    Raises:
        TooLittle: there is nothing to learn from.
        ModelError: the training's numbers are no longer finite.
        ExtraMissing, ModelNotFound, ModelCorrupt, ModelUnsupported: as `edgeperso.adaptation.training.train`.
    """
    device = frame if rank is None else narrowed(frame, rank)
    names = [one.name for one in fields_for(frame, order.method, order.round)]
    start, below = _start(device, held, order.method)
    parts = {name.rpartition(".")[2] for name in names}
    if isinstance(start, Lora):
        plan = replace(plan, train_a="a" in parts, train_b="b" in parts)
    trained = training.train(
        model, frame.base_sha256, examples, replace(plan, shape=device.shape), start=start, frozen=below, stop=stop
    )
    after = tensors_of(frame, trained.adapter)
    if order.method is not Method.FLORA:
        before = tensors_of(frame, start)
        after = {name: after[name] - before[name] for name in names}
    if not trained.losses or not math.isfinite(trained.losses[-1]):
        raise ModelError("The training's numbers are no longer finite.", hint="Train with a smaller rate.")
    metrics = {LOSS: float(trained.losses[-1])} if LOSS in order.metrics else {}
    weight = min(len(examples), order.max_examples)
    return Update({name: after[name] for name in names}, weight, metrics)


def outgoing(frame: Frame, order: Order, update: Update, key: NoiseKey) -> Update:
    """The update as it may leave the device: clipped, with the device's own noise where the order has it so, and
    checked against the schema.

    Args:
        key: of the device's noise: new for each update of a real device.

    Raises:
        UpdateInvalid: it isn't finite, or not what the order asks for.
    """
    schema = order.schema(frame)
    clipped = clip(flatten(schema, update.tensors), order.bound)
    vector, metrics = clipped.vector, dict(update.metrics)
    if order.adaptive:
        metrics[WITHIN] = float(clipped.within)
    if isinstance(order.privacy, Local):
        vector = local_update(order.privacy, vector, key, order.run.encode(), str(order.attempt).encode())
    leaving = Update(unflatten(schema, vector), update.examples, metrics)
    check_update(schema, leaving)
    return leaving


def train_own(
    model: Path, frame: Frame, examples: Sequence[Example], held: Mapping[str, Float32] | None, plan: Plan
) -> Adapter:
    """A person's own adapter, which stays at home: both factors, from the shared one or from new weights.

    With ``plan.pull`` it is held to the shared one: the personal objective of Ditto, whose solver begins here at the
    shared weights each time. Li et al., "Ditto: Fair and Robust Federated Learning Through Personalization", ICML 2021
    (arXiv:2012.04221).

    Args:
        model: the GGUF file that the frame is of.
        held: the shared adapter's tensors; None: none is known.
        plan: how to train; its shape is the frame's.

    Raises:
        As `train_update`.
    """
    start = None if held is None else _adapter(frame, held)
    return training.train(model, frame.base_sha256, examples, replace(plan, shape=frame.shape), start=start).adapter


def _start(device: Frame, held: Mapping[str, Float32], method: Method) -> tuple[Adapter, list[tuple[Lora, float]]]:
    """What training starts from, and what it is trained on top of."""
    if method is not Method.FLORA:
        return _adapter(device, held), []
    new: Tensors = first_tensors(device, method)
    below = lora_from(device, held)
    worn = [(below, 1.0)] if any(np.any(pair.b) for pair in below.pairs.values()) else []
    return lora_from(device, new), worn


def _adapter(frame: Frame, held: Mapping[str, Float32]) -> Adapter:
    return lora_from(frame, held) if isinstance(frame.shape, LoraShape) else soft_from(frame, held)
