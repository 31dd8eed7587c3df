"""How far two judges of the same items agree: rank correlations (scipy) and weighted kappa (scikit-learn).

Where a measure isn't defined, because a judge says the same of everything, it is NaN; print that as "-".
"""

from __future__ import annotations

import math

import numpy as np

from edgeperso.evals.metrics.checks import Float64, Numbers, paired_numbers
from edgeperso.evals.metrics.extra import eval_extra

__all__ = ["kendall_tau_b", "partial_spearman", "quadratic_weighted_kappa", "spearman"]

_NO_VARIANCE = 1e-12
"""Of the squared rank correlation to 1: below it nothing but rounding is left."""


def spearman(first: Numbers, second: Numbers) -> float:
    """Spearman's rho, -1 to 1: Pearson's correlation of the ranks, ties sharing their mean rank.

    NaN if one is constant.

    Raises:
        ValueError: there is no item, the lengths differ, or a value is NaN or infinite.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    x, y = paired_numbers(first, second)
    with eval_extra():
        from scipy import stats
    if _constant(x) or _constant(y):
        return math.nan
    return float(stats.spearmanr(x, y).statistic)


def kendall_tau_b(first: Numbers, second: Numbers) -> float:
    """Kendall's tau-b, -1 to 1, which accounts for ties (Kendall, "The treatment of ties in ranking problems", 1945).

    NaN if one is constant.

    Raises:
        ValueError, ExtraMissing: as `spearman`.
    """
    x, y = paired_numbers(first, second)
    with eval_extra():
        from scipy import stats
    if _constant(x) or _constant(y):
        return math.nan
    return float(stats.kendalltau(x, y, variant="b").statistic)


def partial_spearman(first: Numbers, second: Numbers, given: Numbers) -> float:
    """Spearman's correlation of ``first`` and ``second`` with the part of each that ``given`` explains taken out.

    The values become ranks (ties share their mean rank), and of those::

        r_xy.z = (r_xy - r_xz · r_yz) / sqrt((1 - r_xz²) · (1 - r_yz²))

    which is Pearson's correlation of the residuals of x and of y, each regressed on z (Kim, "ppcor: an R package for a
    fast calculation to semi-partial correlation coefficients", CSAM 22(6), 2015). NaN if one is constant, or if the
    ranks of ``given`` determine those of ``first`` or ``second`` linearly, so that nothing is left to correlate.

    Raises:
        ValueError, ExtraMissing: as `spearman`.
    """
    columns = paired_numbers(first, second, given)
    with eval_extra():
        from scipy import stats
    if any(_constant(column) for column in columns):
        return math.nan
    correlation = np.corrcoef(np.stack([stats.rankdata(column) for column in columns]))
    xy, xz, yz = correlation[0, 1], correlation[0, 2], correlation[1, 2]
    left_of_x, left_of_y = 1 - xz**2, 1 - yz**2
    if min(left_of_x, left_of_y) < _NO_VARIANCE:
        return math.nan
    return float(np.clip((xy - xz * yz) / math.sqrt(left_of_x * left_of_y), -1, 1))


def quadratic_weighted_kappa(first: Numbers, second: Numbers, *, low: float, high: float, step: float = 1.0) -> float:
    """Cohen's kappa with weights (i - j)², 1 for full agreement, 0 for what chance gives, below 0 for less.

    Ratings are put on the scale ``low, low + step, …, high``: what lies outside counts as the nearer end, the rest as
    the nearest grade, and a value halfway between two as the upper one. NaN if both judges give one and the same grade
    to everything; 0 if only one of them always gives the same. Cohen, "Weighted kappa", Psychological Bulletin 70(4),
    1968.

    Raises:
        ValueError: as `spearman`, or the scale isn't one: ``high`` must lie whole steps above ``low``.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    x, y = paired_numbers(first, second)
    steps = round((high - low) / step) if step > 0 else 0
    if steps < 1 or not math.isclose(low + steps * step, high):
        raise ValueError("the scale must reach from low to high in one whole step or more")
    with eval_extra():
        from sklearn.metrics import cohen_kappa_score
    grades = [_grades(column, low, high, step) for column in (x, y)]
    if _constant(np.concatenate(grades)):
        return math.nan
    return float(cohen_kappa_score(*grades, labels=np.arange(steps + 1), weights="quadratic"))


def _grades(ratings: Float64, low: float, high: float, step: float) -> Float64:
    """Numbers of the grades, from 0. Rounding first keeps what is half a step in decimals from falling below it."""
    return np.floor(np.round((np.clip(ratings, low, high) - low) / step, 9) + 0.5)


def _constant(values: Float64) -> bool:
    return bool((values == values[0]).all())
