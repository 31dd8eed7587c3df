"""Clients whose updates are made up: of client ``n`` all values are the same, and of length ``0.1 · (n + 1)`` together.

Some of them are hostile, as the run's configuration says.
"""

from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from edgeperso.engine.gguf import check_model_file
from edgeperso_federated.broker.proxy import Answer
from edgeperso_federated.broker.task import Task
from edgeperso_federated.factors import frame_of
from edgeperso_federated.flower.client_app import answered
from edgeperso_federated.flower.server_app import app as server
from edgeperso_federated.update import Update, unflatten, update_to_bytes

__all__ = ["client", "server"]

client = ClientApp()


class Made:
    def __init__(self, model: Path, number: int, behaviour: str) -> None:
        self.model = model
        self.number = number
        self.behaviour = behaviour

    def task(self, task, tensors):
        said = Task.from_header(task)
        order = said.order
        frame = frame_of(check_model_file(self.model), order.base_sha256, order.shape, order.seed)
        schema = order.schema(frame)
        length = 1e6 if self.behaviour == "norm" else 0.1 * (self.number + 1)
        vector = np.full(schema.size, length / np.sqrt(schema.size), np.float32)
        if self.behaviour == "nan":
            vector[3] = np.nan
        data = update_to_bytes(Update(unflatten(schema, vector), 1, {}))
        return Answer("update", b"\x80\x04garbage" if self.behaviour == "garbage" else data)


@client.train()
def train(message: Message, context: Context) -> Message:
    number = int(context.node_config["partition-id"])
    behaviours = str(context.run_config["behaviour"]).split()
    behaviour = behaviours[number % len(behaviours)]
    if behaviour == "raises":
        raise RuntimeError("in the middle of it")
    if behaviour == "records":
        return Message(RecordDict({"x": ConfigRecord({"y": [1, 2]})}), reply_to=message)
    if behaviour == "numpy":
        array = Array("object", (3,), "numpy.ndarray", b"not numpy")
        content = RecordDict({"answer": ConfigRecord({"step": "update"}), "body": ArrayRecord({"body": array})})
        return Message(content, reply_to=message)
    made = Made(Path(str(context.run_config["model"])), number, behaviour)
    return Message(answered(message.content, lambda: made), reply_to=message)
