"""The server app on Flower's own engine: what clients send, and that none of them ends a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("flwr")
pytest.importorskip("ray")

from edgeperso_federated.deploy.commands import finished, local_connection, simulation_environment, start_run, superlink
from edgeperso_federated.deploy.processes import Process, wait_for_port

from .ports import free_ports

pytestmark = pytest.mark.deployment

APP = Path(__file__).parent / "flower_app"
BEHAVIOUR = "honest nan garbage norm raises records numpy"


def test_hostile_clients_end_no_run_in_flowers_simulation(tmp_path: Path, tiny_path: Path) -> None:
    env = simulation_environment(tmp_path / "flwr")
    (port,) = free_ports(1)
    command = superlink(host="127.0.0.1", port=port, certificates=None, database=None, simulation=True)
    clients = len(BEHAVIOUR.split())
    config = {"model": str(tiny_path), "folder": str(tmp_path / "run"), "behaviour": BEHAVIOUR}
    config |= {"population": clients, "cohort": clients}
    with Process(command, env, tmp_path / "link.log") as link:
        wait_for_port(link, "127.0.0.1", port)
        connection = local_connection("here", env, address=f"127.0.0.1:{port}", authority=None)
        run = start_run(connection, APP, config, clients=clients)
        found = finished(connection, run, timeout_s=110)
    assert found.completed, (tmp_path / "link.log").read_text()
    (told,) = map(json.loads, (tmp_path / "run" / "rounds.jsonl").read_text().splitlines())
    assert told["summed"] == 1
    assert told["dropped"] == {"absent": 3, "garbage": 1, "norm": 1, "not_finite": 1}
    assert (tmp_path / "run" / "adapter.gguf").exists()
