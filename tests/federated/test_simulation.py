"""The inline runner: absent and hostile clients, secure sums, constant memory; and who holds which texts."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeperso.errors import DataInvalid, UsageError
from edgeperso_federated.aggregation import Weighting
from edgeperso_federated.factors import Method, lora_from, narrowed, tensors_of
from edgeperso_federated.orders import Order, Robust, RunPlan
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.rounds import FederatedRun
from edgeperso_federated.server_state import Outcome
from edgeperso_federated.simulation.dropout import DropoutModel, absences
from edgeperso_federated.simulation.hostile import Attack, attacked, hostile_clients
from edgeperso_federated.simulation.partitions import Writing, by_user, dirichlet, read_people, skewed
from edgeperso_federated.simulation.runner import Clients, run_rounds
from edgeperso_federated.update import Tensors, Update, unflatten, update_to_bytes

from .frames import apart, difference, frame, product, trained
from .test_rounds import central, plan_for, vector_of

KEY = NoiseKey(bytes(32))


class Honest:
    """Clients with an update of their own, the same in all runs."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan

    def answer(self, client: int, order: Order, held: Tensors) -> bytes | None:
        schema = order.schema(self._plan.frame)
        return update_to_bytes(Update(unflatten(schema, vector_of(schema, client, order.round)), client + 1, {}))


class Some:
    """Some of the honest ones' answers are replaced."""

    def __init__(self, plan: RunPlan, hostile: frozenset[int], attack: Attack) -> None:
        self._honest = Honest(plan)
        self._hostile = hostile
        self._attack = attack

    def answer(self, client: int, order: Order, held: Tensors) -> bytes | None:
        data = self._honest.answer(client, order, held)
        return attacked(self._attack, data) if client in self._hostile and data else data


def ended(plan: RunPlan, clients: Clients, **changes: object) -> FederatedRun:
    run = FederatedRun(plan, KEY)
    run_rounds(run, clients, **changes)  # type: ignore[arg-type]
    return run


def tensors_close(one: FederatedRun, other: FederatedRun, *, within: float) -> None:
    for name, values in one.tensors.items():
        np.testing.assert_allclose(values, other.tensors[name], atol=within, rtol=0)


# ---- hostile and absent clients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [attack for attack in Attack if attack is not Attack.OPPOSITE])
@pytest.mark.parametrize("secure", [False, True])
def test_a_hostile_client_ends_no_run_and_changes_nobodys_result(attack: Attack, secure: bool) -> None:
    plan = plan_for(secure=secure, cohort=3, asked=8)
    hostile = frozenset({4})
    with_it = ended(plan, Some(plan, hostile, attack))
    without = ended(plan, Honest(plan), absent=lambda client, _turn: client in hostile and client % 5 < 5)
    if secure:  # an absent client of the runner may leave late, and be in the sum
        without = ended(plan, Some(plan, hostile, Attack.SILENT))
    assert all((with_it.tensors[name] == without.tensors[name]).all() for name in with_it.tensors)
    asked = sum(4 in record.asked for record in with_it.state.records)
    assert asked
    assert sum(sum(record.dropped.values()) for record in with_it.state.records) == asked
    assert {record.outcome for record in with_it.state.records} == {Outcome.PUBLISHED}


def test_an_opposite_client_needs_a_robust_rule() -> None:
    hostile = frozenset({1, 7})

    def harm(rule: Robust) -> float:
        plan = plan_for(rounds=1, robust=rule, population=12, asked=12, cohort=12, hostile=2)
        honest, other = ended(plan, Alike(plan, frozenset())), ended(plan, Alike(plan, hostile))
        return sum(float(((honest.tensors[name] - other.tensors[name]) ** 2).sum()) for name in honest.tensors)

    for rule in (Robust.COSINE, Robust.KRUM, Robust.MEDIAN, Robust.TRIMMED):
        assert harm(rule) < 0.3 * harm(Robust.NONE)


class Alike(Some):
    """Clients whose updates share a direction; the hostile ones pull the other way."""

    def __init__(self, plan: RunPlan, hostile: frozenset[int]) -> None:
        super().__init__(plan, hostile, Attack.OPPOSITE)
        self._frame = plan.frame

    def answer(self, client: int, order: Order, held: Tensors) -> bytes | None:
        schema = order.schema(self._frame)
        vector = 0.5 * vector_of(schema, 99, 0) + 0.2 * vector_of(schema, client, 0)
        data = update_to_bytes(Update(unflatten(schema, vector), 1, {}))
        return attacked(Attack.OPPOSITE, data) if client in self._hostile else data


