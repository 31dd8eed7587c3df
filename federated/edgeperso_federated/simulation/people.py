"""Virtual clients that hold people's texts and train on them with the package's own trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeperso.adaptation import training
from edgeperso.adaptation.lesson import text_example
from edgeperso.adaptation.plan import Example, Plan
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Adapter
from edgeperso.errors import ModelError, TooLittle
from edgeperso_federated.cohort import Purpose, chance
from edgeperso_federated.factors import Frame
from edgeperso_federated.local import outgoing, train_update
from edgeperso_federated.orders import Order
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.simulation.hostile import Attack, attacked
from edgeperso_federated.simulation.partitions import Writing
from edgeperso_federated.update import Tensors, update_to_bytes

__all__ = ["TrainingClients", "person_losses", "tokenized"]

People = Sequence[Sequence[Example]]
"""Each one's texts as tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingClients:
    """Clients for `run_rounds`.

    Args:
        model: the GGUF file. frame: of the adapter.
        texts: ``texts[i]`` are client i's.
        plan: how each trains; the seed is drawn for each round and client.
        seed: of the simulation.
        ranks: of devices, dealt in turn; empty: all train the run's.
        hostile: clients that send what ``attack`` says instead.
    """

    model: Path
    frame: Frame
    texts: People
    plan: Plan
    seed: int
    ranks: tuple[int, ...] = ()
    hostile: frozenset[int] = frozenset()
    attack: Attack = Attack.NAN

    def answer(self, client: int, order: Order, held: Tensors) -> bytes | None:
        """See `Clients`. None also where there is nothing to learn from, or the training's numbers went astray."""
        drawn = int(chance(self.seed, Purpose.TRAINING, order.round, client).integers(2**31))
        rank = self.ranks[client % len(self.ranks)] if self.ranks else None
        plan = replace(self.plan, seed=drawn)
        try:
            update = train_update(self.model, self.frame, self.texts[client], held, order, plan, rank=rank)
        except (TooLittle, ModelError):
            return None
        # Each device its own key, which another one of the same simulation can't be asked for.
        key = NoiseKey.of_simulation((self.seed << 32) + client)
        honest = update_to_bytes(outgoing(self.frame, order, update, key))
        return attacked(self.attack, honest) if client in self.hostile else honest


def tokenized(engine: Engine, people: Sequence[Sequence[Writing]], max_tokens: int) -> list[list[Example]]:
    """Everybody's texts as examples, cut to ``max_tokens``; those of one token are left out."""
    whole = [[text_example(engine, "", writing.text) for writing in texts] for texts in people]
    cut = [[replace(one, tokens=one.tokens[:max_tokens]) for one in texts] for texts in whole]
    return [[one for one in texts if len(one.tokens) > one.learn_from] for texts in cut]


def person_losses(model: Path, adapter: Adapter | None, people: People) -> NDArray[np.float64]:
    """``float64[people]``: nats a token of each one's texts, with ``adapter`` or without."""
    flat = [example for texts in people for example in texts]
    found = training.losses(model, adapter, flat).astype(np.float64)
    counted = np.array([len(example.tokens) - example.learn_from for example in flat], np.float64)
    owners = np.repeat(np.arange(len(people)), [len(texts) for texts in people])
    size = len(people)
    return np.bincount(owners, found * counted, minlength=size) / np.bincount(owners, counted, minlength=size)
