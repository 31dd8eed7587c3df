"""One client's reply, or silence, is no other one's trouble."""

from __future__ import annotations

import time
from threading import Event

import httpx
import pytest

pytest.importorskip("flwr")

from flwr.app import ConfigRecord, RecordDict

from edgeperso_federated.broker.protocol import Refusal
from edgeperso_federated.flower import link as link_module
from edgeperso_federated.flower.link import Link
from edgeperso_federated.flower.wire import Reply, reply, request

from .flower_grid import ErrorGrid, FakeGrid

ASKED = request("task", {}, b"x")
GOOD = reply(Reply("update", b"good"))


def raises(_: RecordDict) -> RecordDict:
    raise ValueError("a stranger's bytes")


def asked(grid: FakeGrid, count: int, timeout_s: float = 10.0) -> dict[int, Reply | None]:
    found = list(Link(grid, sorted(grid.nodes), pulse_s=0.01).ask(dict.fromkeys(range(count), ASKED), timeout_s))
    assert len(found) == count
    return dict(found)


def test_bad_replies_are_absences_and_the_others_count() -> None:
    nodes = {
        10: lambda _: GOOD,
        11: raises,
        12: lambda _: RecordDict({"x": ConfigRecord({"y": 1})}),
        13: lambda _: reply(Reply("", refused=Refusal.BUSY)),
        14: lambda _: GOOD,
    }
    found = asked(FakeGrid(nodes), 5)
    assert [found[client] for client in (0, 1, 2, 4)] == [
        Reply("update", b"good"),
        None,
        None,
        Reply("update", b"good"),
    ]
    assert found[3] == Reply("", refused=Refusal.BUSY)


def test_an_error_of_flowers_is_an_absence() -> None:
    assert asked(ErrorGrid({10: raises}), 1) == {0: None}


def test_a_reply_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_STUCK_S", 0.2)
    over = Event()

    def hangs(_: RecordDict) -> None:
        over.wait(30)

    nodes = dict.fromkeys(range(4), hangs) | {number: lambda _: GOOD for number in range(4, 8)}
    began = time.monotonic()
    found = asked(FakeGrid(nodes), 8, timeout_s=5.0)
    over.set()
    assert 4.5 < time.monotonic() - began < 8
    assert [client for client, one in found.items() if one] == [4, 5, 6, 7]


def test_who_answers_later_is_waited_for_and_a_broken_line_is_tried_again() -> None:
    tries = []

    def late(_: RecordDict) -> RecordDict | None:
        tries.append(1)
        if len(tries) == 2:
            raise httpx.ConnectError("gone for a moment")
        return GOOD if len(tries) > 3 else None

    assert asked(FakeGrid({10: late}), 1) == {0: Reply("update", b"good")}
    assert len(tries) == 4


def test_who_is_not_connected_is_absent_at_once_and_new_nodes_get_new_numbers() -> None:
    grid = FakeGrid({12: lambda _: GOOD, 5: lambda _: GOOD})
    link = Link(grid, [7, 12], pulse_s=0.01)
    assert link.online() == {1, 2}
    assert link.nodes == [7, 12, 5]
    found = dict(link.ask(dict.fromkeys(range(4), ASKED), 10.0))
    assert {client for client, one in found.items() if one} == {1, 2}
    assert [node for node, _ in grid.asked] == [12, 5]


def test_waiting_for_clients_ends() -> None:
    link = Link(FakeGrid({1: raises, 2: raises}), [], pulse_s=0.01)
    assert link.wait_for(2, 10.0) == 2
    assert link.wait_for(3, 0.1) == 2
