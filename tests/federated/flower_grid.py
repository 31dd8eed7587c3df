"""A grid without Flower's processes: nodes are functions, each asked in the thread that pulls its reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

pytest.importorskip("flwr")

from flwr.app import Message, RecordDict
from flwr.app.error import Error
from flwr.supercore.task_identity import TaskIdentity

from edgeperso_federated.flower.client_app import Carrier, answered

Node = Callable[[RecordDict], RecordDict | None]
"""Gives the content of a reply; None: there is none yet. May raise, or hang."""


class FakeGrid:
    def __init__(self, nodes: dict[int, Node]) -> None:
        # Messages name the task that sends them.
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
        self.nodes = nodes
        self.sent: dict[str, Message] = {}
        self.asked: list[tuple[int, RecordDict]] = []

    def get_node_ids(self) -> Iterable[int]:
        return self.nodes.keys()

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        pushed = []
        for message in messages:
            name = f"message {len(self.sent)}"
            self.sent[name] = message
            self.asked.append((message.metadata.dst_node_id, message.content))
            pushed.append(name)
        return pushed

    def pull_messages(self, names: Iterable[str]) -> list[Message]:
        (name,) = names
        message = self.sent[name]
        content = self.nodes[message.metadata.dst_node_id](message.content)
        return [] if content is None else [Message(content, reply_to=message)]


class ErrorGrid(FakeGrid):
    """All nodes' replies are Flower's errors."""

    def pull_messages(self, names: Iterable[str]) -> list[Message]:
        (name,) = names
        return [Message(Error(200, "what a client's exception said"), reply_to=self.sent[name])]


def node_of(carrier: Carrier) -> Node:
    return lambda content: answered(content, lambda: carrier)
