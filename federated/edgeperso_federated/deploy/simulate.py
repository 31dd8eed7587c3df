"""A simulation on Flower's engine, started and waited for on this machine."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgeperso.errors import UsageError
from edgeperso.evals.report import Result, load_all
from edgeperso_federated.deploy.app import write_app
from edgeperso_federated.deploy.commands import finished, local_connection, simulation_environment, start_run, superlink
from edgeperso_federated.deploy.processes import Process, free_port, wait_for_port
from edgeperso_federated.errors import FederationError
from edgeperso_federated.simulation.asked import Asked
from edgeperso_federated.simulation.settings import Settings

__all__ = ["simulate_on_flower"]

_FOREVER_S: Final = 30 * 24 * 3600.0
_HOST: Final = "127.0.0.1"
_MODULE: Final = "edgeperso_federated.flower.virtual"


def simulate_on_flower(settings: Settings, model: Path, folder: Path) -> Result:
    """As `simulate` with all files of ``folder``, but the clients' work is spread over Ray's workers.

    Raises:
        UsageError: secret sums, which only run inline; Flower isn't installed.
        FederationError: the run failed. Flower's log is ``flower.log`` in the folder.
    """
    if settings.secure:
        raise UsageError("Secret sums run inline.", hint="Leave out --secure or --engine.")
    folder = folder.resolve()
    asked = Asked(replace(settings, data=settings.data.resolve()), model.resolve())
    asked.save(folder)
    log = folder / "flower.log"
    with tempfile.TemporaryDirectory(prefix="edgeperso-") as name:
        app = write_app(
            folder / "app",
            "edgeperso-simulation",
            server=f"{_MODULE}:server",
            client=f"{_MODULE}:client",
            config={"folder": str(folder)},
        )
        env, port = simulation_environment(Path(name) / "flower"), free_port()
        command = superlink(host=_HOST, port=port, certificates=None, database=None, simulation=True)
        with Process(command, env, log) as link:
            wait_for_port(link, _HOST, port)
            connection = local_connection("here", env, address=f"{_HOST}:{port}", authority=None)
            run = start_run(connection, app, {}, clients=asked.nodes)
            found = finished(connection, run, timeout_s=_FOREVER_S)
    if not found.completed:
        raise FederationError("The simulation failed.", hint=f"{log.name} in the folder tells why.")
    return next(result for result in load_all(folder) if result.name == "federation")
