"""The saved state: whole or not at all, and only for its own training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeperso.adaptation.plan import Example, LoraShape, Plan
from edgeperso.adaptation.training.optimizer import Moments
from edgeperso.adaptation.training.state import State, digest, from_bytes, to_bytes

from .tiny_models import SHA, random_lora

OURS = digest(SHA, [Example((1, 2), 1)], Plan(), None, ())


def state() -> State:
    flat = np.arange(6, dtype=np.float32)
    moments = Moments(flat, flat + 1, flat + 2, 4)
    return State(moments, np.array([3.0, np.nan, 2.0], np.float32), 99, 1, 1.5, np.ones((2, 2), np.float32))


def test_what_is_saved_comes_back() -> None:
    found = from_bytes(to_bytes(state(), OURS), OURS, size=6)
    assert found is not None
    assert (found.steps, found.tokens, found.skipped, found.seconds, found.moments.updates) == (3, 99, 1, 1.5, 4)
    np.testing.assert_array_equal(found.losses, state().losses)
    np.testing.assert_array_equal(found.reference, state().reference)
    for name in ("flat", "mean", "square"):
        np.testing.assert_array_equal(getattr(found.moments, name), getattr(state().moments, name))


def test_a_damaged_state_is_none() -> None:
    data = to_bytes(state(), OURS)
    cut_off = [data[:size] for size in range(0, len(data), 7)]
    flipped = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]
    assert all(from_bytes(broken, OURS, size=6) is None for broken in [*cut_off, *flipped, data + b"\0", b""])


def test_a_state_of_another_size_is_none() -> None:
    assert from_bytes(to_bytes(state(), OURS), OURS, size=5) is None


@pytest.mark.parametrize(
    "other",
    [
        digest("cd" * 32, [Example((1, 2), 1)], Plan(), None, ()),
        digest(SHA, [Example((1, 3), 1)], Plan(), None, ()),
        digest(SHA, [Example((1, 2), 2)], Plan(), None, ()),
        digest(SHA, [Example((1, 2), 1)], Plan(rate=2e-3), None, ()),
        digest(SHA, [Example((1, 2), 1)], Plan(shape=LoraShape(rank=4)), None, ()),
        digest(SHA, [Example((1, 2), 1)], Plan(), random_lora("llama", LoraShape()), ()),
        digest(SHA, [Example((1, 2), 1)], Plan(), None, [(random_lora("llama", LoraShape()), 1.0)]),
    ],
)
def test_a_state_belongs_to_one_training(other: bytes) -> None:
    assert from_bytes(to_bytes(state(), OURS), other, size=6) is None


def test_minutes_and_threads_may_change() -> None:
    plan = dataclasses.replace(Plan(), minutes=3, threads=1)
    assert digest(SHA, [Example((1, 2), 1)], plan, None, ()) == OURS
