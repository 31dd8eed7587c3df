"""One group's secure sum over Flower: the phases of `secagg`, each of them one question to every member.

Who answers wrongly, or not, is not asked again in this round; the others go on while they are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from flwr.app import RecordDict

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.flower.link import Link
from edgeperso_federated.flower.wire import request
from edgeperso_federated.orders import Order
from edgeperso_federated.secagg import (
    Advert,
    Confirmation,
    Masked,
    Opening,
    SecaggPlan,
    SecaggServer,
    SecureSum,
    Shares,
)

__all__ = ["GroupSum"]

_STEP_S: Final = 120.0
"""For an answer to a phase after the first one; the first one includes the training."""


class GroupSum:
    """One group of one round.

    Args:
        link: asks.
        plan: what the group agrees on.
        roster: the identities that may take part.
        order: the round's.
    """

    def __init__(self, link: Link, plan: SecaggPlan, roster: frozenset[bytes], order: Order) -> None:
        self._link = link
        self._server = SecaggServer(plan, roster)
        self._header = {"run": order.run, "round": order.attempt}
        self._identities: dict[int, bytes] = {}
        self.received = 0
        """Bytes."""

    def run(self, tasks: Mapping[int, RecordDict], timeout_s: float) -> SecureSum | None:
        """The sum; None: too few stayed, and nothing was revealed.

        Args:
            tasks: the request of each member that begins the round.
            timeout_s: for the training.
        """
        try:
            return self._run(tasks, timeout_s)
        except SecaggFailed:
            return None

    def _run(self, tasks: Mapping[int, RecordDict], timeout_s: float) -> SecureSum:
        server = self._server
        self._ask("advertise", tasks, self._take_advert, timeout_s)
        keys = server.close_adverts().to_bytes()
        self._step("share", lambda _: keys, lambda data: server.take_shares(Shares.from_bytes(data)))
        delivery = server.close_shares()
        self._step(
            "mask",
            lambda identity: delivery(identity).to_bytes(),
            lambda data: server.take_masked(Masked.from_bytes(data, server.plan)),
        )
        alive = server.close_masked().to_bytes()
        self._step("confirm", lambda _: alive, lambda data: server.take_confirmation(Confirmation.from_bytes(data)))
        signed = server.close_confirmations().to_bytes()
        self._step("unmask", lambda _: signed, lambda data: server.take_opening(Opening.from_bytes(data)))
        return server.close()

    def _take_advert(self, client: int, data: bytes) -> None:
        advert = Advert.from_bytes(data)
        self._server.take_advert(advert)
        self._identities[client] = advert.sender

    def _step(self, step: str, message: Callable[[bytes], bytes], take: Callable[[bytes], None]) -> None:
        asked = {
            client: request(step, self._header, message(identity)) for client, identity in self._identities.items()
        }
        left = self._ask(step, asked, lambda _client, data: take(data), _STEP_S)
        self._identities = {client: identity for client, identity in self._identities.items() if client in left}

    def _ask(
        self, step: str, asked: Mapping[int, RecordDict], take: Callable[[int, bytes], None], timeout_s: float
    ) -> set[int]:
        """Those whose answers count."""
        left = set()
        for client, found in self._link.ask(asked, timeout_s):
            if found is None or found.step != step:
                continue
            self.received += len(found.body)
            try:
                take(client, found.body)
            except SecaggFailed:
                continue
            left.add(client)
        return left
