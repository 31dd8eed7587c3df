"""Training from the first step to the last, with a budget, a stop and a state to go on from."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import numpy as np
import torch

from edgeperso.adaptation.plan import Example, Pair, Plan, SoftShape
from edgeperso.adaptation.training.base import best_dtype
from edgeperso.adaptation.training.lanes import LANE_TOKENS, Lanes, share_out
from edgeperso.adaptation.training.model import Model
from edgeperso.adaptation.training.objectives import dpo_step, example_losses, pair_log_probs, text_step
from edgeperso.adaptation.training.optimizer import Moments, clipped, rate_at, update
from edgeperso.adaptation.training.packing import Pack, both, cut, cut_pair, pack, schedule
from edgeperso.adaptation.training.state import State, digest, from_bytes, to_bytes
from edgeperso.adaptation.training.tape import Tape
from edgeperso.adaptation.training.values import StateStore, Stopped, Trained
from edgeperso.engine.adapters.values import Adapter, Lora, SoftPrompt
from edgeperso.engine.machine import physical_cores
from edgeperso.errors import AdapterMismatch, ModelError, TooLittle, UsageError
from edgeperso.events import Event, emit
from edgeperso.types import Float32, Objective, Progress

__all__ = ["logits", "losses", "train"]

_SAVE_SECONDS: Final = 20.0
"""Between two saved states, besides the step that is going on."""
_MOST_SKIPPED: Final = 10
_READ_TOKENS: Final = 512
"""Tokens that are read at once where nothing is learnt."""


def train(
    model: Path,
    base_sha256: str,
    examples: Sequence[Example] | Sequence[Pair],
    plan: Plan,
    *,
    start: Adapter | None = None,
    frozen: Sequence[tuple[Lora, float]] = (),
    state: StateStore | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Trained:
    """See `edgeperso.adaptation.training.train`."""
    with _threads(plan.threads), torch.inference_mode(), Model(model, plan.shape, frozen, dtype=best_dtype()) as opened:
        return _Training(opened, base_sha256, examples, plan, start, frozen, state).run(progress, stop)


def losses(model: Path, adapter: Adapter | None, examples: Sequence[Example]) -> Float32:
    """See `edgeperso.adaptation.training.losses`."""
    if not examples:
        return np.empty(0, np.float32)
    with _reading(model, adapter, best_dtype()) as (opened, flat):
        out = np.empty(len(examples), np.float32)
        lengths = [len(example.tokens) for example in examples]
        opened.check(pack(examples))
        for numbers in schedule(lengths, batch_tokens=_READ_TOKENS, epochs=1, seed=0):
            out[list(numbers)] = example_losses(opened, flat, [examples[number] for number in numbers])
        return out


def logits(model: Path, adapter: Adapter | None, tokens: Sequence[int]) -> Float32:
    """See `edgeperso.adaptation.training.logits`."""
    ids = np.array(tokens, np.int64)
    everywhere = np.arange(len(ids), dtype=np.int64)
    laid = Pack(ids, (0, len(ids)), everywhere, np.zeros_like(ids), np.zeros_like(ids))
    with _reading(model, adapter, torch.float32) as (opened, flat):
        opened.check(laid)
        return np.asarray(opened.head.logits(opened.read(flat, laid, learn=False).rows).numpy(), np.float32)


class _Training:
    """One training; ``_now`` is replaced as a whole after every step."""

    def __init__(
        self,
        model: Model,
        base_sha256: str,
        examples: Sequence[Example] | Sequence[Pair],
        plan: Plan,
        start: Adapter | None,
        frozen: Sequence[tuple[Lora, float]],
        store: StateStore | None,
    ) -> None:
        if any(adapter.base_sha256 != base_sha256 for adapter in (start, *(one for one, _ in frozen)) if adapter):
            raise AdapterMismatch("An adapter to go on from belongs to another base model.")
        self._model = model
        self._base_sha256 = base_sha256
        self._plan = plan
        self._store = store
        self._texts, self._pairs = _material(examples, plan)
        self._lengths = [len(text.tokens) for text in self._texts] or [
            sum(len(one.tokens) for one in both(pair)) for pair in self._pairs
        ]
        for number in range(len(self._lengths)):
            model.check(pack(self._texts[number : number + 1] or both(self._pairs[number])))
        self._steps = schedule(self._lengths, batch_tokens=plan.batch_tokens, epochs=plan.epochs, seed=plan.seed)
        threads = torch.get_num_threads()
        lanes = min(threads, max(1, plan.batch_tokens // LANE_TOKENS)) if model.base.keep_all() else 1
        self._lanes = Lanes(lanes, threads // lanes)
        # Allocated for the largest step before anything else is, so that it never has to grow.
        self._tape = model.reserve(max(sum(self._rooms(step)) for step in self._steps), learn=True)
        self._still = model.weights.still(train_a=plan.train_a, train_b=plan.train_b)
        self._anchor = model.first(plan.seed, start) if plan.pull else None
        self._digest = digest(base_sha256, examples, plan, start, frozen)
        self._start = start

    def run(self, progress: Progress | None, stop: threading.Event | None) -> Trained:
        with self._lanes:
            return self._result(self._run(progress, stop))

    def _run(self, progress: Progress | None, stop: threading.Event | None) -> Stopped:
        self._now = self._before = self._first()
        saved = monotonic()
        stopped: Stopped = "done"
        try:
            while self._now.steps < len(self._steps):
                if stop is not None and stop.is_set():
                    stopped = "asked"
                    break
                if self._share() >= 1:
                    stopped = "budget"
                    break
                self._step()
                if progress is not None:
                    progress("training", self._now.steps, len(self._steps))
                if monotonic() - saved > _SAVE_SECONDS:
                    self._save()
                    saved = monotonic()
        except KeyboardInterrupt:
            self._save()
            raise
        if stopped == "asked":
            self._save()
        elif self._store is not None:
            self._store.drop()
        return stopped

    def _first(self) -> State:
        size = self._model.weights.size
        data = self._store.load() if self._store is not None else None
        if data is not None and (found := from_bytes(data, self._digest, size=size)) is not None:
            return found
        flat = self._model.first(self._plan.seed, self._start)
        reference = np.empty((len(self._pairs), 2), np.float32)
        for numbers in schedule(self._lengths, batch_tokens=_READ_TOKENS, epochs=1, seed=0) if self._pairs else ():
            reference[list(numbers)] = pair_log_probs(self._model, flat, [self._pairs[number] for number in numbers])
        return State(Moments.start(flat), np.empty(0, np.float32), 0, 0, 0.0, reference)

    def _step(self) -> None:
        now, plan = self._now, self._plan
        began = monotonic()
        numbers = self._steps[now.steps]
        shares = share_out(numbers, self._lengths, self._lanes.count)
        counts = [sum(self._counted(number) for number in share) for share in shares]
        if len(shares) == 1:
            loss, gradient = self._work(shares[0], self._tape)
        else:
            loss, gradient = self._lanes.run(self._work, shares, self._tape.shares(self._rooms(numbers)), counts)
        if self._anchor is not None:
            gradient += np.float32(plan.pull) * (now.moments.flat - self._anchor)
        if self._still is not None:
            gradient[self._still] = 0
        moments, skipped = now.moments, 0
        if (usable := clipped(gradient)) is None:
            loss, skipped = float("nan"), now.skipped + 1
            if skipped >= _MOST_SKIPPED:
                raise ModelError("The training's numbers are no longer finite.", hint="Train with a smaller rate.")
        else:
            moments = update(moments, usable, rate_at(plan.rate, self._share(), warmup=plan.warmup))
            if self._still is not None:  # the weights' decay would move them
                moments.flat[self._still] = now.moments.flat[self._still]
        self._now = State(
            moments,
            np.append(now.losses, np.float32(loss)),
            now.tokens + sum(self._lengths[number] for number in numbers),
            skipped,
            now.seconds + monotonic() - began,
            now.reference,
        )

    def _work(self, numbers: Sequence[int], tape: Tape) -> tuple[float, Float32]:
        """The mean loss of some examples and its gradient."""
        flat = self._now.moments.flat
        if not self._pairs:
            return text_step(self._model, flat, [self._texts[number] for number in numbers], tape)
        pairs = [self._pairs[number] for number in numbers]
        return dpo_step(self._model, flat, pairs, self._now.reference[list(numbers)], self._plan.beta, tape)

    def _counted(self, number: int) -> int:
        """How much an example counts in its step's mean: texts by their tokens, pairs all alike."""
        return 1 if self._pairs else len(self._texts[number].tokens) - self._texts[number].learn_from

    def _rooms(self, numbers: Sequence[int]) -> list[int]:
        """Tokens that each lane's share of a step takes of the tape."""
        sequences = 2 if self._pairs else 1
        return [
            self._model.room(sum(self._lengths[number] for number in share), sequences * len(share))
            for share in share_out(numbers, self._lengths, self._lanes.count)
        ]

    def _share(self) -> float:
        """How much of the training is over, in steps or in minutes, whichever is further: so that the rate has fallen
        when the minutes end."""
        # The middle of the step to come: neither its start, where the rate would be 0, nor its end.
        steps = (self._now.steps + 0.5) / len(self._steps)
        minutes = self._plan.minutes
        return steps if minutes is None else max(steps, self._now.seconds / (60 * minutes))

    def _save(self) -> None:
        if self._store is not None:
            self._store.save(to_bytes(self._now, self._digest))

    def _result(self, stopped: Stopped) -> Trained:
        now, before = self._now, self._before
        seconds = now.seconds - before.seconds
        speed = (now.tokens - before.tokens) / seconds if seconds else 0.0
        emit(Event.TRAINED, steps=now.steps, tokens=now.tokens, seconds=round(now.seconds, 1))
        adapter = self._model.weights.adapter(now.moments.flat, self._base_sha256)
        return Trained(adapter, now.steps, now.tokens, speed, tuple(now.losses.tolist()), stopped)


