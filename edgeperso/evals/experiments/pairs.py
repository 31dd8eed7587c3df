"""Experiment 2, second part: what is learnt from preference pairs, on pairs that weren't seen.

A LoRA is trained by direct preference optimisation (Rafailov et al., "Direct Preference Optimization", 2023,
arXiv:2305.18290). Rate and epochs are chosen on a part of their own; the part that gives the figures is read once, by
the adapter that was chosen. Two figures, both over held-out pairs, ties counting half:

- accuracy: the chosen answer is likelier than the rejected one, in mean log-likelihood a token, as at the gate. It can
  be told before training too.
- reward accuracy: training made the chosen answer gain on the rejected one (sums of log-likelihoods against those of
  the model without the adapter): DPO's own implicit reward. Without an adapter it is a half by definition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np

from edgeperso.adaptation.gate import adapter_key
from edgeperso.adaptation.learn import pair_example
from edgeperso.adaptation.plan import Pair, Plan
from edgeperso.engine.adapters.values import Lora, Worn
from edgeperso.evals.experiments.pair_sets import PairSet, Preference, invented_pairs, judged_pairs
from edgeperso.evals.experiments.tables import cell, result
from edgeperso.evals.learnt import train_adapter, wearing
from edgeperso.evals.metrics.checks import Float64
from edgeperso.evals.metrics.intervals import Resampling, bootstrap_mean, compare_means
from edgeperso.evals.report import Column, Headline, Result, Row, Table
from edgeperso.evals.setup import Setup
from edgeperso.types import Objective

__all__ = ["run_pairs"]

_VERSION: Final = 1
_TRIED: Final = ((2e-4, 2), (5e-4, 3), (1e-3, 4))
"""Rates and epochs that are tried on the part that settings are chosen by."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What became of one set: right (1), wrong (0) or neither (0.5) of each test pair, and the plan that was chosen."""

    of: PairSet
    before: Float64
    after: Float64
    reward: Float64
    plan: Plan


def run_pairs(setup: Setup, data: Path | None = None, *, limit: int | None = None) -> Result:
    """Learn an invented person's style, and people's marks of responses where ``data`` (UniEval's judgments) is given.

    Args:
        limit: of each part of a set, the first so many pairs.

    Raises:
        SourceNotFound, DataInvalid: the file is missing or malformed.
        ExtraMissing: the ``[train]`` extra isn't installed.
    """
    sets = [invented_pairs(setup.seed), *([] if data is None else [judged_pairs(data, setup.seed)])]
    return _result(setup, [_learn(setup, one, limit) for one in sets])


def _learn(setup: Setup, pairs: PairSet, limit: int | None) -> _Found:
    train, dev, test = pairs.train[:limit], pairs.dev[:limit], pairs.test[:limit]
    raw = setup.raw("pairs")
    plans = [Plan(objective=Objective.DPO, rate=rate, epochs=epochs, seed=setup.seed) for rate, epochs in _TRIED]

    @cache
    def adapter(plan: Plan) -> Lora:
        return train_adapter(setup, [_tokens(setup, pair) for pair in train], plan)

    def read(plan: Plan | None, part: str, read: Sequence[Preference]) -> Float64:
        of = {
            "pairs": _VERSION,
            "models": setup.models,
            "plan": None if plan is None else asdict(plan),
            "train": [] if plan is None else [asdict(pair) for pair in train],
            "read": [asdict(pair) for pair in read],
        }
        label = {"set": pairs.name, "part": part, "rate": 0 if plan is None else plan.rate}
        worn = None if plan is None else partial(adapter, plan)
        return np.array(raw.unit(of, label, partial(_likelihoods, setup, worn, read)))

    tried = []
    for done, plan in enumerate(plans):
        margins = _margins(read(plan, "dev", dev))
        tried.append((float(_right(margins).mean()), float(margins.mean()), -done))
        setup.progress(f"pairs {pairs.name}", done + 1, len(plans))
    chosen = plans[-max(tried)[2]]
    before, after = read(None, "test", test), read(chosen, "test", test)
    gained = (after[:, 0] - after[:, 2]) - (before[:, 0] - before[:, 2])
    return _Found(pairs, _right(_margins(before)), _right(_margins(after)), _right(gained), chosen)


def _tokens(setup: Setup, pair: Preference) -> Pair:
    return pair_example(setup.engine, pair.prompt, pair.chosen, pair.rejected)


def _likelihoods(setup: Setup, adapter: Callable[[], Lora] | None, pairs: Sequence[Preference]) -> list[list[float]]:
    """For each pair the log-likelihood of the chosen answer, the same a token, and both of the rejected one (nats)."""
    stack = [] if adapter is None else [Worn(adapter_key(lora := adapter()), lora)]
    out = []
    with wearing(setup.engine, stack):
        for pair in pairs:
            tokens = _tokens(setup, pair)
            setup.engine.clear()
            chosen, rejected = setup.engine.score(tokens.prompt, [tokens.chosen, tokens.rejected])
            out.append([chosen.log_likelihood, chosen.mean, rejected.log_likelihood, rejected.mean])
    return out


def _margins(likelihoods: Float64) -> Float64:
    margins: Float64 = likelihoods[:, 1] - likelihoods[:, 3]
    return margins


def _right(margins: Float64) -> Float64:
    right: Float64 = (np.sign(margins) + 1) / 2
    return right


def _result(setup: Setup, found: Sequence[_Found]) -> Result:
    measured = [_measured(one, Resampling(seed=setup.seed)) for one in found]
    columns = (
        Column("accuracy_before", "before", "higher"),
        Column("accuracy_after", "after", "higher"),
        Column("reward_accuracy", "reward accuracy", "higher"),
    )
    note = "Share of held-out pairs, bootstrapped over tasks or dialogues; p: after against before."
    rows = tuple(row for row, _ in measured)
    return result(
        setup,
        "pairs",
        {name: value for _, figures in measured for name, value in figures.items()},
        n=sum(len(one.after) for one in found),
        title="Preference pairs",
        question="Is what a person would rather read learnt from pairs, on pairs that weren't seen?",
        tables=(Table("Held-out pairs", "pairs of", columns, rows, ranked=False, note=note),),
        headline=Headline("accuracy_after", found[0].of.title),
        notes=tuple(
            f"{one.of.title}: rate {one.plan.rate:g}, {one.plan.epochs} epochs, chosen on a part of its own."
            for one in found
        ),
    )


def _measured(found: _Found, resampling: Resampling) -> tuple[Row, dict[str, float]]:
    """A set's row, and its figures."""
    groups = [pair.group for pair in found.of.test[: len(found.after)]]
    change = compare_means(found.after, found.before, groups, resampling)
    intervals = {
        name: bootstrap_mean(values, groups, resampling)
        for name, values in (
            ("accuracy_before", found.before),
            ("accuracy_after", found.after),
            ("reward_accuracy", found.reward),
        )
    }
    suffix = "" if found.of.name == "invented" else f"_{found.of.name}"
    figures = {
        f"{name}{suffix}{end}": value
        for name, interval in {**intervals, "accuracy_change": change.difference}.items()
        for end, value in (("", interval.value), ("_low", interval.low), ("_high", interval.high))
    }
    cells = {name: cell(one, change if name == "accuracy_after" else None) for name, one in intervals.items()}
    return Row(found.of.title, cells, n=len(groups)), figures
