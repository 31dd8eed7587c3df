"""A real federation on this machine: people with vaults, brokers, Flower's server and nodes, each a process."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgeperso.vault import KeyFile, Vault
from edgeperso_federated.broker.consent import Consent, save_consent
from edgeperso_federated.deploy.certificates import make_certificates, make_node_key
from edgeperso_federated.deploy.commands import (
    Connection,
    environment,
    local_connection,
    register_node,
    superlink,
    supernode,
)
from edgeperso_federated.deploy.processes import Process, wait_for_port
from edgeperso_federated.errors import FederationError

from .broker_world import consent, fill
from .ports import free_ports

APP = Path(__file__).parents[2] / "federated"
RUN = {
    "federation": "birds", "rank": 4, "alpha": 8.0, "targets": "attn_q attn_v", "rounds": 3, "population": 2,
    "cohort": 2, "quorum": 2, "secure": False, "privacy": "local", "epsilon": 50.0, "check": False, "minutes": 1.0,
    "wait-s": 90.0, "deadline-s": 90.0,
}  # fmt: skip
"""Of a run with two people."""

Place = Callable[[int | None, list[str]], list[str]]
"""What a command becomes where it is to run: of the server (None), or of a person."""


def here(_: int | None, command: list[str]) -> list[str]:
    return command


@dataclass
class Federation:
    """What of it is looked at; ``serve`` starts the server, after the first one was killed."""

    folder: Path
    connection: Connection
    serve: Callable[[], Process]
    link: Process
    processes: list[Process] = field(default_factory=list)

    @property
    def model(self) -> Path:
        return self.folder / "tiny.gguf"

    @property
    def run_folder(self) -> Path:
        return self.folder / "run"

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.rglob("*.log")))


@contextmanager
def federation(
    folder: Path,
    people: int,
    *,
    place: Place = here,
    host: str = "127.0.0.1",
    ask: Sequence[str] = (),
    tap: Callable[[Path], Path] = lambda socket: socket,
    terms: Consent | None = None,
) -> Iterator[Federation]:
    """Server, and people who have consented, each with a broker and a node. All ends with the context.

    Args:
        place: where the processes run.
        host: of the server.
        ask: words before those of `flwr`, so that it is asked from elsewhere.
        tap: the socket that a node is told in place of its broker's.
        terms: of everybody's consent; None: the usual ones.
    """
    tiny_model = runpy.run_path(str(Path(__file__).parent.parent / "engine" / "gguf_files.py"))["tiny_model"]
    (folder / "tiny.gguf").write_bytes(tiny_model())
    make_certificates(folder / "server", [host])
    port, *ports = free_ports(1 + people)
    env = environment(folder / "server" / "flwr")
    with ExitStack() as stack:

        def start(where: int | None, command: list[str], env: dict[str, str], log: str) -> Process:
            return stack.enter_context(Process(place(where, command), env, folder / log))

        def serve() -> Process:
            certificates, database = folder / "server", folder / "server" / "db"
            command = superlink(host=host, port=port, certificates=certificates, database=database)
            link = start(None, command, env, "link.log")
            if place is here:
                wait_for_port(link, host, port)
            return link

        link = serve()
        connection = local_connection(
            "birds", env, address=f"{host}:{port}", authority=folder / "server" / "ca.crt", through=ask
        )
        made = Federation(folder, connection, serve, link)
        for person in range(people):
            made.processes += _person(folder, person, f"{host}:{port}", ports[person], connection, start, tap, terms)
        yield made


def _person(
    folder: Path,
    person: int,
    server: str,
    port: int,
    connection: Connection,
    start: Callable[..., Process],
    tap: Callable[[Path], Path],
    terms: Consent | None,
) -> list[Process]:
    own = folder / str(person)
    vault, _ = Vault.create(own / "home", KeyFile(own / "me.key"))
    with vault:
        fill(vault)
        save_consent(vault, terms or consent())
    make_certificates(own / "tls", [])
    _patiently(connection, make_node_key(own / "node"))
    env = environment(own / "flwr")
    broker = [sys.executable, "-m", "edgeperso_federated.broker", "--home", str(own / "home")]
    broker += ["--key-file", str(own / "me.key"), "--model", str(folder / "tiny.gguf")]
    socket = own / "socket" / "broker"
    node = supernode(
        server=server,
        port=port,
        certificates=own / "tls",
        authority=folder / "server" / "ca.crt",
        key=own / "node",
        config={"broker": str(tap(socket))},
    )
    return [
        start(person, [*broker, "--socket", str(socket)], env, f"{person}/broker.log"),
        start(person, node, env, f"{person}/node.log"),
    ]


def _patiently(connection: Connection, public: Path, tries: int = 8) -> None:
    """The server may not listen yet."""
    for left in reversed(range(tries)):
        try:
            register_node(connection, public)
        except FederationError:
            if not left:
                raise
        else:
            return
