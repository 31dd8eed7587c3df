"""`edgeperso fl serve` and `fl join` as people type them: one run, its end, and one that fails."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("flwr")
pytest.importorskip("torch")

from edgeperso.vault import KeyFile, Vault
from edgeperso_federated.deploy.processes import Process

from .broker_world import SCOPE, fill
from .ports import free_ports

pytestmark = pytest.mark.deployment

EDGEPERSO = [sys.executable, "-c", "import sys; from edgeperso.cli import main; sys.exit(main())"]
ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "federated"), str(ROOT)])}


def said(*words: str) -> subprocess.CompletedProcess[str]:
    command = [*EDGEPERSO, "fl", *words]
    return subprocess.run(command, env=ENV, capture_output=True, text=True, check=False, timeout=150)


def test_a_run_is_served_and_joined(tmp_path: Path) -> None:
    tiny_model = runpy.run_path(str(ROOT / "tests" / "engine" / "gguf_files.py"))["tiny_model"]
    model = tmp_path / "tiny.gguf"
    model.write_bytes(tiny_model())
    vault, _ = Vault.create(tmp_path / "home", KeyFile(tmp_path / "me.key"))
    with vault:
        fill(vault)
    own = ["--home", str(tmp_path / "home"), "--key-file", str(tmp_path / "me.key")]
    node = json.loads(said("identity", "--json", *own).stdout)["node_key"]
    terms = ["--scope", SCOPE, "--needs", "local", "--epsilon", "100"]
    assert said("consent", "birds", *terms, *own).returncode == 0
    server, port = free_ports(2)
    run = ["--model", str(model), "--port", str(server), "--node", node, "--json"]
    settings = {
        "population": 1, "cohort": 1, "quorum": 1, "rounds": 1, "rank": 4, "secure": "false", "privacy": "local",
        "epsilon": 50, "check": "false", "wait-s": 60, "deadline-s": 60,
    }  # fmt: skip
    for name, value in settings.items():
        run += ["--set", f"{name}={value}"]
    with ExitStack() as stack:
        folder = tmp_path / "hub"
        # Certificates are there once it was served; so it is told to join as soon as they are.
        hub = Process([*EDGEPERSO, "fl", "serve", "birds", str(folder), *run], ENV, tmp_path / "serve.log")
        stack.enter_context(hub)
        _wait(folder / "tls" / "server.key")
        words = ["join", f"127.0.0.1:{server}", "--authority", str(folder / "tls" / "ca.crt"), "--port", str(port)]
        join = Process([*EDGEPERSO, "fl", *words, "--model", str(model), *own], ENV, tmp_path / "join.log")
        stack.enter_context(join)
        code = hub.wait(120)
        told = (tmp_path / "serve.log").read_text()
        assert code == 0, told + (tmp_path / "join.log").read_text()
        assert (folder / "run" / "adapter.gguf").exists()
        assert '"finished:completed"' in told
        # This one is another authority's: nobody comes.
        failed = said("serve", "birds", str(tmp_path / "other"), *run, "--set", "wait-s=2")
        assert failed.returncode == 7
        assert join.code is None
        assert join.stop() == 0


def _wait(path: Path, tries: int = 300) -> None:
    for _ in range(tries):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError("no certificates were made")
