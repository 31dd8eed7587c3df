"""A server that is killed anywhere goes on to the same adapter as one that never was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeperso_federated import server_state
from edgeperso_federated.aggregation import Weighting
from edgeperso_federated.factors import Method
from edgeperso_federated.orders import Order, Robust, RunPlan
from edgeperso_federated.privacy.clipping import WITHIN, Adaptive
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.privacy.plans import Sampling
from edgeperso_federated.rounds import FederatedRun
from edgeperso_federated.server_state import RoundRecord, StateFile
from edgeperso_federated.simulation.metrics import MetricsLog, read_metrics
from edgeperso_federated.simulation.runner import run_rounds
from edgeperso_federated.update import Tensors, Update, unflatten, update_to_bytes

from .test_rounds import central, plan_for, vector_of

KEY = NoiseKey(bytes(range(32)))


class Killed(BaseException):
    """What ends a process without anything being tidied up."""


class Clients:
    """They answer the same each time, in view of what they were sent; the server is killed at an answer of theirs."""

    def __init__(self, plan: RunPlan, dies_at: int = -1) -> None:
        self._plan = plan
        self._left = dies_at

    def answer(self, client: int, order: Order, held: Tensors) -> bytes | None:
        self._left -= 1
        if not self._left:
            raise Killed
        schema = order.schema(self._plan.frame)
        tensors = unflatten(schema, vector_of(schema, client, order.round))
        pulled = {name: values - held[name] / 10 for name, values in tensors.items()}
        total = sum(float((values**2).sum()) for values in pulled.values()) ** 0.5
        fitted = {name: (values * min(1.0, 0.99 * order.bound / total)).astype("f4") for name, values in pulled.items()}
        metrics = {WITHIN: float(client % 2)} if order.adaptive else {}
        return update_to_bytes(Update(fitted, 1 + client, metrics))


def plans() -> dict[str, RunPlan]:
    private = plan_for(weighting=Weighting.EQUAL, sampling=Sampling.POISSON)
    return {
        "plain": plan_for(),
        "rolora": plan_for(method=Method.ROLORA),
        "robust": plan_for(robust=Robust.TRIMMED),
        "private": replace(private, privacy=central(private), adaptive=Adaptive()),
        "secure": plan_for(secure=True),
    }


def finished(plan: RunPlan, file: StateFile | None, clients: Clients, **changes: Any) -> FederatedRun:
    run = FederatedRun(plan, KEY, file=file)
    run_rounds(run, clients, **changes)
    return run


def same(one: FederatedRun, other: FederatedRun) -> None:
    assert all(one.tensors[name].tobytes() == other.tensors[name].tobytes() for name in one.tensors)
    assert one.state.records == other.state.records
    assert one.state.bound == other.state.bound


@pytest.mark.parametrize("name", plans())
@pytest.mark.parametrize("dies_at", [1, 4, 7, 11])
def test_a_kill_while_clients_answer(name: str, dies_at: int, tmp_path: Path) -> None:
    plan, file = plans()[name], StateFile(tmp_path / "state")
    with pytest.raises(Killed):
        finished(plan, file, Clients(plan, dies_at))
    resumed, unbroken = finished(plan, file, Clients(plan)), finished(plan, None, Clients(plan))
    same(resumed, unbroken)
    # The round that was broken off was begun once more: privacy is reckoned with both.
    assert resumed.state.begun == unbroken.state.begun + 1


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_the_writing_of_a_state(
    writes: int, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, path, done = plans()["private"], tmp_path / "state", 0
    real: Callable[..., Path] = Path.replace

    def dying(self: Path, target: Path) -> Path:
        nonlocal done
        done += 1
        if done == writes and not after:
            raise Killed
        found = real(self, target)
        if done == writes:
            raise Killed
        return found

    with monkeypatch.context() as patched:
        patched.setattr(server_state.Path, "replace", dying)
        with pytest.raises(Killed):
            finished(plan, StateFile(path), Clients(plan))
    same(finished(plan, StateFile(path), Clients(plan)), finished(plan, None, Clients(plan)))
    assert [one.name for one in tmp_path.iterdir()] == ["state"]


def test_a_run_that_is_over_asks_nobody(tmp_path: Path) -> None:
    plan, file = plan_for(), StateFile(tmp_path / "state")
    first = finished(plan, file, Clients(plan))
    again = finished(plan, file, Clients(plan, dies_at=1))
    same(first, again)


def test_metrics_have_each_round_once_whatever_was_killed(tmp_path: Path) -> None:
    plan, file, path = plan_for(), StateFile(tmp_path / "state"), tmp_path / "run.jsonl"

    def run(dies_at: int, dies_after: int) -> None:
        going = FederatedRun(plan, KEY, file=file)
        log = MetricsLog(path, going.state.records)

        def after(record: RoundRecord) -> None:
            if record.round == dies_after:
                raise Killed
            log.add(record, {"heldout_loss": 1.0})

        run_rounds(going, Clients(plan, dies_at), after=after)

    for dies_at, dies_after in ((9, 0), (-1, 2)):
        with pytest.raises(Killed):
            run(dies_at, dies_after)
    path.write_text(path.read_text() + '{"round": 3, "cut o')
    run(-1, 0)
    lines = read_metrics(path)
    assert [line["round"] for line in lines] == [1, 2, 3]
    assert [line.get("heldout_loss") for line in lines] == [1.0, None, 1.0]
    assert {line["asked"] for line in lines} == {6}
