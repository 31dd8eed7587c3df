"""The order that a client keeps: it answers once, nothing out of turn, and no round twice, also after a restart."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg import (
    Confirmations,
    Delivery,
    KeyList,
    Phase,
    RoundMemory,
    SecaggClient,
    Survivors,
)

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "secagg_cohort.py")))


# ---- the client's order --------------------------------------------------------------------------------------------


def test_an_answer_is_given_once_and_nothing_after_an_error() -> None:
    stage = MAKE.stage(4)
    stage.unmask()
    again: list[Callable[[SecaggClient], object]] = [
        lambda client: client.advertise(),
        lambda client: client.share(stage.keys),
        lambda client: client.masked(stage.deliveries[0], MAKE.update_for(client.identity)),
        lambda client: client.confirm(stage.survivors),
        lambda client: client.unmask(stage.confirmed),
    ]
    for call in again:
        with pytest.raises(SecaggFailed):
            call(stage.clients[0])
        assert stage.clients[0]._secrets is None


@pytest.mark.parametrize(
    "early",
    [
        lambda client: client.share(KeyList(())),
        lambda client: client.masked(Delivery({}), MAKE.update_for(b"x")),
        lambda client: client.confirm(Survivors(())),
        lambda client: client.unmask(Confirmations({})),
    ],
)
def test_a_message_out_of_turn_puts_the_client_out(early: Callable[[SecaggClient], object]) -> None:
    client: SecaggClient = MAKE.stage(4).clients[0]
    with pytest.raises(SecaggFailed):
        early(client)
    assert client.phase is Phase.OVER
    assert client._secrets is None
    with pytest.raises(SecaggFailed):
        client.advertise()


def test_a_cohort_below_the_persons_floor_is_not_joined() -> None:
    with pytest.raises(SecaggFailed, match="10"):
        MAKE.stage(12, floor=10).clients[0].advertise()
    assert MAKE.stage(12, floor=10, least_clients=10).clients[0].advertise()


# ---- the memory of rounds ------------------------------------------------------------------------------------------


def test_no_round_is_joined_twice_also_after_a_restart() -> None:
    store = MAKE.Store()
    memory = RoundMemory(store)
    memory.join(b"one", 3)
    memory.join(b"two", 1)
    for again in (memory, RoundMemory(MAKE.Store(store.state))):
        for round_ in (1, 2, 3):
            with pytest.raises(SecaggFailed):
                again.join(b"one", round_)
    RoundMemory(store).join(b"one", 4)
    with pytest.raises(SecaggFailed):
        RoundMemory(store).join(b"one", 4)


def test_a_client_remembers_before_it_says_anything() -> None:
    stage = MAKE.stage(3)
    identity, roster = stage.clients[0]._identity, stage.clients[0]._roster

    class Broken(MAKE.Store):  # type: ignore[misc,name-defined]
        def save(self, state: bytes) -> None:
            raise OSError

    store = Broken()
    with pytest.raises(OSError):  # noqa: PT011
        SecaggClient(stage.plan, identity, roster, RoundMemory(store)).advertise()
    memory = RoundMemory(MAKE.Store())
    SecaggClient(stage.plan, identity, roster, memory).advertise()
    with pytest.raises(SecaggFailed, match="before"):
        SecaggClient(replace(stage.plan, group=1), identity, roster, memory).advertise()
    SecaggClient(replace(stage.plan, round=2), identity, roster, memory).advertise()


@pytest.mark.parametrize(
    "spoil", [b"", b"EPSR\x02", b"EPSR\x01x", b"EPSR\x01" + bytes(72), b"EPSR\x01" + bytes(36 * 10_001)]
)
def test_a_damaged_memory_is_refused(spoil: bytes) -> None:
    with pytest.raises(SecaggFailed):
        RoundMemory(MAKE.Store(spoil))