@pytest.mark.parametrize("model", DropoutModel)
def test_absence_has_its_share_and_its_shape(model: DropoutModel) -> None:
    absent = absences(model, 0.3, seed=4)
    table = np.array([[absent(client, turn) for turn in range(40)] for client in range(200)])
    assert abs(table.mean() - 0.3) < 0.07
    by_client, by_round = table.mean(1).std(), table.mean(0).std()
    assert (by_client > 0.2) == (model is DropoutModel.UNRELIABLE)
    assert (by_round > 0.2) == (model is DropoutModel.BURSTS)
    assert absences(model, 0.3, seed=4)(3, 5) == table[3, 5]
    assert not any(absences(model, 0.0, seed=4)(client, 1) for client in range(100))


def test_hostile_clients_are_a_share_of_all() -> None:
    assert len(hostile_clients(200, 0.1, seed=1)) == 20
    assert hostile_clients(200, 0.1, seed=1) != hostile_clients(200, 0.1, seed=2)


# ---- secure sums ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", Weighting)
def test_a_secure_sum_is_the_plain_one(weighting: Weighting) -> None:
    plan = plan_for(weighting=weighting)
    plain, secure = ended(plan, Honest(plan)), ended(replace(plan, secure=True), Honest(plan))
    tensors_close(plain, secure, within=1e-6)
    assert [record.summed for record in secure.state.records] == [6, 6, 6]


def test_a_secure_sum_is_that_of_those_who_stayed() -> None:
    plan = plan_for(secure=True, population=20, asked=20, cohort=14, rounds=1)
    absent = absences(DropoutModel.CHANCE, 0.3, seed=2)
    gone = {client for client in range(20) if absent(client, 1)}
    # Those who leave at the phase of masks or before are not in the sum.
    missing = {client for client in gone if client % 5 < 3}
    assert 0 < len(missing) < len(gone)
    secure = ended(plan, Honest(plan), absent=absent)
    plain = ended(replace(plan, secure=False), Honest(plan), absent=lambda client, _turn: client in missing)
    tensors_close(plain, secure, within=1e-6)
    assert secure.state.records[0].summed == 20 - len(missing)


def test_mixed_ranks_with_dropouts_through_secure_sums_are_the_mean_of_whole_matrices() -> None:
    of = frame(8)
    plan = plan_for(
        frame=of, secure=True, population=20, asked=20, cohort=14, rounds=2, bound=500.0, weighting=Weighting.EXAMPLES
    )

    class Ranks:
        """Devices of three ranks; all that they trained is kept, as whole matrices."""

        def __init__(self) -> None:
            self.products: dict[tuple[int, int], np.ndarray] = {}

        def answer(self, client: int, order: Order, held: Tensors) -> bytes | None:
            lora = trained(of, (2, 4, 8)[client % 3], held, seed=100 * order.round + client)
            # What a device makes of ranks that it doesn't train is what it was told.
            full, told = tensors_of(of, lora), tensors_of(of, lora_from(narrowed(of, (2, 4, 8)[client % 3]), held))
            change = difference(full, told, list(held))
            after = {name: held[name] + change[name] for name in held}
            self.products[order.round, client] = product(lora_from(of, after))
            return update_to_bytes(Update(change, client + 1, {}))

    ranks, absent = Ranks(), absences(DropoutModel.CHANCE, 0.3, seed=1)
    run = ended(plan, ranks, absent=absent)
    summed = [client for client in range(20) if not absent(client, 2) or client % 5 >= 3]
    assert run.state.records[1].summed == len(summed) < 20
    weights = [client + 1 for client in summed]
    oracle = sum(weight * ranks.products[2, client] for weight, client in zip(weights, summed, strict=True))
    assert apart(product(lora_from(of, run.tensors)), np.asarray(oracle) / sum(weights)) < 1e-6


def test_a_group_with_too_few_is_lost_and_the_others_count() -> None:
    plan = plan_for(secure=True, group=5, population=20, asked=20, cohort=10, robust=Robust.MEDIAN, rounds=1)
    opened = FederatedRun(plan, KEY).open()
    assert sorted(len(group) for group in opened.groups) == [5, 5, 5, 5]
    lost = opened.groups[1]
    run = ended(plan, Honest(plan), absent=lambda client, _turn: client in lost)
    record = run.state.records[0]
    assert (record.summed, record.dropped, record.outcome) == (15, {"group": 5}, Outcome.PUBLISHED)


