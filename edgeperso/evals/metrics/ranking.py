"""Where the right answers stand in a ranking, one query at a time.

Recall, hits and reciprocal rank are their definitions and need no library (the base install measures recall by them);
NDCG is trec_eval's, through pytrec-eval-terrier. The tests compare all four with trec_eval. A mean over queries, with
its interval, is `intervals.bootstrap_mean` of these; the mean of `reciprocal_rank` is the MRR.

``gold`` holds the ids of the right answers, or maps ids to gains: whole numbers, of which those above 0 are right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from edgeperso.evals.metrics.extra import eval_extra

__all__ = ["Id", "hit_at", "ndcg_at", "recall_at", "reciprocal_rank"]

Id: TypeAlias = int | str


def recall_at(ranked: Sequence[Id], gold: Collection[Id], k: int) -> float:
    """The share of ``gold`` among the first ``k`` of ``ranked``, 0 to 1.

    Raises:
        ValueError: ``gold`` has no right answer, a gain isn't a whole number from 0, ``k`` is below 1, or ``ranked``
            names one twice.
    """
    wanted, first = _checked(ranked, gold, k)
    return len(wanted.keys() & first) / len(wanted)


def hit_at(ranked: Sequence[Id], gold: Collection[Id], k: int) -> float:
    """1.0 where any of ``gold`` is among the first ``k`` of ``ranked``, else 0.0 (HR@k, trec_eval's success).

    Raises:
        ValueError: as `recall_at`.
    """
    wanted, first = _checked(ranked, gold, k)
    return float(not wanted.keys().isdisjoint(first))


def reciprocal_rank(ranked: Sequence[Id], gold: Collection[Id], k: int | None = None) -> float:
    """1 / the place (from 1) of the first of ``gold`` in ``ranked``, 0.0 where none is there.

    Args:
        k: look at the first so many (MRR@k); None looks at all.

    Raises:
        ValueError: as `recall_at`.
    """
    wanted, first = _checked(ranked, gold, k)
    return next((1 / place for place, one in enumerate(first, start=1) if one in wanted), 0.0)


def ndcg_at(ranked: Sequence[Id], gold: Collection[Id], k: int) -> float:
    """Normalized discounted cumulative gain of the first ``k`` of ``ranked``, 0 to 1.

    ``DCG = Σ gain(i) / log2(i + 1)`` over places i from 1 to k, divided by that of the best ranking possible; gains are
    linear, 1 for each of ``gold`` unless it maps them. Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", ACM TOIS 20(4), 2002, with the discount of trec_eval.

    Raises:
        ValueError: as `recall_at`.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    wanted, first = _checked(ranked, gold, k)
    with eval_extra():
        import pytrec_eval
    if not first:
        return 0.0
    # trec_eval takes texts for ids, and scores for places; of equal scores it would choose by id.
    names = {one: str(number) for number, one in enumerate(dict.fromkeys([*first, *wanted]))}
    evaluator = pytrec_eval.RelevanceEvaluator(
        {"query": {names[one]: gain for one, gain in wanted.items()}}, {f"ndcg_cut.{k}"}
    )
    run = {names[one]: float(-place) for place, one in enumerate(first)}
    return float(evaluator.evaluate({"query": run})["query"][f"ndcg_cut_{k}"])


def _checked(ranked: Sequence[Id], gold: Collection[Id], k: int | None) -> tuple[dict[Id, int], Sequence[Id]]:
    """The right answers with their gains, and the first ``k`` of ``ranked``."""
    gains: dict[Id, int] = dict(gold) if isinstance(gold, Mapping) else dict.fromkeys(gold, 1)
    if any(not isinstance(gain, int) or gain < 0 for gain in gains.values()):
        raise ValueError("a gain must be a whole number from 0")
    wanted = {one: gain for one, gain in gains.items() if gain}
    if not wanted:
        raise ValueError("a ranking is measured by at least one right answer")
    if k is not None and k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    if len(set(ranked)) < len(ranked):
        raise ValueError("a ranking must name each id once")
    return wanted, ranked[:k]
