"""Noise: normal, of the promised size, never used twice, and a release from which a person can't be told. Each
statistical test has a control that fails it."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeperso.errors import UsageError
from edgeperso_federated.errors import Fault, RoundFailed, UpdateInvalid
from edgeperso_federated.privacy import noise
from edgeperso_federated.privacy.gaussian import delta_of, epsilon_of
from edgeperso_federated.privacy.noise import NoiseKey, deviation, local_norm, local_update, noised, private_mean
from edgeperso_federated.privacy.plans import Central, Local
from edgeperso_federated.update import Field, Schema, Update, check_update, unflatten

Float64 = NDArray[np.float64]
KEY = NoiseKey.of_simulation(7)
PLAN = Central(clip=0.5, noise_multiplier=2.0, cohort=10, asked=12, population=100, delta=1e-3)


def distance_to_normal(drawn: Float64) -> float:
    """Kolmogorov's, scaled: above 1.95 with a chance of 1e-3 for a true normal."""
    ordered = np.sort(drawn)
    expected = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in ordered])
    return float(np.max(np.abs(expected - np.arange(len(ordered)) / len(ordered))) * math.sqrt(len(ordered)))


# ---- where it comes from -------------------------------------------------------------------------------------------


def test_the_stream_is_standard_normal() -> None:
    drawn = KEY.normals(200_001, b"one")
    assert drawn.shape == (200_001,)
    assert distance_to_normal(drawn) < 1.95
    assert distance_to_normal(drawn * 1.02) > 1.95
    assert distance_to_normal(drawn + 0.02) > 1.95
    assert np.mean(drawn**4) == pytest.approx(3, abs=0.1)
    assert 4 < np.abs(drawn).max() < 6.5


