"""What a simulation is asked to do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from edgeperso.adaptation.plan import LoraShape, Plan
from edgeperso.errors import UsageError
from edgeperso_federated.aggregation import Weighting
from edgeperso_federated.factors import Frame, Method
from edgeperso_federated.orders import Robust, RunPlan
from edgeperso_federated.privacy.plans import Central, Sampling
from edgeperso_federated.simulation.dropout import DropoutModel
from edgeperso_federated.simulation.hostile import Attack

__all__ = ["Partition", "Settings"]


class Partition(StrEnum):
    USER = "user"
    DIRICHLET = "dirichlet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that a simulation's result depends on, but the model and the machine.

    Args:
        data: a folder with LaMP's questions.
        clients: who may be asked.
        rounds: of each run.
        cohort: answers that a round is planned for.
        held_out: people at most who take part in nothing.
        method, rank, alpha, targets: of the adapter.
        rate, epochs, max_tokens: of a client's training in a round.
        own_epochs: of the training that people by themselves do.
        bound: to which updates are clipped without privacy.
        epsilon: of the private run's published adapters; None: there is no private run.
        clip: to which the private run's updates are clipped.
        delta: None: a tenth of one over the clients.
        sampling: of the private run; the other draws fixed cohorts.
        partition, dirichlet_alpha, skew: who holds which texts.
        dropout, dropout_model: who doesn't answer. More are asked in proportion.
        hostile, attack: who answers wrongly.
        robust, secure, group: what the server does; robust rules not in the private run.
        ranks: of devices, dealt in turn; empty: all the run's.
        canaries: clients that hold a secret code, to measure what the adapters give away; 0: that isn't measured.
        evaluate_every: rounds between two readings of what is held out.
        seed: of everything that is drawn.
    """

    data: Path
    clients: int
    rounds: int
    cohort: int = 20
    held_out: int = 40
    method: Method = Method.FFA
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("attn_q", "attn_v")
    rate: float = 2e-3
    epochs: int = 1
    max_tokens: int = 96
    own_epochs: int = 3
    bound: float = 10.0
    epsilon: float | None = 8.0
    clip: float = 0.5
    delta: float | None = None
    sampling: Sampling = Sampling.POISSON
    partition: Partition = Partition.USER
    dirichlet_alpha: float = 0.5
    skew: float = 0.0
    dropout: float = 0.0
    dropout_model: DropoutModel = DropoutModel.CHANCE
    hostile: float = 0.0
    attack: Attack = Attack.NAN
    robust: Robust = Robust.NONE
    secure: bool = False
    group: int = 0
    ranks: tuple[int, ...] = ()
    canaries: int = 0
    evaluate_every: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        counts = self.held_out, self.evaluate_every, self.clients
        if not 0 <= self.hostile < 1 or self.canaries < 0 or min(counts) < 1:
            raise UsageError("A number of the simulation is out of range.")
        if self.method is Method.SOFT:
            raise UsageError("A simulation shares a LoRA, not a soft prompt.")

    @property
    def shape(self) -> LoraShape:
        return LoraShape(self.rank, self.alpha, self.targets)

    @property
    def training(self) -> Plan:
        """Of a client in a round."""
        return Plan(shape=self.shape, rate=self.rate, epochs=self.epochs, max_tokens=self.max_tokens)

    @property
    def own_training(self) -> Plan:
        """Of somebody who is alone with their texts, and trains both factors."""
        return Plan(
            shape=self.shape, rate=self.rate, epochs=self.own_epochs, max_tokens=self.max_tokens, seed=self.seed
        )

    @property
    def members(self) -> int:
        """Answers that a round is planned for, no more than there are clients."""
        return min(self.cohort, self.clients)

    @property
    def asked(self) -> int:
        return min(self.clients, math.ceil(self.members / (1 - self.dropout)))

    @property
    def promise(self) -> Central | None:
        """What the private run promises, but for how much noise that takes."""
        if self.epsilon is None:
            return None
        delta = 0.1 / self.clients if self.delta is None else self.delta
        return Central(self.clip, 1.0, self.members, self.asked, self.clients, delta, self.sampling)

    def run_plan(self, frame: Frame, privacy: Central | None) -> RunPlan:
        """The plan of the run with ``privacy``, or without."""
        return RunPlan(
            run=f"simulation {self.seed}{' private' if privacy else ''}",
            frame=frame,
            method=self.method,
            rounds=self.rounds,
            population=self.clients,
            cohort=self.members,
            asked=self.asked,
            bound=self.clip if privacy else self.bound,
            seed=self.seed,
            sampling=privacy.sampling if privacy else Sampling.FIXED,
            weighting=Weighting.EQUAL if privacy else Weighting.EXAMPLES,
            robust=Robust.NONE if privacy else self.robust,
            privacy=privacy,
            secure=self.secure,
            group=self.group if self.secure else 0,
            hostile=math.ceil(self.hostile * self.members),
        )

    def told(self) -> dict[str, object]:
        """As JSON's values."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
