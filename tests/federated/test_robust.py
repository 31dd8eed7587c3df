"""Robust means: hostile rows change little, honest rows stay, and each rule is what its source says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.errors import UsageError
from edgeperso.types import Float32
from edgeperso_federated import robust
from edgeperso_federated.robust import (
    coordinate_median,
    cosine_filter,
    groups,
    multi_krum,
    norm_filter,
    trimmed_mean,
)

HONEST, HOSTILE, VALUES = 16, 4, 300
TRUTH = np.random.default_rng(0).standard_normal(VALUES).astype(np.float32)


def rows(hostile: Float32 | None = None) -> Float32:
    """Honest clients near the truth, and after them hostile ones."""
    noise = np.random.default_rng(1).standard_normal((HONEST, VALUES)).astype(np.float32)
    honest = TRUTH + np.float32(0.5) * noise
    return honest if hostile is None else np.vstack([honest, np.broadcast_to(hostile, (HOSTILE, VALUES))])


ATTACKS = {
    "huge": 1e4 * np.ones(VALUES, np.float32),
    "turned": -20 * TRUTH,
    "largest": np.full(VALUES, 1e30, np.float32),
}
AVERAGES: dict[str, Callable[[Float32], Float32]] = {
    "norm": lambda r: r[norm_filter(r)].mean(axis=0),
    "median": coordinate_median,
    "trimmed": lambda r: trimmed_mean(r, share=0.2),
    "krum": lambda r: r[multi_krum(r, HOSTILE)].mean(axis=0),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("rule", AVERAGES)
def test_hostile_clients_hardly_move_a_robust_mean(rule: str, attack: str) -> None:
    attacked = rows(ATTACKS[attack])
    honest = rows().mean(axis=0)
    away = np.linalg.norm(AVERAGES[rule](attacked) - honest) / np.linalg.norm(honest)
    assert away < 0.25
    assert np.linalg.norm(attacked.mean(axis=0, dtype=np.float64) - honest) / np.linalg.norm(honest) > 2


def test_updates_that_pull_the_other_way_are_filtered_by_their_cosine_whatever_their_length() -> None:
    for length in (0.01, 1, 100):
        attacked = rows(-np.float32(length) * TRUTH)
        assert cosine_filter(attacked).tolist() == [True] * HONEST + [False] * HOSTILE


def test_the_least_cosine_is_a_setting() -> None:
    across = np.where(np.arange(VALUES) % 2, TRUTH, -TRUTH).astype(np.float32)
    towards = np.concatenate([rows(), (TRUTH + 2 * across)[None].astype(np.float32)])
    assert cosine_filter(towards, least=0.2)[-1]
    assert not cosine_filter(towards, least=0.7)[-1]
    assert cosine_filter(towards, least=0.7)[:-1].all()


def test_honest_clients_all_stay() -> None:
    assert norm_filter(rows()).all()
    assert cosine_filter(rows()).all()
    clipped = rows() / np.linalg.norm(rows(), axis=1, keepdims=True)
    assert norm_filter(clipped.astype(np.float32)).all()


def test_an_update_of_nothing_stays_and_one_client_alone_does() -> None:
    attacked = rows(np.zeros(VALUES, np.float32))
    assert norm_filter(attacked).all()
    assert cosine_filter(attacked).all()
    one = rows()[:1]
    assert norm_filter(one).all()
    assert cosine_filter(one).all()
    np.testing.assert_array_equal(trimmed_mean(one, share=0.4), one[0])
    assert cosine_filter(np.zeros((3, 2), np.float32)).all()


def test_the_norm_filters_bound_is_the_documented_one() -> None:
    lengths = np.array([1, 2, 3, 4, 5, 7.4, 7.5], np.float32)  # median 4, deviation 2: the bound 4 + 1.4826 · 2 · x
    side = np.stack([lengths, np.zeros_like(lengths)], axis=1)
    assert norm_filter(side, deviations=3.45 / (1.4826 * 2)).tolist() == [True] * 6 + [False]


@given(st.integers(1, 9), st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.25, 0.34, 0.49]))
def test_medians_and_trimmed_means_are_those_of_each_column(clients: int, seed: int, share: float) -> None:
    some = np.random.default_rng(seed).standard_normal((clients, 5)).astype(np.float32)
    cut = min(int(np.ceil(share * clients - 1e-9)), (clients - 1) // 2)
    for column in range(5):
        listed = sorted(float(value) for value in some[:, column])
        inner = listed[cut : clients - cut]
        assert trimmed_mean(some, share=share)[column] == pytest.approx(sum(inner) / len(inner), rel=1e-5, abs=1e-7)
        middle = (listed[(clients - 1) // 2] + listed[clients // 2]) / 2
        assert coordinate_median(some)[column] == pytest.approx(middle, rel=1e-6, abs=1e-7)


def naive_krum(some: Float32, hostile: int) -> set[int]:
    """By the paper's words, pair by pair."""
    scores = []
    for one in some.astype(np.float64):
        away = sorted(float(np.sum((one - other) ** 2)) for other in some.astype(np.float64))
        scores.append(sum(away[1 : len(some) - hostile - 1]))
    return set(np.argsort(scores, kind="stable")[: len(some) - hostile].tolist())


