"""A whole simulation: people's texts, two runs over them (without privacy and with), and what they are worth to people
who took part in neither.

Everybody who is held out is measured on their newest texts, with the base model, with the adapter that they could train
by themselves on their older ones, and with each shared one. Where a folder is given, a run that was stopped goes on
from its last round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.adaptation.general import general_examples
from edgeperso.adaptation.plan import Example
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_to_bytes
from edgeperso.engine.gguf import check_model_file
from edgeperso.evals.raw import RawOutputs
from edgeperso.types import Progress
from edgeperso_federated.canary import Regression
from edgeperso_federated.factors import Frame, fields_for, first_tensors, frame_of, lora_from
from edgeperso_federated.local import train_own
from edgeperso_federated.orders import RunPlan
from edgeperso_federated.privacy.accounting import Views, calibrated, views
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.privacy.plans import Central
from edgeperso_federated.rounds import FederatedRun
from edgeperso_federated.server_state import Outcome, RoundRecord, StateFile
from edgeperso_federated.simulation.audit import Attacker, Canaries, Leak, with_canaries, without_canary
from edgeperso_federated.simulation.dropout import absences
from edgeperso_federated.simulation.hostile import hostile_clients
from edgeperso_federated.simulation.metrics import MetricsLog
from edgeperso_federated.simulation.partitions import Split, by_user, dirichlet, read_people, skewed
from edgeperso_federated.simulation.people import TrainingClients, person_losses, tokenized
from edgeperso_federated.simulation.runner import Drive, run_rounds
from edgeperso_federated.simulation.settings import Partition, Settings
from edgeperso_federated.update import Tensors

__all__ = ["PLAIN", "PRIVATE", "Measured", "Trial", "simulate", "virtual_clients"]

PLAIN: Final = "plain"
PRIVATE: Final = "private"
_VERSION: Final = 1
_GENERAL: Final = 12
"""Of the general set's texts that a candidate is checked on."""
_GENERAL_TOKENS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One run of the simulation.

    Args:
        name: `PLAIN` or `PRIVATE`.
        losses: ``float64[held out]``, nats a token with the last published adapter.
        curve: by round, the mean of the same where it was read.
        costs: by the same rounds, the ε of what was published by then; empty without privacy.
        records: of all rounds.
        views: ε for different eyes.
        privacy: what was promised.
        leak: what the last published adapter gives away; None: that wasn't measured.
        seconds: that this call took for it.
    """

    name: str
    losses: NDArray[np.float64]
    curve: Mapping[int, float]
    costs: Mapping[int, float]
    records: tuple[RoundRecord, ...]
    views: Views
    privacy: Central | None
    leak: Leak | None
    seconds: float

    @property
    def bytes_per_client_round(self) -> float:
        """Received from a client that is in the sum, on average."""
        summed = sum(record.summed for record in self.records)
        return sum(record.bytes for record in self.records) / summed if summed else 0.0

    @property
    def published(self) -> int:
        return sum(record.outcome is Outcome.PUBLISHED for record in self.records)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a simulation found.

    Args:
        base: ``float64[held out]``, nats a token without any adapter. local: with each person's own.
        trials: the plain run, then the private one where there is one.
        control: what the adapters give away that canaries' holders train alone; None: that wasn't measured.
        clients: texts of each client.
        values: in an update.
        model: its name and hash.
    """

    base: NDArray[np.float64]
    local: NDArray[np.float64]
    trials: tuple[Trial, ...]
    control: Leak | None
    clients: tuple[int, ...]
    values: int
    model: str


