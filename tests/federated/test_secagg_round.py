"""Whole rounds: exact sums, drop-outs in every phase, broken clients, and what the server refuses."""

from __future__ import annotations

import runpy
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeperso.errors import UsageError
from edgeperso_federated.aggregation import Mean, Weighting
from edgeperso_federated.errors import SecaggFailed, UpdateInvalid
from edgeperso_federated.factors import Frame, Method, first_tensors, lora_from, narrowed, schema_for, tensors_of
from edgeperso_federated.secagg import (
    Delivery,
    Phase,
    SecaggPlan,
    SecaggServer,
    secure_sum,
    threshold,
)
from edgeperso_federated.secagg.shamir import PRIME, deal
from edgeperso_federated.update import Field, Schema, Update, unflatten

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "secagg_cohort.py")))
FRAMES = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "frames.py")))


def check_sum(stage: Any, members: list[bytes], got: Any) -> None:
    values, weight = MAKE.expected(stage.plan, members)
    assert got.members == tuple(members)
    assert got.weight == weight
    np.testing.assert_allclose(got.values, values, rtol=0, atol=len(members) * stage.plan.numbers.step)
    np.testing.assert_allclose(got.mean(), values / weight, rtol=1e-6, atol=stage.plan.numbers.step)


# ---- sums ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clients", "bits"), [(3, 64), (4, 32), (10, 64), (31, 32)])
def test_the_sum_is_exact_with_everybody_there(clients: int, bits: int) -> None:
    stage = MAKE.stage(clients, bits=bits)
    got = secure_sum(stage.server, stage.clients, MAKE.update_for)
    check_sum(stage, [client.identity for client in stage.clients], got)
    assert {client.phase for client in stage.clients} == {Phase.OVER}


@pytest.mark.parametrize("phase", [Phase.SHARE, Phase.MASK, Phase.CONFIRM, Phase.UNMASK])
def test_the_sum_is_exact_with_30_percent_leaving_in_a_phase(phase: Phase) -> None:
    stage = MAKE.stage(10)
    everybody = [client.identity for client in stage.clients]
    away = {everybody[0], everybody[4], everybody[9]}
    got = secure_sum(stage.server, stage.clients, MAKE.update_for, absent=lambda who, now: who in away and now == phase)
    stayed = everybody if phase > Phase.MASK else [one for one in everybody if one not in away]
    check_sum(stage, stayed, got)


def test_some_leave_in_every_phase() -> None:
    stage = MAKE.stage(16)
    everybody = [client.identity for client in stage.clients]
    leaves = dict(zip(everybody[1::4], [Phase.SHARE, Phase.MASK, Phase.CONFIRM, Phase.UNMASK], strict=True))
    got = secure_sum(stage.server, stage.clients, MAKE.update_for, absent=lambda who, now: leaves.get(who) == now)
    check_sum(stage, [one for one in everybody if leaves.get(one) not in (Phase.SHARE, Phase.MASK)], got)


def test_who_never_advertised_is_not_counted_as_gone() -> None:
    stage = MAKE.stage(10)
    away = {client.identity for client in stage.clients[:6]}
    absent = lambda who, now: who in away  # noqa: E731
    got = secure_sum(stage.server, stage.clients, MAKE.update_for, absent=absent)
    check_sum(stage, [client.identity for client in stage.clients[6:]], got)


@pytest.mark.parametrize("phase", [Phase.SHARE, Phase.MASK, Phase.CONFIRM, Phase.UNMASK])
def test_one_more_than_may_leave_fails_the_round(phase: Phase) -> None:
    stage = MAKE.stage(10)
    away = {client.identity for client in stage.clients[:4]}
    with pytest.raises(SecaggFailed):
        secure_sum(stage.server, stage.clients, MAKE.update_for, absent=lambda who, now: who in away and now == phase)
    assert stage.server.phase is Phase.OVER


def test_equal_weights_count_everybody_once() -> None:
    stage = MAKE.stage(5, weighting=Weighting.EQUAL)
    got = secure_sum(stage.server, stage.clients, MAKE.update_for)
    updates = [MAKE.update_for(client.identity) for client in stage.clients]
    assert got.weight == 5
    soft = np.mean([update.tensors["soft"] for update in updates], axis=0, dtype=np.float64)
    np.testing.assert_allclose(unflatten(stage.plan.schema, got.mean())["soft"], soft, rtol=1e-6)