@given(st.integers(0, 2), st.integers(0, 5), st.integers(0, 10**6))
def test_multi_krum_is_the_papers(hostile: int, more: int, seed: int) -> None:
    some = np.random.default_rng(seed).standard_normal((2 * hostile + 3 + more, 7)).astype(np.float32)
    assert set(np.flatnonzero(multi_krum(some, hostile)).tolist()) == naive_krum(some, hostile)


def test_multi_krum_of_equal_clients_far_from_the_origin_keeps_the_first() -> None:
    same = np.full((7, 4), 1e6, np.float32)
    assert multi_krum(same, 2).tolist() == [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: multi_krum(rows()[:6], 2),
        lambda: multi_krum(rows(), -1),
        lambda: trimmed_mean(rows(), share=0.5),
        lambda: trimmed_mean(rows(), share=-0.1),
        lambda: coordinate_median(np.zeros((0, 3), np.float32)),
        lambda: norm_filter(np.zeros(3, np.float32)),
        lambda: groups(2, size=3, seed=0),
        lambda: groups(2, size=0, seed=0),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        call()


def test_slices_of_columns_give_what_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    attacked = rows(ATTACKS["turned"])
    whole = [rule(attacked) for rule in (*AVERAGES.values(), cosine_filter)]
    monkeypatch.setattr(robust, "_SLICE_VALUES", 7 * len(attacked))
    for expected, rule in zip(whole, (*AVERAGES.values(), cosine_filter), strict=True):
        np.testing.assert_allclose(rule(attacked), expected, rtol=1e-6)


# ---- groups --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 99))
def test_every_client_is_in_one_group_of_the_size_or_more(clients: int, size: int, seed: int) -> None:
    if clients < size:
        return
    made = groups(clients, size=size, seed=seed)
    assert sorted(np.concatenate(made).tolist()) == list(range(clients))
    lengths = [len(group) for group in made]
    assert len(made) == clients // size
    assert min(lengths) >= size
    assert max(lengths) - min(lengths) <= 1


def test_groups_are_drawn_by_the_seed() -> None:
    drawn = [[group.tolist() for group in groups(30, size=5, seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_hostile_clients_behind_secure_aggregation_cost_their_groups_only() -> None:
    """The server sees groups' means alone; the median of them holds as long as fewer than half are spoilt."""
    attacked = np.vstack([np.tile(rows(), (2, 1)), np.broadcast_to(ATTACKS["huge"], (2, VALUES))])
    means = np.stack([attacked[group].mean(axis=0) for group in groups(len(attacked), size=4, seed=3)])
    assert norm_filter(means).sum() >= len(means) - 2
    away = np.linalg.norm(means[norm_filter(means)].mean(axis=0) - TRUTH) / np.linalg.norm(TRUTH)
    assert away < 0.25
