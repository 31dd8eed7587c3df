"""Training as a whole, on tiny models: it learns, stops, goes on, and refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from edgeperso.adaptation import training
from edgeperso.adaptation.plan import Example, LoraShape, Pair, Plan, SoftShape
from edgeperso.adaptation.training import Trained, losses, train
from edgeperso.engine.adapters.values import Lora, SoftPrompt
from edgeperso.errors import (
    AdapterMismatch,
    ExtraMissing,
    ModelError,
    ModelUnsupported,
    TooLittle,
    UsageError,
)
from edgeperso.types import Float32, Objective

from .tiny_models import SHA, WIDTH, model_bytes, random_lora, sequences

torch = pytest.importorskip("torch")

from edgeperso.adaptation.training import loop  # noqa: E402

PLAN = Plan(shape=LoraShape(rank=4), epochs=4, batch_tokens=30, rate=1e-2, threads=1)
TEXTS = [Example(tokens, 1) for tokens in sequences(lengths=(8, 6, 10, 7, 9, 5))]


class Killed(BaseException):
    """What ends a process without anything being tidied up."""


@dataclass
class Store:
    """Keeps the state in memory."""

    data: bytes | None = None
    saves: int = 0
    dropped: int = 0

    def load(self) -> bytes | None:
        return self.data

    def save(self, state: bytes) -> None:
        self.data = state
        self.saves += 1

    def drop(self) -> None:
        self.data = None
        self.dropped += 1


@dataclass
class Bomb:
    """A progress that raises ``error`` after so many calls."""

    after: int
    error: type[BaseException]
    calls: int = field(default=0)

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        self.calls += 1
        if self.calls == self.after:
            raise self.error


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(model_bytes("llama"))
    return path


def flat(trained: Trained) -> Float32:
    assert isinstance(trained.adapter, Lora)
    parts = [each.ravel() for pair in trained.adapter.pairs.values() for each in (pair.a, pair.b)]
    return np.concatenate(parts)


def test_a_lora_learns_its_texts(model: Path) -> None:
    found = train(model, SHA, TEXTS, replace(PLAN, epochs=20))
    assert isinstance(found.adapter, Lora)
    assert found.adapter.base_sha256 == SHA
    assert found.adapter.architecture == "llama"
    assert set(found.adapter.pairs) == {
        f"blk.{layer}.{name}" for layer in range(2) for name in ("attn_q", "attn_k", "attn_v", "attn_output")
    }
    assert found.stopped == "done"
    assert found.steps == len(found.losses)
    assert found.tokens == 20 * 45
    assert found.tokens_per_s > 0
    before, after = losses(model, None, TEXTS), losses(model, found.adapter, TEXTS)
    assert (after < before).all()
    assert np.mean(found.losses[-2:]) == pytest.approx(np.average(after, weights=[7, 5, 9, 6, 8, 4]), rel=0.1)


def test_a_soft_prompt_learns_its_texts(model: Path) -> None:
    plan = replace(PLAN, shape=SoftShape(4), epochs=20, rate=3e-2)
    found = train(model, SHA, TEXTS, plan)
    assert isinstance(found.adapter, SoftPrompt)
    assert found.adapter.embeddings.shape == (4, WIDTH)
    assert losses(model, found.adapter, TEXTS).mean() < losses(model, None, TEXTS).mean() - 0.1


def test_preferences_are_learnt(model: Path) -> None:
    prompts, chosen, rejected = (sequences(seed, (4, 5, 6, 4)) for seed in (1, 2, 3))
    pairs = [Pair(*one) for one in zip(prompts, chosen, rejected, strict=True)]
    found = train(model, SHA, pairs, replace(PLAN, objective=Objective.DPO, epochs=10))
    assert found.losses[0] == pytest.approx(np.log(2), rel=1e-3)  # no margin yet

    def margins(adapter: Lora | None) -> Float32:
        sides = [
            losses(
                model,
                adapter,
                [Example(pair.prompt + side, len(pair.prompt)) for pair, side in zip(pairs, some, strict=True)],
            )
            for some in (chosen, rejected)
        ]
        return np.asarray(sides[1] - sides[0])

    assert isinstance(found.adapter, Lora)
    assert (margins(found.adapter) > margins(None) + 0.1).all()


def test_the_same_call_gives_the_same_weights(model: Path) -> None:
    one, same, other = (train(model, SHA, TEXTS, replace(PLAN, seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(flat(one), flat(same))
    assert (flat(one) != flat(other)).any()


@pytest.mark.parametrize("objective", list(Objective))
def test_killed_anywhere_it_ends_in_the_same_weights(
    model: Path, objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [Pair(one.tokens[:3], one.tokens[3:], one.tokens[:2]) for one in TEXTS]
    texts = TEXTS if objective is Objective.TEXT else pairs
    plan = replace(PLAN, objective=objective)
    whole = train(model, SHA, texts, plan)
    random = np.random.default_rng(0)
    store = Store()
    kills = 0
    while True:
        # Now and then nothing was saved yet when the kill came, and the steps since then are taken anew.
        monkeypatch.setattr(loop, "_SAVE_SECONDS", float(random.choice([-1, -1, 60])))
        try:
            resumed = train(model, SHA, texts, plan, state=store, progress=Bomb(int(random.integers(1, 4)), Killed))
            break
        except Killed:
            kills += 1
    assert kills >= 3
    np.testing.assert_array_equal(flat(resumed), flat(whole))
    assert resumed.losses == whole.losses
    assert resumed.tokens == whole.tokens
    assert store.data is None


def test_an_interrupt_saves_and_passes_on(model: Path) -> None:
    store = Store()
    with pytest.raises(KeyboardInterrupt):
        train(model, SHA, TEXTS, PLAN, state=store, progress=Bomb(2, KeyboardInterrupt))
    assert store.saves == 1
    seen: list[int] = []
    resumed = train(model, SHA, TEXTS, PLAN, state=store, progress=lambda _, done, total: seen.append(done))
    assert seen[0] == 3
    np.testing.assert_array_equal(flat(resumed), flat(train(model, SHA, TEXTS, PLAN)))


def test_a_stop_is_kept_until_it_goes_on(model: Path) -> None:
    stop, store = threading.Event(), Store()
    stopped = train(model, SHA, TEXTS, PLAN, state=store, stop=stop, progress=lambda *_: stop.set())
    assert (stopped.stopped, stopped.steps) == ("asked", 1)
    assert store.data is not None
    assert store.dropped == 0
    resumed = train(model, SHA, TEXTS, PLAN, state=store)
    np.testing.assert_array_equal(flat(resumed), flat(train(model, SHA, TEXTS, PLAN)))


def test_a_state_of_another_training_is_not_gone_on_from(model: Path) -> None:
    store = Store()
    with pytest.raises(KeyboardInterrupt):
        train(model, SHA, TEXTS[:5], PLAN, state=store, progress=Bomb(2, KeyboardInterrupt))
    found = train(model, SHA, TEXTS, PLAN, state=store)
    np.testing.assert_array_equal(flat(found), flat(train(model, SHA, TEXTS, PLAN)))


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that every look moves on."""
    times = iter(range(1_000_000))
    return lambda: next(times) * seconds


