"""AdamW against torch's, and the rate."""

from __future__ import annotations

import numpy as np
import pytest

from edgeperso.adaptation.training.optimizer import Moments, clipped, rate_at, update


def test_updates_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    start = random.standard_normal(50).astype(np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.AdamW([theirs], lr=1e-2)
    ours = Moments.start(start)
    for _ in range(20):
        gradient = random.standard_normal(50).astype(np.float32)
        theirs.grad = torch.from_numpy(gradient)
        optimizer.step()
        ours = update(ours, gradient, 1e-2)
    np.testing.assert_allclose(ours.flat, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_clipping() -> None:
    np.testing.assert_allclose(clipped(np.array([3, 4], np.float32)), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(clipped(np.array([0.3, 0.4], np.float32)), np.array([0.3, 0.4], np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_none(value: float) -> None:
    assert clipped(np.array([1, value], np.float32)) is None


def test_the_rate_rises_then_falls() -> None:
    assert rate_at(2.0, 0.05, warmup=0.1) == pytest.approx(1.0)
    assert rate_at(2.0, 0.1, warmup=0.1) == pytest.approx(2.0)
    assert rate_at(2.0, 0.55, warmup=0.1) == pytest.approx(1.0)
    assert rate_at(2.0, 1.0, warmup=0.1) == pytest.approx(0.0)
    assert rate_at(2.0, 0.0, warmup=0.0) == pytest.approx(2.0)
