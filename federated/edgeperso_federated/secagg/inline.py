"""A whole round between clients and a server in one process, for simulations and tests; messages go as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg.client import Phase, SecaggClient
from edgeperso_federated.secagg.messages import (
    Advert,
    Confirmation,
    Confirmations,
    Delivery,
    KeyList,
    Masked,
    Opening,
    Shares,
    Survivors,
)
from edgeperso_federated.secagg.server import SecaggServer, SecureSum
from edgeperso_federated.update import Update

__all__ = ["secure_sum"]


class _Message(Protocol):
    def to_bytes(self) -> bytes: ...


def secure_sum(
    server: SecaggServer,
    clients: Iterable[SecaggClient],
    update_of: Callable[[bytes], Update],
    *,
    absent: Callable[[bytes, Phase], bool] = lambda _identity, _phase: False,
) -> SecureSum:
    """The sum of the updates of those who stay to the phase of masks.

    Args:
        update_of: a client's update by its identity; asked for when it is masked, one at a time, and not kept.
        absent: whether a client gives no answer in this phase, nor in any later one.

    Raises:
        SecaggFailed: too few stay.
        UpdateInvalid: an update isn't the schema's.
    """
    there = {client.identity: client for client in clients}

    def ask(phase: Phase, answer: Callable[[SecaggClient], _Message], take: Callable[[bytes], None]) -> None:
        for identity, client in sorted(there.items()):
            if absent(identity, phase):
                del there[identity]
                continue
            try:
                take(answer(client).to_bytes())
            except SecaggFailed:
                del there[identity]

    plan = server.plan
    ask(Phase.ADVERTISE, lambda client: client.advertise(), lambda data: server.take_advert(Advert.from_bytes(data)))
    keys = KeyList.from_bytes(server.close_adverts().to_bytes())
    ask(Phase.SHARE, lambda client: client.share(keys), lambda data: server.take_shares(Shares.from_bytes(data)))
    delivery = server.close_shares()
    ask(
        Phase.MASK,
        lambda client: client.masked(
            Delivery.from_bytes(delivery(client.identity).to_bytes()), update_of(client.identity)
        ),
        lambda data: server.take_masked(Masked.from_bytes(data, plan)),
    )
    survivors = Survivors.from_bytes(server.close_masked().to_bytes())
    ask(
        Phase.CONFIRM,
        lambda client: client.confirm(survivors),
        lambda data: server.take_confirmation(Confirmation.from_bytes(data)),
    )
    confirmations = Confirmations.from_bytes(server.close_confirmations().to_bytes())
    ask(
        Phase.UNMASK,
        lambda client: client.unmask(confirmations),
        lambda data: server.take_opening(Opening.from_bytes(data)),
    )
    return server.close()