def test_minutes_end_the_training_and_count_across_calls(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "monotonic", ticking(6.0))  # a step takes 6 s
    plan, store = replace(PLAN, epochs=30, minutes=0.75), Store()
    found = train(model, SHA, TEXTS, plan, state=store)
    assert (found.stopped, found.steps) == ("budget", 8)
    assert store.dropped == 1
    with pytest.raises(KeyboardInterrupt):
        train(model, SHA, TEXTS, plan, state=store, progress=Bomb(5, KeyboardInterrupt))
    assert train(model, SHA, TEXTS, plan, state=store).steps == 8


def test_the_rate_falls_within_the_minutes(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    real = loop.update
    monkeypatch.setattr(loop, "update", lambda now, gradient, rate: rates.append(rate) or real(now, gradient, rate))
    monkeypatch.setattr(loop, "monotonic", ticking(6.0))
    train(model, SHA, TEXTS, replace(PLAN, epochs=30, minutes=0.75, warmup=0.0))
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.1 * rates[0]


def test_a_step_that_is_not_finite_is_skipped(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.text_step
    calls: list[int] = []

    def broken(*args: object) -> tuple[float, Float32]:
        loss, gradient = real(*args)
        calls.append(1)
        return (loss, gradient * np.float32("nan")) if len(calls) == 2 else (loss, gradient)

    monkeypatch.setattr(loop, "text_step", broken)
    found = train(model, SHA, TEXTS, PLAN)
    assert np.isnan(found.losses).tolist() == [at == 1 for at in range(found.steps)]
    assert np.isfinite(flat(found)).all()


def test_numbers_that_stay_infinite_are_an_error(model: Path) -> None:
    start = random_lora("llama", LoraShape(rank=4), size=1e25)
    with pytest.raises(ModelError, match="finite"):
        train(model, SHA, TEXTS, replace(PLAN, epochs=20), start=start)


def test_it_goes_on_from_an_adapter(model: Path) -> None:
    first = train(model, SHA, TEXTS, replace(PLAN, epochs=10))
    second = train(model, SHA, TEXTS, replace(PLAN, epochs=1, rate=1e-9), start=first.adapter)
    np.testing.assert_allclose(flat(second), flat(first), atol=1e-6)


def test_worn_adapters_stay_as_they_are_and_count(model: Path) -> None:
    below = random_lora("llama", LoraShape(rank=2, alpha=2.0))
    found = train(model, SHA, TEXTS, replace(PLAN, epochs=1, rate=1e-9), frozen=[(below, 1.0)])
    assert isinstance(found.adapter, Lora)
    assert found.adapter.pairs["blk.0.attn_q"].rank == 4
    worn = losses(model, below, TEXTS)
    mean = np.average(worn, weights=[len(one.tokens) - 1 for one in TEXTS])
    weights = [sum(len(TEXTS[number].tokens) - 1 for number in step) for step in steps()]
    assert np.average(found.losses, weights=weights) == pytest.approx(mean, rel=5e-3)


def steps() -> tuple[tuple[int, ...], ...]:
    lengths = [len(one.tokens) for one in TEXTS]
    return loop.schedule(lengths, batch_tokens=PLAN.batch_tokens, epochs=1, seed=PLAN.seed)


@pytest.mark.parametrize(
    "start",
    [
        random_lora("qwen2", LoraShape(rank=4)),
        random_lora("llama", LoraShape(rank=5)),
        random_lora("llama", LoraShape(rank=4, targets=("attn_q",))),
        random_lora("llama", LoraShape(rank=4, alpha=3.0)),
        replace(random_lora("llama", LoraShape(rank=4)), base_sha256="cd" * 32),
        SoftPrompt(SHA, "llama", np.zeros((4, WIDTH), np.float32)),
    ],
)
def test_a_start_that_does_not_fit_is_refused(model: Path, start: Lora | SoftPrompt) -> None:
    with pytest.raises(AdapterMismatch):
        train(model, SHA, TEXTS, PLAN, start=start)


def test_worn_adapters_of_another_model_are_refused(model: Path) -> None:
    with pytest.raises(AdapterMismatch):
        train(model, SHA, TEXTS, PLAN, frozen=[(random_lora("qwen2", LoraShape(rank=4)), 1.0)])


@pytest.mark.parametrize("changes", [{"name": "gemma"}, {"llama__rope__scaling__type": "yarn"}])
def test_other_models_are_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(model_bytes("llama", **changes))
    with pytest.raises(ModelUnsupported):
        train(path, SHA, TEXTS, PLAN)


def test_a_model_with_unknown_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "biased.gguf"
    path.write_bytes(model_bytes("qwen2", name="llama"))
    with pytest.raises(ModelUnsupported, match="doesn't know"):
        train(path, SHA, TEXTS, PLAN)


def test_nothing_to_learn(model: Path) -> None:
    with pytest.raises(TooLittle):
        train(model, SHA, [], PLAN)
    with pytest.raises(TooLittle):
        train(model, SHA, [Example((1, 2, 3), 3)], PLAN)


def test_examples_and_objectives_go_together(model: Path) -> None:
    with pytest.raises(UsageError, match="pairs"):
        train(model, SHA, TEXTS, replace(PLAN, objective=Objective.DPO))
    with pytest.raises(UsageError, match="vocabulary"):
        train(model, SHA, [Example((1, 354), 1)], PLAN)


def test_torchs_threads_are_given_back(model: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        train(model, SHA, TEXTS, PLAN)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_without_torch_it_says_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing) as caught:
        train(model, SHA, TEXTS, PLAN)
    assert "edgeperso[train]" in caught.value.hint


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, edgeperso.adaptation.training; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("still", ["a", "b"])
def test_a_factor_that_is_not_trained_stays_bit_by_bit(model: Path, still: str) -> None:
    start = random_lora("llama", LoraShape(rank=4))
    plan = replace(PLAN, train_a=still != "a", train_b=still != "b")
    trained = train(model, SHA, TEXTS, plan, start=start).adapter
    assert isinstance(trained, Lora)
    for name, pair in trained.pairs.items():
        assert (getattr(pair, still) == getattr(start.pairs[name], still)).all()
    moved = "b" if still == "a" else "a"
    assert all(
        (getattr(pair, moved) != getattr(start.pairs[name], moved)).any() for name, pair in trained.pairs.items()
    )


def test_a_pull_holds_the_weights_to_where_they_started(model: Path) -> None:
    start = random_lora("llama", LoraShape(rank=4))

    def moved(pull: float) -> float:
        trained = train(model, SHA, TEXTS, replace(PLAN, pull=pull), start=start).adapter
        assert isinstance(trained, Lora)
        return sum(float(np.sum((pair.b - start.pairs[name].b) ** 2)) for name, pair in trained.pairs.items())

    assert moved(10.0) < 0.5 * moved(0.0)


def test_something_must_be_trained() -> None:
    with pytest.raises(UsageError):
        replace(PLAN, train_a=False, train_b=False)
