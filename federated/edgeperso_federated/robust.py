"""Means that a few hostile or broken clients can't carry off: filters that leave clients out, and robust averages.

All take a round's changes as rows, ``float32[clients, values]`` (`flatten`), finite, one client or more; all count
rows alike, since a weight that a client states is one more thing to lie with. They need all updates side by side, so
memory grows with the round's clients; columns are worked on in slices, so that it grows by little more than that.

With secure aggregation no single update is seen. Clients are then put into groups at random (`groups`), each group is
summed in secret, and the groups' means are the rows: a group with a hostile client in it is lost as a whole, so the
groups must be small and the hostile few. Bucketing, Karimireddy et al., 2022 (arXiv:2006.09365).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.errors import UsageError
from edgeperso.types import Float32, Int64

__all__ = ["coordinate_median", "cosine_filter", "groups", "multi_krum", "norm_filter", "trimmed_mean"]

Kept = NDArray[np.bool_]
"""``bool[clients]``: which rows stay."""

_SLICE_VALUES: Final = 1 << 20
"""Of a slice of columns: 8 MiB in float64."""

_SIGMAS: Final = 1.4826
"""The median absolute deviation of a normal distribution times this is its standard deviation."""


def norm_filter(rows: Float32, *, deviations: float = 3.0) -> Kept:
    """Those whose norm isn't above the median by more than ``deviations`` (above 0) robust standard deviations.

    Short rows stay: they do no harm (and where most are zero only zeros do). The spread is taken as a hundredth of the
    median at least, so that of clients that clip to one norm none falls out by rounding. While fewer than half are
    hostile they can't move the bound beyond what honest norms span.

    Source: thresholds on norms, Sun et al., "Can You Really Backdoor Federated Learning?", 2019 (arXiv:1911.07963); the
    median absolute deviation, Leys et al., Journal of Experimental Social Psychology 49, 2013.
    """
    norms = np.sqrt(_squares(rows))
    middle = np.median(norms)
    spread = max(_SIGMAS * np.median(np.abs(norms - middle)), 0.01 * middle)
    return np.asarray(norms <= middle + deviations * spread)


def cosine_filter(rows: Float32, *, least: float = 0.0) -> Kept:
    """Those whose cosine with the coordinate median is at least ``least`` (in [-1, 1]): none that pulls the other way.

    A row of zeros stays, and all do where the median is zero: there is no direction then to judge by.

    Source: the trust score of FLTrust, Cao et al., 2021 (arXiv:2012.13995), with the median in place of a server's own
    update, which there is none of here.
    """
    towards = coordinate_median(rows).astype(np.float64)
    dots = sum(
        (part @ towards[columns] for columns, part in _slices(rows)),
        start=np.zeros(len(rows)),
    )
    lengths = np.sqrt(_squares(rows)) * np.linalg.norm(towards)
    return np.asarray((dots >= least * lengths) | (lengths == 0))


def coordinate_median(rows: Float32) -> Float32:
    """The median of each value by itself, ``float32[values]``.

    Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018
    (arXiv:1803.01498).
    """
    return _by_columns(rows, lambda part: np.median(part, axis=0))


def trimmed_mean(rows: Float32, *, share: float = 0.2) -> Float32:
    """The mean of each value by itself without the ``share`` (in [0, 0.5)) of clients that are lowest there, and as
    many highest: ``float32[values]``. It withstands as many hostile clients as are cut off at one end.

    Source: Yin et al., 2018, as `coordinate_median`.
    """
    if not 0 <= share < 0.5:
        raise UsageError("The trimmed share is 0 or more and below a half.")
    cut = int(np.ceil(share * len(rows) - 1e-9))
    cut = min(cut, (len(rows) - 1) // 2)
    return _by_columns(rows, lambda part: np.mean(np.sort(part, axis=0)[cut : len(part) - cut], axis=0))


def multi_krum(rows: Float32, hostile: int) -> Kept:
    """The ``clients - hostile`` rows that lie closest to their ``clients - hostile - 2`` nearest others, by the sum of
    squared distances; ties go to the first.

    Args:
        hostile: how many may be (0 or more); what is proven of Krum needs ``clients ≥ 2 · hostile + 3``.

    Raises:
        UsageError: there are fewer clients than that.

    Source: Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS 2017
    (arXiv:1703.02757).
    """
    count = len(rows)
    if hostile < 0 or count < 2 * hostile + 3:
        raise UsageError(f"Multi-Krum against {hostile} hostile clients needs {2 * hostile + 3} clients or more.")
    # Around the median: distances are differences of large numbers otherwise.
    middle = coordinate_median(rows)
    dots = np.zeros((count, count))
    for columns, part in _slices(rows):
        away = part - middle[columns]
        dots += away @ away.T
    squares = np.diag(dots)
    apart = np.maximum(squares[:, None] + squares[None, :] - 2 * dots, 0)
    np.fill_diagonal(apart, np.inf)
    scores = np.sort(apart, axis=1)[:, : count - hostile - 2].sum(axis=1)
    kept = np.zeros(count, np.bool_)
    kept[np.argsort(scores, kind="stable")[: count - hostile]] = True
    return kept


def groups(clients: int, *, size: int, seed: int) -> tuple[Int64, ...]:
    """``clients`` shuffled into as many groups as have ``size`` (1 or more) members at least; sizes differ by one at
    most, members are indices in ascending order.

    Raises:
        UsageError: there are too few clients for one group.
    """
    if size < 1 or clients < size:
        raise UsageError(f"A group needs {size} clients, and there are {clients}.")
    order = np.random.default_rng(seed).permutation(clients)
    return tuple(np.sort(part).astype(np.int64) for part in np.array_split(order, clients // size))


def _slices(rows: Float32) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    if rows.ndim != 2 or not len(rows):
        raise UsageError("A robust mean needs a row for each client, one or more.")
    step = max(_SLICE_VALUES // len(rows), 1)
    for start in range(0, rows.shape[1], step):
        columns = slice(start, min(start + step, rows.shape[1]))
        yield columns, rows[:, columns].astype(np.float64)


def _squares(rows: Float32) -> NDArray[np.float64]:
    return sum((np.einsum("ij,ij->i", part, part) for _, part in _slices(rows)), start=np.zeros(len(rows)))


def _by_columns(rows: Float32, rule: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Float32:
    result = np.empty(rows.shape[1], np.float32)
    for columns, part in _slices(rows):
        result[columns] = rule(part)
    return result
