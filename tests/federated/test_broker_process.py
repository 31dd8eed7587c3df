"""The broker as a process of its own, with the package's own training; and what its proxy imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeperso.vault import KeyFile, Vault
from edgeperso_federated.broker.device import ledger_of
from edgeperso_federated.broker.proxy import Proxy
from edgeperso_federated.broker.task import LocalPlan
from edgeperso_federated.errors import BrokerRefused
from edgeperso_federated.update import norm, read_update

from .broker_world import CANARY, World

FEDERATED = Path(__file__).parents[2] / "federated"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(FEDERATED)}


@pytest.fixture
def process(world: World) -> Iterator[subprocess.Popen[bytes]]:
    arguments = {"home": world.vault.home, "key-file": world.folder / "me.key", "model": world.model}
    said = [word for name, path in (arguments | {"socket": world.path}).items() for word in (f"--{name}", str(path))]
    world.vault.close()
    started = subprocess.Popen(
        [sys.executable, "-m", "edgeperso_federated.broker", *said],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 40
        while started.poll() is None and time.monotonic() < deadline:
            try:
                Proxy(world.path).hello()
                break
            except BrokerRefused:
                time.sleep(0.1)
        assert started.poll() is None, started.communicate()[1]
        yield started
    finally:
        started.kill()
        started.wait(10)


def test_a_real_round_and_nothing_of_the_person_in_what_leaves(world: World, process: subprocess.Popen[bytes]) -> None:
    pytest.importorskip("torch")
    task = world.task(plan=LocalPlan(epochs=2, batch_tokens=256))
    answer = Proxy(world.path, patience_s=60).task(task.to_header(), world.tensors())
    update = read_update(task.order.schema(world.frame), answer.body)
    assert norm(update.tensors) > 0
    assert CANARY.encode() not in answer.body
    process.send_signal(signal.SIGTERM)
    out, told = process.communicate(timeout=40)
    assert (process.returncode, out, told) == (0, b"", b"")
    assert not world.path.exists()
    with Vault.open(world.folder / "home", KeyFile(world.folder / "me.key")) as vault:
        assert ledger_of(vault).bill().rounds == 1


def test_a_killed_broker_answers_no_more(world: World, process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
    assert world.path.exists()
    with pytest.raises(BrokerRefused):
        Proxy(world.path).hello()


def test_the_proxy_imports_neither_vault_nor_engine_nor_torch() -> None:
    code = (
        "import sys, edgeperso_federated.broker.proxy\n"
        "print(*sorted({name for name in sys.modules if name.startswith(('edgeperso.', 'torch', 'sqlcipher3', "
        "'llama_cpp', 'cryptography', 'numpy'))}))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["edgeperso.errors"]
