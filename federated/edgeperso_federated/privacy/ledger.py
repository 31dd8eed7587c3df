"""What a device has spent: each round it took part in, charged before anything is trained, and never given back.

A round that was charged and then broke off, by a kill or a lost connection, stays charged: the device can't know what
got out. The same round asked for again is charged again.

All that is released is Gaussian, so rounds add up exactly by their ``μ² = 1 / multiplier²`` (`gaussian`), whatever
comes next and without dp-accounting. Figures of central rounds are as good as the server's word: it said how much
noise it adds. Local rounds are the device's own. A round without noise costs infinitely much; only a budget without
limit allows one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from threading import Lock
from typing import Final

from edgeperso.errors import UsageError
from edgeperso.times import now_ms
from edgeperso_federated.errors import BudgetSpent, FederationError
from edgeperso_federated.privacy.gaussian import epsilon_of
from edgeperso_federated.privacy.plans import LEAST_MULTIPLIER, MOST_MULTIPLIER, Central, Local
from edgeperso_federated.store import Store

__all__ = ["Bill", "Budget", "Entry", "Ledger", "Noise"]

_VERSION: Final = 1
_MOST_ENTRIES: Final = 100_000
_LONGEST_RUN: Final = 64
_TOLERANCE: Final = 1e-9
"""Of a budget: rounds planned to fill it exactly are not refused over a rounding error."""


class Noise(StrEnum):
    """Who added noise to what the device sent."""

    NONE = "none"
    CENTRAL = "central"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a device spends, over all runs: ε (above 0; infinite: no limit) at δ, in (0, 1).

    Raises:
        UsageError: a number is out of its range.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and 0 < self.delta < 1):
            raise UsageError("A budget is an ε above 0 at a δ between 0 and 1.")


@dataclass(frozen=True, slots=True)
class Entry:
    """One charge.

    Args:
        run: a word for the run, 1 to 64 printable ASCII characters: its digest, not its name.
        round: of the run, 0 or more.
        noise: see `Noise`.
        multiplier: of the noise; 0.0 where there is none.
        at_ms: when it was charged.
    """

    run: str
    round: int
    noise: Noise
    multiplier: float
    at_ms: int

    def __post_init__(self) -> None:
        named = self.run.isascii() and self.run.isprintable() and 1 <= len(self.run) <= _LONGEST_RUN
        if self.noise is Noise.NONE:
            fits = self.multiplier == 0
        else:
            fits = LEAST_MULTIPLIER <= self.multiplier <= MOST_MULTIPLIER
        if not (named and fits and 0 <= self.round < 2**31):
            raise UsageError("A round can't be charged under such numbers.")


@dataclass(frozen=True, slots=True)
class Bill:
    """What was spent, and of what.

    Args:
        rounds: charged.
        epsilon: of all of them together, at the budget's δ.
        central: ε of those with central noise alone.
        local: ε of those with local noise alone: the only part that also holds against the server.
        unprotected: rounds without noise.
        budget: see `Budget`.
    """

    rounds: int
    epsilon: float
    central: float
    local: float
    unprotected: int
    budget: Budget


class Ledger:
    """The ledger of one device. One process at a time writes it; threads may share it."""

    def __init__(self, store: Store, budget: Budget) -> None:
        self._store = store
        self._budget = budget
        self._lock = Lock()

    def charge(self, run: str, round_: int, plan: Central | Local | None, *, at_ms: int | None = None) -> Bill:
        """Charge a round. The round may begin only when this has returned.

        Args:
            run, round_: see `Entry`.
            plan: of the noise; None: there is none.
            at_ms: None: now.

        Raises:
            BudgetSpent: it would cost more than is left; nothing was charged.
            FederationError: the ledger can't be read: then nobody knows what is left, and nothing may be sent.
            UsageError: the numbers are out of range.
        """
        multiplier = 0.0 if plan is None else plan.noise_multiplier
        entry = Entry(run, round_, _noise_of(plan), multiplier, now_ms() if at_ms is None else at_ms)
        with self._lock:
            entries = [*self.entries(), entry]
            bill = self._bill(entries)
            if bill.epsilon > self._budget.epsilon * (1 + _TOLERANCE):
                raise BudgetSpent(
                    f"The round would bring ε to {bill.epsilon:.2f}, and {self._budget.epsilon:.2f} is allowed."
                )
            if len(entries) > _MOST_ENTRIES:
                raise BudgetSpent(f"The device took part in {_MOST_ENTRIES:,} rounds, which is the most.")
            self._store.save(_to_bytes(entries))
        return bill

    def bill(self) -> Bill:
        """What was spent so far.

        Raises:
            FederationError: the ledger can't be read.
        """
        return self._bill(self.entries())

    def entries(self) -> list[Entry]:
        """All charges, the oldest first.

        Raises:
            FederationError: the ledger can't be read.
        """
        data = self._store.load()
        return [] if data is None else _from_bytes(data)

    def _bill(self, entries: list[Entry]) -> Bill:
        parts = {noise: [entry for entry in entries if entry.noise is noise] for noise in Noise}
        delta = self._budget.delta
        return Bill(
            len(entries),
            _epsilon(entries, delta),
            _epsilon(parts[Noise.CENTRAL], delta),
            _epsilon(parts[Noise.LOCAL], delta),
            len(parts[Noise.NONE]),
            self._budget,
        )


def _noise_of(plan: Central | Local | None) -> Noise:
    if plan is None:
        return Noise.NONE
    return Noise.LOCAL if isinstance(plan, Local) else Noise.CENTRAL


def _epsilon(entries: Iterable[Entry], delta: float) -> float:
    squares = math.fsum(math.inf if entry.noise is Noise.NONE else entry.multiplier**-2 for entry in entries)
    return epsilon_of(math.sqrt(squares), delta)


# ---- bytes ---------------------------------------------------------------------------------------------------------


def _to_bytes(entries: list[Entry]) -> bytes:
    return json.dumps({"version": _VERSION, "entries": [asdict(entry) for entry in entries]}).encode()


def _from_bytes(data: bytes) -> list[Entry]:
    try:
        whole = json.loads(data)
        version = whole["version"]
        entries = [
            Entry(str(one["run"]), int(one["round"]), Noise(one["noise"]), float(one["multiplier"]), int(one["at_ms"]))
            for one in whole["entries"]
        ]
    except (ValueError, KeyError, TypeError, OverflowError, UsageError):
        version = None
    if version != _VERSION:
        raise FederationError("The ledger of privacy can't be read.", hint="Nothing was sent.")
    return entries
