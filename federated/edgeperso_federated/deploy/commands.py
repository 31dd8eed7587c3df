"""Flower's commands, as a federation uses them, and the environment in which they call nobody.

`environment` turns off Flower's telemetry, its check for updates, the installing of packages at run time and Ray's
statistics, `simulation_environment` also Ray's probes. For plain ``flwr run`` set the same variables.

``flwr run --stream`` ends with 0 whatever became of the run. So `finished` asks ``flwr ls`` until the run is over.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final, overload

from edgeperso.errors import UsageError
from edgeperso_federated.errors import FederationError

__all__ = [
    "QUIET",
    "Connection",
    "Outcome",
    "environment",
    "finished",
    "local_connection",
    "register_node",
    "simulation_environment",
    "start_run",
    "superlink",
    "supernode",
]

QUIET: Final[Mapping[str, str]] = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_TRACING_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
"""Variables with which nothing is sent anywhere but to the server."""

_PACKAGES: Final = Path(__file__).parent.parent.parent
"""Where this package lies."""

_PATIENCE_S: Final = 60.0
_PULSE_S: Final = 0.5


def environment(flower_home: Path) -> dict[str, str]:
    """This process's environment with `QUIET`, Flower's files in a folder of its own, and its programs on the path; but
    nothing of edgeperso's: where a vault and its key file are is no concern of Flower's processes."""
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    here = str(_PACKAGES)
    python = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    ours = {name: value for name, value in os.environ.items() if not name.startswith("EDGEPERSO_")}
    return {**ours, **QUIET, "FLWR_HOME": str(flower_home), "PATH": path, "PYTHONPATH": python}


def simulation_environment(flower_home: Path) -> dict[str, str]:
    """`environment` for Flower's own simulation.

    Ray asks the metadata addresses of three clouds on which machine it is, also when its statistics are off; it doesn't
    where a file in the home folder tells it. So the home folder is Flower's.
    """
    flower_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (flower_home / "ray_bootstrap_config.yaml").write_text("provider: {type: local}\n")
    # Packages that the person installed for themselves are still found.
    packages = os.environ.get("PYTHONUSERBASE") or site.getuserbase()
    return {**environment(flower_home), "HOME": str(flower_home), "PYTHONUSERBASE": packages}


# ---- long-lived ----------------------------------------------------------------------------------------------------


def superlink(
    *, host: str, port: int, certificates: Path | None, database: Path | None, simulation: bool = False
) -> list[str]:
    """The server's command.

    Args:
        host, port: where it listens, for everything.
        certificates: the folder of `make_certificates`; None: without TLS, for a simulation on this machine alone.
        database: keeps nodes and runs; None: in memory.
        simulation: virtual clients in place of SuperNodes.
    """
    command = ["flower-superlink", "--host", host, "--port", str(port), "--disable-runtime-dependency-installation"]
    if database is not None:
        command += ["--database", str(database)]
    if simulation:
        command.append("--simulation")
    if certificates is None:
        return [*command, "--insecure"]
    return [*command, *_tls(certificates), *([] if simulation else ["--enable-supernode-auth"])]


def supernode(
    *, server: str, port: int, certificates: Path, authority: Path, key: Path, config: Mapping[str, str | int]
) -> list[str]:
    """A device's command.

    Args:
        server: ``host:port`` of the SuperLink.
        port: on 127.0.0.1, for its own app.
        certificates: of the device itself, for that port.
        authority: the federation's ``ca.crt``.
        key: of `make_node_key`.
        config: what its app is told: ``broker``.
    """
    said = " ".join(f"{name}={json.dumps(value)}" for name, value in config.items())
    command = ["flower-supernode", "--superlink", server, "--root-certificates", str(authority.resolve())]
    command += ["--auth-supernode-private-key", str(key), "--node-config", said]
    return [*command, "--host", "127.0.0.1", "--port", str(port), *_tls(certificates)]


def _tls(folder: Path) -> list[str]:
    names = {"--ssl-ca-certfile": "ca.crt", "--ssl-certfile": "server.crt", "--ssl-keyfile": "server.key"}
    return [part for option, name in names.items() for part in (option, str((folder / name).resolve()))]


# ---- one question each ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connection:
    """A server as `flwr` knows it.

    Args:
        name: in Flower's configuration.
        env: `environment`.
        through: words before those of a command, such as ``ip netns exec hub``.
    """

    name: str
    env: Mapping[str, str]
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: Flower's words for it, such as ``finished:completed``."""

    run: str
    status: str

    @property
    def completed(self) -> bool:
        return self.status == "finished:completed"


