"""Averages of adapters against the oracle: the float64 mean of the whole matrices that clients' adapters add."""

from __future__ import annotations

import runpy
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeperso.adaptation.plan import SoftShape
from edgeperso.errors import UsageError
from edgeperso_federated.aggregation import (
    FloraStack,
    Mean,
    Weighting,
    advanced,
    weight_of,
)
from edgeperso_federated.errors import RoundFailed, UpdateInvalid
from edgeperso_federated.factors import Frame, Method, first_tensors, lora_from, narrowed, schema_for, tensors_of
from edgeperso_federated.update import Tensors, Update, flatten, read_update, unflatten, update_to_bytes

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "frames.py")))
FRAME: Frame = MAKE.frame()
RANKS = (2, 4, 8)
CLIENTS = 30


def present() -> list[int]:
    """Those of 30 clients that answer: 30 % drop out."""
    away = np.random.default_rng(9).choice(CLIENTS, size=9, replace=False)
    return [client for client in range(CLIENTS) if client not in away]


def moved(held: Tensors, client: int, part: str) -> tuple[Update, NDArray[np.float64]]:
    """A client's update, through the wire, and what its training added to the whole matrices."""
    narrow = narrowed(FRAME, RANKS[client % 3])
    before = lora_from(narrow, held)
    after = MAKE.trained(FRAME, narrow.lora.rank, held, client, part)
    schema = schema_for(FRAME, Method.ROLORA, 1 if part == "b" else 2, max_norm=1e3)
    whole = tensors_of(FRAME, after), tensors_of(FRAME, before)
    tensors = MAKE.difference(*whole, [one.name for one in schema.fields])
    update = read_update(schema, update_to_bytes(Update(tensors, 1 + 7 * client, {})))
    return update, MAKE.product(after) - MAKE.product(before)


def random_held(method: Method) -> Tensors:
    random = np.random.default_rng(5)
    held = first_tensors(FRAME, method)
    return {n: v if n.endswith(".a") else random.standard_normal(v.shape).astype(np.float32) for n, v in held.items()}


@pytest.mark.parametrize("weighting", list(Weighting))
@pytest.mark.parametrize(
    ("method", "turn", "part"), [(Method.FFA, 1, "b"), (Method.ROLORA, 3, "b"), (Method.ROLORA, 2, "a")]
)
def test_the_mean_is_that_of_whole_matrices_with_three_ranks_and_drop_outs(
    method: Method, turn: int, part: str, weighting: Weighting
) -> None:
    held = random_held(method)
    schema = schema_for(FRAME, method, turn, max_norm=1e3)
    mean = Mean(schema, held, weighting)
    expected, weights = np.zeros(1), 0
    for client in present():
        update, added = moved(held, client, part)
        mean.add(update)
        expected = expected + weight_of(update, weighting) * added
        weights += weight_of(update, weighting)
    got = MAKE.product(lora_from(FRAME, mean.result())) - MAKE.product(lora_from(FRAME, held))
    assert MAKE.apart(got, expected / weights) < 1e-6
    assert (mean.clients, mean.weight) == (21, weights)
    assert weights == (21 if weighting is Weighting.EQUAL else sum(1 + 7 * client for client in present()))


def test_a_sum_over_a_fixed_denominator_is_there_for_noise() -> None:
    held = first_tensors(FRAME, Method.FFA)
    schema = schema_for(FRAME, Method.FFA, max_norm=1e3)
    mean = Mean(schema, held, Weighting.EQUAL)
    updates = [moved(held, client, "b")[0] for client in range(3)]
    for update in updates:
        mean.add(update)
    rows = np.stack([flatten(schema, update.tensors) for update in updates]).astype(np.float64)
    np.testing.assert_allclose(mean.total, rows.sum(axis=0), rtol=1e-12)
    mean.total[:] = 0
    np.testing.assert_allclose(flatten(schema, mean.change()), rows.mean(axis=0), rtol=1e-6, atol=1e-8)
    again = advanced(held, unflatten(schema, mean.total / 3))
    assert all(again[name].tobytes() == values.tobytes() for name, values in mean.result().items())


def test_plain_averaging_of_both_factors_is_wrong_and_stacking_is_not() -> None:
    """The comparison that the methods exist for: the same clients, of independent factors."""
    schema = schema_for(FRAME, Method.FEDAVG, max_norm=1e3)
    nothing: Tensors = {one.name: np.zeros(one.shape, np.float32) for one in schema.fields}
    flat = Mean(schema, nothing)
    stack = FloraStack(FRAME, schema, nothing, width=18)
    expected, weights = np.zeros(1), 0
    for client in range(10):
        update, added = fresh(client, 8)
        flat.add(update)
        stack.add(update)
        expected, weights = expected + update.examples * added, weights + update.examples
    assert MAKE.apart(MAKE.product(lora_from(FRAME, flat.result())), expected / weights) > 0.5
    # Of 9 columns, 8 ranks keep all but the least singular value: nothing is nearer, and the residual says how far.
    got = MAKE.product(lora_from(FRAME, stack.result()))
    assert MAKE.apart(got, expected / weights) == pytest.approx(stack.residual, rel=1e-3)
    assert 0 < stack.residual < 0.3


def fresh(client: int, rank: int) -> tuple[Update, NDArray[np.float64]]:
    """A client's whole adapter, drawn anew."""
    seeded = replace(FRAME, seed=client)
    lora = MAKE.trained(seeded, rank, first_tensors(seeded, Method.FLORA), client, "ab")
    return Update(tensors_of(FRAME, lora), 1 + client, {}), MAKE.product(lora)


