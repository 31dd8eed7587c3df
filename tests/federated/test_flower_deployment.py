"""For real, on this machine: TLS, node keys, two nodes beside two brokers, three rounds; and a run that fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr")
pytest.importorskip("torch")

from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_from_bytes
from edgeperso.engine.adapters.values import Worn
from edgeperso.vault import KeyFile, Vault
from edgeperso_federated.broker.consent import save_consent
from edgeperso_federated.broker.device import identity_of, ledger_of
from edgeperso_federated.deploy.commands import finished, start_run

from .broker_world import CANARY, consent
from .deployment import APP, RUN, federation

pytestmark = pytest.mark.deployment


def test_two_people_train_three_rounds_over_tls(tmp_path: Path) -> None:
    with federation(tmp_path, 2) as made:
        config = RUN | {"model": str(made.model), "folder": str(made.run_folder)}
        run = start_run(made.connection, APP, config)
        found = finished(made.connection, run, timeout_s=150)
        logs = made.logs()
        assert found.completed, logs
        assert all(process.code is None for process in [made.link, *made.processes])
        # Nobody has consented to this one: the run fails, and is told to have failed.
        other = config | {"federation": "strangers", "folder": str(tmp_path / "other"), "rounds": 1}
        failed = finished(made.connection, start_run(made.connection, APP, other), timeout_s=90)
        assert failed.status == "finished:failed"
    rounds = [json.loads(line) for line in (made.run_folder / "rounds.jsonl").read_text().splitlines()]
    assert [(one["round"], one["summed"], one["dropped"], one["outcome"]) for one in rounds] == [
        (number, 2, {}, "published") for number in (1, 2, 3)
    ]
    refused = json.loads((tmp_path / "other" / "rounds.jsonl").read_text())
    assert (refused["summed"], refused["refused"]) == (0, {"consent": 2})
    adapter = adapter_from_bytes((made.run_folder / "adapter.gguf").read_bytes())
    assert all(np.any(pair.b) for pair in adapter.pairs.values())
    with Engine.open(made.model, n_ctx=64) as engine:
        engine.wear([Worn("published", adapter)])
    for person in (0, 1):
        with Vault.open(tmp_path / str(person) / "home", KeyFile(tmp_path / str(person) / "me.key")) as vault:
            assert len(ledger_of(vault).entries()) == 3
    server = b"".join(path.read_bytes() for path in (tmp_path / "server").rglob("*") if path.is_file())
    assert CANARY not in logs
    assert CANARY.encode() not in server


def test_three_people_are_summed_in_secret_over_tls(tmp_path: Path) -> None:
    """The configuration that a run has by itself: masks, and central noise."""
    with federation(tmp_path, 3) as made:
        homes = [(tmp_path / str(person) / "home", KeyFile(tmp_path / str(person) / "me.key")) for person in range(3)]
        roster = []
        for home, key in homes:
            with Vault.open(home, key) as vault:
                roster.append(identity_of(vault).public.hex())
        (tmp_path / "roster").write_text("\n".join(roster))
        for home, key in homes:
            with Vault.open(home, key) as vault:
                save_consent(vault, consent(needs="masked", roster=tuple(roster)))
        config = RUN | {"model": str(made.model), "folder": str(made.run_folder), "roster": str(tmp_path / "roster")}
        config |= {"secure": True, "privacy": "central", "noise": 0.5, "rounds": 1}
        config |= {"population": 3, "cohort": 3, "quorum": 3}
        found = finished(made.connection, start_run(made.connection, APP, config), timeout_s=150)
        assert found.completed, made.logs()
    (told,) = map(json.loads, (made.run_folder / "rounds.jsonl").read_text().splitlines())
    assert (told["summed"], told["dropped"], told["outcome"]) == (3, {}, "published")
    adapter = adapter_from_bytes((made.run_folder / "adapter.gguf").read_bytes())
    assert all(np.any(pair.b) for pair in adapter.pairs.values())
