"""Recall of known evidence in a ranking."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["recall_at"]


def recall_at(ranked: Sequence[int], gold: Collection[int], k: int) -> float:
    """The share of ``gold`` among the first ``k`` of ``ranked``, 0 to 1.

    Raises:
        ValueError: ``gold`` is empty.
    """
    wanted = set(gold)
    if not wanted:
        raise ValueError("recall needs at least one right answer")
    return len(wanted.intersection(ranked[:k])) / len(wanted)
