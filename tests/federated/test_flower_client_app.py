"""The client app carries bytes, and tells the server nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from edgeperso_federated.broker.protocol import Refusal
from edgeperso_federated.broker.proxy import Proxy
from edgeperso_federated.flower.client_app import answered
from edgeperso_federated.flower.wire import Reply, read_reply, request
from edgeperso_federated.update import read_update

from .broker_world import CANARY, World

ROOT = Path(__file__).parents[2]


def test_a_task_goes_to_the_broker_and_its_update_comes_back(world: World) -> None:
    task = world.task()
    with world.listening():
        content = answered(request("task", task.to_header(), world.tensors()), lambda: Proxy(world.path))
    found = read_reply(content)
    assert found.step == "update"
    assert read_update(task.order.schema(world.frame), found.body).examples == 1


def test_a_refusal_is_told_in_the_brokers_word(world: World) -> None:
    with world.listening():
        header = world.task(federation="strangers").to_header()
        content = answered(request("task", header, world.tensors()), lambda: Proxy(world.path))
    assert read_reply(content) == Reply("", refused=Refusal.CONSENT)


def test_an_exceptions_text_stays_here() -> None:
    def broken() -> Proxy:
        raise RuntimeError(CANARY)

    content = answered(request("task", {}, b"x"), broken)
    assert read_reply(content) == Reply("", refused=Refusal.FAILED)
    assert CANARY not in str(content)


@pytest.mark.parametrize("header", [{}, {"run": 1, "round": 1}, {"run": "a", "round": True}])
def test_a_garbled_step_does_not_reach_the_broker(header: dict[str, object]) -> None:
    content = answered(request("share", header, b"x"), lambda: Proxy(Path("/nowhere")))
    assert read_reply(content) == Reply("", refused=Refusal.GARBAGE)


def test_without_a_broker_nothing_is_sent(tmp_path: Path) -> None:
    content = answered(request("task", {}, b"x"), lambda: Proxy(tmp_path / "none"))
    assert read_reply(content) == Reply("", refused=Refusal.FAILED)


def test_the_client_side_loads_neither_vault_nor_model_nor_torch() -> None:
    code = (
        "import sys, edgeperso_federated.flower.client_app;"
        "print([name for name in ('edgeperso.vault', 'edgeperso.assistant', 'edgeperso.engine.engine', 'sqlcipher3', "
        "'torch', 'llama_cpp', 'keyring') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "federated", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
