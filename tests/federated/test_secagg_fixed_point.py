"""Whole numbers for updates: sums at the very bounds are exact, one step finer would overflow."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.errors import UsageError
from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg.fixed_point import Bits, FixedPoint
from edgeperso_federated.update import Field, Schema


def schema(size: int = 3, max_norm: float = 1.0) -> Schema:
    return Schema((Field("soft", (size,)),), max_norm, 1 << 26)


def summed(numbers: FixedPoint, vectors: list[np.ndarray], weights: list[int]) -> np.ndarray:
    total = np.zeros(vectors[0].size + 1, numbers.dtype)
    for vector, weight in zip(vectors, weights, strict=True):
        total += numbers.encode(vector, weight)
    return total


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("bits", "clients", "weight"),
    [(32, 3, 1), (32, 64, 7), (32, 1024, 3), (64, 3, 1), (64, 100, 1), (64, 1024, 10_000)],
)
def test_the_largest_sum_that_there_can_be_is_exact(bits: Bits, sign: int, clients: int, weight: int) -> None:
    numbers = FixedPoint.fit(schema(3, 0.7), weight, clients, bits)
    # The norm that check_update lets through, all of it in one value.
    largest = np.float32(0.7 * (1 + 1e-6))
    vector = np.array([sign * largest, 0, 0], np.float32)
    values, total = numbers.decode(summed(numbers, [vector] * clients, [weight] * clients), clients)
    assert total == clients * weight
    assert abs(values[0] - sign * clients * weight * float(largest)) <= clients * numbers.step / 2
    assert values[1:].tolist() == [0, 0]


@given(
    st.integers(3, 1024), st.integers(1, 10_000), st.floats(1e-6, 1e6), st.sampled_from([32, 64]), st.integers(1, 10**6)
)
def test_the_bound_is_kept_in_exact_numbers_and_the_step_is_the_finest(
    clients: int, weight: int, max_norm: float, bits: Bits, size: int
) -> None:
    try:
        numbers = FixedPoint.fit(schema(size, max_norm), weight, clients, bits)
    except UsageError:
        return
    most = 2 ** (bits - 1) - 1
    largest = weight * Fraction(max_norm) * (1 + Fraction(1, 2**16))
    assert clients * numbers.most_value <= most
    assert clients * weight <= most
    assert clients * (largest * Fraction(2) ** numbers.exponent + Fraction(1, 2)) <= most
    assert clients * (largest * Fraction(2) ** (numbers.exponent + 1) + Fraction(1, 2)) > most


def test_one_step_finer_overflows() -> None:
    """The control: with the next exponent the largest sum comes back wrong."""
    fit = FixedPoint.fit(schema(), 1, 100, 32)
    finer = FixedPoint(32, fit.exponent + 1, 2 * fit.most_value, 1, 1.0)
    vectors, weights = [np.array([1, 0, 0], np.float32)] * 100, [1] * 100
    assert fit.decode(summed(fit, vectors, weights), 100)[0][0] == 100
    assert finer.decode(summed(finer, vectors, weights), 100)[0][0] == 100 - 128


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 2**32 - 1)), min_size=3, max_size=20))
def test_sums_are_those_of_float64_within_half_a_step_each(people: list[tuple[int, int]]) -> None:
    vectors = []
    for _, seed in people:
        vector = np.random.default_rng(seed).standard_normal(50)
        vectors.append((vector / np.linalg.norm(vector) * 3.9).astype(np.float32))
    weights = [weight for weight, _ in people]
    exact = sum(vector.astype(np.float64) * weight for vector, weight in zip(vectors, weights, strict=True))
    numbers = FixedPoint.fit(schema(50, 4.0), 500, 20, 64)
    values, weight = numbers.decode(summed(numbers, vectors, weights), len(people))
    assert weight == sum(weights)
    np.testing.assert_allclose(values, exact, rtol=1e-12, atol=len(people) * numbers.step)


def test_a_value_is_rounded_to_the_nearest_step() -> None:
    numbers = FixedPoint.fit(schema(), 2, 100, 32)
    step = numbers.step
    vector = np.array([step * 1.25, -step * 1.25, step * 5], np.float32)
    assert numbers.encode(vector, 2).view("<i4").tolist() == [2, -2, 10, 2]
    assert numbers.encode(vector, 1).view("<i4").tolist() == [1, -1, 5, 1]


@pytest.mark.parametrize(
    ("vector", "weight"),
    [
        ([1.1, 0, 0], 10),
        ([0, -1.1, 0], 10),
        ([math.nan, 0, 0], 1),
        ([0, math.inf, 0], 1),
        ([0, 0, 0], 11),
        ([0, 0, 0], 0),
    ],
)
def test_what_has_no_room_is_refused(vector: list[float], weight: int) -> None:
    numbers = FixedPoint.fit(schema(), 10, 100, 64)
    with pytest.raises(SecaggFailed):
        numbers.encode(np.array(vector, np.float32), weight)


@pytest.mark.parametrize("total", [[0, 0, 0, 2], [0, 0, 0, 31], [0, 0, 0, -1], [2**62, 0, 0, 3], [0, -(2**63), 0, 30]])
def test_sums_that_no_three_clients_can_have_are_refused(total: list[int]) -> None:
    numbers = FixedPoint.fit(schema(), 10, 3, 64)
    with pytest.raises(SecaggFailed):
        numbers.decode(np.array(total, "<i8").view("<u8"), 3)


def test_numbers_that_are_too_coarse_are_refused_when_the_plan_is_made() -> None:
    assert FixedPoint.fit(schema(), 1, 100, 32).step == 2**-24
    assert FixedPoint.fit(schema(), 10_000, 1000, 64).step == 2**-39
    with pytest.raises(UsageError):
        FixedPoint.fit(schema(1000), 10_000, 1000, 32)
    with pytest.raises(UsageError):
        FixedPoint.fit(schema(1 << 20), 1000, 1000, 32)


def test_masks_of_any_size_cancel_in_the_ring() -> None:
    numbers = FixedPoint.fit(schema(), 10, 5, 64)
    mask = np.random.default_rng(0).integers(0, 2**64, 4, np.uint64).astype("<u8")
    one = numbers.encode(np.array([0.5, -0.5, 0], np.float32), 10) + mask
    other = numbers.encode(np.array([0.25, 0.5, 0], np.float32), 4) - mask
    third = numbers.encode(np.array([0, 0, 1], np.float32), 1)
    assert numbers.decode(one + other + third, 3)[0].tolist() == [6.0, -3.0, 1.0]