def test_the_ffa_mean_of_three_ranks_with_30_percent_gone_is_the_oracles() -> None:
    """The mean through secure aggregation against the float64 mean of whole matrices, and against `Mean`'s."""
    frame: Frame = FRAMES.frame()
    held = first_tensors(frame, Method.FFA)
    schema = schema_for(frame, Method.FFA, 1, max_norm=100.0)
    stage = MAKE.stage(10, schema=schema)
    updates, products = {}, {}
    for number, client in enumerate(stage.clients):
        narrow = narrowed(frame, (2, 4, 8)[number % 3])
        after = FRAMES.trained(frame, narrow.lora.rank, held, number, "b")
        tensors = FRAMES.difference(tensors_of(frame, after), held, [one.name for one in schema.fields])
        updates[client.identity] = Update(tensors, 1 + 17 * number, {})
        products[client.identity] = FRAMES.product(after)
    away = {stage.clients[number].identity for number in (1, 5, 8)}
    absent = lambda who, now: who in away and now == Phase.MASK  # noqa: E731
    got = secure_sum(stage.server, stage.clients, updates.__getitem__, absent=absent)
    assert len(got.members) == 7
    plain, oracle = Mean(schema, held), np.zeros(1)
    for member in got.members:
        plain.add(updates[member])
        oracle = oracle + updates[member].examples * products[member]
    change = unflatten(schema, got.mean())
    added = {name: held[name] + change.get(name, 0) for name in held}
    assert FRAMES.apart(FRAMES.product(lora_from(frame, added)), oracle / plain.weight) < 1e-6
    for name, values in plain.change().items():
        np.testing.assert_allclose(change[name], values, rtol=1e-6, atol=1e-9)


def test_the_servers_memory_does_not_grow_with_clients() -> None:
    schema = Schema((Field("soft", (1 << 17,)),), 4.0, 1 << 20)
    peaks = []
    for clients in (4, 16):
        stage = MAKE.stage(clients, schema=schema)
        tracemalloc.start()
        secure_sum(stage.server, stage.clients, lambda who: MAKE.update_for(who, schema))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 20)


# ---- plans ---------------------------------------------------------------------------------------------------------


def test_the_threshold_is_over_two_thirds() -> None:
    assert [threshold(clients) for clients in (3, 4, 5, 6, 9, 10, 100)] == [3, 3, 4, 5, 7, 7, 67]
    for clients in range(3, 1025):
        assert 3 * threshold(clients) > 2 * clients
        assert threshold(clients) <= clients


@pytest.mark.parametrize(
    "changes",
    [
        {"run": b""},
        {"run": bytes(65)},
        {"round": 0},
        {"round": 2**32},
        {"group": -1},
        {"group": 2**16},
        {"least_clients": 2},
        {"least_clients": 8},
        {"most_clients": 1025},
        {"bits": 16},
    ],
)
def test_a_plan_out_of_bounds_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        MAKE.plan_for(7, **changes)


def test_a_plan_is_named_by_all_that_it_says() -> None:
    plan: SecaggPlan = MAKE.plan_for(7)
    others = [
        replace(plan, run=b"b run"),
        replace(plan, round=2),
        replace(plan, group=1),
        replace(plan, least_clients=4),
        replace(plan, most_clients=6),
        replace(plan, weighting=Weighting.EQUAL),
        replace(plan, bits=32),
        replace(plan, schema=replace(MAKE.SCHEMA, max_bytes=999)),
    ]
    assert replace(plan).digest() == plan.digest()
    assert len({plan.digest(), *(other.digest() for other in others)}) == 9


# ---- broken clients ------------------------------------------------------------------------------------------------


def test_a_client_with_an_update_that_does_not_fit_is_out_and_the_round_goes_on() -> None:
    stage = MAKE.stage(7)
    stage.share()
    bad = Update({**MAKE.update_for(b"x").tensors, "soft": np.full(7, np.nan, np.float32)}, 1, {})
    with pytest.raises(UpdateInvalid):
        stage.clients[2].masked(stage.deliveries[2], bad)
    assert stage.clients[2].phase is Phase.OVER
    finish(stage, {2})


