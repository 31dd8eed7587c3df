"""The server app over a grid without Flower's processes: plain rounds, secure ones, hostile clients, a kill."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr")

from flwr.app import RecordDict

from edgeperso.engine.adapters.file import adapter_from_bytes
from edgeperso.errors import UsageError
from edgeperso_federated.broker.consent import Consent, save_consent
from edgeperso_federated.broker.proxy import Answer
from edgeperso_federated.broker.task import Task
from edgeperso_federated.deploy.app import write_app
from edgeperso_federated.errors import FederationError, RoundFailed
from edgeperso_federated.flower.server_app import Server
from edgeperso_federated.flower.settings import DEFAULTS, Books, Settings
from edgeperso_federated.flower.wire import Reply, reply
from edgeperso_federated.privacy.ledger import Budget
from edgeperso_federated.rounds import FederatedRun
from edgeperso_federated.update import update_from_bytes

from .broker_world import GRANT, World
from .flower_grid import FakeGrid, Node, node_of


class InProcess:
    """A broker's desk without its socket."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rounds: list[int] = []

    def task(self, task: dict[str, Any], tensors: bytes) -> Answer:
        said = Task.from_header(task)
        self.rounds.append(said.order.round)
        found = self.world.desk.begin(self.world.desk.judge(said), tensors)
        return Answer(found.step, found.body)

    def result(self, run: str, round_: int, step: str, message: bytes) -> Answer:
        found = self.world.desk.go_on(run, round_, step, message)
        return Answer(found.step, found.body)


def config(tmp_path: Path, tiny_path: Path, **changes: Any) -> dict[str, Any]:
    usual = {
        "federation": "birds", "model": str(tiny_path), "folder": str(tmp_path / "run"), "method": "ffa", "rank": 4,
        "alpha": 8.0, "targets": "attn_q attn_v", "rounds": 2, "population": 3, "cohort": 3, "asked": 0, "quorum": 2,
        "bound": 1.0, "sampling": "fixed", "weighting": "equal", "robust": "none", "hostile": 0, "secure": False,
        "group": 0, "roster": "", "privacy": "local", "noise": 1.0, "epsilon": 50.0, "delta": 1e-6, "rate": 1e-3,
        "epochs": 1, "max-tokens": 256, "minutes": 1.0, "check": False, "wait-s": 5.0, "deadline-s": 20.0,
    }  # fmt: skip
    return usual | {name.replace("_", "-"): value for name, value in changes.items()}


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "rounds.jsonl").read_text().splitlines()]


@pytest.fixture
def nodes(worlds: list[World]) -> dict[int, Node]:
    return {100 + number: node_of(InProcess(world)) for number, world in enumerate(worlds)}


def test_rounds_run_and_the_adapter_is_published(tmp_path: Path, tiny_path: Path, nodes: dict[int, Node]) -> None:
    Server(Settings(config(tmp_path, tiny_path)), FakeGrid(nodes)).run()
    told = records(tmp_path)
    assert [(one["summed"], one["outcome"], one["refused"]) for one in told] == [(3, "published", {})] * 2
    path = tmp_path / "run" / "adapter.gguf"
    adapter = adapter_from_bytes(path.read_bytes())
    assert np.any(adapter.pairs["blk.0.attn_q"].b)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_secure_round_shows_the_server_the_sum_alone(
    tmp_path: Path, tiny_path: Path, worlds: list[World], nodes: dict[int, Node]
) -> None:
    identities = tuple(world.device.identity.public.hex() for world in worlds)
    for number, world in enumerate(worlds):
        world.trainer.length = 0.1 * (number + 1)
        grant = replace(GRANT, needs="masked", roster=identities)
        save_consent(world.vault, Consent(Budget(1e6, 1e-6), {"birds": grant}))
    (tmp_path / "roster").write_text("\n".join(identities))
    said = config(
        tmp_path, tiny_path, secure=True, roster=str(tmp_path / "roster"), privacy="central", noise=0.05, rounds=1
    )
    Server(Settings(said), FakeGrid(nodes)).run()
    (told,) = records(tmp_path)
    assert (told["summed"], told["dropped"], told["outcome"]) == (3, {}, "published")
    lora = adapter_from_bytes((tmp_path / "run" / "adapter.gguf").read_bytes())
    values = np.concatenate([pair.b.ravel() for pair in lora.pairs.values()])
    # Three updates of equal values, of length 0.1, 0.2 and 0.3: the mean has length 0.2; the noise on it is
    # 0.05 · 1 / 3 a value, and their mean over so many values is far smaller.
    assert values.mean() == pytest.approx(0.2 / np.sqrt(values.size), abs=5 * 0.05 / 3 / np.sqrt(values.size))


def test_a_member_that_leaves_between_phases_is_missed_and_the_sum_is_kept_from_all(
    tmp_path: Path, tiny_path: Path, worlds: list[World]
) -> None:
    """Of three, all must stay (the threshold is three): so the group is lost, and the run goes on to its end."""
    identities = tuple(world.device.identity.public.hex() for world in worlds)
    for world in worlds:
        save_consent(world.vault, Consent(Budget(1e6, 1e-6), {"birds": replace(GRANT, roster=identities)}))
    (tmp_path / "roster").write_text("\n".join(identities))

    class Leaves(InProcess):
        def result(self, run: str, round_: int, step: str, message: bytes) -> Answer:
            return Answer(step, b"nonsense") if step == "mask" else super().result(run, round_, step, message)

    grid = FakeGrid({1: node_of(InProcess(worlds[0])), 2: node_of(InProcess(worlds[1])), 3: node_of(Leaves(worlds[2]))})
    said = config(
        tmp_path, tiny_path, secure=True, roster=str(tmp_path / "roster"), privacy="central", noise=0.05, rounds=2
    )
    with pytest.raises(RoundFailed):
        Server(Settings(said), grid).run()
    assert [one["dropped"] for one in records(tmp_path)] == [{"group": 3}, {"group": 3}]