def simulate(
    settings: Settings,
    model: Path,
    *,
    folder: Path | None = None,
    drive: Drive = run_rounds,
    progress: Progress = lambda _s, _d, _t: None,
) -> Measured:
    """Run it all.

    Args:
        model: a GGUF file of a family that can be trained.
        folder: keeps states, metrics and adapters; None: nothing is kept.
        drive: has the clients' work done; the default does it here, one client after the other.

    Raises:
        SourceNotFound, DataInvalid: the data is missing, malformed or too little.
        ExtraMissing: torch isn't installed, or dp-accounting where there is a private run.
        FederationError: the folder holds a simulation with other settings.
        UsageError: settings that don't go together.
    """
    privacy = _privacy(settings, folder, progress)
    stage = _Stage.prepared(settings, model)
    # All plans before anything is trained: what doesn't go together is said at once.
    plans = {PLAIN: settings.run_plan(stage.frame, None)}
    if privacy is not None:
        plans[PRIVATE] = settings.run_plan(stage.frame, privacy)
    base, local = stage.alone(folder, progress)
    attacker = stage.attacker()
    control = None if attacker is None else stage.control(attacker, progress)
    trials = [stage.trial(name, plan, attacker, drive, folder, progress) for name, plan in plans.items()]
    sizes = tuple(len(texts) for texts in stage.texts)
    return Measured(base, local, tuple(trials), control, sizes, stage.values, stage.model_name)


