"""A run in one process: clients answer one after the other, and no more than one answer is in memory.

The same state machines as between machines, with the same bytes from one to the other; only the transport is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

from edgeperso.types import Progress
from edgeperso_federated.errors import SecaggFailed, UpdateInvalid
from edgeperso_federated.orders import Order
from edgeperso_federated.rounds import FederatedRun, Round
from edgeperso_federated.secagg import (
    Identity,
    Phase,
    RoundMemory,
    SecaggClient,
    SecaggPlan,
    SecaggServer,
    SecureSum,
    secure_sum,
)
from edgeperso_federated.server_state import RoundRecord
from edgeperso_federated.simulation.dropout import Absence
from edgeperso_federated.update import Tensors, Update, read_update

__all__ = ["After", "Clients", "Drive", "run_rounds"]

After = Callable[[RoundRecord], None]
"""Called when a round is over and kept."""


class Clients(Protocol):
    """Everybody who may be asked."""

    def answer(self, client: int, order: Order, held: Tensors, /) -> bytes | None:
        """What the client sends in this round, the same each time it is asked; None: nothing."""
        ...


class Drive(Protocol):
    """Goes on with a run until it is over; see `run_rounds`."""

    def __call__(
        self, run: FederatedRun, clients: Clients, /, *, absent: Absence, after: After, progress: Progress
    ) -> None: ...


def run_rounds(
    run: FederatedRun,
    clients: Clients,
    *,
    absent: Absence = lambda _client, _turn: False,
    after: After = lambda _record: None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> None:
    """Go on with ``run`` until it is over.

    Args:
        clients: who answer.
        absent: who gives no answer. In a secure sum they stay away from a phase on that is drawn by chance.
        after: called when a round is over and kept.
        progress: called after each answer with the stage ``round N``.
    """
    while not run.over:
        round_ = run.open()
        if run.plan.secure:
            _secure(round_, clients, absent, progress)
        else:
            _plain(round_, clients, absent, progress)
        after(run.close(round_))


def _plain(round_: Round, clients: Clients, absent: Absence, progress: Progress) -> None:
    turn = round_.order.round
    for done, client in enumerate(round_.asked, 1):
        gone = absent(client, turn)
        round_.accept(client, None if gone else clients.answer(client, round_.order, round_.tensors))
        progress(f"round {turn}", done, len(round_.asked))


# ---- secure sums ---------------------------------------------------------------------------------------------------


class _Nowhere:
    """A memory for one attempt, which no virtual client sees twice."""

    def load(self) -> bytes | None:
        return None

    def save(self, state: bytes) -> None:
        pass


@lru_cache(maxsize=4096)
def _identity(client: int) -> Identity:
    return Identity(hashlib.sha256(b"edgeperso simulation identity %d" % client).digest())


def _secure(round_: Round, clients: Clients, absent: Absence, progress: Progress) -> None:
    done = 0
    for number, members in enumerate(round_.groups):
        plan = round_.secure_plan(number)
        found = _group_sum(plan, round_, members, clients, absent)
        sent = 0 if found is None else len(found.members) * (plan.length * plan.bits // 8)
        round_.accept_sum(number, found, size_bytes=sent)
        done += len(members)
        progress(f"round {round_.order.round}", done, len(round_.asked))


def _group_sum(
    plan: SecaggPlan, round_: Round, members: tuple[int, ...], clients: Clients, absent: Absence
) -> SecureSum | None:
    """The group's sum; None where too few stayed."""
    identities = {_identity(member).public: member for member in members}
    roster = frozenset(identities)
    turn = round_.order.round
    updates = _Answers(round_, clients, identities)
    server = SecaggServer(plan, roster)
    devices = [SecaggClient(plan, _identity(member), roster, RoundMemory(_Nowhere())) for member in members]

    def gone(identity: bytes, phase: Phase) -> bool:
        client = identities[identity]
        leaves_at = Phase(1 + client % 5) if absent(client, turn) else Phase.OVER
        return phase >= leaves_at or (phase is Phase.MASK and updates.of(identity) is None)

    try:
        return secure_sum(server, devices, updates.sure, absent=gone)
    except SecaggFailed:
        return None


class _Answers:
    """One answer at a time: the one whose absence was just asked about."""

    def __init__(self, round_: Round, clients: Clients, identities: Mapping[bytes, int]) -> None:
        self._round = round_
        self._clients = clients
        self._identities = identities
        self._last: tuple[bytes, Update | None] = (b"", None)

    def of(self, identity: bytes) -> Update | None:
        """None where the client has none, or none that its own secure aggregation would mask."""
        if self._last[0] != identity:
            data = self._clients.answer(self._identities[identity], self._round.order, self._round.tensors)
            self._last = (identity, None if data is None else _readable(self._round, data))
        return self._last[1]

    def sure(self, identity: bytes) -> Update:
        update = self.of(identity)
        if update is None:
            raise SecaggFailed("The client has nothing to mask.")
        return update


def _readable(round_: Round, data: bytes) -> Update | None:
    """An honest device's masking refuses what isn't the schema's. A hostile one could mask anything: that a sum can't
    tell, which is what groups and robust rules are for."""
    try:
        return read_update(round_.schema, data)
    except UpdateInvalid:
        return None