def garbage(_: RecordDict) -> RecordDict:
    return reply(Reply("update", b"\x80\x04garbage"))


def raises(_: RecordDict) -> RecordDict:
    raise ValueError("what a stranger's bytes do to Flower's reader")


@pytest.mark.parametrize(("node", "reason"), [(garbage, "garbage"), (raises, "absent"), (lambda _: None, "absent")])
def test_a_hostile_client_ends_no_run(
    node: Node, reason: str, tmp_path: Path, tiny_path: Path, nodes: dict[int, Node]
) -> None:
    grid = FakeGrid({**nodes, 102: node})
    Server(Settings(config(tmp_path, tiny_path, rounds=1, deadline_s=3.0)), grid).run()
    (told,) = records(tmp_path)
    assert (told["summed"], told["dropped"], told["outcome"]) == (2, {reason: 1}, "published")


class Killed(BaseException):
    pass


def test_a_killed_server_goes_on_with_the_same_people(
    tmp_path: Path, tiny_path: Path, worlds: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [InProcess(world) for world in worlds]
    there = {300: node_of(clients[0]), 200: node_of(clients[1]), 100: node_of(clients[2])}
    said = config(tmp_path, tiny_path, rounds=2, cohort=2, quorum=1)
    close: Callable[..., Any] = FederatedRun.close

    def dies(self: FederatedRun, round_: Any) -> Any:
        if round_.order.round == 2:
            raise Killed
        return close(self, round_)

    with monkeypatch.context() as patch:
        patch.setattr(FederatedRun, "close", dies)
        with pytest.raises(Killed):
            Server(Settings(said), FakeGrid(there)).run()
    before = Books.load(tmp_path / "run", "birds")
    asked = [[one for one in client.rounds if one == 2] for client in clients]
    # A node with a smaller number has come since: those that were known keep their places.
    there = {1: lambda _: None, **there}
    Server(Settings(said), FakeGrid(there)).run()
    after = Books.load(tmp_path / "run", "birds")
    assert (after.run, after.seed, after.nodes[:3]) == (before.run, before.seed, (100, 200, 300))
    assert [[one for one in client.rounds if one == 2] for client in clients] == [one * 2 for one in asked]
    assert [one["round"] for one in records(tmp_path)] == [1, 2]
    assert all(one["summed"] == 2 for one in records(tmp_path))


def test_both_ways_to_run_the_app_have_one_configuration(tmp_path: Path) -> None:
    project = Path(__file__).parents[2] / "federated" / "pyproject.toml"
    checked_in = tomllib.loads(project.read_text())["tool"]["flwr"]["app"]
    assert checked_in["config"] == dict(DEFAULTS)
    parts = {"server": checked_in["components"]["serverapp"], "client": checked_in["components"]["clientapp"]}
    written = tomllib.loads((write_app(tmp_path, "some-app", **parts, config=DEFAULTS) / "pyproject.toml").read_text())
    app = written["tool"]["flwr"]["app"]
    assert (app["config"], app["components"]) == (checked_in["config"], checked_in["components"])
    assert (tmp_path / "LICENSE").exists()


def test_a_folder_of_another_run_is_not_gone_on_from(tmp_path: Path, tiny_path: Path, nodes: dict[int, Node]) -> None:
    Server(Settings(config(tmp_path, tiny_path)), FakeGrid(nodes)).run()
    with pytest.raises(FederationError):
        Server(Settings(config(tmp_path, tiny_path, bound=0.5)), FakeGrid(nodes))


def test_what_is_asked_of_a_device_is_what_was_configured(
    tmp_path: Path, tiny_path: Path, worlds: list[World], nodes: dict[int, Node]
) -> None:
    Server(Settings(config(tmp_path, tiny_path, rounds=1, rate=5e-4, minutes=0.5)), FakeGrid(nodes)).run()
    (work,) = worlds[0].trainer.seen
    assert (work.plan.rate, work.plan.minutes, work.plan.max_tokens) == (5e-4, 0.5, 256)


@pytest.mark.parametrize(
    "changes",
    [
        {"federation": "Not A Name"},
        {"folder": "relative"},
        {"model": ""},
        {"method": "guess"},
        {"privacy": "some"},
        {"secure": True, "roster": "/nowhere"},
        {"quorum": 4},
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(changes: dict[str, Any], tmp_path: Path, tiny_path: Path) -> None:
    with pytest.raises(UsageError):
        Server(Settings(config(tmp_path, tiny_path, **changes)), FakeGrid({}))
    assert not (tmp_path / "run" / "state").exists()


def test_updates_reach_the_server_noised_and_without_counts(
    tmp_path: Path, tiny_path: Path, worlds: list[World]
) -> None:
    seen = []

    def seeing(content: RecordDict) -> RecordDict:
        found = node_of(InProcess(worlds[0]))(content)
        seen.append(update_from_bytes(found["body"]["body"].data))
        return found

    Server(
        Settings(config(tmp_path, tiny_path, rounds=1, cohort=1, quorum=1, population=1)), FakeGrid({7: seeing})
    ).run()
    (update,) = seen
    assert update.examples == 1
    assert len({float(value) for tensor in update.tensors.values() for value in tensor.ravel()}) > 100
