"""A client's work: what it trains, and what leaves the device; on tiny models."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.adaptation.plan import Example, LoraShape, Plan, SoftShape
from edgeperso.adaptation.stacking import merged
from edgeperso.adaptation.training import losses
from edgeperso.engine.adapters.values import Lora, SoftPrompt
from edgeperso.engine.gguf import check_model_file
from edgeperso_federated.aggregation import advanced
from edgeperso_federated.errors import UpdateInvalid
from edgeperso_federated.factors import Frame, Method, first_tensors, frame_of, lora_from
from edgeperso_federated.local import LOSS, outgoing, train_own, train_update
from edgeperso_federated.orders import Order
from edgeperso_federated.privacy.clipping import WITHIN
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.privacy.plans import Local
from edgeperso_federated.update import Update, check_update, flatten, norm

pytest.importorskip("torch")

TINY = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "adaptation" / "training" / "tiny_models.py")))
PLAN = Plan(epochs=3, batch_tokens=30, rate=1e-2, threads=1)
TEXTS = [Example(tokens, 1) for tokens in TINY.sequences(lengths=(8, 6, 10, 7))]
KEY = NoiseKey(bytes(32))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(TINY.model_bytes("llama"))
    return path


def framed(model: Path, shape: LoraShape | SoftShape | None = None) -> Frame:
    return frame_of(check_model_file(model), TINY.SHA, shape or LoraShape(4, 8.0, ("attn_q", "attn_v")), b"a seed")


def ordered(frame: Frame, method: Method = Method.FFA, turn: int = 1, bound: float = 100.0) -> Order:
    return Order("run", turn, turn, frame.base_sha256, frame.shape, frame.seed, method, bound)


def test_only_b_is_trained_and_the_shared_adapter_gets_better(model: Path) -> None:
    frame = framed(model)
    held = first_tensors(frame, Method.FFA)
    order = replace(ordered(frame), metrics=frozenset({LOSS}))
    update = train_update(model, frame, TEXTS, held, order, PLAN)
    check_update(order.schema(frame), update)
    assert {name[-2:] for name in update.tensors} == {".b"}
    assert update.examples == 4
    assert np.isfinite(update.metrics[LOSS])
    after = lora_from(frame, advanced(held, update.tensors))
    assert losses(model, after, TEXTS).mean() < losses(model, None, TEXTS).mean() - 0.05
    assert train_update(model, frame, TEXTS, held, order, PLAN).tensors.keys() == update.tensors.keys()


def test_a_weaker_device_moves_the_first_ranks_alone(model: Path) -> None:
    frame = framed(model)
    held = first_tensors(frame, Method.FFA)
    update = train_update(model, frame, TEXTS, held, ordered(frame), PLAN, rank=2)
    for values in update.tensors.values():
        assert values.shape[1] == 4
        assert values[:, :2].any()
        assert not values[:, 2:].any()


@pytest.mark.parametrize(("turn", "part"), [(1, ".b"), (2, ".a")])
def test_rolora_trains_one_factor_at_a_time(model: Path, turn: int, part: str) -> None:
    frame = framed(model)
    order = ordered(frame, Method.ROLORA)
    held = first_tensors(frame, Method.ROLORA)
    held = advanced(held, train_update(model, frame, TEXTS, held, order, PLAN).tensors)
    update = train_update(model, frame, TEXTS, held, replace(order, round=turn, attempt=turn), PLAN)
    assert {name[-2:] for name in update.tensors} == {part}
    assert norm(update.tensors) > 0


def test_flora_sends_a_new_adapter_on_top_of_the_held_one(model: Path) -> None:
    frame = framed(model)
    held = first_tensors(frame, Method.FLORA)
    order = ordered(frame, Method.FLORA)
    first = train_update(model, frame, TEXTS, held, order, PLAN)
    check_update(order.schema(frame), first)
    second = train_update(model, frame, TEXTS, first.tensors, order, PLAN)
    below, above = lora_from(frame, first.tensors), lora_from(frame, second.tensors)
    found = [losses(model, lora, TEXTS).mean() for lora in (None, below, merged([(below, 1.0), (above, 1.0)]))]
    assert found[0] > found[1] > found[2]


def test_a_soft_prompt_travels_whole(model: Path) -> None:
    frame = framed(model, SoftShape(3))
    start = train_own(model, frame, TEXTS, None, replace(PLAN, epochs=1))
    assert isinstance(start, SoftPrompt)
    held = {"soft": start.embeddings}
    update = train_update(model, frame, TEXTS, held, ordered(frame, Method.SOFT), PLAN)
    assert update.tensors["soft"].shape == (3, TINY.WIDTH)
    assert update.tensors["soft"].any()


def test_dittos_pull_holds_the_own_adapter_to_the_shared_one(model: Path) -> None:
    frame = framed(model)
    held = first_tensors(frame, Method.FFA)
    held = advanced(held, train_update(model, frame, TEXTS[:2], held, ordered(frame), PLAN).tensors)
    shared = lora_from(frame, held)

    def apart(pull: float) -> float:
        own = train_own(model, frame, TEXTS[2:], held, replace(PLAN, pull=pull))
        assert isinstance(own, Lora)
        return sum(float(np.sum((own.pairs[name].b - pair.b) ** 2)) for name, pair in shared.pairs.items())

    assert 0 < apart(10.0) < 0.5 * apart(0.0)


# ---- what leaves ---------------------------------------------------------------------------------------------------


def some_update(order: Order, frame: Frame, length: float) -> Update:
    random = np.random.default_rng(3)
    tensors = {one.name: random.standard_normal(one.shape) for one in order.schema(frame).fields}
    whole = np.sqrt(sum(float(np.sum(values**2)) for values in tensors.values()))
    return Update({name: (values * length / whole).astype(np.float32) for name, values in tensors.items()}, 2, {})


@pytest.mark.parametrize(("length", "within"), [(0.5, 1.0), (3.0, 0.0)])
def test_what_leaves_is_clipped_and_says_so_when_asked(model: Path, length: float, within: float) -> None:
    frame = framed(model)
    order = replace(ordered(frame, bound=1.0), adaptive=True)
    left = outgoing(frame, order, some_update(order, frame, length), KEY)
    assert norm(left.tensors) == pytest.approx(min(length, 1.0), rel=1e-5)
    assert left.metrics == {WITHIN: within}


def test_local_noise_is_new_for_each_attempt_and_fits_the_schema(model: Path) -> None:
    frame = framed(model)
    order = replace(ordered(frame, bound=1.0), privacy=Local(1.0, 1.0, 1e-3))
    update = some_update(order, frame, 1.0)
    schema = order.schema(frame)
    first, again, second = (
        flatten(schema, outgoing(frame, one, update, KEY).tensors) for one in (order, order, replace(order, attempt=2))
    )
    assert (first == again).all()
    assert np.std(first - second) == pytest.approx(2 * np.sqrt(2), rel=0.1)
    assert np.std(first) == pytest.approx(2.0, rel=0.1)


def test_what_is_not_finite_does_not_leave(model: Path) -> None:
    frame = framed(model)
    order = ordered(frame)
    update = some_update(order, frame, 1.0)
    next(iter(update.tensors.values()))[0, 0] = np.nan
    with pytest.raises(UpdateInvalid):
        outgoing(frame, order, update, KEY)