def virtual_clients(settings: Settings, model: Path) -> TrainingClients:
    """The clients alone, the same as in `simulate`: for a process that does work of theirs.

    Raises:
        As `simulate`.
    """
    return _Stage.prepared(settings, model).clients()


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """What all runs of a simulation share: everybody's texts as tokens, and the adapter's frame."""

    settings: Settings
    model: Path
    model_name: str
    frame: Frame
    texts: list[list[Example]]
    older: list[list[Example]]
    newest: list[list[Example]]
    general: list[Example]
    canaries: Canaries
    codes: list[list[Example]]

    @classmethod
    def prepared(cls, settings: Settings, model: Path) -> _Stage:
        canaries = Canaries.drawn(settings.canaries, settings.clients, seed=settings.seed)
        split = with_canaries(_split(settings), canaries)
        most = settings.max_tokens
        with Engine.open(model, n_ctx=64) as engine:
            info = engine.info
            texts = tokenized(engine, split.clients, most)
            older = tokenized(engine, [person.older for person in split.held_out], most)
            newest = tokenized(engine, [person.newest for person in split.held_out], most)
            codes = tokenized(engine, canaries.texts(), most)
            general = [_cut(example) for example in general_examples(engine) if example.learn_from < _GENERAL_TOKENS]
        frame = frame_of(check_model_file(info.path), info.base_sha256, settings.shape, settings.seed)
        name = f"{info.name} {info.quantization} sha256:{info.sha256}"
        return cls(settings, info.path, name, frame, texts, older, newest, general[:_GENERAL], canaries, codes)

    @property
    def values(self) -> int:
        """In an update of the first round."""
        return sum(one.size for one in fields_for(self.frame, self.settings.method, 1))

    def alone(self, folder: Path | None, progress: Progress) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is held out, with the base and with each person's own adapter; kept person by person in ``folder``."""

        raw, plan = RawOutputs(folder, "federation"), self.settings.own_training
        base, local = np.empty(len(self.newest)), np.empty(len(self.newest))
        for place, (older, newest) in enumerate(zip(self.older, self.newest, strict=True)):
            texts = [[list(one.tokens) for one in side] for side in (older, newest)]
            of = {"alone": _VERSION, "model": self.model_name, "plan": str(plan), "texts": texts}
            found = raw.unit(of, {"person": place}, partial(self._alone, older, newest))
            base[place], local[place] = found["base"], found["local"]
            progress("people by themselves", place + 1, len(self.newest))
        return base, local

    def _alone(self, older: list[Example], newest: list[Example]) -> dict[str, Any]:
        own = train_own(self.model, self.frame, older, None, self.settings.own_training)
        base, local = (float(person_losses(self.model, adapter, [newest])[0]) for adapter in (None, own))
        return {"base": base, "local": local}

    def attacker(self) -> Attacker | None:
        """None where no client holds a canary."""
        if not self.canaries.holders:
            return None
        rest = [client for client in range(len(self.texts)) if client not in self.canaries.holders]
        members = [without_canary(self.texts[holder]) for holder in self.canaries.holders]
        members += [self.texts[client] for client in rest]
        others = [[*older, *newest] for older, newest in zip(self.older, self.newest, strict=True)]
        return Attacker.of(self.model, self.canaries, self.codes, members, others)

    def control(self, attacker: Attacker, progress: Progress) -> Leak:
        """What holders' own adapters give away, each trained on all that the holder wrote."""
        own = []
        for done, holder in enumerate(self.canaries.holders, 1):
            own.append(train_own(self.model, self.frame, self.texts[holder], None, self.settings.own_training))
            progress("canaries' holders by themselves", done, len(self.canaries.holders))
        return attacker.control(own)

    def trial(
        self,
        name: str,
        plan: RunPlan,
        attacker: Attacker | None,
        drive: Drive,
        folder: Path | None,
        progress: Progress,
    ) -> Trial:
        """One run, from where it was stopped to its end."""
        began = monotonic()
        settings = self.settings
        privacy = plan.privacy if isinstance(plan.privacy, Central) else None
        file = StateFile(folder / f"{name}.state") if folder else None
        first = first_tensors(self.frame, settings.method)
        run = FederatedRun(
            plan,
            NoiseKey.of_simulation(settings.seed),
            file=file,
            check=Regression(self._general_loss, first),
        )
        log = MetricsLog(folder / f"{name}.jsonl" if folder else None, run.state.records)

        def after(record: RoundRecord) -> None:
            read = record.round % settings.evaluate_every == 0 or run.over
            more = {"heldout_loss": float(self._losses(run.tensors).mean())} if read else {}
            log.add(record, more)

        drive(
            run,
            self.clients(),
            absent=absences(settings.dropout_model, settings.dropout, seed=settings.seed),
            after=after,
            progress=lambda stage, done, total: progress(f"{name} {stage}/{settings.rounds}", done, total),
        )
        if folder:
            (folder / f"{name}.gguf").write_bytes(adapter_to_bytes(lora_from(self.frame, run.tensors)))
        shown = views(privacy, run.state.begun, taken=run.state.taken)
        losses, curve = self._losses(run.tensors), log.curve()
        leak = None if attacker is None else attacker.attack(lora_from(self.frame, run.tensors))
        costs = {turn: views(privacy, turn, taken=0).published for turn in curve} if privacy else {}
        return Trial(name, losses, curve, costs, run.state.records, shown, privacy, leak, monotonic() - began)

    def clients(self) -> TrainingClients:
        settings = self.settings
        return TrainingClients(
            model=self.model,
            frame=self.frame,
            texts=self.texts,
            plan=settings.training,
            seed=settings.seed,
            ranks=settings.ranks,
            hostile=hostile_clients(settings.clients, settings.hostile, seed=settings.seed),
            attack=settings.attack,
        )

    def _losses(self, tensors: Tensors) -> NDArray[np.float64]:
        return person_losses(self.model, lora_from(self.frame, tensors), self.newest)

    def _general_loss(self, tensors: Tensors) -> float:
        return float(person_losses(self.model, lora_from(self.frame, tensors), [self.general])[0])


def _privacy(settings: Settings, folder: Path | None, progress: Progress) -> Central | None:
    """The promise with the least noise that keeps it. To find that takes half a minute: it is kept."""
    promise, epsilon = settings.promise, settings.epsilon
    if promise is None or epsilon is None:
        return None
    progress("noise", 0, None)
    of = {"noise": _VERSION, "promise": str(promise), "rounds": settings.rounds, "epsilon": epsilon}
    multiplier = RawOutputs(folder, "federation").unit(
        of, {"epsilon": epsilon}, lambda: calibrated(promise, settings.rounds, epsilon).noise_multiplier
    )
    return replace(promise, noise_multiplier=float(multiplier))


def _split(settings: Settings) -> Split:
    people = read_people(settings.data)
    clients, held_out, seed = settings.clients, settings.held_out, settings.seed
    if settings.partition is Partition.USER:
        split = by_user(people, clients, held_out, seed=seed)
    else:
        split = dirichlet(people, clients, held_out, alpha=settings.dirichlet_alpha, seed=seed)
    return skewed(split, sigma=settings.skew, seed=seed) if settings.skew else split


def _cut(example: Example) -> Example:
    return replace(example, tokens=example.tokens[:_GENERAL_TOKENS])
