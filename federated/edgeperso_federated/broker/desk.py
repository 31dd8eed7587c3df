"""What the broker does with a request: it decides, charges, trains, protects, checks, in this order; no connection.

1. Is it within what any task may ask, within the consent, for the model here, with the schema reckoned here?
2. Was this round of this run begun before? Now it is.
3. Are there enough texts, and is there budget? It is charged now, and not given back.
4. Train. Clip. Add noise. Read the result again from its own bytes, against the schema.
5. Only then bytes leave: the update's; or a message of secure aggregation, and later its masked form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Final, Protocol

from edgeperso.adaptation.plan import Example
from edgeperso.engine.gguf import GgufHeader
from edgeperso.errors import EdgepersoError, ModelUnsupported, TooLittle, UsageError
from edgeperso_federated.broker.consent import Consent, Grant
from edgeperso_federated.broker.protocol import Refusal, Refused
from edgeperso_federated.broker.task import LocalPlan, Task
from edgeperso_federated.errors import FederationError, SecaggFailed, UpdateInvalid
from edgeperso_federated.factors import Frame, Method, frame_of, schema_for
from edgeperso_federated.local import outgoing, train_update
from edgeperso_federated.orders import Order
from edgeperso_federated.privacy.ledger import Ledger
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.secagg import (
    Confirmations,
    Delivery,
    Identity,
    KeyList,
    RoundMemory,
    SecaggClient,
    Survivors,
)
from edgeperso_federated.update import Schema, Tensors, Update, read_update, update_to_bytes

__all__ = ["MOST_MESSAGE_BYTES", "Desk", "Judged", "Keeper", "Reply", "Train", "Work", "train"]

MOST_MESSAGE_BYTES: Final = 1 << 20
"""Of a server's message of secure aggregation: the longest, to each of 1,024 clients, is a quarter of it."""

_GREATEST: Final = 1e6
"""Of the global tensors' norm: far more than any adapter's, and no trouble to float32."""


class Keeper(Protocol):
    """What the desk needs of a device; `Device` has it."""

    @property
    def model(self) -> Path: ...
    @property
    def header(self) -> GgufHeader: ...
    @property
    def base_sha256(self) -> str: ...
    @property
    def consent(self) -> Consent: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def identity(self) -> Identity: ...
    def rounds(self, federation: str) -> RoundMemory: ...
    def examples(self, grant: Grant, *, max_tokens: int) -> Sequence[Example]: ...


@dataclass(frozen=True, slots=True)
class Work:
    """One round's training: all that it needs.

    Args:
        model: the GGUF file.
        order, frame, plan: of the round.
        tensors: the global ones.
        examples: to learn from.
        stop: once set, it shall end.
    """

    model: Path
    order: Order
    frame: Frame
    plan: LocalPlan
    tensors: Tensors
    examples: Sequence[Example]
    stop: Event


Train = Callable[[Work], Update]
"""Gives the plain change, neither clipped nor noised."""