def local_connection(
    name: str, env: Mapping[str, str], *, address: str, authority: Path | None, through: Sequence[str] = ()
) -> Connection:
    """Write the server into Flower's configuration; what else is in there is replaced.

    Args:
        address: ``host:port``.
        authority: the federation's ``ca.crt``; None: without TLS.
        through: see `Connection`.
    """
    trust = "insecure = true" if authority is None else f"root-certificates = {json.dumps(str(authority.resolve()))}"
    home = Path(env["FLWR_HOME"])
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = f'[superlink]\ndefault = "{name}"\n\n[superlink.{name}]\naddress = "{address}"\n{trust}\n'
    (home / "config.toml").write_text(text)
    return Connection(name, env, tuple(through))


def register_node(connection: Connection, public: Path) -> int:
    """Let the SuperNode with this key in.

    Returns:
        Its number.

    Raises:
        FederationError: the server refuses, or doesn't answer.
    """
    said = _flwr(connection, ["supernode", "register", str(public), connection.name, "--format", "json"])
    return int(said["node-id"])


def start_run(
    connection: Connection, app: Path, config: Mapping[str, Any], *, clients: int | None = None, cpus: int = 1
) -> str:
    """Start a run.

    Args:
        app: the folder with the app.
        config: what differs from the app's own configuration.
        clients: virtual ones, for a simulation; ``cpus`` of each.

    Returns:
        Its number.

    Raises:
        FederationError: the server refuses, or doesn't answer.
    """
    command = ["run", str(app), connection.name, "--format", "json"]
    for name, value in config.items():
        command += ["--run-config", f"{name}={json.dumps(value)}"]
    if clients is not None:
        command += ["--federation-config", f"num-supernodes={clients} client-resources-num-cpus={cpus}"]
    return str(_flwr(connection, command)["run-id"])


@overload
def finished(connection: Connection, run: str, *, timeout_s: float) -> Outcome: ...
@overload
def finished(connection: Connection, run: str, *, timeout_s: float, stop: Event) -> Outcome | None: ...
def finished(connection: Connection, run: str, *, timeout_s: float, stop: Event | None = None) -> Outcome | None:
    """Wait for the end of a run.

    Args:
        stop: once set, the waiting ends, with None.

    Raises:
        FederationError: it isn't over in time, or the server doesn't answer.
    """
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        (row,) = _flwr(connection, ["ls", connection.name, "--run-id", run, "--format", "json"])["runs"]
        if str(row["status"]).startswith("finished"):
            return Outcome(run, row["status"])
        if stop is None:
            time.sleep(_PULSE_S)
        elif stop.wait(_PULSE_S):
            return None
    raise FederationError("The run isn't over in time.")


def _flwr(connection: Connection, words: Sequence[str]) -> Any:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [*connection.through, str(Path(sys.executable).parent / "flwr"), *words],
            env=dict(connection.env),
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("Flower isn't installed.", hint='pip install "edgeperso[federated]"') from None
    except subprocess.TimeoutExpired:
        raise FederationError("The server doesn't answer.") from None
    start = done.stdout.find(b"{")
    try:
        said = json.loads(done.stdout[start:]) if start >= 0 else {}
    except ValueError:
        said = {}
    if done.returncode or not said.get("success", False):
        raise FederationError(f"`flwr {words[0]}` failed.", hint=str(said.get("error-message", "")) or None)
    return said
