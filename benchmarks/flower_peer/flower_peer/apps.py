"""The server notes when each round is over; a client answers with one of eight updates made beforehand."""

import json
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

__all__ = ["client", "server"]

DIFFERENT = 8


def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    clients, ended = int(config["clients"]), []

    def note(_round: int, _arrays: ArrayRecord) -> None:
        ended.append(perf_counter())

    def count(replies: list[RecordDict], _weight: str) -> MetricRecord:
        return MetricRecord({"answered": len(replies)})

    everybody = FedAvg(
        fraction_evaluate=0.0,
        min_train_nodes=clients,
        min_available_nodes=clients,
        train_metrics_aggr_fn=count,
    )
    zeros = ArrayRecord([np.zeros(int(config["values"]), np.float32) for _ in range(int(config["matrices"]))])
    result = everybody.start(grid, zeros, num_rounds=int(config["rounds"]), evaluate_fn=note)
    counted = [int(metrics["answered"]) for metrics in result.train_metrics_clientapp.values()]
    Path(str(config["out"])).write_text(json.dumps({"s": np.diff(ended).tolist(), "answered": counted}))


def train(message: Message, context: Context) -> Message:
    config = context.run_config
    number = int(context.node_config["partition-id"]) % DIFFERENT
    arrays = _made(int(config["seed"]), number, int(config["matrices"]), int(config["values"]))
    content = {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 1 + number})}
    return Message(RecordDict(content), reply_to=message)


@lru_cache(maxsize=DIFFERENT)
def _made(seed: int, number: int, matrices: int, values: int) -> list[np.ndarray]:
    random = np.random.default_rng([seed, number])
    return [random.standard_normal(values, np.float32) for _ in range(matrices)]


server = ServerApp()
server.main()(main)
client = ClientApp()
client.train()(train)
