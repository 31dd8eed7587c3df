"""``edgeperso fl identity|consent|withdraw|serve|join``: federations between machines, for those who run one and for
those who take part."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from edgeperso.cli.frame import Run, verb
from edgeperso.cli.options import ModelOption
from edgeperso.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from edgeperso_federated.broker.consent import Consent
    from edgeperso_federated.deploy.commands import Connection

__all__ = ["app"]

app = typer.Typer()

_FOLDER: Final = "federation"
_FOREVER_S: Final = 30 * 24 * 3600.0
FederationArgument = Annotated[str, typer.Argument(metavar="FEDERATION", help="Its name: a-z, 0-9 and dashes.")]
PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="Where the server listens.")]


# ---- a person ------------------------------------------------------------------------------------------------------


@verb(app, "identity")
def identity(run: Run) -> None:
    """Your public identity and your node's public key: who runs the federation needs both."""
    from edgeperso_federated.broker.device import identity_of
    from edgeperso_federated.deploy.certificates import make_certificates, make_node_key

    with run.vault() as vault:
        public = identity_of(vault).public.hex()
    own = run.home / _FOLDER
    if not (own / "node").exists():
        make_node_key(own / "node")
        make_certificates(own / "tls", [])
    key = own / "node.pub"
    run.out.result({"identity": public, "node_key": str(key)})
    run.out.answer(f"identity  {public}\nnode key  {key}")


@verb(app, "consent")
def consent(
    run: Run,
    name: FederationArgument,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", show_default=False, metavar="NAME", help="Whose memories may train; repeatable."),
    ] = None,
    needs: Annotated[
        str, typer.Option("--needs", metavar="WORD", help="masked, local or any: how an update has to be protected.")
    ] = "masked",
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="Of training in a round, at most.")] = 10.0,
    roster: Annotated[
        Path | None,
        typer.Option("--roster", show_default=False, metavar="FILE", help="Identities that may be in a secret sum."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", show_default=False, help="The budget of all your federations together, for good."),
    ] = None,
) -> None:
    """Let a federation train on memories of yours, on these terms. They replace earlier ones."""
    from edgeperso_federated.broker.consent import Consent, Grant, load_consent, save_consent
    from edgeperso_federated.privacy.ledger import Budget

    if not scope:
        raise UsageError("Say which memories may train.", hint="For example --scope default.")
    if needs not in ("masked", "local", "any"):
        raise UsageError("--needs is masked, local or any.")
    grant: dict[str, Any] = {"needs": needs, "minutes": minutes, "roster": _identities(roster)}
    with run.vault() as vault, vault.transaction():
        before = load_consent(vault)
        budget = before.budget if epsilon is None else Budget(epsilon, before.budget.delta)
        now = Consent(budget, {**before.grants, name: Grant(tuple(scope), **grant)})
        save_consent(vault, now)
    _show(run, now)


@verb(app, "withdraw")
def withdraw(run: Run, name: FederationArgument) -> None:
    """Take a consent back; it counts from the next round on. What was averaged already stays averaged."""
    from edgeperso_federated.broker.consent import Consent, load_consent, save_consent

    with run.vault() as vault, vault.transaction():
        before = load_consent(vault)
        if name not in before.grants:
            raise UsageError("There is no such consent.", hint="Names are written as they were given.")
        now = Consent(before.budget, {other: grant for other, grant in before.grants.items() if other != name})
        save_consent(vault, now)
    _show(run, now)


@verb(app, "join")
def join(
    run: Run,
    server: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Of the federation.")],
    authority: Annotated[
        Path, typer.Option("--authority", show_default=False, metavar="FILE", help="The federation's ca.crt.")
    ],
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="On this machine, for Flower's own use.")
    ] = 9094,
    model: ModelOption = None,
) -> None:
    """Take part until Ctrl-C: a broker, in this process, and Flower's node beside it, which sees no vault."""
    from edgeperso.assistant import DEFAULT_MODEL
    from edgeperso_federated.broker.run import run_broker
    from edgeperso_federated.deploy.commands import environment, supernode
    from edgeperso_federated.deploy.processes import Kept

    own = run.home / _FOLDER
    if not (own / "node").exists():
        raise UsageError("This vault has no node key yet.", hint="`edgeperso fl identity` makes one.")
    if not authority.is_file():
        raise UsageError("The federation's certificate isn't there.", hint="Whoever runs the server has it: ca.crt.")
    path = run.catalogue.locate(model or DEFAULT_MODEL)
    stop = Event()
    # A home's path can be too long for a socket's.
    with run.vault() as vault, tempfile.TemporaryDirectory(prefix="edgeperso-") as place, _ends(stop):
        socket = Path(place) / "broker"
        node = supernode(
            server=server,
            port=port,
            certificates=own / "tls",
            authority=authority,
            key=own / "node",
            config={"broker": str(socket)},
        )
        # Flower's node gives up where the server doesn't know it yet.
        with Kept(node, environment(own / "flower"), own / "node.log"):
            run_broker(vault, path, socket, stop, ready=lambda: run.out.note("Taking part; Ctrl-C ends it."))
    run.out.result({"ended": True})