def test_neighbouring_values_and_other_streams_share_nothing() -> None:
    drawn, other = KEY.normals(100_000, b"one"), KEY.normals(100_000, b"two")
    for a, b in ((drawn[:-1], drawn[1:]), (drawn[::2], drawn[1::2]), (drawn, other), (drawn**2, other**2)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.015
    half = 1 << 15
    assert abs(np.corrcoef(drawn[:half], drawn[half : 2 * half])[0, 1]) < 0.02


def test_the_same_key_and_binding_give_the_same_and_no_other_does() -> None:
    first = KEY.normals(5, b"run", b"1")
    assert np.array_equal(first, NoiseKey(KEY.to_bytes()).normals(5, b"run", b"1"))
    for other in (
        KEY.normals(5, b"run", b"2"),
        KEY.normals(5, b"run1"),
        KEY.normals(5, b"ru", b"n1"),
        NoiseKey.of_simulation(8).normals(5, b"run", b"1"),
        NoiseKey.new().normals(5, b"run", b"1"),
    ):
        assert not np.isin(first, other).any()


@pytest.mark.parametrize("size", [0, 1, 2, 3, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, (1 << 17) + 3])
def test_every_size_is_filled(size: int) -> None:
    drawn = KEY.normals(size, b"x")
    assert drawn.shape == (size,)
    assert np.isfinite(drawn).all()
    assert len(np.unique(drawn)) == size


def test_the_ends_of_the_stream_are_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    for byte, longest in ((b"\0", 9.5), (b"\xff", 0.0)):
        monkeypatch.setattr(noise, "Cipher", lambda *_, byte=byte, **__: Constant(byte))
        drawn = KEY.normals(8)
        assert np.abs(drawn).max() == pytest.approx(longest, abs=0.1)


class Constant:
    def __init__(self, byte: bytes) -> None:
        self._byte = byte

    def encryptor(self) -> Constant:
        return self

    def update(self, data: bytes) -> bytes:
        return self._byte * len(data)


def test_a_key_is_32_bytes_and_shows_itself_to_nobody() -> None:
    with pytest.raises(UsageError):
        NoiseKey(b"short")
    assert repr(KEY) == "NoiseKey(…)"
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    assert NoiseKey.new().to_bytes() != NoiseKey.new().to_bytes()


# ---- the mechanism -------------------------------------------------------------------------------------------------


def test_noise_has_the_promised_deviation_and_lies_on_the_grid() -> None:
    values = np.linspace(-3, 3, 100_000)
    got = noised(values, 0.7, KEY, b"x")
    assert distance_to_normal((got - values) / 0.7) < 1.95
    step = math.ldexp(1, math.floor(math.log2(0.7)) - 28)
    assert np.array_equal(np.rint(got / step) * step, got)
    assert not np.array_equal(np.rint(values / step) * step, values)


def test_the_last_bits_do_not_tell_what_was_summed() -> None:
    """Values that aren't on the grid end in sums that are; with noise of floats as it is they don't."""
    low, high = np.full(4000, 1 / 3), np.full(4000, 1 / 3 + 2**-40)
    step = 2.0**-28
    on_grid = [noised(values, 1.0, KEY, b"x") / step for values in (low, high)]
    assert all(np.array_equal(values, np.rint(values)) for values in on_grid)
    drawn = KEY.normals(4000, b"x")
    assert not np.array_equal(np.rint((low + drawn) / step), (low + drawn) / step)


def test_the_same_sum_gets_the_same_noise_and_another_sum_none_of_it() -> None:
    values = np.zeros(1000)
    first = noised(values, 1.0, KEY, b"run", b"1")
    assert np.array_equal(first, noised(values, 1.0, KEY, b"run", b"1"))
    moved = values.copy()
    moved[0] = 1e-3
    for other in (
        noised(moved, 1.0, KEY, b"run", b"1"),
        noised(values, 1.0, KEY, b"run", b"2"),
        noised(values, 1.0000001, KEY, b"run", b"1"),
        noised(values, 1.0, NoiseKey.of_simulation(8), b"run", b"1"),
    ):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.15


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_values_that_cannot_be_summed_exactly_are_refused(bad: float) -> None:
    assert noised(np.array([1e6]), 1.0, KEY)[0] == pytest.approx(1e6, abs=7)
    with pytest.raises(UsageError):
        noised(np.array([0.0, bad]), 1.0, KEY)


@pytest.mark.parametrize("multiplier", [0.01, 0.3, 1.0, 1.9999, 2.0, 77.0])
def test_the_deviation_covers_the_grids_rounding(multiplier: float) -> None:
    std = deviation(multiplier, 0.5, 1_000_000)
    step = math.ldexp(1, math.floor(math.log2(std)) - 28)
    assert std >= multiplier * (0.5 + step * 1000)
    assert std <= multiplier * 0.5 * (1 + 1e-4 * max(1.0, multiplier))


def told_apart(std: float, epsilon: float, trials: int = 200_000) -> float:
    """The least δ of a release of one value, shown by guessing whether a person of norm 1 was in the sum."""
    without = noised(np.zeros(trials), std, NoiseKey.of_simulation(1), b"a")
    with_ = noised(np.ones(trials), std, NoiseKey.of_simulation(2), b"b")
    cut = epsilon * std**2 + 0.5
    return float(np.mean(with_ > cut) - math.exp(epsilon) * np.mean(without > cut))


def test_a_person_is_told_from_a_sum_as_well_as_promised_and_no_better() -> None:
    promised = delta_of(1 / 1.5, 1.0)
    assert told_apart(1.5, 1.0) == pytest.approx(promised, abs=0.003)
    assert told_apart(0.75, 1.0) > promised + 0.05


# ---- central -------------------------------------------------------------------------------------------------------


def test_a_mean_is_over_the_planned_cohort_with_the_planned_noise_whoever_answers() -> None:
    for clients in (0, 3, 10, 12):
        total = np.full(40_000, clients * 0.5 / 200)
        mean = private_mean(PLAN, total, KEY, b"run", clients=clients, weight=clients)
        assert np.mean(mean) == pytest.approx(clients * 0.5 / 200 / 10, abs=0.002)
        assert np.std(mean) == pytest.approx(2.0 * 0.5 / 10, rel=0.02)


def test_a_bound_that_adapted_and_rounding_of_masks_count() -> None:
    zeros = np.zeros(40_000)
    mean = private_mean(PLAN, zeros, KEY, clients=1, weight=1, bound=2.0, multiplier=3.0, rounding=0.5)
    assert np.std(mean) == pytest.approx(3.0 * 2.5 / 10, rel=0.02)


def test_weights_and_sums_of_unclipped_updates_are_refused() -> None:
    zeros = np.zeros(4)
    with pytest.raises(UsageError):
        private_mean(PLAN, zeros, KEY, clients=3, weight=5)
    with pytest.raises(RoundFailed):
        private_mean(PLAN, np.array([1.6, 0, 0, 0]), KEY, clients=3, weight=3)
    private_mean(PLAN, np.array([1.5, 0, 0, 0]), KEY, clients=3, weight=3)


def test_what_the_check_of_updates_lets_pass_is_within_the_sensitivity() -> None:
    schema = Schema((Field("soft", (1,)),), max_norm=0.5, max_bytes=1000)
    longest = np.array([0.5 * (1 + noise._SLACK)], np.float32)
    longer = np.nextafter(longest, np.float32(1)) * np.float32(1 + 1e-7)
    with pytest.raises(UpdateInvalid):
        check_update(schema, Update({"soft": longer}, 1, {}))


# ---- local ---------------------------------------------------------------------------------------------------------


def test_a_local_update_hides_which_of_two_opposite_ones_it_was() -> None:
    """The sensitivity is twice the clipping norm; noise for once that is told apart better than promised."""
    plan = Local.of_budget(1.0, 2.0, 1e-2, 1)
    ups, downs = (
        np.array([local_update(plan, np.array([x], np.float32), NoiseKey.new())[0] for _ in range(4000)])
        for x in (1.0, -1.0)
    )
    std = 2 * plan.noise_multiplier
    assert np.std(ups) == pytest.approx(std, rel=0.05)
    cut = 2.0 * std**2 / 2
    assert np.mean(ups > cut) - math.exp(2.0) * np.mean(downs > cut) < 0.01 + 0.02
    assert epsilon_of(2 / (std / 2), 1e-2) > 4


def test_a_local_update_that_is_long_or_no_number_does_not_leave() -> None:
    plan = Local(1.0, 1.0, 1e-5)
    for bad, fault in ((math.nan, Fault.NOT_FINITE), (math.inf, Fault.NOT_FINITE), (1.001, Fault.NORM)):
        with pytest.raises(UpdateInvalid) as caught:
            local_update(plan, np.array([bad], np.float32), KEY)
        assert caught.value.reason is fault


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_noisy_update_fits_the_schema_of_its_norm(size: int) -> None:
    plan = Local(1.0, 0.5, 1e-5)
    schema = Schema((Field("soft", (size,)),), max_norm=local_norm(plan, size), max_bytes=1 << 20)
    vector = np.full(size, 1 / math.sqrt(size) * 0.999, np.float32)
    for seed in range(20):
        noisy = local_update(plan, vector, NoiseKey.of_simulation(seed))
        assert noisy.dtype == np.float32
        check_update(schema, Update(unflatten(schema, noisy), 1, {}))
    assert local_norm(plan, 10_000) < 1.15 * math.sqrt(10_000)