def finish(stage: Any, away: set[int]) -> None:
    """From the masks on, without those who are away; the sum must be that of the others."""
    for number, client in enumerate(stage.clients):
        if number not in away:
            stage.server.take_masked(client.masked(stage.deliveries[number], MAKE.update_for(client.identity)))
    stage.survivors = stage.server.close_masked()
    there = [client for number, client in enumerate(stage.clients) if number not in away]
    for client in there:
        stage.server.take_confirmation(client.confirm(stage.survivors))
    confirmed = stage.server.close_confirmations()
    for client in there:
        stage.server.take_opening(client.unmask(confirmed))
    check_sum(stage, [client.identity for client in there], stage.server.close())


@pytest.mark.parametrize("spoil", ["altered", "swapped", "not a share"])
def test_shares_that_were_dealt_badly_to_some_are_left_out(spoil: str) -> None:
    """One dealer's shares to two of ten don't open, or aren't shares: the others' are enough."""
    stage = MAKE.stage(10)
    stage.share()
    for holder in (3, 8):
        dealt = dict(stage.deliveries[holder].dealt)
        if spoil == "altered":
            dealt[5] = replace(dealt[5], sealed=dealt[5].sealed[:-1] + bytes([dealt[5].sealed[-1] ^ 1]))
        elif spoil == "swapped":
            dealt[5] = stage.deliveries[0].dealt[5]
        else:
            dealt[5] = replace(dealt[5], seed_digest=bytes(32))
        stage.deliveries[holder] = Delivery(dealt)
    finish(stage, {5})


def test_a_dealer_whose_shares_fit_nothing_fails_the_round_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = MAKE.stage(7)
    stage.advertise()
    for number, client in enumerate(stage.clients):
        with monkeypatch.context() as patch:
            if number == 3:
                patch.setattr(
                    "edgeperso_federated.secagg.client.deal",
                    lambda secret, threshold, holders: deal(secret[::-1], threshold, holders),
                )
            stage.server.take_shares(client.share(stage.keys))
    delivery = stage.server.close_shares()
    stage.deliveries = [delivery(client.identity) for client in stage.clients]
    with pytest.raises(SecaggFailed, match="without them"):
        finish(stage, set())
    assert stage.server.offenders == {stage.clients[3].identity}


def test_a_share_out_of_the_field_does_not_spoil_its_holders_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = MAKE.stage(10)
    stage.advertise()

    def too_large(secret: bytes, threshold: int, holders: int) -> list[bytes]:
        return [PRIME.to_bytes(33, "little")] * 2 + deal(secret, threshold, holders)[2:]

    for number, client in enumerate(stage.clients):
        with monkeypatch.context() as patch:
            if number == 6:
                patch.setattr("edgeperso_federated.secagg.client.deal", too_large)
            stage.server.take_shares(client.share(stage.keys))
    delivery = stage.server.close_shares()
    stage.deliveries = [delivery(client.identity) for client in stage.clients]
    finish(stage, set())


def test_wrong_opened_shares_are_refused_and_the_others_are_enough() -> None:
    stage = MAKE.stage(7)
    stage.confirm()
    for number, client in enumerate(stage.clients):
        opening = client.unmask(stage.confirmed)
        if number < 2:
            shares = {**opening.shares, 4: bytes(33)}
            unsigned = replace(opening, shares=shares)
            signature = client._identity.sign(b"opening", client._joined().digest, unsigned.body())
            with pytest.raises(SecaggFailed, match="isn't the one"):
                stage.server.take_opening(replace(unsigned, signature=signature))
        else:
            stage.server.take_opening(opening)
    check_sum(stage, [client.identity for client in stage.clients], stage.server.close())


def test_a_masked_vector_of_garbage_is_seen_in_the_sum() -> None:
    stage = MAKE.stage(5)
    stage.share()
    for number, client in enumerate(stage.clients):
        masked = client.masked(stage.deliveries[number], MAKE.update_for(client.identity))
        if number == 1:
            numbers = masked.numbers + np.uint64(1 << 61)
            body = replace(masked, numbers=numbers).body()
            signature = client._identity.sign(b"masked", client._joined().digest, body)
            masked = replace(masked, numbers=numbers, signature=signature)
        stage.server.take_masked(masked)
    stage.survivors = stage.server.close_masked()
    for client in stage.clients:
        stage.server.take_confirmation(client.confirm(stage.survivors))
    confirmed = stage.server.close_confirmations()
    for client in stage.clients:
        stage.server.take_opening(client.unmask(confirmed))
    with pytest.raises(SecaggFailed, match="none that allowed"):
        stage.server.close()


