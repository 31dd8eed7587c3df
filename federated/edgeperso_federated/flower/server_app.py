"""The server app: drives a `FederatedRun` over Flower's grid, round by round, and goes on from where it was killed.

In its folder: ``state`` (the run), ``run.json`` (its name, seeds and nodes), ``rounds.jsonl`` (a line of numbers a
round), ``adapter.gguf`` (as last published). A run that came to nothing raises, so that Flower calls it failed.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from edgeperso.adaptation.bridge.exchange import export_adapter
from edgeperso.adaptation.gate import adapter_key, mean_nats
from edgeperso.adaptation.general import general_examples
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Worn
from edgeperso_federated.broker.task import Group, LocalPlan, Task
from edgeperso_federated.canary import Regression
from edgeperso_federated.errors import RoundFailed
from edgeperso_federated.factors import Frame, first_tensors, lora_from
from edgeperso_federated.flower.link import Link
from edgeperso_federated.flower.secure import GroupSum
from edgeperso_federated.flower.settings import Books, Settings
from edgeperso_federated.flower.wire import request
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.rounds import FederatedRun, Round
from edgeperso_federated.server_state import Outcome, StateFile, tell
from edgeperso_federated.update import Tensors, Update, update_to_bytes

__all__ = ["Server", "app"]

_LOG = logging.getLogger("flwr")


def main(grid: Grid, context: Context) -> None:
    """Raises:
    EdgepersoError: the configuration doesn't fit, or the run came to nothing.
    """
    Server(Settings(context.run_config), grid).run()


app = ServerApp()
app.main()(main)


class Server:
    """One run over one grid.

    Raises:
        UsageError, ModelNotFound, ModelCorrupt, ModelUnsupported: as `Settings.plan`.
        FederationError: the folder holds another run.
    """

    def __init__(self, settings: Settings, grid: Grid) -> None:
        self._settings = settings
        self._folder = settings.folder
        self._books = Books.load(self._folder, settings.federation)
        plan = settings.plan(self._books)
        self._roster = settings.roster() if plan.secure else frozenset()
        self._link = Link(grid, list(self._books.nodes))
        self._books.save(self._folder)
        check = None
        if settings.check:
            first = first_tensors(plan.frame, plan.method)
            check = Regression(partial(_general_loss, settings.model, plan.frame), first)
        self._run = FederatedRun(plan, NoiseKey.new(), file=StateFile(self._folder / "state"), check=check)
        self._tensors = b""

    def run(self) -> None:
        """To the last round.

        Raises:
            RoundFailed: no round published an adapter that anybody had a part in (under central privacy one is
                published whoever answers).
        """
        run = self._run
        online = self._link.wait_for(run.plan.asked, self._settings.wait_s)
        _LOG.info("federation: %d clients are connected", online)
        while not run.over:
            self._round(run.open())
        if not any(record.outcome is Outcome.PUBLISHED and record.summed for record in run.state.records):
            raise RoundFailed("No round of the run published an adapter that anybody had a part in.")

    def _round(self, round_: Round) -> None:
        self._tensors = update_to_bytes(Update(round_.tensors, 1, {}))
        # New nodes get numbers before they are asked, and keep them: a round that is run again asks the same people.
        self._link.online()
        self._books = replace(self._books, nodes=tuple(self._link.nodes))
        self._books.save(self._folder)
        if self._run.plan.secure:
            self._sums(round_)
        else:
            task = request("task", self._task(round_, None), self._tensors)
            for client, reply in self._link.ask(dict.fromkeys(round_.asked, task), self._settings.deadline_s):
                round_.accept(client, reply.body if reply is not None and reply.step == "update" else None)
        record = self._run.close(round_)
        with (self._folder / "rounds.jsonl").open("a") as file:
            file.write(json.dumps(tell(record) | {"refused": self._link.refusals()}) + "\n")
        _LOG.info(
            "federation: round %d %s, %d of %d in it", record.round, record.outcome, record.summed, len(record.asked)
        )
        if record.outcome is Outcome.PUBLISHED:
            self._publish(self._folder / "adapter.gguf")

    def _sums(self, round_: Round) -> None:
        for group, members in enumerate(round_.groups):
            plan = round_.secure_plan(group)
            header = self._task(round_, Group(group, plan.least_clients, plan.most_clients, plan.bits))
            task = request("task", header, self._tensors)
            asking = GroupSum(self._link, plan, self._roster, round_.order)
            found = asking.run(dict.fromkeys(members, task), self._settings.deadline_s)
            round_.accept_sum(group, found, size_bytes=asking.received)

    def _task(self, round_: Round, group: Group | None) -> dict[str, object]:
        plan: LocalPlan = self._settings.local_plan()
        schema = round_.schema.digest().hex()
        return Task(self._settings.federation, round_.order, plan, schema, group).to_header()

    def _publish(self, path: Path) -> None:
        """The adapter of the last published round, written whole or not at all."""
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        export_adapter(lora_from(self._run.plan.frame, self._run.tensors), part)
        part.replace(path)


def _general_loss(model: Path, frame: Frame, tensors: Tensors) -> float:
    """Nats a token over the general texts, on the model as people run it."""
    adapter = lora_from(frame, tensors)
    with Engine.open(model) as engine:
        engine.wear([Worn(adapter_key(adapter), adapter)])
        return float(mean_nats(engine, general_examples(engine)).mean())
