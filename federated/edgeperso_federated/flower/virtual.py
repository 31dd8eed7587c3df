"""A simulation whose rounds go over Flower's grid: virtual clients train wherever Flower's engine (Ray) has room.

Any virtual node does the work of any client: a request says whose. So there are as many nodes as answers in a round at
most, and not as many as people; and what comes out is what the inline runner gives on one thread, but for the order in
which float64 sums are taken.

The run's only configuration is ``folder``, which the server and all workers see: `Asked` is read there.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from edgeperso.types import Progress
from edgeperso_federated.broker.protocol import Header, Refusal, Refused
from edgeperso_federated.broker.proxy import Answer
from edgeperso_federated.errors import FederationError
from edgeperso_federated.flower.client_app import client_app
from edgeperso_federated.flower.link import Link
from edgeperso_federated.flower.wire import request
from edgeperso_federated.orders import Order
from edgeperso_federated.rounds import FederatedRun, Round
from edgeperso_federated.simulation.asked import Asked
from edgeperso_federated.simulation.dropout import Absence
from edgeperso_federated.simulation.experiment import simulate, virtual_clients
from edgeperso_federated.simulation.page import result_of, write_page
from edgeperso_federated.simulation.people import TrainingClients
from edgeperso_federated.simulation.runner import After, Clients
from edgeperso_federated.update import Update, update_from_bytes, update_to_bytes

__all__ = ["client", "server"]

_NODES_S: Final = 120.0
_ROUND_S: Final = 6 * 3600.0
"""A virtual client that isn't done by then hangs."""


def main(grid: Grid, context: Context) -> None:
    """The whole simulation: its page and files are in the folder when it is over.

    Raises:
        EdgepersoError: as `simulate`.
        FederationError: there are no nodes, or a client's work failed.
    """
    folder = Path(str(context.run_config["folder"]))
    asked = Asked.load(folder)
    link = Link(grid, [])
    if not link.wait_for(asked.nodes, _NODES_S):
        raise FederationError("Flower's engine has no virtual nodes.")
    measured = simulate(asked.settings, asked.model, folder=folder, drive=partial(_drive, link))
    write_page(folder, result_of(asked.settings, measured))


server = ServerApp()
server.main()(main)


def _drive(
    link: Link, run: FederatedRun, _clients: Clients, *, absent: Absence, after: After, progress: Progress
) -> None:
    while not run.over:
        round_ = run.open()
        turn = round_.order.round
        here = [client for client in round_.asked if not absent(client, turn)]
        nodes = max(len(link.online()), 1)
        for start in range(0, len(here), nodes):
            _ask(link, round_, here[start : start + nodes])
            progress(f"round {turn}", min(start + nodes, len(here)), len(here))
        after(run.close(round_))


def _ask(link: Link, round_: Round, clients: list[int]) -> None:
    """Each client on a node of its own; a client that nothing came of is absent, as it is inline."""
    tensors = update_to_bytes(Update(round_.tensors, 1, {}))
    order = json.loads(round_.order.to_bytes())
    requests = {
        place: request("task", {"client": client, "order": order}, tensors) for place, client in enumerate(clients)
    }
    for place, reply in link.ask(requests, _ROUND_S):
        if reply is None or reply.refused not in (None, Refusal.LITTLE):
            raise FederationError("A virtual client's work failed.", hint="Flower's log in the folder tells more.")
        round_.accept(clients[place], reply.body if reply.refused is None else None)


# ---- on a worker ---------------------------------------------------------------------------------------------------


class _Virtual:
    """Does the work of the client that a request names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def task(self, task: Header, tensors: bytes) -> Answer:
        client, order = int(task["client"]), Order.from_bytes(json.dumps(task["order"]).encode())
        data = _clients_of(self._folder).answer(client, order, update_from_bytes(tensors).tensors)
        if data is None:
            raise Refused(Refusal.LITTLE)
        return Answer("update", data)

    def result(self, _run: str, _attempt: int, _step: str, _message: bytes) -> Answer:
        raise Refused(Refusal.SECAGG)


@lru_cache(maxsize=1)
def _clients_of(folder: Path) -> TrainingClients:
    # Workers stand side by side, one a core: the trainer keeps to this limit.
    os.environ["OMP_THREAD_LIMIT"] = "1"
    asked = Asked.load(folder)
    return virtual_clients(asked.settings, asked.model)


client = client_app(lambda context: _Virtual(Path(str(context.run_config["folder"]))))