def train(work: Work) -> Update:
    """The package's own training.

    Raises:
        EdgepersoError: as `train_update`.
    """
    return train_update(
        work.model,
        work.frame,
        work.examples,
        work.tensors,
        work.order,
        work.plan.training,
        rank=work.plan.rank or None,
        stop=work.stop,
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """A task that may be done."""

    task: Task
    grant: Grant
    frame: Frame
    schema: Schema
    inbound: Schema
    """Of the global tensors."""


@dataclass(frozen=True, slots=True)
class Reply:
    """See `proxy.Answer`."""

    step: str
    body: bytes


@dataclass(frozen=True, slots=True)
class _Round:
    """A round that is summed in secret, between two messages."""

    run: str
    attempt: int
    client: SecaggClient
    update: Update


class Desk:
    """Does tasks, one at a time: who calls it sees to that.

    Args:
        keeper: the device.
        stop: ends a training under way.
        train: does the work.
    """

    def __init__(self, keeper: Keeper, stop: Event, train: Train = train) -> None:
        self._keeper = keeper
        self._train = train
        self._stop = stop
        self._round: _Round | None = None

    def judge(self, task: Task) -> Judged:
        """Whether the task may be done at all; nothing was read or charged for it yet.

        Raises:
            Refused: ``consent``, ``base``, ``schema`` or ``bounds``; without consent no other word.
        """
        grant = self._consent().grant_for(task)
        order = task.order
        if order.base_sha256 != self._keeper.base_sha256:
            raise Refused(Refusal.BASE)
        try:
            frame = frame_of(self._keeper.header, order.base_sha256, order.shape, order.seed)
            schema = order.schema(frame)
            if task.group is not None:
                task.group.plan_for(order, schema)
            # The method whose ``a`` is the seed's has no ``a`` among the global tensors; the others have both.
            whole = order.method if order.method in (Method.FFA, Method.SOFT) else Method.FEDAVG
            inbound = schema_for(frame, whole, max_norm=_GREATEST)
        except ModelUnsupported:
            raise Refused(Refusal.BASE) from None
        except UsageError:
            raise Refused(Refusal.BOUNDS) from None
        if schema.digest().hex() != task.schema:
            raise Refused(Refusal.SCHEMA)
        return Judged(task, grant, frame, schema, inbound)

    def begin(self, judged: Judged, tensors: bytes) -> Reply:
        """Do the round: its update, or the first message of secure aggregation.

        Raises:
            Refused: any word.
        """
        self._round = None
        task = judged.task
        held = self._read(judged, tensors)
        client, advert = self._join(judged)
        examples = self._examples(judged)
        self._charge(task)
        work = Work(self._keeper.model, task.order, judged.frame, task.plan, held, examples, self._stop)
        update, data = self._finished(judged, self._trained(work))
        if client is None:
            return Reply("update", data)
        self._round = _Round(task.order.run, task.order.attempt, client, update)
        return Reply("advertise", advert)

    def go_on(self, run: str, attempt: int, step: str, message: bytes) -> Reply:
        """The next message of the round that is summed in secret.

        Raises:
            Refused: ``secagg``; the round is over for this device.
        """
        current, self._round = self._round, None
        if current is None or (current.run, current.attempt) != (run, attempt):
            raise Refused(Refusal.SECAGG)
        try:
            reply = _answer(current, step, message)
        except (SecaggFailed, UpdateInvalid):
            raise Refused(Refusal.SECAGG) from None
        if step != "unmask":
            self._round = current
        return Reply(step, reply)

    # ---- within ----------------------------------------------------------------------------------------------------

    def _consent(self) -> Consent:
        try:
            return self._keeper.consent
        except FederationError:
            raise Refused(Refusal.CONSENT) from None

    def _read(self, judged: Judged, tensors: bytes) -> Tensors:
        try:
            return read_update(judged.inbound, tensors).tensors
        except UpdateInvalid:
            raise Refused(Refusal.TENSORS) from None

    def _join(self, judged: Judged) -> tuple[SecaggClient | None, bytes]:
        """Marks the round as begun, for good."""
        task, grant = judged.task, judged.grant
        try:
            rounds = self._keeper.rounds(task.federation)
            if task.group is None:
                rounds.join(task.order.run.encode(), task.order.attempt)
                return None, b""
            client = SecaggClient(
                task.group.plan_for(task.order, judged.schema),
                self._keeper.identity,
                frozenset(map(bytes.fromhex, grant.roster)),
                rounds,
                floor=grant.least_cohort,
            )
            return client, client.advertise().to_bytes()
        except SecaggFailed:
            raise Refused(Refusal.REPLAY) from None

    def _examples(self, judged: Judged) -> Sequence[Example]:
        try:
            return self._keeper.examples(judged.grant, max_tokens=judged.task.plan.max_tokens)
        except TooLittle:
            raise Refused(Refusal.LITTLE) from None

    def _charge(self, task: Task) -> None:
        order = task.order
        run = hashlib.sha256(f"{task.federation} {order.run}".encode()).hexdigest()
        try:
            self._keeper.ledger.charge(run, order.attempt, order.privacy)
        except FederationError:
            raise Refused(Refusal.BUDGET) from None

    def _trained(self, work: Work) -> Update:
        try:
            update = self._train(work)
        except EdgepersoError:
            raise Refused(Refusal.TRAINING) from None
        if self._stop.is_set():
            raise Refused(Refusal.TRAINING)
        return update

    def _finished(self, judged: Judged, update: Update) -> tuple[Update, bytes]:
        """The update as it may leave, and its bytes."""
        order = judged.task.order
        try:
            if order.privacy is not None:
                # How many texts somebody has is a number that no noise covers.
                update = replace(update, examples=1)
            data = update_to_bytes(outgoing(judged.frame, order, update, NoiseKey.new()))
            return read_update(judged.schema, data), data
        except (UpdateInvalid, UsageError):
            raise Refused(Refusal.OUTPUT) from None


def _answer(current: _Round, step: str, message: bytes) -> bytes:
    client = current.client
    match step:
        case "share":
            return client.share(KeyList.from_bytes(message)).to_bytes()
        case "mask":
            return client.masked(Delivery.from_bytes(message), current.update).to_bytes()
        case "confirm":
            return client.confirm(Survivors.from_bytes(message)).to_bytes()
        case "unmask":
            return client.unmask(Confirmations.from_bytes(message)).to_bytes()
        case _:
            raise SecaggFailed("There is no such step.")
