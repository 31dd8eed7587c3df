"""The ledger of a device: charged first, kept through kills, and past its budget nothing is sent."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from edgeperso.errors import UsageError
from edgeperso_federated.errors import BudgetSpent, FederationError
from edgeperso_federated.privacy.gaussian import epsilon_of
from edgeperso_federated.privacy.ledger import Budget, Entry, Ledger, Noise
from edgeperso_federated.privacy.plans import Central, Local

CENTRAL = Central(clip=1.0, noise_multiplier=2.0, cohort=10, asked=10, population=100, delta=1e-5)
BUDGET = Budget(8.0, 1e-5)
FREE = Budget(math.inf, 1e-5)


class Kept:
    """A store that can die before it wrote, or after."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.dies: str | None = None

    def load(self) -> bytes | None:
        return self.data

    def save(self, data: bytes) -> None:
        if self.dies == "before":
            raise KeyboardInterrupt
        self.data = data
        if self.dies == "after":
            raise KeyboardInterrupt


def rounds_until_spent(ledger: Ledger, plan: Central | Local) -> int:
    for number in range(1000):
        try:
            ledger.charge("run", number, plan)
        except BudgetSpent:
            return number
    raise AssertionError


def test_rounds_are_refused_past_the_budget_and_not_before() -> None:
    ledger = Ledger(Kept(), BUDGET)
    taken = rounds_until_spent(ledger, CENTRAL)
    assert epsilon_of(math.sqrt(taken) / 2, 1e-5) <= 8 < epsilon_of(math.sqrt(taken + 1) / 2, 1e-5)
    assert ledger.bill().rounds == taken
    with pytest.raises(BudgetSpent):
        ledger.charge("another run", 0, CENTRAL)
    assert ledger.bill().rounds == taken


def test_a_cheap_round_may_still_fit_where_a_dear_one_does_not() -> None:
    ledger = Ledger(Kept(), Budget(1.0, 1e-5))
    with pytest.raises(BudgetSpent):
        ledger.charge("run", 0, Local(1.0, 1.0, 1e-5))
    assert ledger.charge("run", 0, Local(1.0, 20.0, 1e-5)).rounds == 1


@pytest.mark.parametrize("rounds", [1, 7, 10])
def test_a_plan_made_for_the_budget_fills_it_exactly(rounds: int) -> None:
    plan = Local.of_budget(1.0, BUDGET.epsilon, BUDGET.delta, rounds)
    assert rounds_until_spent(Ledger(Kept(), BUDGET), plan) == rounds


def test_the_bill_is_dp_accountings_own() -> None:
    accounting = pytest.importorskip("dp_accounting")
    ledger = Ledger(Kept(), FREE)
    local = Local(1.0, 3.0, 1e-5)
    for number in range(4):
        ledger.charge("run", number, CENTRAL)
        ledger.charge("run", number, local)
    events = [accounting.SelfComposedDpEvent(accounting.GaussianDpEvent(noise), 4) for noise in (2.0, 3.0)]
    theirs = accounting.pld.PLDAccountant().compose(accounting.ComposedDpEvent(events)).get_epsilon(1e-5)
    bill = ledger.bill()
    assert bill.epsilon == pytest.approx(theirs, rel=1e-3)
    assert bill.central == pytest.approx(accounting.get_epsilon_gaussian(1.0, 1e-5), rel=1e-9)
    assert bill.local == pytest.approx(accounting.get_epsilon_gaussian(1.5, 1e-5), rel=1e-9)


def test_a_kill_between_the_charge_and_the_training_leaves_it_charged() -> None:
    store = Kept()
    store.dies = "after"
    with pytest.raises(KeyboardInterrupt):
        Ledger(store, BUDGET).charge("run", 3, CENTRAL)
    store.dies = None
    again = Ledger(store, BUDGET)
    assert [entry.round for entry in again.entries()] == [3]
    assert again.charge("run", 3, CENTRAL).rounds == 2


