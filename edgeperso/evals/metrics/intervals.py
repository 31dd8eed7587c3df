"""How sure a figure is: bootstrap intervals and paired tests, with people as the units that vary.

Items of one person resemble each other, so whole people are drawn, with replacement, and all their items with them
(the cluster bootstrap: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8). Bounds are
percentiles of the resamples: they are defined where a statistic is constant, and agree with the p of `compare`. With
few people (below about 20) such intervals are too narrow. Everything is a function of the values and the seed.

``users`` names the person of each item; give ``range(n)`` where each item stands for itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgeperso.evals.metrics.checks import Float64, Numbers, paired_numbers, require_paired
from edgeperso.evals.metrics.extra import eval_extra
from edgeperso.types import Int64

__all__ = [
    "DEFAULT",
    "Comparison",
    "Discordance",
    "Interval",
    "Resampling",
    "SignedRank",
    "Statistic",
    "Users",
    "bootstrap",
    "bootstrap_mean",
    "bootstrap_ratio",
    "compare",
    "compare_means",
    "mcnemar",
    "proportion",
    "wilcoxon",
]

Users: TypeAlias = Sequence[str] | Sequence[int]
Statistic: TypeAlias = Callable[[Int64], float]
"""Gives the figure for the items at these places; a resample names some places several times."""

_CELLS = 1_000_000
"""Of a batch of resamples, so that many people take no more memory than few."""
_LEAST_DEFINED = 0.95
"""Share of resamples on which a statistic must be a number for its interval to be one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """``value`` on all ``n`` items of ``units`` people, and bounds. Bounds are NaN with one person, and where more than
    1 in 20 resamples had no figure (the others are left out)."""

    value: float
    low: float
    high: float
    n: int
    units: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """First minus second on the same items, and the two-sided ``p`` of no difference (NaN where the bounds are)."""

    difference: Interval
    p: float


@dataclass(frozen=True, slots=True)
class SignedRank:
    """Wilcoxon's smaller rank sum, its two-sided ``p``, and the number of pairs that differ."""

    statistic: float
    p: float
    n: int


@dataclass(frozen=True, slots=True)
class Discordance:
    """Items that only one of two methods gets right, and the two-sided exact ``p`` of that split."""

    first_only: int
    second_only: int
    p: float


@dataclass(frozen=True, slots=True)
class Resampling:
    """How often, to what level, and from which seed."""

    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"resamples must be 1 or more, not {self.resamples}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, not {self.level}")


DEFAULT = Resampling()


def bootstrap_mean(values: Numbers, users: Users, resampling: Resampling = DEFAULT) -> Interval:
    """The mean over items with its interval. People with more items weigh more; for a mean over people give theirs.

    Raises:
        ValueError: there is no item, the lengths differ, or a value is NaN or infinite.
    """
    return bootstrap_ratio(values, np.ones(len(values)), users, resampling)


def bootstrap_ratio(
    numerators: Numbers, denominators: Numbers, users: Users, resampling: Resampling = DEFAULT
) -> Interval:
    """The ratio of two means over the same items, as of errors with and without personalization, with its interval.

    NaN where all denominators are 0.

    Raises:
        ValueError: as `bootstrap_mean`, or a denominator is below 0.
    """
    above, below = paired_numbers(numerators, denominators)
    if (below < 0).any():
        raise ValueError("a denominator is below 0")
    members = _members(users, len(above))
    value = _ratios(above.sum(), below.sum())
    return _interval(float(value), _ratio_resamples(above, below, members, resampling), members, resampling)


def bootstrap(statistic: Statistic, users: Users, resampling: Resampling = DEFAULT) -> Interval:
    """Any statistic of the items with its interval: ``statistic(places)`` is called once for each resample.

    Raises:
        ValueError: there is no item.
    """
    members = _members(users, len(users))
    value = float(statistic(np.arange(len(users))))
    return _interval(value, _resamples(statistic, members, resampling), members, resampling)


def compare_means(first: Numbers, second: Numbers, users: Users, resampling: Resampling = DEFAULT) -> Comparison:
    """The difference of two methods' means over the same items; see `compare`.

    Raises:
        ValueError: as `bootstrap_mean`.
    """
    one, other = paired_numbers(first, second)
    members = _members(users, len(one))
    differences = one - other
    drawn = _ratio_resamples(differences, np.ones(len(differences)), members, resampling)
    return _comparison(float(differences.mean()), drawn, members, resampling)


def compare(first: Statistic, second: Statistic, users: Users, resampling: Resampling = DEFAULT) -> Comparison:
    """The difference of two methods' statistics, both taken on the same resamples.

    ``p = 2 · (1 + the fewer of the resamples on either side of 0, those at 0 with both) / (1 + all)``, at most 1: the
    level at which the percentile interval just reaches 0. The 1 is that of every Monte Carlo test: p can't be 0.

    Raises:
        ValueError: there is no item.
    """

    def difference(places: Int64) -> float:
        return first(places) - second(places)

    members = _members(users, len(users))
    value = float(difference(np.arange(len(users))))
    return _comparison(value, _resamples(difference, members, resampling), members, resampling)


