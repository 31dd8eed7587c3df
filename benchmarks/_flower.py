"""Flower's own simulation engine, Ray, as the peer of the inline runner: stock `FedAvg`, clients that train nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from edgeperso.errors import UsageError
from edgeperso_federated.deploy.commands import finished, local_connection, simulation_environment, start_run, superlink
from edgeperso_federated.deploy.processes import Process, free_port, wait_for_port

__all__ = ["flower_rounds"]

_ROOT = Path(__file__).parent
_PATIENCE_S = 900.0


def flower_rounds(clients: int, matrices: int, values: int, rounds: int, seed: int) -> list[float]:
    """Seconds of each round, from its requests to its mean; Ray has started before the first.

    Args:
        matrices, values: a client's update is so many arrays of so many float32 values.

    Raises:
        UsageError: the run failed, or somebody's answer is missing.
        FederationError: Flower doesn't answer.
    """
    with tempfile.TemporaryDirectory(prefix="edgeperso-benchmark-") as name:
        folder = Path(name)
        app, out = folder / "app", folder / "rounds.json"
        shutil.copytree(_ROOT / "flower_peer", app, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_ROOT.parent / "LICENSE", app / "LICENSE")
        env = simulation_environment(folder / "flwr")
        port = free_port()
        command = superlink(host="127.0.0.1", port=port, certificates=None, database=None, simulation=True)
        config = {"rounds": rounds, "clients": clients, "matrices": matrices, "values": values, "seed": seed}
        with Process(command, env, folder / "link.log") as link:
            wait_for_port(link, "127.0.0.1", port)
            connection = local_connection("here", env, address=f"127.0.0.1:{port}", authority=None)
            run = start_run(connection, app, {**config, "out": str(out)}, clients=clients)
            found = finished(connection, run, timeout_s=_PATIENCE_S)
        if not found.completed:
            raise UsageError(f"Flower's run ended as {found.status}.", hint=(folder / "link.log").read_text()[-2000:])
        told = json.loads(out.read_text())
    if told["answered"] != [clients] * rounds:
        raise UsageError("A client's answer is missing in a round of Flower's.")
    return [float(seconds) for seconds in told["s"]]