def test_what_was_not_written_is_not_begun() -> None:
    store = Kept()
    store.dies = "before"
    ledger = Ledger(store, BUDGET)
    with pytest.raises(KeyboardInterrupt):
        ledger.charge("run", 3, CENTRAL)
    assert ledger.bill().rounds == 0
    store.dies = None
    assert ledger.charge("run", 3, CENTRAL).rounds == 1


def test_the_same_round_asked_for_again_is_charged_again() -> None:
    store = Kept()
    for _ in range(rounds_until_spent(Ledger(Kept(), BUDGET), CENTRAL)):
        Ledger(store, BUDGET).charge("run", 0, CENTRAL)
    with pytest.raises(BudgetSpent):
        Ledger(store, BUDGET).charge("run", 0, CENTRAL)


def test_a_round_without_noise_needs_a_budget_without_limit() -> None:
    with pytest.raises(BudgetSpent):
        Ledger(Kept(), Budget(1e6, 1e-5)).charge("run", 0, None)
    ledger = Ledger(Kept(), FREE)
    ledger.charge("run", 0, Local(1.0, 1.0, 1e-5))
    bill = ledger.charge("run", 1, None)
    assert (bill.epsilon, bill.unprotected) == (math.inf, 1)
    assert bill.local == epsilon_of(1.0, 1e-5)


def test_entries_come_back_as_they_were() -> None:
    store = Kept()
    Ledger(store, FREE).charge("a", 0, CENTRAL, at_ms=1)
    Ledger(store, FREE).charge("b", 5, Local(1.0, 0.1, 1e-5), at_ms=2)
    Ledger(store, FREE).charge("b", 6, None, at_ms=3)
    assert Ledger(store, FREE).entries() == [
        Entry("a", 0, Noise.CENTRAL, 2.0, 1),
        Entry("b", 5, Noise.LOCAL, 0.1, 2),
        Entry("b", 6, Noise.NONE, 0.0, 3),
    ]


def test_threads_that_charge_at_once_lose_no_charge() -> None:
    ledger = Ledger(Kept(), FREE)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ledger.charge("run", number, CENTRAL), range(200)))
    assert sorted(entry.round for entry in ledger.entries()) == list(range(200))


ENTRY: dict[str, Any] = {"run": "a", "round": 0, "noise": "central", "multiplier": 2.0, "at_ms": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"version": 1}',
        b'{"version": 2, "entries": []}',
        b'{"version": 1, "entries": [{}]}',
        *(
            json.dumps({"version": 1, "entries": [{**ENTRY, **changed}]}).encode()
            for changed in (
                {"multiplier": math.nan},
                {"multiplier": 1e300},
                {"multiplier": 0.0},
                {"round": math.inf},
                {"round": -1},
                {"noise": "plenty"},
                {"run": ""},
            )
        ),
    ],
)
def test_a_ledger_that_cannot_be_read_lets_nothing_out(data: bytes) -> None:
    store = Kept()
    store.data = data
    ledger = Ledger(store, FREE)
    for call in (ledger.bill, lambda: ledger.charge("run", 0, CENTRAL)):
        with pytest.raises(FederationError):
            call()
    assert store.data == data
    store.data = json.dumps({"version": 1, "entries": [ENTRY]}).encode()
    assert ledger.bill().rounds == 1


def test_numbers_out_of_range_are_refused() -> None:
    ledger = Ledger(Kept(), FREE)
    for run, number in (("", 0), ("x" * 65, 0), ("a\nb", 0), ("ä", 0), ("run", -1), ("run", 2**31)):
        with pytest.raises(UsageError):
            ledger.charge(run, number, CENTRAL)
    for epsilon, delta in ((0.0, 1e-5), (math.nan, 1e-5), (1.0, 0.0), (1.0, 1.0)):
        with pytest.raises(UsageError):
            Budget(epsilon, delta)
    assert ledger.bill().rounds == 0