def _material(examples: Sequence[Example] | Sequence[Pair], plan: Plan) -> tuple[tuple[Example, ...], tuple[Pair, ...]]:
    """What is learnt, cut to size: texts or pairs, the other empty."""
    texts = tuple(cut(one, plan.max_tokens) for one in examples if isinstance(one, Example))
    texts = tuple(one for one in texts if 1 <= one.learn_from < len(one.tokens))
    pairs = tuple(cut_pair(one, plan.max_tokens) for one in examples if isinstance(one, Pair))
    pairs = tuple(one for one in pairs if one.prompt and one.chosen and one.rejected)
    wanted, other = (pairs, texts) if plan.objective is Objective.DPO else (texts, pairs)
    if other:
        raise UsageError("Texts are learnt from examples, preferences from pairs.")
    if not wanted:
        raise TooLittle("There is nothing to learn from.")
    return texts, pairs


@contextmanager
def _reading(model: Path, adapter: Adapter | None, dtype: torch.dtype) -> Iterator[tuple[Model, Float32]]:
    """``model`` opened to be read with ``adapter``, and the flat vector for it."""
    frozen = [(adapter, 1.0)] if isinstance(adapter, Lora) else []
    shape = SoftShape(len(adapter.embeddings)) if isinstance(adapter, SoftPrompt) else None
    with _threads(None), torch.inference_mode(), Model(model, shape, frozen, dtype=dtype) as opened:
        flat = opened.weights.flat(adapter) if isinstance(adapter, SoftPrompt) else np.empty(0, np.float32)
        yield opened, flat


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Torch's threads are the process's: they are set for the time being. With more than OpenMP may start it computes
    nonsense."""
    before = torch.get_num_threads()
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    wanted = count or physical_cores()
    torch.set_num_threads(min(wanted, int(limit)) if limit.isdecimal() and int(limit) else wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
