"""The server app on Flower's own engine: what clients send, and that none of them ends a run."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr")
pytest.importorskip("ray")

from edgeperso import cli
from edgeperso.engine.adapters.file import adapter_from_bytes
from edgeperso_federated.deploy.commands import finished, local_connection, simulation_environment, start_run, superlink
from edgeperso_federated.deploy.processes import Process, wait_for_port
from edgeperso_federated.simulation.metrics import read_metrics

from .ports import free_ports

pytestmark = pytest.mark.deployment

APP = Path(__file__).parent / "flower_app"
TINY = Path(__file__).parents[1] / "adaptation" / "training" / "tiny_models.py"
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


def test_flowers_engine_finds_what_the_inline_runner_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many threads as a worker has: with more, training sums up in another order.
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    pytest.importorskip("torch")
    model, data = tmp_path / "tiny.gguf", tmp_path / "dev_questions.json"
    model.write_bytes(runpy.run_path(str(TINY))["model_bytes"]("llama"))
    data.write_text(json.dumps([person(who) for who in range(9)]))
    asked = ["fl", "simulate", "--data", str(tmp_path), "--model", str(model), "--clients", "6", "--rounds", "2"]
    asked += ["--cohort", "3", "--rank", "2", "--rate", "0.02", "--plain", "--canaries", "2", "--json"]
    inline, flower = tmp_path / "inline", tmp_path / "flower"
    assert cli.main([*asked, "--out", str(inline)]) == 0
    here = json.loads(capsys.readouterr().out)
    assert cli.main([*asked, "--out", str(flower), "--engine", "flower"]) == 0, (flower / "flower.log").read_text()
    there = json.loads(capsys.readouterr().out)
    timeless = [name for name in here["figures"] if not name.endswith("seconds")]
    assert [there["figures"][name] for name in timeless] == pytest.approx(
        [here["figures"][name] for name in timeless], rel=1e-5, abs=1e-6
    )
    rounds = [[line["asked"] for line in read_metrics(folder / "plain.jsonl")] for folder in (inline, flower)]
    assert rounds[0] == rounds[1]
    one, other = (adapter_from_bytes((folder / "plain.gguf").read_bytes()) for folder in (inline, flower))
    for name, pair in one.pairs.items():
        assert np.allclose(pair.b, other.pairs[name].b, rtol=1e-6, atol=1e-9)
        assert np.any(pair.b)


def person(who: int) -> dict[str, object]:
    texts = [f"The {word} of number {who} is fine, and {word} it was." for word in ("tea", "boat", "lamp", "snow")]
    profile = [
        {"id": f"{who}-{day}", "text": text, "score": "4", "date": f"2020-01-0{day + 1}"}
        for day, text in enumerate(texts)
    ]
    return {"id": str(who), "input": "What is the score? review: x", "profile": profile}