# ---- who runs it ---------------------------------------------------------------------------------------------------


@verb(app, "serve", place=False, unlocks=False)
def serve(
    run: Run,
    name: FederationArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Keeps certificates, the run, and the adapter.")],
    address: Annotated[
        list[str] | None,
        typer.Option("--address", show_default=False, metavar="NAME", help="Of this machine; repeatable."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="0.0.0.0 listens on all networks.")] = "127.0.0.1",
    port: PortOption = 9091,
    node: Annotated[
        list[Path] | None,
        typer.Option("--node", show_default=False, metavar="FILE", help="A node's public key to let in; repeatable."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", show_default=False, metavar="NAME=VALUE", help="Of the run, as --set rounds=5."),
    ] = None,
    model: ModelOption = None,
) -> None:
    """Serve one run to its end. The same command goes on with it after a crash."""
    from edgeperso.assistant import DEFAULT_MODEL
    from edgeperso_federated.deploy.app import write_app
    from edgeperso_federated.deploy.certificates import make_certificates
    from edgeperso_federated.deploy.commands import environment, finished, local_connection, start_run, superlink
    from edgeperso_federated.deploy.processes import Process, wait_for_port
    from edgeperso_federated.errors import RoundFailed
    from edgeperso_federated.flower.settings import DEFAULTS

    folder = folder.resolve()
    config = {"federation": name, "model": str(run.catalogue.locate(model or DEFAULT_MODEL).resolve())}
    config |= {"folder": str(folder / "run"), **dict(map(_setting, settings or ()))}
    certificates, local = folder / "tls", "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104
    if not (certificates / "ca.crt").exists():
        make_certificates(certificates, [*(address or ()), local])
        run.out.note(f"Give those who take part {certificates / 'ca.crt'}.")
    app = write_app(
        folder / "app",
        "edgeperso-federated",
        server="edgeperso_federated.flower.server_app:app",
        client="edgeperso_federated.flower.client_app:app",
        config=DEFAULTS,
    )
    env = environment(folder / "flower")
    command = superlink(host=host, port=port, certificates=certificates, database=folder / "nodes.db")
    stop = Event()
    with _ends(stop), Process(command, env, folder / "server.log") as server:
        wait_for_port(server, local, port)
        here = local_connection("here", env, address=f"{local}:{port}", authority=certificates / "ca.crt")
        _let_in(here, node or [], folder)
        run.out.note(f"Serving on port {port}; Ctrl-C ends it.")
        found = finished(here, start_run(here, app, config), timeout_s=_FOREVER_S, stop=stop)
    if found is None:
        raise Cancelled("Stopped.", hint="The same command goes on with the run.")
    if not found.completed:
        raise RoundFailed("The run failed.", hint=f"{folder / 'run' / 'rounds.jsonl'} and server.log say why.")
    run.out.result({"status": found.status, "adapter": str(folder / "run" / "adapter.gguf")})
    run.out.answer(f"Done: {folder / 'run' / 'adapter.gguf'}")


# ---- within --------------------------------------------------------------------------------------------------------


def _let_in(connection: Connection, keys: list[Path], folder: Path) -> None:
    """Register the nodes that aren't yet."""
    from edgeperso_federated.deploy.commands import register_node

    known = folder / "nodes.pub"
    lines = known.read_text().splitlines() if known.exists() else []
    for key in keys:
        if (line := key.read_text().strip()) not in lines:
            register_node(connection, key)
            lines.append(line)
            known.write_text("\n".join(lines) + "\n")


def _setting(said: str) -> tuple[str, Any]:
    name, sign, value = said.partition("=")
    if not sign:
        raise UsageError("--set takes NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _identities(roster: Path | None) -> tuple[str, ...]:
    if roster is None:
        return ()
    try:
        return tuple(roster.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        raise UsageError("The roster can't be read.", hint="It has an identity of 64 hex digits a line.") from None


def _show(run: Run, now: Consent) -> None:
    told = {name: {"scopes": list(one.scopes), "needs": one.needs} for name, one in now.grants.items()}
    run.out.result({"epsilon": now.budget.epsilon, "delta": now.budget.delta, "federations": told})
    rows = [(name, ", ".join(one.scopes), one.needs, f"{one.minutes:g}") for name, one in now.grants.items()]
    run.out.rows([("federation", "scopes", "needs", "minutes"), *rows])


@contextmanager
def _ends(stop: Event) -> Iterator[None]:
    """Ctrl-C and a friendly kill set ``stop`` in place of breaking off."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM) if sys.platform != "win32" else (signal.SIGINT,)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
