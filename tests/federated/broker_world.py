"""A person with a vault, a tiny model and a broker, in this process; training is a fake that is quick and told what to
do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from edgeperso.adaptation.plan import LoraShape
from edgeperso.engine.gguf import check_model_file
from edgeperso.engine.origin import base_sha256
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault
from edgeperso_federated.broker.consent import Consent, Grant, save_consent
from edgeperso_federated.broker.desk import Desk, Work
from edgeperso_federated.broker.device import Device
from edgeperso_federated.broker.server import Broker
from edgeperso_federated.broker.task import LocalPlan, Task
from edgeperso_federated.factors import Frame, Method, first_tensors, frame_of
from edgeperso_federated.orders import Order
from edgeperso_federated.privacy.ledger import Budget
from edgeperso_federated.privacy.plans import Local
from edgeperso_federated.update import Update, update_to_bytes

CANARY = "xylophone heron quartz"
"""In every memory, in sources and in a scope's name."""
SCOPE = f"diary {CANARY}"
LOCAL = Local(clip=1.0, noise_multiplier=2.0, delta=1e-6)
SHAPE = LoraShape(4, 8.0, ("attn_q", "attn_v"))
GRANT = Grant((SCOPE,), needs="any", minutes=10.0)
TEXTS = [
    f"{opening} {CANARY} {ending}."
    for opening, ending in (
        ("Bought seeds from", "and planted them behind the shed"),
        ("My sister thinks", "would make a fine name for a boat"),
        ("Slept badly, dreamt of", "again, and of a train without doors"),
        ("Cooked lentils while humming", "in a minor key"),
        ("The dentist laughed when I said", "instead of yes"),
        ("Painted the fence the colour of", "on a rainy Tuesday"),
        ("Wrote four pages about", "before breakfast and tore up three"),
        ("Lost my umbrella beside", "near the library stairs"),
        ("Grandfather's watch stopped at noon, like", "in his story"),
        ("Learnt to whistle the tune called", "from a neighbour"),
        ("Ran nine kilometres, thinking only of", "and cold lemonade"),
        ("Decided that", "shall be the name of our tree house"),
        ("The choir rehearsed", "until the windows hummed along"),
        ("Fixed the bicycle lamp with wire and", "for good luck"),
        ("Nobody at the office has heard of", "so I explained it twice"),
    )
]


def fill(vault: Vault) -> None:
    vault.memories.add(
        Record(text=text, kind=Kind.NOTE, source=f"{CANARY}/{number}.md", scope=SCOPE)
        for number, text in enumerate(TEXTS)
    )


def consent(*, budget: Budget | None = None, **changes: Any) -> Consent:
    return Consent(budget or Budget(100.0, 1e-6), {"birds": replace(GRANT, **changes)})


@dataclass
class Trainer:
    """A training that never trains: the change it gives has this length."""

    length: float = 0.5
    examples: int = 3
    metrics: Mapping[str, float] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None
    seen: list[Work] = field(default_factory=list)
    changed: Callable[[Update], Update] = lambda update: update

    def __call__(self, work: Work) -> Update:
        self.before()
        self.seen.append(work)
        values = {name: np.ones_like(one) for name, one in work.tensors.items() if name.endswith(".b")}
        norm = np.sqrt(sum(one.size for one in values.values()))
        scaled = {name: one * np.float32(self.length / norm) for name, one in values.items()}
        return self.changed(Update(scaled, self.examples, dict(self.metrics)))


class World:
    def __init__(self, folder: Path, model: Path, trainer: Trainer | None = None) -> None:
        self.folder = folder
        self.model = model
        self.trainer = trainer or Trainer()
        self.vault, _ = Vault.create(folder / "home", KeyFile(folder / "me.key"))
        fill(self.vault)
        save_consent(self.vault, consent())
        self.stop = Event()
        self.device = Device(self.vault, model)
        self.desk = Desk(self.device, self.stop, self.trainer)
        self.path = folder / "socket" / "broker"

    @property
    def frame(self) -> Frame:
        return frame_of(check_model_file(self.model), base_sha256(self.model), SHAPE, 7)

    def order(self, **changes: Any) -> Order:
        usual: dict[str, Any] = {"run": "run-1", "round": 1, "attempt": 1, "method": Method.FFA, "bound": 1.0}
        usual |= {"base_sha256": self.device.base_sha256, "shape": SHAPE, "seed": 7, "privacy": LOCAL}
        return Order(**(usual | changes))

    def task(self, *, plan: LocalPlan | None = None, **changes: Any) -> Task:
        """A task that is done; changes are of its order, or its own."""
        own = {name: changes.pop(name) for name in ("federation", "group", "schema") if name in changes}
        order = self.order(**changes)
        schema = order.schema(self.frame).digest().hex()
        return Task(**({"federation": "birds", "schema": schema} | own), order=order, plan=plan or LocalPlan())

    def tensors(self, method: Method = Method.FFA) -> bytes:
        return update_to_bytes(Update(first_tensors(self.frame, method), 1, {}))

    def do(self, task: Task, tensors: bytes | None = None) -> bytes:
        """What the desk lets out."""
        judged = self.desk.judge(Task.from_header(task.to_header()))
        return self.desk.begin(judged, self.tensors() if tensors is None else tensors).body

    @contextmanager
    def listening(self, patience_s: float = 5.0) -> Iterator[None]:
        broker = Broker(self.desk, self.path, patience_s=patience_s)
        thread = Thread(target=broker.serve, args=(self.stop,))
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join(30)
            assert not thread.is_alive()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(20)
        connection.connect(str(self.path))
        return connection

    def reopened(self) -> Desk:
        """A desk as a new process would have it."""
        return Desk(Device(self.vault, self.model), Event(), self.trainer)

    def close(self) -> None:
        self.vault.close()
