"""The gate: an adapter goes live only if it helps with what it hasn't seen and harms nothing else.

Both are measured on the running model, through llama.cpp, with the adapter on top of what is worn below it:

- **personal**: the held-out examples. For texts the mean loss of each (nats a token); for preference pairs how much
  likelier the chosen answer is than the rejected one (log-likelihoods a token, so that length decides nothing). The
  95 % interval of the mean gain must lie above 0.
- **general**: `general_examples`, short texts of many kinds. The upper end of the 95 % interval of how much the mean
  loss grows must not lie above `GENERAL_BOUND`: a test of non-inferiority.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np

from edgeperso.adaptation.general import general_examples
from edgeperso.adaptation.lesson import Lesson
from edgeperso.adaptation.plan import Example, Pair
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_to_bytes
from edgeperso.engine.adapters.values import Adapter, Worn
from edgeperso.types import Float32, Progress

__all__ = [
    "GENERAL_BOUND",
    "GENERAL_WORSE",
    "PERSONAL_NOT_BETTER",
    "GateReport",
    "Told",
    "adapter_key",
    "judge",
    "mean_nats",
    "pair_margins",
    "paired_gain",
    "personal_losses",
]

GENERAL_BOUND: Final = 0.10
"""Nats a token: a tenth more perplexity. An adapter that learns a person shifts the model towards their way of writing,
so no loss at all can't be asked; the bound keeps it from unlearning what it could before."""
PERSONAL_NOT_BETTER: Final = "personal_not_better"
GENERAL_WORSE: Final = "general_worse"
_RESAMPLES: Final = 10_000
_LEVEL: Final = 95.0


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate saw. Losses in nats a token, lower better; for pairs ``personal_*`` is the mean of minus the margin
    of log-likelihood a token, and ``accuracy_*`` the share of pairs with the chosen answer likelier, else None.

    ``gain_low`` and ``gain_high`` bound the mean of before − after over the ``held_out`` examples,
    ``general_low`` and ``general_high`` that of after − before over the general set, each with 95 %. ``reasons`` are
    stable words: `PERSONAL_NOT_BETTER`, `GENERAL_WORSE`; none where it ``passed``. Without anything held out the
    personal figures are NaN and decide nothing. ``scale`` is that of the adapter in all of this.
    """

    personal_before: float
    personal_after: float
    gain_low: float
    gain_high: float
    general_before: float
    general_after: float
    general_low: float
    general_high: float
    general_bound: float
    held_out: int
    accuracy_before: float | None
    accuracy_after: float | None
    passed: bool
    reasons: tuple[str, ...]
    scale: float = 1.0

    def as_dict(self) -> dict[str, object]:
        """As JSON has it: None for what is no finite number."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(slots=True)
class Told:
    """Says, where somebody listens, how many texts were read of the ``total`` that will be; stage ``judging``."""

    progress: Progress | None
    total: int
    done: int = 0

    def __call__(self, texts: int) -> None:
        self.done += texts
        if self.progress is not None:
            self.progress("judging", self.done, self.total)


def judge(
    engine: Engine,
    stack_below: Sequence[Worn],
    adapter: Adapter,
    lesson: Lesson | None,
    *,
    seed: int = 0,
    scale: float = 1.0,
    weaker: Sequence[float] = (),
    instead_of: Worn | None = None,
    progress: Progress | None = None,
) -> GateReport:
    """Measure ``adapter`` at ``scale`` over ``stack_below``; the engine wears afterwards what it wore before.

    What harms the general set alone is measured again at each of the scales in ``weaker``: harm falls faster than gain
    where the scale does. The first that passes counts, or else the first one.

    Args:
        lesson: its held-out examples judge, two or more; None: only the general set does (an adapter from elsewhere,
            which may be for something that the person's texts don't show).
        seed: of the bootstrap.
        instead_of: what the adapter was started from and takes the place of: the personal gain is over that one, the
            general loss is still held against ``stack_below`` alone, so that many small steps can't add up.
    """
    wore = engine.worn
    general = general_examples(engine)
    below = list(stack_below)
    once = len(general) + (0 if lesson is None else len(lesson.held_out))
    told = Told(progress, 2 * once)
    try:
        engine.wear(below)
        general_before = mean_nats(engine, general, told)
        if instead_of is not None:
            engine.wear([*below, instead_of])
        before = _personal(engine, lesson, told)
        reports: list[GateReport] = []
        for tried in (scale, *weaker):
            engine.wear([*below, Worn(adapter_key(adapter), adapter, tried)])
            told.total = max(told.total, told.done + once)
            after, general_after = _personal(engine, lesson, told), mean_nats(engine, general, told)
            report = _report(before, after, general_before, general_after, seed=seed, pairs=_of_pairs(lesson))
            reports.append(replace(report, scale=tried))
            if report.passed or report.reasons != (GENERAL_WORSE,):
                break
    finally:
        engine.wear(wore)
    return reports[-1] if reports[-1].passed else reports[0]


def _of_pairs(lesson: Lesson | None) -> bool:
    return lesson is not None and isinstance(lesson.held_out[0], Pair)