def test_noise_goes_onto_a_secure_sum() -> None:
    plan = plan_for(weighting=Weighting.EQUAL, rounds=1)
    private = replace(plan, privacy=central(plan), secure=True)
    noisy, plain = ended(private, Honest(plan)), ended(plan, Honest(plan))
    apart = np.concatenate([(noisy.tensors[name] - plain.tensors[name]).ravel() for name in plain.tensors])
    assert np.std(apart) == pytest.approx(plan.bound / plan.cohort, rel=0.1)


def test_two_of_a_round_are_too_few_for_a_secure_sum() -> None:
    plan = plan_for(secure=True, population=2, asked=2, cohort=2, rounds=1)
    record = ended(plan, Honest(plan)).state.records[0]
    assert (record.outcome, record.dropped) == (Outcome.FAILED, {"absent": 2})


# ---- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Method.FFA, Method.FLORA])
def test_memory_does_not_grow_with_clients(method: Method) -> None:
    large = frame(matrices={"blk.0.attn_q": (900, 9), "blk.0.attn_v": (700, 9)})

    def plan(clients: int) -> RunPlan:
        counts = {"population": clients, "asked": clients, "cohort": clients}
        return plan_for(frame=large, rounds=1, method=method, bound=100.0, **counts)

    def peak(clients: int) -> int:
        tracemalloc.start()
        ended(plan(clients), Honest(plan(clients)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(20)
    size = len(Honest(plan(9)).answer(0, plan(9).order(1, attempt=1, bound=4.0), {}) or b"")
    assert peak(100) - peak(20) < 5 * size  # 80 updates more, if they were kept


# ---- partitions ----------------------------------------------------------------------------------------------------


def people(count: int = 30, texts: int = 8) -> list[tuple[Writing, ...]]:
    return [tuple(Writing(f"{who} {text}", str((who + text) % 3)) for text in range(texts)) for who in range(count)]


def test_people_are_clients_or_held_out_never_both() -> None:
    split = by_user(people(), 20, 6, seed=1)
    taking_part = {writing.text for texts in split.clients for writing in texts}
    apart = {writing.text for person in split.held_out for writing in (*person.older, *person.newest)}
    assert (len(split.clients), len(split.held_out)) == (20, 6)
    assert not taking_part & apart
    assert {(len(person.older), len(person.newest)) for person in split.held_out} == {(6, 2)}
    assert by_user(people(), 20, 6, seed=1) == split != by_user(people(), 20, 6, seed=2)
    with pytest.raises(DataInvalid):
        by_user(people(), 30, 6, seed=1)


def test_dirichlet_deals_every_text_once_and_unlike_for_a_small_alpha() -> None:
    def purity(alpha: float) -> float:
        split = dirichlet(people(), 15, 6, alpha=alpha, seed=1)
        assert sorted(writing.text for texts in split.clients for writing in texts) == sorted(
            {writing.text for texts in split.clients for writing in texts}
        )
        assert sum(map(len, split.clients)) == 24 * 8
        assert all(split.clients)
        labels = [[writing.label for writing in texts] for texts in split.clients]
        return float(np.mean([max(map(mine.count, "012")) / len(mine) for mine in labels]))

    assert purity(0.05) > purity(100.0) + 0.2
    with pytest.raises(UsageError):
        purity(0.0)


def test_skew_makes_sizes_unlike_and_keeps_the_latest() -> None:
    split = by_user(people(), 20, 6, seed=1)
    thinned = skewed(split, sigma=1.0, seed=1)
    sizes = {len(texts) for texts in thinned.clients}
    assert len(sizes) > 3
    assert min(sizes) >= 1
    assert all(whole[-len(kept) :] == kept for whole, kept in zip(split.clients, thinned.clients, strict=True))
    assert skewed(split, sigma=0.0, seed=1) == split


def test_reviews_in_lamps_format_are_people_with_texts_by_time(tmp_path: Path) -> None:
    profile = [
        {"id": f"a-{day}", "text": f"The review of day {day}, long enough.", "score": "4", "date": f"2020-01-0{day}"}
        for day in (3, 1, 2)
    ]
    questions = [
        {"id": "a", "input": "What is the score of the following review? review: x", "profile": profile},
        {"id": "b", "input": "What is the score of the following review? review: x", "profile": profile[:2]},
    ]
    (tmp_path / "rating").mkdir()
    (tmp_path / "rating" / "dev_questions.json").write_text(json.dumps(questions))
    found = read_people(tmp_path)
    assert found == read_people(tmp_path / "rating")
    assert [[writing.text[18:19] for writing in person] for person in found] == [["1", "2", "3"]]
    assert {writing.label for person in found for writing in person} == {"4"}
