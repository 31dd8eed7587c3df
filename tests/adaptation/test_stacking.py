"""Sums, means and distances of adapters, each against the whole matrices that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.adaptation.stacking import cosine, distance, inner, merged, norm, reduced, user_scale
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.errors import AdapterMismatch, UsageError
from edgeperso.types import Float32

SHAPES = {"blk.0.attn_q": (12, 9), "blk.1.ffn_up": (20, 9)}


def lora(
    seed: int, *, rank: int = 3, alpha: float = 6.0, names: tuple[str, ...] = tuple(SHAPES), base: str = ""
) -> Lora:
    random = np.random.default_rng(seed)
    pairs = {}
    for name in names:
        rows, columns = SHAPES[name]
        a, b = random.standard_normal((rank, columns)), random.standard_normal((rows, rank))
        pairs[name] = LoraPair(a.astype(np.float32), b.astype(np.float32))
    return Lora(base or "0" * 64, "llama", alpha, pairs)


def product(lora: Lora, name: str) -> Float32:
    """What the adapter adds to a matrix, in float64."""
    if name not in lora.pairs:
        return np.zeros(SHAPES[name])
    pair = lora.pairs[name]
    return lora.alpha / pair.rank * pair.b.astype(np.float64) @ pair.a.astype(np.float64)


def whole(lora: Lora) -> Float32:
    return np.concatenate([product(lora, name).ravel() for name in SHAPES])


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.integers(1, 6), st.floats(0.5, 64), st.floats(-2, 2)), min_size=1, max_size=5
    )
)
def test_a_merged_stack_adds_what_its_parts_add(parts: list[tuple[int, int, float, float]]) -> None:
    stack = [(lora(seed, rank=rank, alpha=alpha), scale) for seed, rank, alpha, scale in parts]
    expected = sum(scale * whole(one) for one, scale in stack)
    size = max(float(np.abs(scale * whole(one)).max()) for one, scale in stack)
    np.testing.assert_allclose(whole(merged(stack)), expected, atol=1e-6 * size * len(stack) + 1e-30)
    assert {pair.rank for pair in merged(stack).pairs.values()} == {sum(rank for _, rank, _, _ in parts)}


def test_adapters_of_different_matrices_merge_to_both() -> None:
    a, b = lora(1, rank=2, names=("blk.0.attn_q",)), lora(2, rank=5)
    both = merged([(a, 0.5), (b, 2.0)])
    np.testing.assert_allclose(whole(both), 0.5 * whole(a) + 2 * whole(b), atol=2e-5)
    assert {name: pair.rank for name, pair in both.pairs.items()} == {"blk.0.attn_q": 7, "blk.1.ffn_up": 5}
    assert all(pair.a.dtype == pair.b.dtype == np.float32 for pair in both.pairs.values())


def test_an_adapter_less_itself_is_nothing() -> None:
    nothing = merged([(lora(1), 1.0), (lora(1), -1.0)])
    assert np.abs(whole(nothing)).max() < 1e-12


def test_only_adapters_of_one_base_and_shape_merge() -> None:
    other = Lora(
        "0" * 64, "llama", 1.0, {"blk.0.attn_q": LoraPair(np.ones((1, 8), np.float32), np.ones((12, 1), np.float32))}
    )
    for wrong in (lora(2, base="1" * 64), other, Lora("0" * 64, "qwen2", 1.0, {})):
        with pytest.raises(AdapterMismatch):
            merged([(lora(1), 1.0), (wrong, 1.0)])
    with pytest.raises(UsageError):
        merged([])
    with pytest.raises(UsageError):
        merged([(lora(1), float("nan"))])


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_reduction_is_the_best_one_of_its_rank(rank: int) -> None:
    full = merged([(lora(1), 1.0), (lora(2), 0.7)])
    small = reduced(full, rank)
    for name in SHAPES:
        left, values, right = np.linalg.svd(product(full, name))
        best = (left[:, :rank] * values[:rank]) @ right[:rank]
        np.testing.assert_allclose(product(small, name), best, atol=1e-5 * values[0])
        assert small.pairs[name].rank == rank
    rest = [np.linalg.svd(product(full, name), compute_uv=False)[rank:] for name in SHAPES]
    assert distance(full, small) == pytest.approx(np.linalg.norm(np.concatenate(rest)), rel=1e-5)


def test_reduction_to_a_rank_that_suffices_loses_nothing() -> None:
    twice = merged([(lora(1), 1.0), (lora(1), 1.0)])
    np.testing.assert_allclose(whole(reduced(twice, 3)), 2 * whole(lora(1)), atol=2e-5)
    mixed = merged([(lora(1, rank=2, names=("blk.0.attn_q",)), 1.0), (lora(2, rank=3), 1.0)])
    np.testing.assert_allclose(whole(reduced(mixed, 256)), whole(mixed), atol=2e-5)


def test_a_reduced_zero_stays_zero_and_finite() -> None:
    nothing = merged([(lora(1), 0.0)])
    assert not np.abs(whole(reduced(nothing, 2))).any()


def test_no_rank_is_no_reduction() -> None:
    with pytest.raises(UsageError):
        reduced(lora(1), 0)


def test_products_have_the_lengths_and_angles_of_their_matrices() -> None:
    a, b = lora(1), merged([(lora(1), 0.5), (lora(2, rank=5, alpha=1.0, names=("blk.1.ffn_up",)), 1.0)])
    assert inner(a, b) == pytest.approx(whole(a) @ whole(b), rel=1e-6)
    assert norm(b) == pytest.approx(np.linalg.norm(whole(b)), rel=1e-6)
    assert cosine(a, b) == pytest.approx(whole(a) @ whole(b) / norm(a) / norm(b), rel=1e-6)
    assert distance(a, b) == pytest.approx(np.linalg.norm(whole(a) - whole(b)), rel=1e-6)


def test_the_factors_do_not_matter() -> None:
    """The same product, factored otherwise: opposite signs, another order, another alpha."""
    one = lora(1)
    other = Lora(
        one.base_sha256,
        one.architecture,
        3.0,
        {name: LoraPair(-pair.a[::-1], -2 * pair.b[:, ::-1]) for name, pair in one.pairs.items()},
    )
    assert cosine(one, other) == pytest.approx(1)
    assert distance(one, other) < 1e-12 * norm(one)


def test_near_adapters_keep_a_distance() -> None:
    one = lora(1)
    near = merged([(one, 1.0), (lora(2), 1e-9)])
    assert distance(one, near) == pytest.approx(1e-9 * norm(lora(2)), rel=1e-3)


def test_nothing_has_no_angle() -> None:
    assert cosine(lora(1), merged([(lora(2), 0.0)])) == 0
    assert cosine(lora(1, names=("blk.0.attn_q",)), lora(2, names=("blk.1.ffn_up",))) == 0
    with pytest.raises(AdapterMismatch):
        inner(lora(1), lora(1, base="1" * 64))
    with pytest.raises(AdapterMismatch):
        distance(lora(1), lora(1, base="1" * 64))


def test_the_own_adapter_gains_weight_with_evidence() -> None:
    weights = [user_scale(count) for count in range(200)]
    assert weights[0] == 0
    assert weights[8] == 0.5
    assert weights == sorted(set(weights))
    assert 0.95 < weights[-1] < 1
    with pytest.raises(UsageError):
        user_scale(-1)
