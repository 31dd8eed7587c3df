"""The client app: it carries a task to the broker and the answer back. It holds no key, reads no data, loads no model,
and decides nothing.

A SuperNode runs whatever app its SuperLink sends, this one or another. That is why what protects the person isn't here
but in the broker, which is installed on the device and which no server can replace.

The SuperNode's configuration names the broker's socket: ``--node-config 'broker="/run/user/1000/edgeperso/broker"'``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from edgeperso_federated.broker.protocol import Header, Refusal, Refused
from edgeperso_federated.broker.proxy import Answer, Proxy
from edgeperso_federated.errors import BrokerRefused
from edgeperso_federated.flower.wire import Garbled, Reply, Request, read_request, reply

__all__ = ["Carrier", "answered", "app", "client_app"]


class Carrier(Protocol):
    """What answers tasks; `Proxy` is one."""

    def task(self, task: Header, tensors: bytes) -> Answer: ...
    def result(self, run: str, round_: int, step: str, message: bytes) -> Answer: ...


def client_app(carrier_of: Callable[[Context], Carrier]) -> ClientApp:
    """An app whose tasks go where ``carrier_of`` says: a virtual client of a simulation, say."""

    def train(message: Message, context: Context) -> Message:
        return Message(answered(message.content, lambda: carrier_of(context)), reply_to=message)

    made = ClientApp()
    made.train()(train)
    return made


def answered(content: RecordDict, carrier: Callable[[], Carrier]) -> RecordDict:
    """The reply to a request. It never raises: Flower sends an exception's text to the server."""
    try:
        answer = _asked(read_request(content), carrier())
    except Garbled:
        return reply(Reply("", refused=Refusal.GARBAGE))
    except Refused as refused:
        return reply(Reply("", refused=refused.why))
    except Exception:  # noqa: BLE001 - see above
        return reply(Reply("", refused=Refusal.FAILED))
    return reply(Reply(answer.step, answer.body))


def _asked(asked: Request, carrier: Carrier) -> Answer:
    if asked.step == "task":
        return carrier.task(asked.header, asked.body)
    run, attempt = asked.header.get("run"), asked.header.get("round")
    if not isinstance(run, str) or type(attempt) is not int:
        raise Garbled
    return carrier.result(run, attempt, asked.step, asked.body)


def _broker(context: Context) -> Carrier:
    path = context.node_config.get("broker")
    if not isinstance(path, str):
        raise BrokerRefused("The SuperNode's configuration names no broker.")
    return Proxy(Path(path))


app = client_app(_broker)