def wilcoxon(first: Numbers, second: Numbers, users: Users) -> SignedRank:
    """Wilcoxon's signed-rank test of each person's mean difference, two-sided (scipy); pairs without one are left out.

    Exact for up to 50 pairs without ties, else by the normal distribution. ``p`` is 1 where no pair differs.

    Raises:
        ValueError: as `bootstrap_mean`.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    one, other = paired_numbers(first, second)
    with eval_extra():
        from scipy import stats
    # What rounding leaves would part ties, and make something of no difference.
    means = np.round([(one - other)[places].mean() for places in _members(users, len(one))], 12)
    differing = means[means != 0]
    if not differing.size:
        return SignedRank(0.0, 1.0, 0)
    result = stats.wilcoxon(differing)
    return SignedRank(float(result.statistic), float(result.pvalue), len(differing))


def mcnemar(first_right: Sequence[bool], second_right: Sequence[bool]) -> Discordance:
    """McNemar's test in its exact form, the sign test on the items that one method alone gets right (scipy's binomial).

    It takes items for independent: with several of one person, `compare_means` is the test. ``p`` is 1 where no item
    differs.

    Raises:
        ValueError: there is no item, the lengths differ, or a value is neither true nor false.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    one, other = paired_numbers(first_right, second_right)
    if not np.isin([one, other], (0, 1)).all():
        raise ValueError("right or wrong: a value must be true or false")
    with eval_extra():
        from scipy import stats
    first_only, second_only = int((one > other).sum()), int((other > one).sum())
    differing = first_only + second_only
    p = float(stats.binomtest(first_only, differing, 0.5).pvalue) if differing else 1.0
    return Discordance(first_only, second_only, p)


def proportion(successes: int, n: int, level: float = 0.95) -> Interval:
    """The share of ``n`` independent trials that succeeded, with the exact interval of Clopper and Pearson (1934).

    It never claims more than its level, and says something where nothing succeeded: 0 of 60 is at most 0.06.

    Raises:
        ValueError: ``n`` is below 1, or ``successes`` isn't from 0 to ``n``.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError("there must be a trial or more, and successes from 0 to as many")
    with eval_extra():
        from scipy import stats
    bounds = stats.binomtest(successes, n).proportion_ci(level, method="exact")
    return Interval(successes / n, float(bounds.low), float(bounds.high), n=n, units=n)


def _members(users: Users, items: int) -> list[Int64]:
    """The places of each person's items; people in the order of their names, whatever that of the items."""
    require_paired(users, range(items))
    _, person = np.unique(np.asarray(users), return_inverse=True)
    order = np.argsort(person, kind="stable")
    return np.split(order, np.cumsum(np.bincount(person))[:-1])


def _draws(units: int, resampling: Resampling) -> Iterator[Int64]:
    """Batches of resamples, each row the numbers of the people drawn."""
    rng = np.random.default_rng(resampling.seed)
    batch = max(1, _CELLS // units)
    for done in range(0, resampling.resamples, batch):
        yield rng.integers(units, size=(min(batch, resampling.resamples - done), units))


def _resamples(statistic: Statistic, members: list[Int64], resampling: Resampling) -> Float64:
    drawn = (
        statistic(np.concatenate([members[unit] for unit in row]))
        for batch in _draws(len(members), resampling)
        for row in batch
    )
    return np.fromiter(drawn, dtype=np.float64, count=resampling.resamples)


def _ratio_resamples(above: Float64, below: Float64, members: list[Int64], resampling: Resampling) -> Float64:
    """Ratios of sums on each resample: of a person only the two sums matter."""
    tops, bottoms = (np.array([column[places].sum() for places in members]) for column in (above, below))
    batches = _draws(len(members), resampling)
    return np.concatenate([_ratios(tops[batch].sum(axis=1), bottoms[batch].sum(axis=1)) for batch in batches])


def _ratios(above: Float64, below: Float64) -> Float64:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _interval(value: float, drawn: Float64, members: list[Int64], resampling: Resampling) -> Interval:
    low = high = math.nan
    kept = _kept(drawn, members)
    if kept.size:
        tail = (1 - resampling.level) / 2
        low, high = np.quantile(kept, (tail, 1 - tail)).tolist()
    return Interval(value, low, high, n=sum(map(len, members)), units=len(members))


def _comparison(value: float, drawn: Float64, members: list[Int64], resampling: Resampling) -> Comparison:
    kept = _kept(drawn, members)
    p = math.nan
    if kept.size:
        fewer = min(int((kept <= 0).sum()), int((kept >= 0).sum()))
        p = min(1.0, 2 * (1 + fewer) / (1 + len(kept)))
    return Comparison(_interval(value, drawn, members, resampling), p)


def _kept(drawn: Float64, members: list[Int64]) -> Float64:
    """The resamples that bounds are made of, none where they would mean nothing."""
    defined = drawn[np.isfinite(drawn)]
    meaningful = len(members) > 1 and len(defined) >= _LEAST_DEFINED * len(drawn)
    return defined if meaningful else defined[:0]
