"""The Gaussian mechanism's own formulas, exact, without any library: ε, δ and μ.

A release with noise of standard deviation σ and sensitivity Δ has ``μ = Δ / σ``, the inverse of its noise multiplier.
Any number of releases, each chosen in view of the ones before, cost together what a single one of ``μ = sqrt(Σ μᵢ²)``
costs. That needs no bound and no search over orders; with random sampling of people it doesn't hold (`accounting`
does that).

Sources: δ of ε, and the search for σ: Balle & Wang, "Improving the Gaussian Mechanism for Differential Privacy", ICML
2018 (arXiv:1805.06530), theorem 8. Composition: Dong, Roth & Su, "Gaussian Differential Privacy", 2022
(arXiv:1905.02383), corollary 3.3. That it holds where each release is chosen in view of those before, up to a budget:
Smith & Thakurta, "Fully Adaptive Composition for Gaussian Differential Privacy", 2022 (arXiv:2210.17520).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from edgeperso.errors import UsageError

__all__ = ["delta_of", "epsilon_of", "multiplier_for"]

_FAR: Final = -30.0
"""Below it the tail of the normal distribution is taken from its series; 7 terms of it are good to 1e-14 there."""

_LARGEST_MU: Final = 1e6
_HALVINGS: Final = 200


def delta_of(mu: float, epsilon: float) -> float:
    """The smallest δ with which a release of this ``mu`` (0 or more) is (ε, δ)-private, ε being 0 or more.

    ``Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ)``.
    """
    if mu == 0:
        return 0.0
    if math.isinf(mu):
        return 1.0
    first = _log_cdf(mu / 2 - epsilon / mu)
    second = epsilon + _log_cdf(-mu / 2 - epsilon / mu)
    return 0.0 if second >= first else math.exp(first) * -math.expm1(second - first)


def epsilon_of(mu: float, delta: float) -> float:
    """The smallest ε with which a release of this ``mu`` is (ε, δ)-private, rounded up; infinite for ``mu`` above 1e6.

    Raises:
        UsageError: ``delta`` is not in (0, 1), or ``mu`` is negative or no number.
    """
    _check_delta(delta)
    if not mu >= 0:
        raise UsageError("A release's μ is 0 or more.")
    if delta_of(mu, 0.0) <= delta:
        return 0.0
    if mu > _LARGEST_MU:
        return math.inf
    top = 1.0
    while delta_of(mu, top) > delta:
        top *= 2
    return _least(lambda epsilon: delta_of(mu, epsilon) <= delta, top)


def multiplier_for(epsilon: float, delta: float, releases: int = 1) -> float:
    """The smallest noise multiplier with which so many releases together are (ε, δ)-private, rounded up.

    Args:
        epsilon: above 0.
        delta: in (0, 1).
        releases: 1 or more.

    Raises:
        UsageError: an argument is out of its range.
    """
    _check_delta(delta)
    if not (0 < epsilon < math.inf and releases >= 1):
        raise UsageError("A budget is a positive ε for one release or more.")
    top = 1.0
    while delta_of(1 / top, epsilon) > delta:
        top *= 2
    return _least(lambda multiplier: delta_of(1 / multiplier, epsilon) <= delta, top) * math.sqrt(releases)


def _least(holds: Callable[[float], bool], top: float) -> float:
    """The least number in (0, top] from which on ``holds`` is true, as it is at ``top``; rounded up."""
    low, high = 0.0, top
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise UsageError("A δ lies between 0 and 1.")


def _log_cdf(x: float) -> float:
    """ln Φ(x), also where Φ(x) is too small for a float."""
    if x > _FAR:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2)))
    if math.isinf(x):
        return -math.inf
    # Abramowitz & Stegun, 26.2.12.
    series, term = 1.0, 1.0
    for odd in range(1, 14, 2):
        term *= -odd / (x * x)
        series += term
    return -x * x / 2 - math.log(-x * math.sqrt(2 * math.pi)) + math.log(series)
