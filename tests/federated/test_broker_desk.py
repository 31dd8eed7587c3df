"""What the desk decides, and in which order: consent, replay, charge, training, protection, check; then bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgeperso.errors import ModelError
from edgeperso_federated.broker.consent import Grant, load_consent, save_consent
from edgeperso_federated.broker.desk import Reply
from edgeperso_federated.broker.device import identity_of, ledger_of
from edgeperso_federated.broker.protocol import Refusal, Refused
from edgeperso_federated.broker.task import Group, LocalPlan
from edgeperso_federated.factors import Method
from edgeperso_federated.privacy.clipping import WITHIN
from edgeperso_federated.privacy.ledger import Budget
from edgeperso_federated.privacy.plans import Central, Local
from edgeperso_federated.secagg import Advert, Confirmation, Masked, Opening, SecaggServer, Shares
from edgeperso_federated.update import Update, norm, read_update, update_from_bytes

from .broker_world import CANARY, LOCAL, SCOPE, World, consent

CENTRAL = Central(1.0, 1.0, cohort=10, asked=10, population=100, delta=1e-3)


def refusal(action: Callable[[], object]) -> Refusal:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.why


# ---- what comes of a round -----------------------------------------------------------------------------------------


def test_a_round_gives_an_update_that_the_servers_schema_takes(world: World) -> None:
    task = world.task(privacy=None, metrics=frozenset({"loss"}))
    save_consent(world.vault, consent(budget=Budget(math.inf, 1e-6)))
    world.trainer.metrics = {"loss": 1.5}
    update = read_update(task.order.schema(world.frame), world.do(task))
    assert norm(update.tensors) == pytest.approx(0.5, rel=1e-6)
    assert (update.examples, update.metrics) == (3, {"loss": 1.5})
    assert len(world.trainer.seen[0].examples) == 11  # of 15, the four newest held out
    assert ledger_of(world.vault).bill().unprotected == 1


def test_local_noise_is_new_each_time_and_hides_how_many_texts_there_are(world: World) -> None:
    sent = [update_from_bytes(world.do(world.task(attempt=attempt))) for attempt in (1, 2)]
    assert [one.examples for one in sent] == [1, 1]
    assert not any(one.metrics for one in sent)
    plain = 0.5 / math.sqrt(world.task().order.schema(world.frame).size)
    for one in sent:
        assert np.std(np.concatenate([values.ravel() for values in one.tensors.values()])) == pytest.approx(
            4.0, rel=0.1
        )
    difference = sent[0].tensors["blk.0.attn_q.b"] - sent[1].tensors["blk.0.attn_q.b"]
    assert float(np.abs(difference).max()) > 1 > plain


def test_a_long_update_is_clipped_and_says_so_only_where_asked(world: World) -> None:
    world.trainer.length = 50.0
    task = world.task(privacy=CENTRAL, adaptive=True)
    update = read_update(task.order.schema(world.frame), world.do(task))
    assert norm(update.tensors) == pytest.approx(1.0, rel=1e-5)
    assert (update.examples, update.metrics) == (1, {WITHIN: 0.0})


@pytest.mark.parametrize("method", [Method.FFA, Method.ROLORA, Method.FEDAVG])
def test_global_tensors_are_the_methods(world: World, method: Method) -> None:
    task = world.task(method=method)
    other = Method.ROLORA if method is Method.FFA else Method.FFA
    assert refusal(lambda: world.do(task, world.tensors(other))) is Refusal.TENSORS
    assert refusal(lambda: world.do(task, world.tensors(method)[:-1])) is Refusal.TENSORS
    assert not world.trainer.seen
    assert ledger_of(world.vault).bill().rounds == 0


# ---- before anything is trained ------------------------------------------------------------------------------------


def test_nothing_is_agreed_to_by_default(world: World) -> None:
    world.vault.database.execute("DELETE FROM meta WHERE name LIKE 'federation.%'")
    assert load_consent(world.vault).grants == {}
    assert refusal(lambda: world.do(world.task())) is Refusal.CONSENT


@pytest.mark.parametrize(
    ("terms", "changes"),
    [
        ({"needs": "masked"}, {}),
        ({"needs": "local"}, {"privacy": CENTRAL}),
        ({"needs": "local"}, {"privacy": None}),
        ({"minutes": 4.9}, {}),
        ({}, {"federation": "bees"}),
        ({"least_cohort": 5}, {"secure": True, "group": Group(0, 4, 9)}),
    ],
)
def test_what_is_outside_the_terms_is_refused(
    world: World, terms: dict[str, object], changes: dict[str, object]
) -> None:
    save_consent(world.vault, consent(**terms))
    assert refusal(lambda: world.do(world.task(**changes))) is Refusal.CONSENT


def test_without_consent_no_other_word_is_said(world: World) -> None:
    for name in ("base_sha256", "schema"):
        task = world.task(federation="bees", **{name: "0" * 64})
        assert refusal(lambda t=task: world.do(t)) is Refusal.CONSENT


def test_another_base_or_schema_is_refused(world: World) -> None:
    assert refusal(lambda: world.do(world.task(base_sha256="0" * 64))) is Refusal.BASE
    assert refusal(lambda: world.do(world.task(schema="0" * 64))) is Refusal.SCHEMA
    larger = world.task(bound=2.0, privacy=replace(LOCAL, clip=2.0)).schema
    assert refusal(lambda: world.do(world.task(schema=larger))) is Refusal.SCHEMA


def test_consent_taken_back_counts_at_once(world: World) -> None:
    world.do(world.task())
    save_consent(world.vault, replace(load_consent(world.vault), grants={}))
    assert refusal(lambda: world.do(world.task(attempt=2))) is Refusal.CONSENT


def test_a_round_is_done_once_also_after_a_restart(world: World) -> None:
    world.do(world.task(attempt=5))
    for attempt in (5, 4):
        assert refusal(lambda a=attempt: world.do(world.task(attempt=a))) is Refusal.REPLAY
    again = world.reopened()
    assert refusal(lambda: again.begin(again.judge(world.task(attempt=5)), world.tensors())) is Refusal.REPLAY
    assert ledger_of(world.vault).bill().rounds == 1


def test_only_granted_scopes_train(world: World) -> None:
    save_consent(world.vault, consent(scopes=("work",)))
    assert refusal(lambda: world.do(world.task())) is Refusal.LITTLE
    assert ledger_of(world.vault).bill().rounds == 0


def test_the_charge_comes_before_the_training_and_outlives_it(world: World) -> None:
    def die() -> None:
        assert ledger_of(world.vault).bill().rounds == 1
        raise KeyboardInterrupt

    world.trainer.before = die
    with pytest.raises(KeyboardInterrupt):
        world.do(world.task())
    assert ledger_of(world.vault).bill().rounds == 1
    assert refusal(lambda: world.do(world.task())) is Refusal.REPLAY


def test_past_the_budget_nothing_is_trained(world: World) -> None:
    save_consent(world.vault, consent(budget=Budget(LOCAL.epsilon(2), 1e-6)))
    for attempt in (1, 2):
        world.do(world.task(attempt=attempt))
    assert refusal(lambda: world.do(world.task(attempt=3))) is Refusal.BUDGET
    assert refusal(lambda: world.do(world.task(attempt=4, privacy=None))) is Refusal.BUDGET
    assert len(world.trainer.seen) == 2


def test_a_ledger_that_cannot_be_read_lets_nothing_out(world: World) -> None:
    world.vault.meta.set("federation.ledger", "bm90aGluZw==")
    assert refusal(lambda: world.do(world.task())) is Refusal.BUDGET
    assert not world.trainer.seen


# ---- after it ------------------------------------------------------------------------------------------------------


def test_a_training_that_fails_or_is_stopped_says_no_more_than_that(world: World) -> None:
    def fail() -> None:
        raise ModelError(CANARY)

    world.trainer.before = fail
    assert refusal(lambda: world.do(world.task())) is Refusal.TRAINING
    world.trainer.before = world.stop.set
    assert refusal(lambda: world.do(world.task(attempt=2))) is Refusal.TRAINING


@pytest.mark.parametrize("fault", ["nan", "names", "shape", "dtype", "more", "metric"])
def test_an_update_that_is_not_the_schemas_does_not_leave(world: World, fault: str) -> None:
    def spoilt(update: Update) -> Update:
        name, values = next(iter(update.tensors.items()))
        others = {one: value for one, value in update.tensors.items() if one != name}
        changed = {
            "nan": {name: values * np.float32(math.nan)},
            "names": {},
            "shape": {name: values[:-1]},
            "dtype": {name: values.astype(np.float64)},
            "more": {name: values, CANARY: values},
            "metric": {name: values},
        }[fault]
        metrics = {"loss": 1.5} if fault == "metric" else {}
        return replace(update, tensors=others | changed, metrics=metrics)

    world.trainer.changed = spoilt
    assert refusal(lambda: world.do(world.task())) is Refusal.OUTPUT


# ---- in secret -----------------------------------------------------------------------------------------------------


def cohort(worlds: list[World]) -> None:
    roster = tuple(identity_of(one.vault).public.hex() for one in worlds)
    for one in worlds:
        save_consent(one.vault, consent(budget=Budget(math.inf, 1e-6), needs="masked", roster=roster))


def test_three_devices_are_summed_and_none_is_seen(worlds: list[World]) -> None:
    cohort(worlds)
    for number, one in enumerate(worlds):
        one.trainer.length = 0.1 * (number + 1)
    first = worlds[0]
    group = Group(0, 3, 3)
    task = first.task(privacy=None, secure=True, group=group)
    schema = task.order.schema(first.frame)
    plan = group.plan_for(task.order, schema)
    server = SecaggServer(plan, frozenset(identity_of(one.vault).public for one in worlds))
    desks = {identity_of(one.vault).public: one.desk for one in worlds}
    replies: list[Reply] = []
    for one in worlds:
        replies.append(one.desk.begin(one.desk.judge(task), one.tensors()))
        server.take_advert(Advert.from_bytes(replies[-1].body))

    def step(name: str, message: Callable[[bytes], bytes], take: Callable[[bytes], None]) -> None:
        for identity, desk in desks.items():
            replies.append(desk.go_on("run-1", 1, name, message(identity)))
            take(replies[-1].body)

    keys = server.close_adverts().to_bytes()
    step("share", lambda _: keys, lambda data: server.take_shares(Shares.from_bytes(data)))
    delivery = server.close_shares()
    step("mask", lambda who: delivery(who).to_bytes(), lambda data: server.take_masked(Masked.from_bytes(data, plan)))
    survivors = server.close_masked().to_bytes()
    step("confirm", lambda _: survivors, lambda data: server.take_confirmation(Confirmation.from_bytes(data)))
    confirmations = server.close_confirmations().to_bytes()
    step("unmask", lambda _: confirmations, lambda data: server.take_opening(Opening.from_bytes(data)))
    found = server.close()
    each = 0.2 / math.sqrt(schema.size)
    assert found.weight == 9
    np.testing.assert_allclose(found.mean(), np.full(schema.size, each), atol=1e-5)
    plain = np.full(4, each, "<f4").tobytes()
    assert not any(plain in reply.body or CANARY.encode() in reply.body for reply in replies)


def test_a_step_out_of_turn_or_of_another_round_ends_it(worlds: list[World]) -> None:
    cohort(worlds)
    one = worlds[0]
    for attempt, (run, said, step) in enumerate(
        [("run-1", 1, "mask"), ("run-2", 2, "share"), ("run-1", 9, "share"), ("run-1", 4, "update")], start=1
    ):
        task = one.task(privacy=None, secure=True, group=Group(0, 3, 3), attempt=attempt)
        assert one.desk.begin(one.desk.judge(task), one.tensors()).step == "advertise"
        for _ in range(2):
            assert refusal(lambda a=(run, said, step): one.desk.go_on(*a, b"")) is Refusal.SECAGG


def test_who_is_not_on_the_roster_is_not_summed_with(worlds: list[World]) -> None:
    cohort(worlds)
    one = worlds[0]
    save_consent(one.vault, consent(budget=Budget(math.inf, 1e-6), roster=(identity_of(one.vault).public.hex(),)))
    group = Group(0, 3, 3)
    task = one.task(privacy=None, secure=True, group=group)
    begun = [each.desk.begin(each.desk.judge(task), each.tensors()) for each in worlds]
    adverts = [Advert.from_bytes(reply.body) for reply in begun]
    plan = group.plan_for(task.order, task.order.schema(one.frame))
    server = SecaggServer(plan, frozenset(advert.sender for advert in adverts))
    for advert in adverts:
        server.take_advert(advert)
    keys = server.close_adverts().to_bytes()
    assert refusal(lambda: one.desk.go_on("run-1", 1, "share", keys)) is Refusal.SECAGG


# ---- consent and its keeping ---------------------------------------------------------------------------------------


def test_consent_is_kept_in_the_vault_and_read_back_whole(world: World) -> None:
    given = consent(budget=Budget(math.inf, 1e-5), needs="local", least_cohort=7, roster=("ab" * 32,))
    save_consent(world.vault, given)
    assert load_consent(world.vault) == given
    for spoilt in ("", "{}", "[]", '{"version": 2}', '{"version":1,"budget":{"epsilon":-1,"delta":1},"grants":{}}'):
        world.vault.meta.set("federation.consent", spoilt)
        assert refusal(lambda: world.do(world.task())) is Refusal.CONSENT


@pytest.mark.parametrize(
    "terms",
    [{"scopes": ()}, {"scopes": ("",)}, {"needs": "none"}, {"minutes": 0.0}, {"least_cohort": 2}, {"roster": ("ab",)}],
)
def test_terms_that_make_no_sense_are_refused(terms: dict[str, object]) -> None:
    with pytest.raises(Exception, match=r"terms|cohort"):
        Grant(**{"scopes": (SCOPE,), **terms})  # type: ignore[arg-type]


def test_a_local_plan_is_within_bounds() -> None:
    assert LocalPlan(epochs=2, pull=0.5).training.pull == 0.5
    assert Local(1.0, 2.0, 1e-6) == LOCAL