def _personal(engine: Engine, lesson: Lesson | None, told: Callable[[int], None]) -> Float32 | None:
    return None if lesson is None else personal_losses(engine, lesson, told)


def _report(
    before: Float32 | None,
    after: Float32 | None,
    general_before: Float32,
    general_after: Float32,
    *,
    seed: int,
    pairs: bool,
) -> GateReport:
    reasons = []
    if before is None or after is None:
        before = after = np.zeros(0, dtype=np.float32)
        gain_low = gain_high = math.nan
    else:
        gain_low, gain_high = paired_gain(before, after, seed=seed)
        if not gain_low > 0:
            reasons.append(PERSONAL_NOT_BETTER)
    worse_low, worse_high = paired_gain(general_after, general_before, seed=seed)
    if not worse_high <= GENERAL_BOUND:
        reasons.append(GENERAL_WORSE)
    return GateReport(
        personal_before=float(before.mean()) if len(before) else math.nan,
        personal_after=float(after.mean()) if len(after) else math.nan,
        gain_low=gain_low,
        gain_high=gain_high,
        general_before=float(general_before.mean()),
        general_after=float(general_after.mean()),
        general_low=worse_low,
        general_high=worse_high,
        general_bound=GENERAL_BOUND,
        held_out=len(before),
        accuracy_before=float((before < 0).mean()) if pairs else None,
        accuracy_after=float((after < 0).mean()) if pairs else None,
        passed=not reasons,
        reasons=tuple(reasons),
    )


def _untold(_texts: int) -> None:
    pass


def personal_losses(engine: Engine, lesson: Lesson, told: Callable[[int], None] = _untold) -> Float32:
    """``float32[held_out]``, lower better: each held-out text's mean nats, or minus each held-out pair's margin.
    ``told`` hears of each text or pair that was read."""
    pairs = [item for item in lesson.held_out if isinstance(item, Pair)]
    if pairs:
        return -pair_margins(engine, pairs, told)
    return mean_nats(engine, [item for item in lesson.held_out if isinstance(item, Example)], told)


def mean_nats(engine: Engine, examples: Sequence[Example], told: Callable[[int], None] = _untold) -> Float32:
    """``float32[n]``: the mean loss (nats a token) of each example's counted tokens under what the engine wears.

    Examples with the same context share its evaluation; one that is longer than the model's context loses the front of
    its own. ``told`` hears of each that was read.
    """
    out = np.empty(len(examples), dtype=np.float32)
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        learnt = example.tokens[example.learn_from :]
        groups[_fitting(engine, example.tokens[: example.learn_from], len(learnt))].append(place)
    for context in sorted(groups):
        places = groups[context]
        tails = [_cut(engine, examples[place].tokens[examples[place].learn_from :]) for place in places]
        for place, score in zip(places, engine.score(context, tails), strict=True):
            out[place] = -score.mean
        told(len(places))
    return out


def pair_margins(engine: Engine, pairs: Sequence[Pair], told: Callable[[int], None] = _untold) -> Float32:
    """``float32[n]``: how much likelier each chosen answer is than the rejected one, mean nats a token, under what the
    engine wears."""
    out = np.empty(len(pairs), dtype=np.float32)
    for place, pair in enumerate(pairs):
        context = _fitting(engine, pair.prompt, max(len(pair.chosen), len(pair.rejected)))
        chosen, rejected = engine.score(context, [_cut(engine, pair.chosen), _cut(engine, pair.rejected)])
        out[place] = chosen.mean - rejected.mean
        told(1)
    return out


def paired_gain(before: Float32, after: Float32, *, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean of ``before − after`` over examples; values that are not numbers give an interval
    that is none, and passes nothing.

    The percentile bootstrap, its deviations widened by √(n / (n − 1)), by which resampling understates the spread of
    few examples. One example gives an infinite interval.
    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 5.3 and 13.
    """
    gains = before.astype(np.float64) - after
    n = len(gains)
    if n < 2:
        return -math.inf, math.inf
    if not np.isfinite(gains).all():
        return math.nan, math.nan
    places = np.random.default_rng(seed).integers(0, n, size=(_RESAMPLES, n))
    mean = gains.mean()
    deviations = (gains[places].mean(axis=1) - mean) * math.sqrt(n / (n - 1))
    low, high = np.percentile(deviations, [(100 - _LEVEL) / 2, (100 + _LEVEL) / 2])
    return float(mean + low), float(mean + high)


def adapter_key(adapter: Adapter) -> str:
    """The sha256 of the adapter's file: one key, one content (`Worn.key`)."""
    return hashlib.sha256(adapter_to_bytes(adapter)).hexdigest()


def _cut(engine: Engine, tokens: Sequence[int]) -> list[int]:
    return list(tokens[: engine.info.n_ctx // 2])


def _fitting(engine: Engine, context: Sequence[int], following: int) -> tuple[int, ...]:
    """``context`` without as much of its front, behind its first token, as the model's context has no room for."""
    half = engine.info.n_ctx // 2
    room = engine.info.n_ctx - min(following, half) - 1
    return tuple(context) if len(context) <= room else (context[0], *context[len(context) - room + 1 :])
