"""The server's side of a run, without transport: which clients, which answers count, what is published.

A driver (the inline runner, or Flower's ServerApp) does this until `FederatedRun.over`::

    round = run.open()                  # who is asked, and what
    round.accept(client, data)          # for each answer; None: there is none
    record = run.close(round)           # when all have answered, or at a deadline

With secure aggregation the driver runs the protocol for each of ``round.groups`` under ``round.secure_plan(group)`` and
gives the result to ``round.accept_sum``. A driver never closes at the first so many answers: whoever is fast would
count more often than was reckoned with.

An answer that isn't what was asked for is left out, and changes nothing for the others. Memory is that of one sum,
whatever the cohort; robust rules alone need the round's updates side by side.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.events import Event, emit
from edgeperso.types import Float32
from edgeperso_federated import robust
from edgeperso_federated.aggregation import FloraStack, Mean, advanced
from edgeperso_federated.canary import Check
from edgeperso_federated.cohort import Purpose, chance, drawn
from edgeperso_federated.errors import RoundFailed, UpdateInvalid
from edgeperso_federated.factors import Method, first_tensors
from edgeperso_federated.orders import Order, Robust, RunPlan
from edgeperso_federated.privacy.clipping import within_of
from edgeperso_federated.privacy.noise import NoiseKey, private_mean
from edgeperso_federated.privacy.plans import Central
from edgeperso_federated.secagg import LEAST_COHORT, MOST_CLIENTS, SecaggPlan, SecureSum
from edgeperso_federated.server_state import Outcome, RoundRecord, RunState, StateFile
from edgeperso_federated.update import Tensors, Update, flatten, read_update, unflatten

__all__ = ["FederatedRun", "Round"]

_ABSENT: Final = "absent"
_FILTERED: Final = "filtered"
_GROUP: Final = "group"


@dataclass(slots=True, eq=False)
class _Sum:
    """Of secure sums: as `Mean` keeps of updates."""

    total: NDArray[np.float64]
    clients: int = 0
    weight: int = 0


class Round:
    """One round while it goes on; `FederatedRun.open` makes it."""

    def __init__(self, plan: RunPlan, state: RunState, turn: int) -> None:
        self._plan = plan
        self._state = state
        self.order: Order = plan.order(turn, attempt=state.begun, bound=state.bound)
        self.schema = self.order.schema(plan.frame)
        self.asked = drawn(plan.sampling, population=plan.population, asked=plan.asked, seed=plan.seed, turn=turn)
        self._waiting = set(self.asked)
        self._dropped: Counter[str] = Counter()
        self._bytes = 0
        self._within = 0
        self._rows: list[Float32] = []
        self._mean = Mean(self.schema, state.tensors, plan.weighting)
        self._stack = (
            FloraStack(plan.frame, self.schema, state.tensors, plan.weighting) if plan.method is Method.FLORA else None
        )
        self._sum = _Sum(np.zeros(self.schema.size)) if plan.secure else None

    @property
    def tensors(self) -> Tensors:
        """The global ones that clients start from."""
        return self._state.tensors

    @property
    def complete(self) -> bool:
        """Whether everybody has answered."""
        return not self._waiting

    # ---- answers ---------------------------------------------------------------------------------------------------

    def accept(self, client: int, data: bytes | None) -> bool:
        """Take a client's answer; None: it gave none.

        Returns:
            Whether it counts. Answers of those who weren't asked, and second ones, don't; nor does any in a round of
            secure sums.
        """
        if client not in self._waiting or self._sum is not None:
            return False
        self._waiting.remove(client)
        if data is None:
            self._dropped[_ABSENT] += 1
            return False
        self._bytes += len(data)
        try:
            update = read_update(self.schema, data)
            within = self.order.adaptive and within_of(update.metrics)
        except UpdateInvalid as error:
            self._dropped[error.reason.value] += 1
            return False
        self._within += within
        self._count(update)
        return True

    def _count(self, update: Update) -> None:
        if self._plan.robust is not Robust.NONE:
            self._rows.append(flatten(self.schema, update.tensors))
        elif self._stack is not None:
            self._stack.add(update)
        else:
            self._mean.add(update)

    # ---- secure sums -----------------------------------------------------------------------------------------------

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Those whose updates are summed in secret, group by group, drawn by chance: one group, unless the plan asks
        for more or the protocol has no room for so many. None where there are too few."""
        count = len(self.asked)
        size = self._plan.group or max(count // -(-max(count, 1) // MOST_CLIENTS), 1)
        if count < max(size, LEAST_COHORT):
            return ()
        seed = int(chance(self._plan.seed, Purpose.GROUPS, self.order.round).integers(2**63))
        return tuple(
            tuple(self.asked[place] for place in places) for places in robust.groups(count, size=size, seed=seed)
        )

    def secure_plan(self, group: int) -> SecaggPlan:
        """What the group agrees on. Its round is the run's attempt: no client joins one twice."""
        return SecaggPlan(
            self._plan.run.encode(),
            self.order.attempt,
            self.schema,
            least_clients=LEAST_COHORT,
            most_clients=max(len(self.groups[group]), LEAST_COHORT),
            group=group,
            weighting=self._plan.weighting,
        )

    def accept_sum(self, group: int, found: SecureSum | None, *, size_bytes: int = 0) -> None:
        """Take a group's sum; None: the protocol broke off, and the group is lost. ``size_bytes``: what was received.

        A group counts once.
        """
        members = self.groups[group]
        if self._sum is None or not self._waiting.issuperset(members):
            return
        self._waiting.difference_update(members)
        self._bytes += size_bytes
        if found is None:
            self._dropped[_GROUP] += len(members)
            return
        self._dropped[_ABSENT] += len(members) - len(found.members)
        if self._plan.robust is not Robust.NONE:
            self._rows.append(found.mean())
        self._sum.total += found.values
        self._sum.clients += len(found.members)
        self._sum.weight += found.weight

    # ---- the end ---------------------------------------------------------------------------------------------------

    def finish(self) -> tuple[Tensors | None, RoundRecord, float]:
        """The candidate (None where the round failed), its record so far, and the next round's bound."""
        self._dropped[_ABSENT] += len(self._waiting)
        self._waiting.clear()
        summed, candidate = self._answered, None
        try:
            candidate = self._result()
        except RoundFailed:
            candidate = None
        residual = self._stack.residual if self._stack and candidate else 0.0
        record = RoundRecord(
            self.order.round,
            self.asked,
            summed - self._dropped[_FILTERED],
            {word: count for word, count in sorted(self._dropped.items()) if count},
            Outcome.FAILED if candidate is None else Outcome.PUBLISHED,
            self.order.bound,
            self._bytes,
            residual,
        )
        return candidate, record, self._next_bound()

    @property
    def _answered(self) -> int:
        if self._sum is not None:
            return self._sum.clients
        return len(self._rows) or (self._stack or self._mean).clients

    def _result(self) -> Tensors:
        # Under central privacy noise is published whoever answered: a round that fails would tell that somebody didn't.
        if self._answered < self._plan.quorum and not isinstance(self._plan.privacy, Central):
            raise RoundFailed("Fewer clients answered than the round needs.")
        return self._stack.result() if self._stack else advanced(self.tensors, self._change())

    def _change(self) -> Tensors:
        if self._plan.robust is not Robust.NONE:
            return unflatten(self.schema, self._robust_change())
        found = self._sum or self._mean
        if isinstance(self._plan.privacy, Central):
            return unflatten(self.schema, self._private(self._plan.privacy, found))
        if not found.weight:
            raise RoundFailed("No client's update was left in the round.")
        return unflatten(self.schema, found.total / found.weight)

    def _robust_change(self) -> NDArray[np.floating]:
        rows, rule = np.stack(self._rows), self._plan.robust
        if rule is Robust.MEDIAN:
            return robust.coordinate_median(rows)
        if rule is Robust.TRIMMED:
            return robust.trimmed_mean(rows)
        if rule is Robust.KRUM:
            if len(rows) < 2 * self._plan.hostile + 3:
                raise RoundFailed("Too few answered for Multi-Krum.")
            kept = robust.multi_krum(rows, self._plan.hostile)
        else:
            kept = robust.norm_filter(rows) if rule is Robust.NORM else robust.cosine_filter(rows)
        if not kept.any():
            raise RoundFailed("No client's update was left in the round.")
        self._dropped[_FILTERED] += int(np.sum(~kept))
        return np.asarray(rows[kept].mean(axis=0, dtype=np.float64))

    def _private(self, privacy: Central, found: _Sum | Mean) -> NDArray[np.float64]:
        plan, rounding, multiplier = self._plan, 0.0, None
        if plan.secure:
            steps = [self.secure_plan(group).numbers.step for group in range(len(self.groups))]
            rounding = float(np.sqrt(self.schema.size + 1)) * max(steps, default=0.0) / 2
        if plan.adaptive is not None:
            multiplier = plan.adaptive.multiplier(privacy)
        return private_mean(
            privacy,
            found.total,
            self._state.key,
            *self._binding,
            clients=found.clients,
            weight=found.weight,
            bound=self.order.bound,
            multiplier=multiplier,
            rounding=rounding,
        )

    def _next_bound(self) -> float:
        plan = self._plan
        if plan.adaptive is None or not isinstance(plan.privacy, Central):
            return self.order.bound
        return plan.adaptive.next_bound(
            plan.privacy,
            self.order.bound,
            within=self._within,
            answered=self._answered,
            key=self._state.key,
            binding=self._binding,
        )

    @property
    def _binding(self) -> tuple[bytes, ...]:
        return self._plan.run.encode(), str(self.order.round).encode()


class FederatedRun:
    """A run from its first round to its last.

    Args:
        plan: the run's.
        key: of the noise, for a new run.
        first: the global tensors of a new run; None: an adapter that adds nothing yet (a soft prompt has none such).
        file: where the state is kept, and gone on from; None: in memory alone.
        check: asked before a candidate is published.

    Raises:
        FederationError: the file holds another run, or is damaged.
        OSError: it can't be read or written.
    """

    def __init__(
        self,
        plan: RunPlan,
        key: NoiseKey,
        *,
        first: Tensors | None = None,
        file: StateFile | None = None,
        check: Check | None = None,
    ) -> None:
        self.plan = plan
        self._file = file
        self._check = check
        found = file.load(plan) if file is not None else None
        self.state = found or RunState(first or first_tensors(plan.frame, plan.method), 0, plan.bound, key)

    @property
    def over(self) -> bool:
        return self.state.round >= self.plan.rounds

    @property
    def tensors(self) -> Tensors:
        """The global ones, as last published."""
        return self.state.tensors

    def open(self) -> Round:
        """Begin the next round, and keep that it was begun before anybody is asked: from then on it counts."""
        self._keep(replace(self.state, begun=self.state.begun + 1))
        return Round(self.plan, self.state, self.state.round + 1)

    def close(self, round_: Round) -> RoundRecord:
        """End a round: those who haven't answered are absent. The state is kept when this returns."""
        candidate, record, bound = round_.finish()
        tensors = self.state.tensors
        if candidate is not None and self._check is not None:
            verdict = self._check(candidate)
            outcome = Outcome.PUBLISHED if verdict.passed else Outcome.KEPT
            record = replace(record, loss=verdict.loss, outcome=outcome)
        if candidate is not None and record.outcome is Outcome.PUBLISHED:
            tensors = candidate
        records = (*self.state.records, record)
        self._keep(replace(self.state, tensors=tensors, bound=bound, records=records))
        emit(
            Event.ROUND_CLOSED,
            round=record.round,
            asked=len(record.asked),
            summed=record.summed,
            published=record.outcome is Outcome.PUBLISHED,
        )
        return record

    def _keep(self, state: RunState) -> None:
        if self._file is not None:
            self._file.save(self.plan, state)
        self.state = state