# ---- the server refuses --------------------------------------------------------------------------------------------


def server_refuses(take: Callable[[], object]) -> None:
    with pytest.raises(SecaggFailed):
        take()


def test_each_message_counts_once_and_in_its_phase() -> None:
    stage = MAKE.stage(4)
    server: SecaggServer = stage.server
    stage.unmask()
    server_refuses(lambda: server.take_advert(stage.adverts[0]))
    server_refuses(lambda: server.take_shares(stage.shares[0]))
    server_refuses(lambda: server.take_masked(stage.masked[0]))
    server_refuses(lambda: server.take_confirmation(stage.confirmations[0]))
    server_refuses(lambda: server.take_opening(stage.openings[0]))
    server_refuses(server.close_masked)
    check_sum(stage, [client.identity for client in stage.clients], server.close())
    server_refuses(server.close)


def test_a_message_twice_changes_nothing() -> None:
    stage = MAKE.stage(4)
    stage.share()
    for number, client in enumerate(stage.clients):
        masked = client.masked(stage.deliveries[number], MAKE.update_for(client.identity))
        stage.server.take_masked(masked)
        server_refuses(lambda masked=masked: stage.server.take_masked(masked))
    stage.survivors = stage.server.close_masked()
    for client in stage.clients:
        stage.server.take_confirmation(client.confirm(stage.survivors))
    confirmed = stage.server.close_confirmations()
    for client in stage.clients:
        stage.server.take_opening(client.unmask(confirmed))
    check_sum(stage, [client.identity for client in stage.clients], stage.server.close())


def test_adverts_of_strangers_and_with_bad_keys_are_refused() -> None:
    stage = MAKE.stage(5)
    adverts = [client.advertise() for client in stage.clients]
    plan = stage.plan
    server = SecaggServer(plan, frozenset(advert.sender for advert in adverts[:4]))
    server_refuses(lambda: server.take_advert(adverts[4]))
    server.take_advert(adverts[0])
    server_refuses(lambda: server.take_advert(adverts[0]))
    server_refuses(lambda: server.take_advert(replace(adverts[1], mask_key=adverts[2].mask_key)))

    def signed(**keys: bytes) -> Any:
        advert = replace(adverts[1], **keys)
        signature = stage.clients[1]._identity.sign(b"advert", plan.digest(), advert.body())
        return replace(advert, signature=signature)

    for keys in (
        {"mask_key": bytes(32)},
        {"cipher_key": b"\x01" + bytes(31)},
        {"mask_key": adverts[0].mask_key},
        {"cipher_key": adverts[0].mask_key},
        {"cipher_key": adverts[1].mask_key},
    ):
        server_refuses(lambda keys=keys: server.take_advert(signed(**keys)))
    server.take_advert(signed())
    server_refuses(server.close_adverts)
    assert server.phase is Phase.OVER


def test_a_full_cohort_takes_nobody_more() -> None:
    stage = MAKE.stage(5, most_clients=4)
    adverts = [client.advertise() for client in stage.clients]
    for advert in adverts[:4]:
        stage.server.take_advert(advert)
    server_refuses(lambda: stage.server.take_advert(adverts[4]))


def test_what_others_signed_or_of_another_form_is_refused() -> None:
    stage = MAKE.stage(5)
    stage.advertise()
    shares = [client.share(stage.keys) for client in stage.clients]
    identity = stage.clients[0]._identity
    server_refuses(lambda: stage.server.take_shares(replace(shares[0], sender=shares[1].sender)))
    fewer = replace(shares[0], dealt=shares[0].dealt[1:])
    signature = identity.sign(b"shares", stage.clients[0]._joined().digest, fewer.body())
    server_refuses(lambda: stage.server.take_shares(replace(fewer, signature=signature)))
    for one in shares:
        stage.server.take_shares(one)
    delivery = stage.server.close_shares()
    masked = stage.clients[0].masked(delivery(identity.public), MAKE.update_for(identity.public))
    server_refuses(lambda: stage.server.take_masked(replace(masked, numbers=masked.numbers[1:])))
    server_refuses(lambda: stage.server.take_masked(replace(masked, numbers=masked.numbers.astype("<i8"))))
    server_refuses(lambda: stage.server.take_masked(replace(masked, numbers=masked.numbers + np.uint64(1))))
    stage.server.take_masked(masked)
