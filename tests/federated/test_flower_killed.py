"""Flower's server is killed for real in the middle of a run, and the same command goes on to the same adapter."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr")
pytest.importorskip("torch")

from edgeperso_federated.deploy.commands import finished, start_run
from edgeperso_federated.privacy.ledger import Budget

from .broker_world import consent
from .deployment import APP, RUN, Federation, federation

pytestmark = pytest.mark.deployment


def test_a_killed_server_goes_on_to_the_same_adapter(tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    # Rounds without noise cost more than any budget.
    with federation(tmp_path, 2, terms=consent(budget=Budget(math.inf, 1e-6))) as made:
        config = RUN | {"model": str(made.model), "privacy": "none", "rounds": 3}
        whole(made, config | {"folder": str(unbroken)})
        # The same seeds and people under another name: no device does a round of a run twice.
        books = json.loads((unbroken / "run.json").read_text())
        broken.mkdir(mode=0o700)
        (broken / "run.json").write_text(json.dumps(books | {"run": "another"}))
        start_run(made.connection, APP, config | {"folder": str(broken)})
        wait_for_rounds(broken, 1)
        made.link.kill()
        begun = rounds(broken)
        assert len(begun) < 3
        made.serve()
        whole(made, config | {"folder": str(broken)})
    assert rounds(broken)[: len(begun)] == begun
    assert [(one["round"], one["summed"], one["outcome"]) for one in rounds(broken)] == [
        (number, 2, "published") for number in (1, 2, 3)
    ]
    assert (broken / "adapter.gguf").read_bytes() == (unbroken / "adapter.gguf").read_bytes()


def whole(made: Federation, config: dict[str, Any]) -> None:
    found = finished(made.connection, start_run(made.connection, APP, config), timeout_s=150)
    assert found.completed, made.logs()


def wait_for_rounds(folder: Path, count: int) -> None:
    give_up = time.monotonic() + 90
    while len(rounds(folder)) < count:
        assert time.monotonic() < give_up, "no round was over in time"
        time.sleep(0.05)


def rounds(folder: Path) -> list[dict[str, Any]]:
    path = folder / "rounds.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