@pytest.mark.parametrize("held_rank", [0, 2])
def test_a_stack_that_fits_the_rank_is_exact_and_goes_onto_the_held_adapter(held_rank: int) -> None:
    schema = schema_for(FRAME, Method.FLORA, max_norm=1e3)
    held = first_tensors(FRAME, Method.FLORA)
    if held_rank:
        held = fresh(77, held_rank)[0].tensors
    stack = FloraStack(FRAME, schema, held)
    updates = [fresh(client, rank) for client, rank in [(0, 1), (1, 2), (2, 3)]]
    for update, _ in updates:
        stack.add(update)
    expected = sum((update.examples * added for update, added in updates), start=np.zeros(1)) / 6
    expected = expected + MAKE.product(lora_from(FRAME, held))
    assert MAKE.apart(MAKE.product(lora_from(FRAME, stack.result())), expected) < 1e-6
    assert stack.residual < 1e-6


@pytest.mark.parametrize("width", [8, 72])
def test_a_folded_stack_tells_what_it_lost_and_holds_no_more_than_its_width(width: int) -> None:
    frame = replace(FRAME, shape=replace(FRAME.lora, rank=2), matrices={"blk.0.attn_q": (40, 36)})
    schema = schema_for(frame, Method.FLORA, max_norm=1e3)
    stack = FloraStack(frame, schema, first_tensors(frame, Method.FLORA), width=width)
    expected = np.zeros(1)
    for client in range(60):
        own = replace(frame, seed=client)
        lora = MAKE.trained(own, 2, first_tensors(own, Method.FLORA), client, "ab")
        stack.add(Update(tensors_of(frame, lora), 1, {}))
        expected = expected + MAKE.product(lora) / 60
        assert sum(pair.rank for lora, _ in stack._stack for pair in lora.pairs.values()) <= width
    apart = MAKE.apart(MAKE.product(lora_from(frame, stack.result())), expected)
    values = np.linalg.svd(expected.reshape(40, 36), compute_uv=False)
    nearest = np.linalg.norm(values[2:]) / np.linalg.norm(values)
    if width == 72:  # its folds to 36 ranks, as many as there are columns, lose nothing
        assert stack.residual == pytest.approx(apart, rel=1e-5) == pytest.approx(nearest, rel=1e-5)
    else:
        assert nearest < apart < stack.residual


def test_soft_prompts_are_averaged() -> None:
    frame = replace(FRAME, shape=SoftShape(2), matrices={})
    schema = schema_for(frame, Method.SOFT, max_norm=1e3)
    held: Tensors = {"soft": np.ones((2, 9), np.float32)}
    mean = Mean(schema, held)
    mean.add(Update({"soft": np.full((2, 9), 1, np.float32)}, 3, {}))
    mean.add(Update({"soft": np.full((2, 9), 5, np.float32)}, 1, {}))
    np.testing.assert_array_equal(mean.result()["soft"], np.full((2, 9), 3, np.float32))


def test_half_of_rolora_stays_as_it_is() -> None:
    held = random_held(Method.ROLORA)
    schema = schema_for(FRAME, Method.ROLORA, 2, max_norm=1e3)
    mean = Mean(schema, held)
    mean.add(moved(held, 2, "a")[0])
    after = mean.result()
    same = {name for name in held if after[name].tobytes() == held[name].tobytes()}
    assert same == {name for name in held if name.endswith(".b")}


def test_a_sum_of_huge_and_tiny_updates_loses_nothing() -> None:
    schema = schema_for(FRAME, Method.FFA, max_norm=1e9)
    mean = Mean(schema, first_tensors(FRAME, Method.FFA), Weighting.EQUAL)
    for value in (1e7, 0.5, -1e7):
        mean.add(Update({one.name: np.full(one.shape, value, np.float32) for one in schema.fields}, 1, {}))
    assert set(flatten(schema, mean.change())) == {np.float32(0.5 / 3)}


def test_an_update_of_another_layout_changes_nothing() -> None:
    schema = schema_for(FRAME, Method.FFA, max_norm=1e3)
    held = first_tensors(FRAME, Method.FFA)
    for aggregator in (Mean(schema, held), FloraStack(FRAME, schema, held)):
        with pytest.raises(UpdateInvalid):
            aggregator.add(Update({"blk.0.attn_q.b": np.zeros((12, 8), np.float32)}, 1, {}))
        assert (aggregator.clients, aggregator.weight) == (0, 0)
        with pytest.raises(RoundFailed):
            aggregator.result()


def test_a_change_of_what_is_not_held_is_refused() -> None:
    with pytest.raises(UsageError):
        advanced({"soft": np.zeros(2, np.float32)}, {"other": np.zeros(2, np.float32)})


def test_memory_does_not_grow_with_clients() -> None:
    frame = MAKE.frame(8, matrices={f"blk.{layer}.attn_q": (576, 576) for layer in range(10)})
    schema = schema_for(frame, Method.FFA, max_norm=1e3)
    held = first_tensors(frame, Method.FFA)

    def peak(clients: int) -> int:
        mean = Mean(schema, held)
        tracemalloc.start()
        for client in range(clients):
            values = np.random.default_rng(client).standard_normal(schema.size, np.float32)
            mean.add(Update(unflatten(schema, values), 1, {}))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(40) < 1.1 * peak(4)
