"""The client's side of the socket: what a Flower client app calls, and all of it. Imports neither vault nor torch.

It carries a task's header and bytes as the server sent them, and the answer's bytes back; it understands neither.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeperso_federated.broker.protocol import MOST_BODY_BYTES, VERSION, Header, Refusal, Refused, Stream, peer_uid
from edgeperso_federated.errors import BrokerRefused

__all__ = ["Answer", "Proxy"]


@dataclass(frozen=True, slots=True)
class Answer:
    """``step`` is ``update``, or the step of secure aggregation that the bytes belong to."""

    step: str
    body: bytes


class Proxy:
    """A broker, as its clients see it.

    Args:
        path: of its socket.
        patience_s: how long to wait for an answer; longer than a round's training may take.
    """

    def __init__(self, path: Path, *, patience_s: float = 2 * 3600) -> None:
        self._path = path
        self._patience_s = patience_s

    def hello(self) -> None:
        """Whether a broker is there, and of this version.

        Raises:
            BrokerRefused: it isn't.
        """
        self._ask({"kind": "hello", "version": VERSION}, b"", _hello)

    def task(self, task: Header, tensors: bytes) -> Answer:
        """Have a round's task done.

        Args:
            task: `Task.to_header`, as the server made it.
            tensors: the round's global tensors, as ``update_to_bytes`` writes them.

        Raises:
            Refused: with the broker's word.
            BrokerRefused: no broker answers.
        """
        return self._ask({"kind": "task", "task": task}, tensors, _result)

    def result(self, run: str, round_: int, step: str, message: bytes) -> Answer:
        """Go on with a round that is summed in secret: the server's message for this step, and the device's answer.

        Args:
            run, round_: the run and the attempt that the order has.
            step: ``share`` with the server's KeyList, ``mask`` with its Delivery, ``confirm`` with its Survivors,
                ``unmask`` with its Confirmations.
            message: those bytes.

        Raises:
            Refused, BrokerRefused: as `task`.
        """
        header = {"kind": "result", "run": run, "attempt": round_, "step": step}
        return self._ask(header, message, _result)

    def _ask(self, header: Header, body: bytes, judge: Callable[[dict[str, Any]], str]) -> Answer:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._patience_s)
                connection.connect(os.fspath(self._path))
                if peer_uid(connection) != os.getuid():
                    raise BrokerRefused("Somebody else's process listens in the broker's place.")
                stream = Stream(connection, self._patience_s)
                # A broker that refuses early doesn't read on; its answer is there all the same.
                with suppress(BrokenPipeError, ConnectionResetError):
                    stream.send(header, body)
                answer, size = stream.receive_header()
                step = judge(answer)
                return Answer(step, stream.receive_body(size, MOST_BODY_BYTES))
        except OSError:
            raise BrokerRefused("No broker answers.", hint="Start it with `edgeperso fl join`.") from None


def _hello(answer: dict[str, Any]) -> str:
    if answer != {"kind": "hello", "version": VERSION}:
        raise _refusal(answer)
    return "hello"


def _result(answer: dict[str, Any]) -> str:
    step = answer.get("step")
    if answer.keys() != {"kind", "step"} or answer["kind"] != "result" or not isinstance(step, str):
        raise _refusal(answer)
    return step


def _refusal(answer: dict[str, Any]) -> BrokerRefused:
    if answer.keys() == {"kind", "why"} and answer["kind"] == "refused" and answer["why"] in set(Refusal):
        return Refused(Refusal(answer["why"]))
    return BrokerRefused("What answers isn't a broker of this version.")
