"""The server's side of a run: who is asked, which answers count, what is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.plan import SoftShape
from edgeperso.errors import UsageError
from edgeperso_federated.aggregation import Weighting
from edgeperso_federated.canary import Regression, Verdict
from edgeperso_federated.cohort import drawn
from edgeperso_federated.errors import FederationError
from edgeperso_federated.factors import Method
from edgeperso_federated.orders import Order, Robust, RunPlan
from edgeperso_federated.privacy.clipping import WITHIN, Adaptive
from edgeperso_federated.privacy.noise import NoiseKey, private_mean
from edgeperso_federated.privacy.plans import Central, Local, Sampling
from edgeperso_federated.rounds import FederatedRun, Round
from edgeperso_federated.server_state import Outcome, StateFile
from edgeperso_federated.update import Schema, Tensors, Update, flatten, unflatten, update_to_bytes

from .frames import frame

KEY = NoiseKey(bytes(32))


def plan_for(**changes: Any) -> RunPlan:
    said: dict[str, Any] = {
        "run": "a run",
        "frame": frame(),
        "method": Method.FFA,
        "rounds": 3,
        "population": 10,
        "cohort": 6,
        "asked": 6,
        "bound": 4.0,
        "seed": 5,
    }
    return RunPlan(**{**said, **changes})


def central(plan: RunPlan, delta: float = 1e-3) -> Central:
    return Central(plan.bound, 1.0, plan.cohort, plan.asked, plan.population, delta, plan.sampling)


def vector_of(schema: Schema, client: int, turn: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng([client, turn])
    vector = random.standard_normal(schema.size)
    return (vector * (0.9 * schema.max_norm / np.linalg.norm(vector))).astype(np.float32)


def answer(round_: Round, client: int, **changes: Any) -> bytes:
    tensors = unflatten(round_.schema, vector_of(round_.schema, client, round_.order.round))
    return update_to_bytes(replace(Update(tensors, client + 1, {}), **changes))


def through(run: FederatedRun, answers: dict[int, bytes | None] | None = None) -> Round:
    """One round in which all answer honestly but those in ``answers``."""
    round_ = run.open()
    for client in round_.asked:
        round_.accept(client, answers[client] if answers and client in answers else answer(round_, client))
    run.close(round_)
    return round_


# ---- who is asked --------------------------------------------------------------------------------------------------


def test_a_fixed_cohort_has_so_many_and_differs_from_round_to_round() -> None:
    rounds = [drawn(Sampling.FIXED, population=50, asked=7, seed=1, turn=turn) for turn in range(1, 100)]
    assert {len(set(asked)) for asked in rounds} == {7}
    assert len(set(rounds)) > 90
    assert set().union(*rounds) == set(range(50))
    assert rounds[3] == drawn(Sampling.FIXED, population=50, asked=7, seed=1, turn=4)
    assert rounds[3] != drawn(Sampling.FIXED, population=50, asked=7, seed=2, turn=4)


def test_poisson_tosses_a_coin_for_each() -> None:
    sizes = [len(drawn(Sampling.POISSON, population=400, asked=40, seed=1, turn=turn)) for turn in range(200)]
    assert abs(np.mean(sizes) - 40) < 2
    assert abs(np.var(sizes) - 36) < 14  # of a fixed number it would be 0
    whole = drawn(Sampling.POISSON, population=30, asked=30, seed=1, turn=1)
    assert whole == tuple(range(30))


# ---- what counts ---------------------------------------------------------------------------------------------------


def test_a_round_publishes_the_mean_of_its_answers_by_examples() -> None:
    run = FederatedRun(plan_for(), KEY)
    round_ = through(run)
    vectors = np.stack([vector_of(round_.schema, client, 1) for client in round_.asked]).astype(np.float64)
    weights = np.array([client + 1 for client in round_.asked])
    expected = (vectors * weights[:, None]).sum(0) / weights.sum()
    np.testing.assert_allclose(flatten(round_.schema, run.tensors), expected, rtol=1e-6)
    record = run.state.records[0]
    assert (record.summed, record.dropped, record.outcome) == (6, {}, Outcome.PUBLISHED)
    assert record.bytes == sum(len(answer(round_, client)) for client in round_.asked)


def hostile(round_: Round, client: int) -> dict[str, bytes | None]:
    honest = unflatten(round_.schema, vector_of(round_.schema, client, 1))
    name = next(iter(honest))
    nan = {**honest, name: np.full_like(honest[name], np.nan)}
    huge = {one: values * np.float32(1e6) for one, values in honest.items()}
    return {
        "not_finite": update_to_bytes(Update(nan, 1, {})),
        "shape": update_to_bytes(Update({**honest, name: honest[name][:, :1]}, 1, {})),
        "names": update_to_bytes(Update({**honest, "more": honest[name]}, 1, {})),
        "norm": update_to_bytes(Update(huge, 1, {})),
        "garbage": b"\x80\x04garbage",
        "examples": update_to_bytes(Update(honest, 5000, {})),
        "metrics": update_to_bytes(Update(honest, 1, {"x": 1.0})),
        "absent": None,
    }


@pytest.mark.parametrize("kind", ["not_finite", "shape", "norm", "garbage", "examples", "absent"])
def test_a_hostile_client_is_left_out_and_changes_nothing_for_the_others(kind: str) -> None:
    plan = plan_for(cohort=5)
    run, without = FederatedRun(plan, KEY), FederatedRun(plan, KEY)
    offender = run.open().asked[2]
    round_ = Round(plan, replace(run.state, begun=1), 1)
    through(run, {offender: hostile(round_, offender)[kind]})
    through(without, {offender: None})
    assert all((run.tensors[name] == without.tensors[name]).all() for name in run.tensors)
    assert run.state.records[0].dropped == {kind: 1}
    assert run.state.records[0].outcome is Outcome.PUBLISHED


@pytest.mark.parametrize("kind", ["names", "metrics"])
def test_what_is_larger_than_asked_is_not_even_read(kind: str) -> None:
    run = FederatedRun(plan_for(), KEY)
    round_ = run.open()
    assert not round_.accept(round_.asked[0], hostile(round_, round_.asked[0])[kind])
    assert run.close(round_).dropped == {"bytes": 1, "absent": 5}


def test_strangers_and_second_answers_do_not_count() -> None:
    run = FederatedRun(plan_for(), KEY)
    round_ = run.open()
    stranger = next(client for client in range(10) if client not in round_.asked)
    first = round_.asked[0]
    assert not round_.accept(stranger, answer(round_, stranger))
    assert round_.accept(first, answer(round_, first))
    assert not round_.accept(first, answer(round_, first))
    assert not round_.complete
    assert run.close(round_).summed == 1


def test_without_a_quorum_the_adapter_stays() -> None:
    run = FederatedRun(plan_for(quorum=4), KEY)
    round_ = run.open()
    for client in round_.asked[:3]:
        round_.accept(client, answer(round_, client))
    record = run.close(round_)
    assert (record.outcome, record.summed) == (Outcome.FAILED, 3)
    assert not any(values.any() for values in run.tensors.values())
    assert run.state.round == 1


@pytest.mark.parametrize("rule", [Robust.MEDIAN, Robust.TRIMMED, Robust.NORM, Robust.COSINE, Robust.KRUM])
def test_robust_rules_keep_one_within_the_bound_from_carrying_off_the_mean(rule: Robust) -> None:
    plan = plan_for(robust=rule, hostile=1)

    def around(round_: Round, client: int) -> Tensors:
        own = 0.1 * vector_of(round_.schema, client, 1) + 0.2 * vector_of(round_.schema, 99, 1)
        return unflatten(round_.schema, own)

    def ended(scale: float, used: RunPlan) -> Tensors:
        run = FederatedRun(used, KEY)
        round_ = run.open()
        for place, client in enumerate(round_.asked):
            tensors = around(round_, client)
            if not place:
                tensors = {name: values * np.float32(scale) for name, values in tensors.items()}
            round_.accept(client, update_to_bytes(Update(tensors, 1, {})))
        assert run.close(round_).outcome is Outcome.PUBLISHED
        return run.tensors

    def apart(used: RunPlan) -> float:
        honest, attacked = ended(1.0, used), ended(-4.0, used)
        return sum(float(np.sum((honest[name] - attacked[name]) ** 2)) for name in honest)

    assert apart(plan) < 0.3 * apart(plan_for())


def test_rolora_takes_b_and_a_in_turn() -> None:
    run = FederatedRun(plan_for(method=Method.ROLORA), KEY)
    parts = [{name.rpartition(".")[2] for name in (one.name for one in through(run).schema.fields)} for _ in range(2)]
    assert parts == [{"b"}, {"a"}]


def test_flora_reports_what_re_projection_lost() -> None:
    run = FederatedRun(plan_for(method=Method.FLORA, bound=100.0), KEY)
    through(run)
    assert 0 < run.state.records[0].residual < 1


# ---- privacy -------------------------------------------------------------------------------------------------------


def test_central_noise_is_that_of_private_mean_whoever_answers() -> None:
    plan = plan_for(weighting=Weighting.EQUAL)
    plan = replace(plan, privacy=central(plan))
    run = FederatedRun(plan, KEY)
    absent = run.open().asked[0]
    round_ = through(run, {absent: None})
    total = sum(vector_of(round_.schema, client, 1).astype(np.float64) for client in round_.asked if client != absent)
    assert isinstance(plan.privacy, Central)
    expected = private_mean(plan.privacy, total, KEY, b"a run", b"1", clients=5, weight=5)
    np.testing.assert_allclose(flatten(round_.schema, run.tensors), expected, rtol=1e-6)
    assert run.state.begun == 2


def test_under_central_privacy_a_round_does_not_tell_whether_anybody_answered() -> None:
    plan = plan_for(weighting=Weighting.EQUAL, quorum=4)
    run = FederatedRun(replace(plan, privacy=central(plan)), KEY)
    record = run.close(run.open())
    assert (record.summed, record.outcome) == (0, Outcome.PUBLISHED)
    assert all(values.any() for values in run.tensors.values())


def test_a_cohort_above_the_protocols_limit_is_several() -> None:
    plan = plan_for(secure=True, population=2050, asked=2050, cohort=2050)
    round_ = FederatedRun(plan, KEY).open()
    assert sum(map(len, round_.groups)) == 2050
    assert max(map(len, round_.groups)) <= 1024
    assert not round_.accept(round_.asked[0], answer(round_, round_.asked[0]))


def test_an_adaptive_bound_follows_the_bits() -> None:
    plan = plan_for(weighting=Weighting.EQUAL, population=1000, cohort=900, asked=900)
    plan = replace(plan, privacy=central(plan, 1e-4), adaptive=Adaptive())

    def bound(bit: float) -> float:
        run = FederatedRun(plan, KEY)
        round_ = run.open()
        data = answer(round_, 3, examples=1, metrics={WITHIN: bit})
        for client in round_.asked:
            round_.accept(client, data)
        run.close(round_)
        return run.open().order.bound

    assert bound(1.0) < 4.0 < bound(0.0)


def test_local_noise_widens_the_schema() -> None:
    privacy = Local(4.0, 1.0, 1e-3)
    plain = plan_for().order(1, attempt=1, bound=4.0).schema(frame())
    noisy = plan_for(privacy=privacy).order(1, attempt=1, bound=4.0).schema(frame())
    assert noisy.max_norm > 10 * plain.max_norm


@pytest.mark.parametrize(
    "changes",
    [
        {"quorum": 7},
        {"asked": 11},
        {"rounds": 0},
        {"method": Method.FLORA, "secure": True},
        {"group": 3},
        {"group": 2, "secure": True},
        {"group": 600, "secure": True},
        {"secure": True, "robust": Robust.MEDIAN},
        {"adaptive": Adaptive()},
        {"privacy": Local(3.0, 1.0, 1e-3)},
        {"privacy": Local(4.0, 1.0, 1e-3), "metrics": frozenset({"loss"})},
        {"privacy": Central(4.0, 1.0, 6, 6, 10, 1e-3)},
        {"privacy": Central(4.0, 1.0, 5, 6, 10, 1e-3), "weighting": Weighting.EQUAL},
        {"privacy": Central(4.0, 1.0, 6, 6, 10, 1e-3), "weighting": Weighting.EQUAL, "robust": Robust.NORM},
    ],
)
def test_plans_that_do_not_go_together_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        plan_for(**changes)


# ---- the check, orders ---------------------------------------------------------------------------------------------


def test_a_candidate_that_fails_the_check_is_not_published() -> None:
    verdicts = [Verdict(3.0, passed=True), Verdict(9.0, passed=False)]
    run = FederatedRun(plan_for(), KEY, check=lambda _candidate: verdicts[run.state.round])
    through(run)
    published = run.tensors
    through(run)
    assert run.tensors is published
    assert [(record.outcome, record.loss) for record in run.state.records] == [
        (Outcome.PUBLISHED, 3.0),
        (Outcome.KEPT, 9.0),
    ]


def test_a_regression_is_held_against_the_base() -> None:
    check = Regression(lambda tensors: float(tensors["x"][0]), {"x": np.array([2.0], np.float32)}, 0.1)
    assert [check({"x": np.array([loss], np.float32)}).passed for loss in (1.0, 2.05, 2.2, np.nan)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("privacy", [None, Local(4.0, 1.0, 1e-3), Central(4.0, 1.0, 6, 6, 10, 1e-3, Sampling.POISSON)])
@pytest.mark.parametrize("shape", [frame().shape, SoftShape(4)])
def test_orders_are_read_as_they_were_written(privacy: Central | Local | None, shape: Any) -> None:
    order = replace(
        plan_for().order(2, attempt=3, bound=0.5), privacy=privacy, shape=shape, metrics=frozenset({"loss"})
    )
    assert Order.from_bytes(order.to_bytes()) == order


@pytest.mark.parametrize("change", [b"", b"[]", b"null", (b'"round": 2', b'"round": 0'), (b'"run"', b'"more"')])
def test_what_is_no_order_is_refused(change: bytes | tuple[bytes, bytes]) -> None:
    data = plan_for().order(2, attempt=3, bound=0.5).to_bytes()
    with pytest.raises(FederationError):
        Order.from_bytes(change if isinstance(change, bytes) else data.replace(*change))


def test_a_state_of_another_run_or_damaged_is_refused(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state")
    run = FederatedRun(plan_for(), KEY, file=file)
    through(run)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FederationError):
        FederatedRun(plan_for(rounds=4), KEY, file=file)
    data = bytearray((tmp_path / "state").read_bytes())
    data[-1] ^= 1
    (tmp_path / "state").write_bytes(data)
    with pytest.raises(FederationError):
        FederatedRun(plan_for(), KEY, file=file)
