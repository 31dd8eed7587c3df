"""Right or wrong, and how far off: labels and numbers against the true ones (scikit-learn)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from edgeperso.evals.metrics.checks import Numbers, paired_numbers, require_paired
from edgeperso.evals.metrics.extra import eval_extra

__all__ = ["Labels", "accuracy", "macro_f1", "mean_absolute_error", "root_mean_squared_error"]

Labels: TypeAlias = Sequence[str] | Sequence[int]
"""One label an item, by name or by number; both sides of a comparison in the same way."""


def accuracy(gold: Labels, predicted: Labels) -> float:
    """The share of items whose label is the true one, 0 to 1.

    Raises:
        ValueError: there is no item, or the lengths differ.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    require_paired(gold, predicted)
    with eval_extra():
        from sklearn.metrics import accuracy_score
    return float(accuracy_score(gold, predicted))


def macro_f1(gold: Labels, predicted: Labels, labels: Labels | None = None) -> float:
    """The plain mean of the classes' F1, 0 to 1. A class that is neither true nor predicted anywhere counts as 0.

    Args:
        labels: the classes averaged over; None takes those that occur in ``gold`` or ``predicted``. Give the task's own
            (LaMP does): a prediction outside of them is then wrong without becoming a class.

    Raises:
        ValueError: there is no item, the lengths differ, or ``labels`` is empty or names one twice.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    require_paired(gold, predicted)
    if labels is not None and (not labels or len(set(labels)) < len(labels)):
        raise ValueError("labels must name at least one class, and each once")
    with eval_extra():
        from sklearn.metrics import f1_score
    return float(f1_score(gold, predicted, labels=labels, average="macro", zero_division=0.0))


def mean_absolute_error(gold: Numbers, predicted: Numbers) -> float:
    """Mean of ``|predicted - gold|``, 0 or more, in the unit of the values.

    Raises:
        ValueError: there is no item, the lengths differ, or a value is NaN or infinite.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    true, guessed = paired_numbers(gold, predicted)
    with eval_extra():
        from sklearn import metrics
    return float(metrics.mean_absolute_error(true, guessed))


def root_mean_squared_error(gold: Numbers, predicted: Numbers) -> float:
    """Square root of the mean of ``(predicted - gold)²``, 0 or more, in the unit of the values.

    Raises:
        ValueError: there is no item, the lengths differ, or a value is NaN or infinite.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    true, guessed = paired_numbers(gold, predicted)
    with eval_extra():
        from sklearn import metrics
    return float(metrics.root_mean_squared_error(true, guessed))
